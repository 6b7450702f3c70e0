"""How the real sbatch reads the directives of our scripts."""

from __future__ import annotations

import os
import pwd
import subprocess

import pytest
from support.clusters import Slurm

from unispawner.job import JobSpec
from unispawner.schedulers import get_scheduler
from unispawner.script.rendering import render_script


@pytest.mark.slurm
@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "a b",
        "it's",
        'say "hi"',
        "back\\slash",
        "end\\",
        "$HOME `id` $(id)",
        "#hash # two",
        "a;b&c|d",
        "*?[x]",
        "ünï",
        "-x --uid=0",
        "%u",
        "'",
        '"',
        "\\\\",
        " lead and trail ",
    ],
)
def test_sbatch_reads_values_as_they_are(slurm: Slurm, value: str) -> None:
    """sbatch reads a quoted value unchanged; the held job shows what it has read."""
    spec = JobSpec(name=value, custom_attributes={"slurm.hold": True, "slurm.comment": value})
    done = subprocess.run(
        ["sbatch", "--parsable", "--output=/dev/null", "--chdir=/"],
        input=render_script(spec, get_scheduler("slurm")) + "true\n",
        capture_output=True,
        text=True,
        user="alice",
        group=pwd.getpwnam("alice").pw_gid,
        extra_groups=[],
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **slurm.environment},
        cwd="/",
    )
    assert 0 == done.returncode, done.stderr
    job_id = done.stdout.strip().partition(";")[0]
    try:
        shown = subprocess.run(
            ["squeue", "-h", "-t", "all", "-j", job_id, "-o", "%j\n%k"],
            capture_output=True,
            text=True,
        ).stdout
    finally:
        subprocess.run(["scancel", job_id], check=True)
    assert [value, value] == shown.split("\n")[:2]
