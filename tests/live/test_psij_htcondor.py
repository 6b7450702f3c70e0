"""The HTCondor executor in an ordinary user's PSI/J program, on a real HTCondor."""

from __future__ import annotations

import json
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.clusters import HTCondor

pytestmark = pytest.mark.htcondor

PREPARE = """
import json, os, sys, time
from datetime import timedelta
from pathlib import Path
import psij
from psij import Job, JobAttributes, JobSpec, JobState, ResourceSpecV1
from psij.executors.batch.batch_scheduler_executor import BatchSchedulerExecutorConfig
folder = Path(sys.argv[1])
config = BatchSchedulerExecutorConfig(
    queue_polling_interval=1, initial_queue_polling_delay=1, work_directory=folder / "work"
)
executor = psij.JobExecutor.get_instance("htcondor", config=config)
def job(*command, **more):
    spec = JobSpec(command[0], list(command[1:]), directory=folder, **more)
    return Job(spec)
def report(**values):
    print(json.dumps(values, default=str))
"""


@pytest.fixture
def program(cluster_is_up: None, tmp_path: Path) -> Any:
    """Return a function that runs a PSI/J program as alice and returns what it reports."""
    entry = pwd.getpwnam("alice")
    folder = Path(entry.pw_dir) / "psij"
    become = ["setpriv", "--reuid=alice", f"--regid={entry.pw_gid}", "--init-groups", "--reset-env"]
    htcondor = HTCondor()
    environment = [f"{key}={value}" for key, value in htcondor.environment.items()]
    environment += [f"PATH={htcondor.path}:/usr/bin:/bin", "PSIJ_TEST=a b"]

    def run(code: str) -> Any:
        command = [*become, "env", *environment, sys.executable, "-I", "-c"]
        done = subprocess.run(
            [*command, PREPARE + code, str(folder)],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=entry.pw_dir,
        )
        assert 0 == done.returncode, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    subprocess.run([*become, "mkdir", "-p", folder], check=True)
    yield run
    subprocess.run([*become, "rm", "-rf", folder], check=True)


@pytest.fixture(scope="module")
def cluster_is_up() -> None:
    if reason := HTCondor.why_not():
        pytest.skip(f"no htcondor: {reason}")


def test_a_job_that_succeeds(program: Any) -> None:
    """A job has its output, its directory, its own and the submitter's environment, and its exit
    code."""
    reported = program("""
os.environ["OF_THE_SUBMITTER"] = "with 'quotes'"
one = job("/bin/sh", "-c", 'echo "$MINE|$OF_THE_SUBMITTER|$PWD"; echo "$0" >&2', "a $ b",
    environment={"MINE": "x y"}, stdout_path=folder / "out", stderr_path=folder / "err")
executor.submit(one)
listed = executor.list()
status = one.wait(timedelta(seconds=60))
report(state=status.state.name, code=status.exit_code, listed=one.native_id in listed,
    out=(folder / "out").read_text(), err=(folder / "err").read_text(),
    left=[path.name for path in (folder / "work").rglob(f"{one.id}*")])
""")
    home = pwd.getpwnam("alice").pw_dir
    assert {
        "state": "COMPLETED",
        "code": 0,
        "listed": True,
        "out": f"x y|with 'quotes'|{home}/psij\n",
        "err": "a $ b\n",
        "left": [],
    } == reported


def test_a_job_that_fails(program: Any) -> None:
    """The exit code is that of the command."""
    reported = program("""
one = job("/bin/sh", "-c", "exit 7")
executor.submit(one)
status = one.wait(timedelta(seconds=60))
report(state=status.state.name, code=status.exit_code)
""")
    assert {"state": "FAILED", "code": 7} == reported


