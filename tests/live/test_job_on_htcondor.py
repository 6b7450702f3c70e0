"""A server's job on a real HTCondor.

All that was requested reaches the job, it is as if its user had submitted it, and all of it ends.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.agent import wait_for
from support.attacks import LISTED_SECRET
from support.cluster_agent import ClusterAgent, ClusterJob
from support.clusters import HTCondor, cluster_of, run
from support.hub import until

from unispawner.job import ResourceSpec
from unispawner.schedulers.htcondor import HTCondor as Scheduler
from unispawner.submit_host.dialogue import hold_dialogue
from unispawner.submit_host.host import SubmitHost

pytestmark = pytest.mark.htcondor
PATIENCE = 60
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "SECRET": "of the Hub"}
AWKWARD = 'it\'s "a" $HOME $(X) #1'

PROBE = """
import json, os, resource
umask = os.umask(0)
os.umask(umask)
print(json.dumps({
    "umask": oct(umask),
    "uid": os.getresuid(),
    "groups": sorted(os.getgroups()),
    "limit": resource.getrlimit(resource.RLIMIT_NOFILE),
    "directory": os.getcwd(),
    **{name: os.environ.get(name) for name in ("HOME", "USER", "LOGNAME", "SHELL", "SECRET")},
}))
"""

TREE = """\
trap 'echo told; sleep 1; echo bye; exit 0' TERM
sleep {number} &
setsid sleep {number} &
(sleep {number} &)
echo ran
while :; do sleep 0.1; done
"""
"""A server that takes a moment to end, and processes that it does not end itself."""


def classad(job: ClusterJob) -> dict[str, Any]:
    """Return all that condor_q knows about a job."""
    (found,) = json.loads(run("condor_q", "-allusers", "-json", job.job_id))
    return dict(found)


def sleepers(number: str) -> list[int]:
    """Return the processes that sleep for exactly this long."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if command.read_bytes() == f"sleep\0{number}\0".encode():
                found.append(int(command.parent.name))
    return found


@pytest.fixture(scope="module")
def htcondor() -> HTCondor:
    found = cluster_of("htcondor")
    assert isinstance(found, HTCondor)
    return found


@pytest.fixture
def alice(htcondor: HTCondor) -> Iterator[ClusterAgent]:
    """Give alice's agent, with a state directory of its own whose name is awkward."""
    folder = Path(pwd.getpwnam("alice").pw_dir) / f"unispawner {AWKWARD} {secrets.token_hex(4)}"
    agent = ClusterAgent(htcondor, folder, environment=ENVIRONMENT, code=PROBE)
    try:
        yield agent
    finally:
        if agent.jobs:
            run("condor_rm", *agent.jobs, check=False)
            mine = set(agent.jobs)
            wait_for(lambda: not mine & {str(job["ClusterId"]) for job in htcondor._jobs()})
        shutil.rmtree(folder, ignore_errors=True)


# -- what was asked for ---------------------------------------------------------------------------


def test_every_setting_reaches_htcondor(alice: ClusterAgent) -> None:
    """The job's ClassAd has each resource, the account, the time and the name, and the
    administrator's own commands and attributes."""
    job = alice.submit(
        name='a b/c\'s "größe" $(X) \\ y',
        directory="/tmp",
        resources=ResourceSpec(
            process_count=2, cpu_cores_per_process=2, gpu_cores_per_process=1, memory=512 * 2**20
        ),
        duration=timedelta(hours=1),
        account="group_physics",
        custom_attributes={
            "htcondor.periodic_remove": "NumJobStarts > 5",
            "htcondor.requirements": 'Machine != "nowhere"',
            "htcondor.priority": -7,
            "htcondor.want_graceful_removal": True,
            "htcondor.nice_user": False,
            "htcondor.+Text": 'C:\\x $(HOME) "q" end\\',
            "htcondor.+Literal": '"quoted"',
            "htcondor.+Number": 2.5,
            "htcondor.+Flag": True,
            "htcondor.MY.Tags": ["a", 1],
            "slurm.qos": "high",
        },
    )
    found = classad(job)
    time_is_up = "JobStatus == 2 && time() - JobCurrentStartDate > 3600"
    expected = {
        "Owner": "alice",
        "JobUniverse": 5,
        "JobBatchName": 'a b/c\'s "größe" $(X) \\ y',
        "Iwd": "/tmp",
        "Cmd": str(job.directory / "script"),
        "Out": "/dev/null",
        "Err": "/dev/null",
        "ShouldTransferFiles": "NO",
        "JobNotification": 0,
        "RequestCpus": 4,
        "RequestMemory": 512,
        "RequestGPUs": 2,
        "AcctGroup": "group_physics",
        "UnispawnerMark": job.mark,
        "JobPrio": -7,
        "WantGracefulRemoval": True,
        "Text": 'C:\\x $(HOME) "q" end\\',
        "Literal": "quoted",
        "Number": 2.5,
        "Flag": True,
        "Tags": ["a", 1],
        "PeriodicRemove": f"/Expr((NumJobStarts > 5) || ({time_is_up}))/",
    }
    assert expected == {name: found.get(name) for name in expected}
    assert time_is_up in found["PeriodicRemoveReason"]
    assert 'Machine != "nowhere"' in found["Requirements"]
    assert "NiceUser" not in found
    info = alice.wait_state(job, "RUNNING")
    # The machine with the GPUs.
    assert ("alice", "condor1.cluster.example") == (info["owner"], info["exec_host"])
    assert abs(info["start_time"] - time.time()) < PATIENCE


