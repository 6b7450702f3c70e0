"""A server's job on a real Grid Engine, submitted through DRMAA and with qsub.

All that was requested reaches the job, it is as if its user had submitted it, and no other user
learns its secrets.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.agent import wait_for
from support.attacks import LISTED_SECRET
from support.cluster_agent import ClusterAgent, ClusterJob
from support.clusters import GridEngine, cluster_of, run

from unispawner.job import JobSpec, ResourceSpec

pytestmark = pytest.mark.gridengine
PATIENCE = 60
NODE1 = "sgenode1.cluster.example"

PROBE = """
import json, os, resource, socket
umask = os.umask(0)
os.umask(umask)
print(json.dumps({
    "umask": oct(umask),
    "limit": resource.getrlimit(resource.RLIMIT_NOFILE),
    "uid": os.getresuid(),
    "groups": sorted(set(os.getgroups()) & set(GROUPS)),
    "PATH": os.environ["PATH"],
    "HOME": os.environ["HOME"],
    "directory": os.getcwd(),
    "memory": resource.getrlimit(resource.RLIMIT_AS)[0],
    "host": socket.gethostname(),
}))
""".replace("GROUPS", str(os.getgrouplist("alice", 0) if os.geteuid() == 0 else []))
"""Without the group that Grid Engine knows a job's processes by."""


def qstat(job: ClusterJob) -> Mapping[str, str]:
    """Return the fields of `qstat -j`."""
    pairs = re.findall(r"^(\S[^:\n]*?):\s+(.*)$", run("qstat", "-j", job.job_id), re.MULTILINE)
    return {name: value.strip() for name, value in pairs}


@pytest.fixture(scope="module")
def gridengine() -> GridEngine:
    found = cluster_of("gridengine")
    assert isinstance(found, GridEngine)
    return found


@pytest.fixture(params=[True, False], ids=["drmaa", "qsub"])
def alice(request: pytest.FixtureRequest, gridengine: GridEngine) -> Iterator[ClusterAgent]:
    """Give alice's agent for each way to submit, with a state directory of its own."""
    folder = Path(pwd.getpwnam("alice").pw_dir) / f"unispawner test's {secrets.token_hex(4)}"
    # The CI's gpu counts for each slot, as its h_vmem does.
    options = {
        "use_drmaa": request.param,
        "sge_root": os.environ.get("SGE_ROOT", ""),
        "sge_gpus_per": "slot",
    }
    agent = ClusterAgent(gridengine, folder, options, code=PROBE)
    try:
        yield agent
    finally:
        if agent.jobs:
            run("qdel", *agent.jobs, check=False)
            mine = set(agent.jobs)
            wait_for(lambda: not mine & {job["JB_job_number"] for job in gridengine._jobs()})
        shutil.rmtree(folder, ignore_errors=True)


# -- what was asked for -------------------------------------------------------------------------


@pytest.fixture
def reservation() -> Iterator[str]:
    """Give an advance reservation of alice's: two slots on sgenode1, from now on.

    Grid Engine refuses a job whose duration, counted from its submission, exceeds the reservation's
    end.
    """
    output = run(
        *("qrsub", "-d", "0:30:0", "-q", f"all.q@{NODE1}", "-pe", "smp", "2"),
        *("-l", "h_vmem=512M,gpu=1"),
        user="alice",
    )
    number = output.split("reservation ")[1].split()[0]
    yield number
    run("qrdel", number, check=False)


def test_every_setting_reaches_grid_engine(alice: ClusterAgent, reservation: str) -> None:
    """Grid Engine's own description of the job has each resource, queue, project, reservation, time
    and name, and the administrator's own options."""
    job = alice.submit(
        name='a b/c\'s "größe"',
        directory="/tmp",
        resources=ResourceSpec(
            cpu_cores_per_process=2, gpu_cores_per_process=2, memory=512 * 1024**2
        ),
        duration=timedelta(minutes=5),
        queue_name="all.q",
        account="physics",
        reservation_id=reservation,
        custom_attributes={
            "gridengine.p": -7,
            "gridengine.notify": True,
            "gridengine.l": "arch=lx*",
            "gridengine.ac": "why=it is late",
            "gridengine.h": False,
            # For a moment, there is no suitable queue yet for a job of a new reservation.
            "gridengine.w": "n",
            "slurm.qos": "high",
        },
    )
    found = qstat(job)
    resources = set(found["hard resource_list"].split(","))
    assert {"h_rt=300", "h_vmem=262144K", "gpu=1", "arch=lx*"} == resources
    expected = {
        "owner": "alice",
        "job_name": 'a_b_c\'s_"gr__e"',
        "cwd": "/tmp",
        "merge": "y",
        "parallel environment": "smp range: 2",
        "hard_queue_list": "all.q",
        "project": "physics",
        "ar_id": reservation,
        "priority": "-7",
        "notify": "TRUE",
        "script_file": str(job.directory / "script"),
        "job_type": "binary,noshell",
    }
    assert expected == {name: found.get(name) for name in expected}
    assert "verify_suitable_queues" not in found
    assert str(job.log) == found["stdout_path_list"].split(":", 2)[2]
    assert {f"unispawner={job.mark}", "why=it is late"} == set(found["context"].split(","))
    info = alice.wait_state(job, "RUNNING")
    assert ("alice", NODE1) == (info["owner"], info["exec_host"])


