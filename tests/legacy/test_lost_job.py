"""A job that a failed submission has left: which scheduler has it, and how it is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.accounts import ordinary_account

from unispawner.errors import CancelError, UniSpawnerError
from unispawner.job import JobState
from unispawner.legacy.lost_job import cancel_jobs, find_scheduler, make_search_client
from unispawner.run_as.accounts import Account
from unispawner.run_as.client import AgentClient
from unispawner.run_as.same_user import SameUser
from unispawner.schedulers import get_scheduler
from unispawner.schedulers.base import Reply, advance
from unispawner.submit_host.host import SubmitHost
from unispawner.testing import FakeScheduler, fake_client

MARK = "0123456789abcdef"
PATH = f"/home/ada/.unispawner/legacy/jobs/{MARK}/batchspawner-singleuser"


@pytest.mark.parametrize(
    ("submit", "query", "default", "expected"),
    [
        ("sudo -E -u ada /opt/slurm/bin/sbatch --parsable", "", "torque", "slurm"),
        ("sbatch --parsable", "", "slurm", "slurm"),
        ("/site/submit", "", "slurm", "slurm"),
        ("condor_submit", "", "", "htcondor"),
        ("bsub -q x", "", "", "lsf"),
        ("qsub", "", "pbs", "pbs"),
        ("qsub", "qstat -xml", "", "gridengine"),
        ("qsub", "qstat -x 1", "", "torque"),
        ("/site/submit", "", "", ""),
        ("submit-sbatch", "", "", ""),
    ],
)
def test_which_scheduler(submit: str, query: str, default: str, expected: str) -> None:
    """The submit command's own program counts, and then the spawner's class."""
    assert expected == find_scheduler(submit, query, default)


def test_where_commands_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent finds the scheduler's commands where the site's command names them and where the
    Hub finds them, and asks the cluster that the site's command names."""
    monkeypatch.setenv("PATH", "/hub/bin:relative:/usr/bin")
    monkeypatch.setenv("SLURM_CONF", "/etc/site.conf")
    client = AgentClient(
        Account("ada", 1000, "/home/ada"), get_scheduler("local"), SameUser("python"), SubmitHost()
    )
    commands = {
        "exec_prefix": "",
        "batch_submit_cmd": "/usr/bin/sudo -u ada /opt/slurm/bin/sbatch -M lab",
    }
    found = make_search_client(client, "slurm", commands, {"SECRET": "x", "SLURM_CLUSTERS": "b"})
    assert ("/usr/bin", "/opt/slurm/bin", "/hub/bin") == found.scheduler_path
    assert {"SLURM_CONF": "/etc/site.conf"} == found.scheduler_environment
    assert get_scheduler("slurm", {"slurm_cluster": "lab"}) == found.scheduler
    commands["batch_submit_cmd"] = "sbatch --clusters=lab,east"
    found = make_search_client(client, "slurm", commands, {})
    assert "lab,east" == found.scheduler_environment["SLURM_CLUSTERS"]
    assert not make_search_client(client, "gridengine", {}, {}).scheduler.options["use_drmaa"]


async def test_all_jobs_are_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each job with the mark is cancelled, also if another one can't be; the error is raised."""
    scheduler = FakeScheduler(tmp_path)
    owner = ordinary_account().pw_name
    job_ids = [scheduler.submit(owner) for _ in range(2)]
    client = fake_client(scheduler, owner)
    cancelled = []

    async def find_jobs(self: AgentClient, mark: str) -> list[str]:
        return job_ids

    async def cancel(self: AgentClient, job_id: str, *, force: bool = False) -> None:
        cancelled.append(job_id)
        if job_id == job_ids[0]:
            raise CancelError("not now")

    monkeypatch.setattr(AgentClient, "find_jobs", find_jobs)
    monkeypatch.setattr(AgentClient, "cancel", cancel)
    with pytest.raises(CancelError):
        await cancel_jobs(client, MARK)
    assert job_ids == cancelled
    assert JobState.QUEUED is scheduler.jobs[job_ids[0]].state


def find(name: str, *answers: str, status: int = 0) -> tuple[list[str], list[list[str]]]:
    """Return what a scheduler finds if its commands print these texts, and the commands."""
    dialogue = get_scheduler(name).find_jobs(MARK, "ada")
    reply: Reply | UniSpawnerError | None = None
    commands: list[list[str]] = []
    left = list(answers)
    while True:
        try:
            commands.append(advance(dialogue, reply))
        except StopIteration as stop:
            return stop.value, commands
        text = left.pop(0)
        reply = Reply(tuple(commands[-1]), status if not left else 0, text)


def test_slurm() -> None:
    """Slurm gives a script to its owner: the newest jobs' scripts are searched."""
    script = f"#!/bin/bash\nsrun {PATH} jupyterhub-singleuser\n"
    found, commands = find("slurm", "7\n12\n9_[1-3]\n", "#!/bin/sh\ntrue\n", script)
    assert ["12"] == found
    assert ["7", "12"] == [command[-2] for command in commands[1:]]
    many = "\n".join(map(str, range(1, 200)))
    found, commands = find("slurm", many, *(["true"] * 50))
    assert ([], 51, "199") == (found, len(commands), commands[-1][-2])


def test_htcondor() -> None:
    """HTCondor shows a job's arguments and environment."""
    rows: list[dict[str, Any]] = [
        {"ClusterId": 3, "Cmd": "/bin/sh", "Args": f"-c 'exec {PATH} x'"},
        {"ClusterId": 4, "Cmd": "/bin/sh", "Args": "-c true"},
        {"ClusterId": 5, "Cmd": PATH},
        {"ClusterId": 6, "Environment": f"UNISPAWNER_MARK={MARK} A=1"},
    ]
    assert ["3", "5", "6"] == find("htcondor", json.dumps(rows))[0]
    assert [] == find("htcondor", "", "Total for query: 0 jobs; 0 completed\n")[0]


def test_grid_engine() -> None:
    """Grid Engine shows the environment that qsub passes on."""
    listing = (
        "<?xml version='1.0'?><job_info><queue_info/><job_info>"
        "<job_list state='pending'><JB_job_number>8</JB_job_number><JB_owner>ada</JB_owner>"
        "<state>qw</state></job_list></job_info></job_info>"
    )
    line = "=" * 62
    long = (
        f"{line}\njob_number:                 8\nenv_list:                   A=1,UNISPAWNER_MARK="
        f"{MARK}\n{line}\njob_number:                 9\nenv_list:                   A=1\n"
    )
    assert ["8"] == find("gridengine", listing, long)[0]


def test_lsf() -> None:
    """LSF shows the beginning of a script, with line breaks anywhere."""
    command = f"Job <5>, User <ada>, Command <#!/bin/sh;#BSUB -q x;{PATH[:40]}"
    text = f"{command}\n{' ' * 21}{PATH[40:]} y>\nJob <6>, User <ada>, Command <true>\n"
    assert ["5"] == find("lsf", text)[0]
    assert [] == find("lsf", "No unfinished job found", status=255)[0]


def test_torque() -> None:
    """TORQUE and PBS show the variables that qsub passes on."""
    rows = "".join(
        f"<Job><Job_Id>{number}.srv</Job_Id><Job_Owner>ada@login</Job_Owner>"
        f"<job_state>Q</job_state><Variable_List>{variables}</Variable_List></Job>"
        for number, variables in ((1, f"A=1,UNISPAWNER_MARK={MARK}"), (2, "A=1"))
    )
    assert ["1.srv"] == find("torque", "1.srv\n2.srv\n", f"<Data>{rows}</Data>")[0]