def test_unset_is_the_schedulers_default(alice: ClusterAgent) -> None:
    """What the administrator does not set is not requested."""
    found = classad(alice.submit())
    assert set() == {"RequestGPUs", "AcctGroup", "PeriodicRemoveReason"} & found.keys()
    assert not found.get("PeriodicRemove")
    assert 1 == found["RequestCpus"]
    assert pwd.getpwnam("alice").pw_dir == found["Iwd"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"custom_attributes": {"htcondor.requirements": "((("}}, "Parse error in expression"),
        ({"custom_attributes": {"htcondor.request_memory": "4 GB of"}}, "Parse error"),
        ({"custom_attributes": {"htcondor.universe": "nope"}}, "nope"),
        ({"directory": "/nowhere/at/all"}, "No such directory: /nowhere/at/all"),
    ],
)
def test_refusals(alice: ClusterAgent, fields: dict[str, Any], words: str) -> None:
    """A refused submission has the scheduler's own words and leaves no file."""
    error = alice.error(**fields)
    assert "SubmitError" == error["type"]
    assert words in error["output"]
    assert [] == os.listdir(alice.state_dir / "jobs")


def test_what_cannot_be_asked_for(alice: ClusterAgent) -> None:
    """A request that HTCondor has no command for is refused before it reaches HTCondor."""
    assert "queue_name" in alice.error(queue_name="q")["message"]


def test_a_job_that_never_finds_a_machine(alice: ClusterAgent) -> None:
    """A job that no machine matches waits, and its user reads why."""
    job = alice.submit(resources=ResourceSpec(memory=900 * 2**30))
    expected = "no machine has what the job asks for, or none is free"
    wait_for(lambda: (info := alice.status(job)) and info["message"] == expected)
    info = alice.status(job)
    assert info is not None
    assert ("QUEUED", "") == (info["state"], info["exec_host"])


async def test_it_is_counted_among_those_that_wait(alice: ClusterAgent, htcondor: HTCondor) -> None:
    """The collector reports the jobs of all schedds, so the number of waiting jobs includes
    them."""
    variables = {**htcondor.environment, "PATH": f"{htcondor.path}:/usr/bin:/bin"}

    async def waiting() -> int:
        found = await hold_dialogue(Scheduler().inventory(), SubmitHost(), variables)
        assert found.waiting is not None
        return found.waiting

    async def none() -> bool:
        return await waiting() == 0

    async def one() -> bool:
        return await waiting() == 1

    await until(none, "the collector has forgotten those of other tests", 60)
    alice.submit(resources=ResourceSpec(memory=900 * 2**30))
    await until(one, "the collector has counted it", 60)


# -- as if the user had submitted it --------------------------------------------------------------


