"""The conformance suite as an ordinary user runs it on a real cluster, without root or Hub."""

from __future__ import annotations

import os
import pwd
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest
from support.clusters import VARIABLES, Slurm, run

pytestmark = pytest.mark.slurm
SUITE = "unispawner.testing.conformance"
LIMIT = 240


def start_suite(what: str, *options: str) -> subprocess.Popen[str]:
    """Start the suite in a clean login of alice."""
    command = [
        *(sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        *("-p", f"{SUITE}.plugin", "--pyargs", what, "--scheduler=slurm", *options),
        *[f"--environment={name}" for name in VARIABLES if name in os.environ],
    ]
    return subprocess.Popen(
        login_of("alice", command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def login_of(name: str, command: Sequence[str]) -> list[str]:
    """Return a command that runs another one as an account, as its direct child."""
    entry = pwd.getpwnam(name)
    kept = [f"{one}={os.environ[one]}" for one in VARIABLES if one in os.environ]
    settings = [f"HOME={entry.pw_dir}", f"USER={name}", f"LOGNAME={name}", *kept]
    path = f"PATH={os.environ['PATH']}"
    become = ["setpriv", f"--reuid={name}", f"--regid={entry.pw_gid}", "--init-groups"]
    return [*become, "env", "-C", entry.pw_dir, "-i", path, *settings, *command]


def test_every_promise_holds(slurm: Slurm) -> None:
    """All checks hold on a real Slurm, for an ordinary account with the commands of its PATH, and
    the report says so. No job and no private file is left."""
    before, files = slurm.active(user="alice"), private_files()
    done = start_suite(SUITE)
    text, _ = done.communicate(timeout=LIMIT)
    assert 0 == done.returncode, text
    assert re.search(
        r"^\d+ of \d+ checks held, 0 failed, .*jobs of the suite are removed$", text, re.M
    )
    assert "seen: RUNNING" in text
    assert slurm.active(user="alice") <= before
    assert private_files() <= files


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing(slurm: Slurm, number: signal.Signals) -> None:
    """After Ctrl-C or SIGTERM in the middle of a check, the jobs of the suite are cancelled."""
    before, files = slurm.active(user="alice"), private_files()
    running = start_suite(f"{SUITE}.test_cluster")
    end = time.monotonic() + LIMIT
    while slurm.active(user="alice") <= before:
        assert running.poll() is None, running.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.2)
    running.send_signal(number)
    text, _ = running.communicate(timeout=LIMIT)
    assert 2 == running.returncode, text
    assert "all jobs of the suite are removed" in text
    assert slurm.active(user="alice") <= before
    assert private_files() <= files


def private_files() -> set[str]:
    """Return the private folders and the logs of the suite's jobs in alice's home."""
    folder = os.path.join(pwd.getpwnam("alice").pw_dir, ".unispawner")
    names = run("ls", f"{folder}/jobs", f"{folder}/logs", user="alice", check=False).split()
    return {name for name in names if name.startswith("conformance-")}