def test_unset_is_the_schedulers_default(alice: ClusterAgent) -> None:
    """What the administrator does not set is not requested."""
    found = qstat(alice.submit())
    absent = {"hard resource_list", "project", "ar_id", "parallel environment", "hard_queue_list"}
    assert set() == absent & found.keys()
    assert pwd.getpwnam("alice").pw_dir == found["cwd"]


def test_memory_is_each_slots_limit(alice: ClusterAgent) -> None:
    """h_vmem limits a job for real, by the limit of a slot times the slots on the host."""
    resources = ResourceSpec(memory=600 * 1024**2, cpu_cores_per_process=2)
    assert 600 * 1024**2 == alice.probe(resources=resources)["memory"]


def test_gpus_are_counted(alice: ClusterAgent) -> None:
    """A job with GPUs runs where there are some; a job with more GPUs than there are is refused."""
    assert "sgenode1" == alice.probe(resources=ResourceSpec(gpu_cores_per_process=1))["host"]
    spec = JobSpec(
        executable="true", mark="0" * 16, resources=ResourceSpec(gpu_cores_per_process=3)
    )
    error = alice.call("submit", spec=spec.to_dict(), shell="/bin/sh")["error"]
    assert ("SubmitError", True) == (error["type"], "no suitable queues" in error["output"])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"queue_name": "nowhere"}, '"nowhere"'),
        ({"account": "nobody-pays"}, '"nobody-pays" does not exist'),
        ({"reservation_id": "999"}, "999"),
        ({"custom_attributes": {"gridengine.l": "nope=1"}}, '"nope"'),
        ({"custom_attributes": {"gridengine.pe": "nope 2"}}, '"nope"'),
        ({"custom_attributes": {"gridengine.nope": True}}, "nope"),
    ],
)
def test_refusals(alice: ClusterAgent, fields: dict[str, Any], words: str) -> None:
    """A refused submission has the scheduler's own words and leaves no file."""
    spec = JobSpec(executable="true", mark="0" * 16, **fields)
    error = alice.call("submit", spec=spec.to_dict(), shell="/bin/sh")["error"]
    assert "SubmitError" == error["type"]
    assert words in error["output"]
    assert [] == os.listdir(alice.state_dir / "jobs")


# -- as if the user had submitted it ------------------------------------------------------------


def test_like_a_login(alice: ClusterAgent) -> None:
    """Umask, limits, groups, PATH, HOME and `module` are those of a job that alice submits herself
    from a login shell."""
    mine = alice.probe()
    script = alice.state_dir / "plain"
    script.write_text(f"#!/bin/bash -l\npython3 - <<'EOF'\n{PROBE}\nEOF\n")
    script.chmod(0o755)
    submit = ["qsub", "-sync", "y", "-b", "y", "-shell", "n", "-j", "y"]
    log = script.with_suffix(".out")
    command = [*submit, "-wd", "/home/alice", "-o", f":{log}", str(script)]
    alice.state_dir.chmod(0o711)
    run(*command, user="alice")
    assert {**json.loads(log.read_text()), "host": mine["host"]} == mine
    assert pwd.getpwnam("alice").pw_dir == mine["HOME"] == mine["directory"]
    job = alice.submit("declare -f module")
    wait_for(lambda: "module ()" in job.text())


def test_both_streams_in_order_and_a_second_run_adds(alice: ClusterAgent) -> None:
    """Both output streams are in the log in order, and a job that is run again keeps its files and
    its log."""
    job = alice.submit("echo out; echo error >&2; echo ran; sleep 300")
    wait_for(lambda: "ran" in job.text())
    run("qmod", "-rj", job.job_id)
    wait_for(lambda: job.text().count("ran") == 2)
    words = [line for line in job.text().splitlines() if line in ("out", "error", "ran")]
    assert ["out", "error", "ran"] * 2 == words
    # While qmaster has not heard of the second start, it is "Rt".
    wait_for(lambda: alice.wait_state(job, "RUNNING")["native_state"] == "Rr")