def test_like_a_login(alice: ClusterAgent) -> None:
    """Umask, groups and `module` are those of a login, limits are those of a job of alice's own,
    and nothing of the Hub's environment is there."""
    mine = alice.probe()
    account = pwd.getpwnam("alice")
    expected = {
        "uid": [account.pw_uid] * 3,
        "directory": account.pw_dir,
        "HOME": account.pw_dir,
        "USER": "alice",
        "LOGNAME": "alice",
        "SECRET": None,
    }
    assert expected == {name: mine[name] for name in expected}
    assert int(run("umask", user="alice"), 8) == int(mine["umask"], 8)
    assert set(os.getgrouplist("alice", account.pw_gid)) <= set(mine["groups"])
    job = alice.submit("declare -f module")
    wait_for(lambda: "module ()" in job.text())


def test_awkward_directories(alice: ClusterAgent) -> None:
    """Directories with awkward names work for the job, its files and its log."""
    place = alice.state_dir.with_name(f"place {AWKWARD} {secrets.token_hex(4)}")
    run("mkdir", str(place), user="alice")
    try:
        assert str(place) == alice.probe(directory=str(place))["directory"]
    finally:
        shutil.rmtree(place)


def test_both_streams_in_order_and_a_second_run_adds(alice: ClusterAgent) -> None:
    """Both output streams are in the log in order, and a job that is run again, also elsewhere,
    keeps its files and its log."""
    job = alice.submit("echo out; echo error >&2; echo ran; sleep 300")
    wait_for(lambda: "ran" in job.text())
    alice.wait_state(job, "RUNNING")
    run("condor_vacate_job", f"{job.job_id}.0", user="alice")
    wait_for(lambda: job.text().count("ran") == 2)
    words = [line for line in job.text().splitlines() if line in ("out", "error", "ran")]
    assert ["out", "error", "ran"] * 2 == words
    assert alice.wait_state(job, "RUNNING")["exec_host"]


# -- how it ends ----------------------------------------------------------------------------------


def test_a_time_limit(alice: ClusterAgent) -> None:
    """A job over its time limit is removed: its user reads why, and its output is kept."""
    job = alice.submit("echo ran; sleep 300", duration=timedelta(seconds=2))
    info = alice.wait_state(job, "CANCELED")
    assert "the job reached its time limit" == info["message"]
    assert "ran\n" == job.text()


def test_another_rule_of_removal(alice: ClusterAgent) -> None:
    """If another rule removes the job, its user reads HTCondor's text about it."""
    rule = {"htcondor.periodic_remove": "JobStatus == 2"}
    job = alice.submit(duration=timedelta(hours=1), custom_attributes=rule)
    message = alice.wait_state(job, "CANCELED")["message"]
    assert "PeriodicRemove expression" in message


def test_cancel_ends_all_processes(alice: ClusterAgent) -> None:
    """A cancelled server gets a signal and time to end, then all its processes are killed; until
    then the job is ending, not ended."""
    number = f"9{secrets.randbelow(10**8):08}"
    job = alice.submit("", executable="bash", arguments=("-c", TREE.format(number=number)))
    wait_for(lambda: "ran" in job.text())
    assert 3 == len(wait_for(lambda: len(found := sleepers(number)) == 3 and found))
    alice.wait_state(job, "RUNNING")
    alice.ask("cancel", job_id=job.job_id)
    info = alice.status(job)
    assert info is not None
    # On a loaded machine the time to end may be over before the scheduler answers.
    expected = ("CANCELED", False) if info["state"] == "CANCELED" else ("RUNNING", True)
    assert expected == (info["state"], info["ending"])
    assert ["via condor_rm (by user alice)"] == [info["message"]]
    alice.ask("cancel", job_id=job.job_id)
    info = alice.wait_state(job, "CANCELED")
    assert "via condor_rm (by user alice)" == info["message"]
    assert "ran\ntold\nbye\n" == job.text()
    wait_for(lambda: not sleepers(number))


def test_cancel_while_it_waits(alice: ClusterAgent) -> None:
    """Cancelling a waiting job ends it at once; cancelling it again, or a job that never was, is no
    error."""
    job = alice.submit(resources=ResourceSpec(memory=900 * 2**30))
    alice.ask("cancel", job_id=job.job_id)
    assert "CANCELED" == alice.wait_state(job, "CANCELED")["state"]
    for job_id in (job.job_id, "999999999"):
        alice.ask("cancel", job_id=job_id)


