"""``unispawner doctor`` for a Hub with two clusters, on what two real Slurms printed."""

from __future__ import annotations

import pytest
from support import OUTPUTS
from support.doctor import Doctor

from unispawner.testing import read_saved_reply

TWO = """
c.JupyterHub.spawner_class = "unispawner.ProfilesSpawner"
c.JupyterHub.hub_ip = "10.1.0.5"
c.UniSpawner.scheduler = "slurm"
c.UniSpawner.run_as = "sudo"
c.UniSpawner.agent_python = "/bin/sh"
c.ProfilesSpawner.profiles = [
    {"display_name": name, "config": {"slurm_cluster": name, "host_map": {"node1": f"{name}1"}}}
    for name in ("alpha", "beta")
]
for one in c.ProfilesSpawner.profiles:
    one["config"]["host_map"]["node2"] = f"{one['display_name']}2"
first, second = (one["config"] for one in c.ProfilesSpawner.profiles)
"""


@pytest.fixture
def two(doctor: Doctor) -> str:
    """A configuration for two clusters that reply with saved output; nothing knows "nope"."""
    replies = {name: read_saved_reply(OUTPUTS / "slurm-clusters" / name) for name in REPLIES}
    for name, reply in replies.items():
        (doctor.programs / name).write_text(reply.stdout)
    (doctor.programs / "error").write_text(replies["squeue-unknown-cluster"].stderr)
    unknown = f'if [ "$2" = nope ]; then /bin/cat {doctor.programs}/error >&2; exit 1; fi'
    version = 'case "$1" in -V | --version) echo slurm 22.05.8; exit ;; esac'
    for program, output in (("sinfo", "sinfo-inventory"), ("squeue", "squeue-bulk")):
        script = f"#!/bin/sh\n{version}\n{unknown}\nexec /bin/cat {doctor.programs}/{output}\n"
        doctor.program(program)
        (doctor.programs / program).write_text(script)
    return f'{TWO}\nc.UniSpawner.scheduler_environment = {{"PATH": "{doctor.programs}"}}'


REPLIES = ("sinfo-inventory", "squeue-bulk", "squeue-unknown-cluster")


def look(doctor: Doctor, config: str) -> str:
    """Return the line about clusters."""
    _, lines = doctor(config)
    (line,) = [line for line in lines if " clusters: " in line]
    return line


def test_two_clusters_that_are_right(doctor: Doctor, two: str) -> None:
    """Each cluster is checked by itself, and named."""
    status, lines = doctor(two)
    assert 0 == status, lines
    for name in ("alpha", "beta"):
        assert f"ok      scheduler: Slurm ({name})" in lines
        assert any(line.startswith(f"ok      query: {name}: ") for line in lines)
    assert "ok      clusters: Slurm (alpha), Slurm (beta)" in lines


def test_nodes_of_the_same_name(doctor: Doctor, two: str) -> None:
    """Nodes whose names the Hub can't tell apart are pointed at."""
    line = look(doctor, f'{two}\ndel first["host_map"], second["host_map"]')
    assert line.startswith("look at clusters: host_map: several clusters have nodes called node1,")


def test_clusters_of_the_same_name(doctor: Doctor, two: str) -> None:
    """Clusters that only their environment distinguishes need names."""
    change = "for number, one in enumerate((first, second)):\n    del one['slurm_cluster']\n    "
    change += (
        "one['scheduler_environment'] = {**c.UniSpawner.scheduler_environment, 'N': f'{number}'}"
    )
    line = look(doctor, f"{two}\n{change}")
    assert line.startswith("look at clusters: cluster: 2 clusters are called 'slurm' in the Hub's")
    named = f"{two}\n{change}\n    one['cluster'] = f'c{{number}}'"
    assert "ok      clusters: Slurm (c0), Slurm (c1)" == look(doctor, named)


def test_a_cluster_that_does_not_exist(doctor: Doctor, two: str) -> None:
    """The wrong name of a cluster is WRONG once, with the setting and the command that lists them;
    what would ask this cluster is skipped."""
    status, lines = doctor(f'{two}\nsecond["slurm_cluster"] = "nope"')
    (line,) = [line for line in lines if line.startswith("WRONG")]
    skipped = [line.split()[1] for line in lines if line.startswith("skipped")]
    assert ["query:", "queues:", "nodes:", "host_map:", "clusters:"] == [
        one for one in skipped if one != "profile"
    ]
    assert "scheduler: slurm_cluster: Slurm's database knows no cluster 'nope'" in line
    assert "`sacctmgr list cluster`" in line
    assert 1 == status


def test_a_variable_that_names_a_cluster(
    doctor: Doctor, two: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable of this environment that names a cluster is shown with the setting for it."""
    monkeypatch.setenv("SLURM_CLUSTERS", "beta")
    _, lines = doctor(
        f"{two}\nc.ProfilesSpawner.profiles = []\nc.ProfilesSpawner.profiles += ["
        '{"display_name": "x"}]'
    )
    (line,) = [line for line in lines if " scheduler: " in line]
    assert line.startswith("look at scheduler: Slurm: SLURM_CLUSTERS is set here")
    assert "c.UniSpawner.slurm_cluster = 'beta'" in line
    assert "ok      scheduler: Slurm (alpha)" in doctor(two)[1]