# -- files and secrets --------------------------------------------------------------------------


@pytest.mark.threat(**LISTED_SECRET)
def test_bob_learns_no_secret(alice: ClusterAgent) -> None:
    """Nothing that Grid Engine shows or stores about a job has the token, and the script is not
    copied."""
    token = f"topsecret-{secrets.token_hex(8)}"
    job = alice.submit("echo ran; sleep 300", environment={"TOKEN": token})
    wait_for(lambda: "ran" in job.text())
    assert token not in run("qstat", "-j", job.job_id, user="bob")
    assert "Permission denied" in run("cat", str(job.directory / "script"), user="bob", check=False)
    for file in ("script", "environment"):
        assert 0 == (job.directory / file).stat().st_mode & 0o077
    # As root: nothing of it is in a spool folder, whoever may read that.
    spool = Path(os.environ["SGE_ROOT"]).parent / "spool"
    assert spool.is_dir()
    found = run("grep", "-rlaF", "-f", "-", str(spool), stdin=token, check=False)
    assert "" == found
    assert [] == list(spool.glob(f"**/job_scripts/{job.job_id}"))


# -- the rest of the agent ----------------------------------------------------------------------


def test_a_lost_answer(alice: ClusterAgent) -> None:
    """If the answer to a submission is lost, the job is found by its mark."""
    job = alice.submit()
    (job.directory / "job_id").unlink()
    assert {"job_id": job.job_id} == alice.ask("find", mark=job.mark)
    assert {"job_id": ""} == alice.ask("find", mark="f" * 16)


def test_cancel(alice: ClusterAgent) -> None:
    """Cancelling a job twice is no error; cancelling another user's job is an error."""
    job = alice.submit()
    alice.wait_state(job, "RUNNING")
    bob = ClusterAgent(alice.cluster, Path("/nowhere"), alice.options, user="bob")
    assert "CancelError" == bob.call("cancel", job_id=job.job_id)["error"]["type"]
    for _ in range(2):
        alice.ask("cancel", job_id=job.job_id)

    def over() -> bool:
        info = alice.status(job)
        return info is None or info["state"] in ("FAILED", "CANCELED")

    wait_for(over)
    alice.ask("cancel", job_id=job.job_id)


def test_how_it_ended(alice: ClusterAgent) -> None:
    """The accounting has the end of a job a little later."""
    job = alice.submit("exit 3")
    info = wait_for(lambda: (found := alice.status(job)) and found["state"] == "FAILED" and found)
    assert (3, "alice") == (info["exit_code"], info["owner"])


IMPATIENT = """
import functools, json, sys
from pathlib import Path
from unispawner.agent.executors import gridengine as module
from unispawner.errors import UniSpawnerError
from unispawner.job import JobSpec
from unispawner.schedulers.gridengine import GridEngine
module.run = functools.partial(module.run, timeout=2)
directory, options = json.load(sys.stdin)
executor = module.Executor(GridEngine(**options))
try:
    executor.submit_script(JobSpec(mark="0" * 16), "#!/bin/sh\\n", Path(directory))
except UniSpawnerError as error:
    print(type(error).__name__, error)
"""
"""A submission whose command is given two seconds, where the agent gives it thirty."""


def test_a_frozen_qmaster(alice: ClusterAgent) -> None:
    """While the qmaster hangs, each call ends within its time, and nothing counts as refused."""
    job = alice.submit()
    account = pwd.getpwnam("alice")
    with frozen_qmaster():
        done = subprocess.run(
            [sys.executable, "-I", "-c", IMPATIENT],
            input=json.dumps([str(alice.state_dir), alice.options]),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            cwd="/",
            env={"PATH": os.environ["PATH"], **alice.cluster.environment},
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
        )
        assert done.stdout.startswith("SchedulerUnavailable "), done
        assert "did not end within 2 s" in done.stdout
        # If the agent itself runs out of time, that says nothing about the job either.
        error = alice.call("cancel", timeout=2, job_id=job.job_id)["error"]
        assert ("AgentError", True) == (error["type"], "within 2 s" in error["message"])
    # The request may have reached the qmaster nevertheless.
    alice.jobs += filter(None, [alice.ask("find", mark="0" * 16)["job_id"]])


@contextlib.contextmanager
def frozen_qmaster() -> Iterator[None]:
    """Stop Grid Engine's master for a while; its clients wait for it."""
    pid = int((Path(os.environ["SGE_ROOT"]).parent / "pids" / "sge_qmaster").read_text().split()[0])
    assert "sge_qmaster" in Path(f"/proc/{pid}/comm").read_text()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: "HOSTNAME" in run("qhost", check=False))