def test_another_users_job(alice: ClusterAgent) -> None:
    """Cancelling another user's job is an error that says so."""
    job = alice.submit()
    bob = ClusterAgent(alice.cluster, Path("/nowhere"), environment=ENVIRONMENT, user="bob")
    error = bob.call("cancel", job_id=job.job_id)["error"]
    assert "CancelError" == error["type"]
    assert f"Permission denied to remove job {job.job_id}.0" in error["output"]
    assert 2 >= classad(job)["JobStatus"]


def test_how_it_ended(alice: ClusterAgent) -> None:
    """The history has the end of a job; for a job that never was there is no answer."""
    failed, fine = alice.submit("exit 3"), alice.submit("exit 0")
    killed = alice.submit("kill -9 $$")
    info = alice.wait_state(failed, "FAILED")
    assert (3, "alice", "the job ended with exit status 3") == (
        info["exit_code"],
        info["owner"],
        info["message"],
    )
    assert 0 == alice.wait_state(fine, "COMPLETED")["exit_code"]
    assert "the job was killed by signal 9" == alice.wait_state(killed, "FAILED")["message"]
    job_ids = [failed.job_id, "999999999", fine.job_id]
    found = alice.ask("status", job_ids=job_ids)
    assert {failed.job_id: "FAILED", fine.job_id: "COMPLETED"} == {
        job_id: one["state"] for job_id, one in found.items()
    }


def test_a_held_job(alice: ClusterAgent) -> None:
    """A held job counts as stuck, and its user reads HTCondor's reason."""
    job = alice.submit(custom_attributes={"htcondor.periodic_hold": "JobStatus == 2"})
    info = alice.wait_state(job, "HELD")
    assert info["stuck"]
    assert "PeriodicHold expression" in info["message"]


# -- files and secrets ----------------------------------------------------------------------------


def test_a_lost_answer(alice: ClusterAgent) -> None:
    """If the answer to a submission is lost, the job's own user finds it by its mark."""
    job = alice.submit()
    (job.directory / "job_id").unlink()
    assert {"job_id": job.job_id} == alice.ask("find", mark=job.mark)
    assert {"job_id": ""} == alice.ask("find", mark="f" * 16)
    bob = ClusterAgent(
        alice.cluster,
        Path(pwd.getpwnam("bob").pw_dir) / "unispawner test",
        environment=ENVIRONMENT,
        user="bob",
    )
    try:
        assert {"job_id": ""} == bob.ask("find", mark=job.mark)
    finally:
        shutil.rmtree(bob.state_dir, ignore_errors=True)


@pytest.mark.threat(**LISTED_SECRET)
def test_files_are_private(alice: ClusterAgent) -> None:
    """Script and environment can be read by their user only, and the submit description is
    removed."""
    token = f"topsecret-{secrets.token_hex(8)}"
    job = alice.submit('echo "$TOKEN"; sleep 300', environment={"TOKEN": token})
    wait_for(lambda: token in job.text())
    assert token not in run("condor_q", "-l", job.job_id, user="bob")
    assert {"cluster", "environment", "job_id", "script"} == set(os.listdir(job.directory))
    assert 0o700 == (job.directory / "script").stat().st_mode & 0o777
    assert 0o600 == (job.directory / "environment").stat().st_mode & 0o777
    assert token not in (job.directory / "script").read_text()


# -- a schedd that is named -----------------------------------------------------------------------


def test_a_schedd_that_is_named(alice: ClusterAgent) -> None:
    """With htcondor_schedd and htcondor_pool, a job is submitted, found, listed, cancelled and
    looked up in the history at that schedd; another name is an error."""
    name = run("condor_status", "-schedd", "-af", "Name").split()[0]
    pool = run("condor_config_val", "COLLECTOR_HOST")
    alice.options = {"htcondor_schedd": name, "htcondor_pool": pool}
    job = alice.submit()
    alice.wait_state(job, "RUNNING")
    (job.directory / "job_id").unlink()
    assert {"job_id": job.job_id} == alice.ask("find", mark=job.mark)
    alice.ask("cancel", job_id=job.job_id)
    alice.wait_state(job, "CANCELED")
    alice.options = {"htcondor_schedd": "nowhere@nowhere.example"}
    reply = alice.call("status", job_ids=[job.job_id])
    assert "SchedulerUnavailable" == reply["error"]["type"]