def test_a_job_that_is_cancelled(program: Any) -> None:
    """A job that is cancelled through PSI/J is CANCELED; cancelling it again is no error."""
    reported = program("""
one = job("/bin/sleep", "300")
executor.submit(one)
one.wait(timedelta(seconds=60), [JobState.ACTIVE])
active = one.status.state.name
one.cancel()
status = one.wait(timedelta(seconds=60))
one.cancel()
report(active=active, state=status.state.name, listed=one.native_id in executor.list())
""")
    assert {"active": "ACTIVE", "state": "CANCELED", "listed": False} == reported


def test_a_job_that_is_attached(program: Any) -> None:
    """Another program of the same user follows and cancels a job of which it knows only the id."""
    reported = program("""
one = job("/bin/sleep", "300")
executor.submit(one)
other = Job()
executor.attach(other, one.native_id)
other.wait(timedelta(seconds=60), [JobState.ACTIVE])
active = other.status.state.name
other.cancel()
report(active=active, state=other.wait(timedelta(seconds=60)).state.name)
""")
    assert {"active": "ACTIVE", "state": "CANCELED"} == reported


def test_a_job_that_is_held(program: Any) -> None:
    """A held job has failed, with HTCondor's own reason, and is removed from the queue."""
    reported = program("""
one = job("/bin/sleep", "300", attributes=JobAttributes(
    custom_attributes={"htcondor.periodic_hold": "JobStatus == 2"}))
executor.submit(one)
status = one.wait(timedelta(seconds=60))
time.sleep(3)
report(state=status.state.name, message=status.message, listed=one.native_id in executor.list())
""")
    assert ("FAILED", False) == (reported["state"], reported["listed"])
    assert "PeriodicHold expression" in reported["message"]


def test_what_is_asked_for_reaches_the_job(program: Any) -> None:
    """Cores, memory, name, time and a custom attribute reach the job."""
    reported = program("""
import subprocess
one = job("/bin/sleep", "300", name="my name",
    resources=ResourceSpecV1(process_count=2, cpu_cores_per_process=2, memory=2**30),
    attributes=JobAttributes(duration=timedelta(hours=1), custom_attributes={
        "htcondor.+WantGPULab": True, "htcondor.+Department": "physics", "slurm.qos": "x"}))
executor.submit(one)
row = json.loads(subprocess.check_output(["condor_q", "-json", one.native_id]))[0]
one.cancel()
report(**row)
""")
    assert ("my name", 4, 1024) == (
        reported["JobBatchName"],
        reported["RequestCpus"],
        reported["RequestMemory"],
    )
    assert (True, "physics") == (reported["WantGPULab"], reported["Department"])
    assert "> 3600" in str(reported["PeriodicRemove"])


def test_what_cannot_be_asked_for_is_refused(program: Any) -> None:
    """A request that can't be expressed raises PSI/J's own exception, and there is no job."""
    reported = program("""
before = set(executor.list())
try:
    executor.submit(job("/bin/true", attributes=JobAttributes(reservation_id="r")))
except psij.InvalidJobException as error:
    report(error=str(error), new=sorted(set(executor.list()) - before))
""")
    assert "reservation_id: HTCondor does not support this" in reported["error"]
    assert [] == reported["new"]


@pytest.mark.threat(
    who="other user",
    tries="They read the environment of a PSI/J job in its ClassAd.",
    stopped_by="The environment is not in the ClassAd, and the script can be read by its "
    "user only.",
)
def test_the_environment_is_no_other_users_business(program: Any) -> None:
    """The environment is not in the job's ClassAd, which all users can read, and the script can be
    read by its user only."""
    reported = program("""
import stat, subprocess
one = job("/bin/sleep", "300", environment={"TOKEN": "topsecret"})
executor.submit(one)
ad = subprocess.check_output(["condor_q", "-l", one.native_id], text=True)
(script,) = (folder / "work").rglob(f"{one.id}.sh")
one.cancel()
report(secret="topsecret" in ad, submitter="PSIJ_TEST" in ad,
    mode=oct(stat.S_IMODE(script.stat().st_mode)), has="topsecret" in script.read_text())
""")
    assert {"secret": False, "submitter": False, "mode": "0o700", "has": True} == reported
