"""``unispawner doctor`` compares jobs with the limits of queues, as a real Slurm printed them."""

from __future__ import annotations

import pytest
from support import OUTPUTS
from support.doctor import Doctor

from unispawner.admin.doctor.queues import compare
from unispawner.job import JobSpec, ResourceSpec
from unispawner.schedulers.inventory import Inventory, Node
from unispawner.testing import read_saved_reply

QUEUES = """
c.JupyterHub.spawner_class = "unispawner.ProfilesSpawner"
c.JupyterHub.hub_ip = "10.1.0.5"
c.UniSpawner.scheduler = "slurm"
c.UniSpawner.run_as = "sudo"
c.UniSpawner.agent_python = "/bin/sh"
c.ProfilesSpawner.profiles = [
    {
        "display_name": "Right",
        "config": {"queue_name": "long"},
        "options": {"duration": {"max": "2-00:00:00"}, "cpu_cores_per_process": {"max": 8}},
    },
]
"""


@pytest.fixture
def slurm(doctor: Doctor) -> str:
    """A configuration for a Slurm that replies with a real one's saved output."""
    saved = OUTPUTS / "slurm" / "sinfo-inventory"
    answer = doctor.programs / "answer"
    answer.write_text(read_saved_reply(saved).stdout)
    (doctor.programs / "sinfo").write_text(f"#!/bin/sh\nexec /bin/cat {answer}\n")
    (doctor.programs / "sinfo").chmod(0o755)
    version = 'case "$1" in -V | --version) echo slurm 22.05.8 ;; esac'
    (doctor.programs / "squeue").write_text(f"#!/bin/sh\n{version}\n")
    return f'{QUEUES}\nc.UniSpawner.scheduler_environment = {{"PATH": "{doctor.programs}"}}'


def test_queues_that_allow_what_is_asked_for(doctor: Doctor, slurm: str) -> None:
    """All jobs are compared with the limits, at each bound of the options."""
    status, lines = doctor(slurm)
    assert "ok      queues: every job is within the limits that the scheduler reports" in lines
    assert "ok      nodes: every job can run on some node, as far as the scheduler says" in lines
    assert 0 == status, lines


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            '["config"]["queue_name"] = "nosuch"',
            "queue_name: the scheduler has no queue 'nosuch'; its queues: debug, long, small",
        ),
        ('["config"] = {"queue_name": "small"}', "48:00:00 is more than the limit of queue small"),
        ('["config"] = {}', "duration: 48:00:00 is more than the limit of the default queue"),
        (
            '["options"]["cpu_cores_per_process"]["max"] = 640',
            "cpu_cores_per_process: 640 is more than the limit of queue long",
        ),
        (
            '["resources"] = {"memory": "4000K"}',
            "memory: 4000K is too little for a server; check the unit",
        ),
    ],
)
def test_queues_that_do_not(doctor: Doctor, slurm: str, line: str, text: str) -> None:
    """A job above a limit is pointed at once for each profile; the scheduler may allow it, so it is
    not an error."""
    status, lines = doctor(f"{slurm}\nc.ProfilesSpawner.profiles[0]{line}")
    (queues,) = [line for line in lines if " queues: " in line]
    assert queues.startswith("look at queues: profile right: ")
    assert 1 == queues.count(text)
    assert 0 == status, lines


def test_a_list_of_queues_is_not_looked_up(doctor: Doctor, slurm: str) -> None:
    """A queue_name that may be a list, or name a server or a host, is not compared."""
    name = '["config"]["queue_name"] = "long,small"'
    _, lines = doctor(f"{slurm}\nc.ProfilesSpawner.profiles[0]{name}")
    assert [] == [line for line in lines if line.startswith("look at queues")]


def test_queues_of_a_scheduler_that_does_not_reply(doctor: Doctor, slurm: str) -> None:
    """If the scheduler does not reply, the report says that the limits are not known."""
    (doctor.programs / "sinfo").unlink()
    _, lines = doctor(slurm)
    (queues,) = [line for line in lines if " queues: " in line]
    assert queues.startswith("look at queues: the limits are not known: ")


def test_a_cluster_that_only_this_environment_names(
    doctor: Doctor, slurm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that would choose another cluster, and that commands do not get, is shown with
    the setting for it."""
    name = "SLURM_CONF"
    file = doctor.programs / "b.conf"
    file.touch()
    monkeypatch.setenv(name, str(file))
    look = next(line for line in doctor(slurm)[1] if " scheduler: Slurm: " in line)
    assert look.startswith("look at")
    assert f"c.UniSpawner.scheduler_environment = {{'{name}': '{file}'}}" in look
    given = f'{slurm}\nc.UniSpawner.scheduler_environment["{name}"] = "{file}"'
    assert "ok      scheduler: Slurm" in doctor(given)[1]


def test_a_configuration_file_that_does_not_exist(doctor: Doctor, slurm: str) -> None:
    """A file that chooses the cluster and does not exist is named, once: Slurm's commands wait."""
    (doctor.programs / "squeue").write_text("#!/bin/sh\nexit 1\n")
    _, lines = doctor(f'{slurm}\nc.UniSpawner.scheduler_environment["SLURM_CONF"] = "/no/such"')
    assert 1 == sum("scheduler_environment: SLURM_CONF: " in line for line in lines), lines
    assert not any(line.startswith("WRONG   profile") for line in lines), lines


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            '["resources"] = {"memory": "900G"}',
            "profile right: memory: no node of the queue long has 900G of memory; the largest has",
        ),
        (
            '["options"]["gpu_type"] = {"choices": ["a100", "h900"]}\n'
            'first["options"]["gpu_cores_per_process"] = {"default": 1}',
            "profile right: gpu_type: no node of the queue long has 1 GPU of h900",
        ),
    ],
)
def test_jobs_that_no_node_can_run(doctor: Doctor, slurm: str, line: str, text: str) -> None:
    """A default, or a choice, that no node can ever run is reported for its profile."""
    status, lines = doctor(f"{slurm}\nfirst = c.ProfilesSpawner.profiles[0]\nfirst{line}")
    (found,) = [one for one in lines if one.startswith("look at nodes: ")]
    assert text in found
    assert "so a start is refused; offer less, or another queue" in found
    assert 0 == status


def test_a_cluster_without_queues() -> None:
    """Where there are no queues, as with HTCondor, the limit is that of the cluster."""
    spec = JobSpec(resources=ResourceSpec(cpu_cores_per_process=16))
    expected = "cpu_cores_per_process: 16 is more than the limit of the cluster, 8"
    assert [expected] == compare(spec, Inventory(nodes=(Node("node1", cores=8),)))
