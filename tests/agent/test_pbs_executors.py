"""The executors of PBS and TORQUE, with a qsub and a qdel that print the real words of both.

The words are in tests/outputs, and in qsub.c and qdel.c of OpenPBS and TORQUE.
"""

import subprocess
from pathlib import Path

import pytest
from support import OUTPUTS
from support.executor import ExecutorProcess, spec_in
from support.jobs import MARK

from unispawner.schedulers import get_scheduler
from unispawner.testing import read_saved_reply


@pytest.fixture(params=["pbs", "torque"])
def pbs(request: pytest.FixtureRequest, tmp_path: Path) -> ExecutorProcess:
    return ExecutorProcess(tmp_path, get_scheduler(request.param), tmp_path / "work")


def test_a_submission(pbs: ExecutorProcess, tmp_path: Path) -> None:
    """qsub gets the rendered script, and the shell that starts it.

    With -f, PBS's qsub leaves no process behind. No file is left afterwards.
    """
    pbs.write("qsub", "1.pbslab\n")
    assert {"job_id": "1.pbslab"} == pbs.submit(spec_in(tmp_path))
    *options, path = pbs.arguments("qsub")
    foreground = ["-f"] if pbs.scheduler.name == "pbs" else []  # TORQUE's -f is another option
    assert [*foreground, "-S", "/bin/bash"] == options
    assert path.startswith(f"{tmp_path}/work/")
    script = pbs.file("qsub")
    assert script.startswith("#!/bin/bash -l\n#PBS -N jupyter\n")
    assert f"#PBS -v UNISPAWNER_MARK={MARK}\n" in script
    assert "topsecret" not in script
    assert [] == list(pbs.work.iterdir())


def test_an_answer_without_its_end(pbs: ExecutorProcess, tmp_path: Path) -> None:
    """A line that does not end may be cut, and half an id is the id of another job."""
    pbs.write("qsub", "1")
    reply = pbs.submit(spec_in(tmp_path))
    assert ("AgentError", "1") == (reply["error"], reply["output"])
    assert "printed a line without an end" in reply["message"]


def test_the_job_writes_its_log(pbs: ExecutorProcess, tmp_path: Path) -> None:
    """The job writes its log while it runs, and appends to the log of an earlier run."""
    pbs.write("qsub", "1.pbslab\n")
    spec = spec_in(tmp_path)
    pbs.submit(spec, shell="/bin/sh")
    assert ["-S", "/bin/sh"] == pbs.arguments("qsub")[-3:-1]
    script = tmp_path / "script"
    script.write_text(pbs.file("qsub"))
    for _ in range(2):
        done = subprocess.run(["/bin/sh", str(script)], capture_output=True, text=True)
        assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    assert "prologue\nproblem\nserved\n" * 2 == Path(spec.stdout_path).read_text()


def test_a_shell_of_the_sites_choice(pbs: ExecutorProcess, tmp_path: Path) -> None:
    """A custom attribute for the shell replaces the executor's option."""
    pbs.write("qsub", "1.pbslab\n")
    attributes = {f"{pbs.scheduler.name}.S": "/opt/bin/bash"}
    pbs.submit(spec_in(tmp_path, custom_attributes=attributes))
    assert "-S" not in pbs.arguments("qsub")
    assert "#PBS -S /opt/bin/bash\n" in pbs.file("qsub")


@pytest.mark.parametrize("printed", ["7\n", "a word of the site's\n7\n\n", "7.a-b.c_d\n"])
def test_job_ids(pbs: ExecutorProcess, tmp_path: Path, printed: str) -> None:
    """An id may have a server's name, and a hook may print text before it."""
    pbs.write("qsub", printed)
    assert printed.split()[-1] == pbs.submit(spec_in(tmp_path))["job_id"]


def test_an_answer_without_an_id(pbs: ExecutorProcess, tmp_path: Path) -> None:
    """The job may exist, so that the error is one after which the Hub searches the job."""
    pbs.write("qsub", "submitted!\n")
    assert "AgentError" == pbs.submit(spec_in(tmp_path))["error"]


@pytest.mark.parametrize(
    ("stderr", "status", "expected"),
    [
        ("qsub: Unknown queue\n", 170, "SubmitError"),
        ("qsub: Unauthorized Request \n", 159, "SubmitError"),
        (
            "Connection refused\nqsub: cannot connect to server pbslab (errno=111)\n",
            1,
            "SchedulerUnavailable",
        ),
    ],
)
def test_submissions_that_fail(
    pbs: ExecutorProcess, tmp_path: Path, stderr: str, status: int, expected: str
) -> None:
    """A refusal and a server that is down are different errors, with the scheduler's own words."""
    pbs.write("qsub", "", stderr, status)
    reply = pbs.submit(spec_in(tmp_path))
    assert (expected, stderr.strip()) == (reply["error"], reply["output"])


def test_a_cancellation(pbs: ExecutorProcess) -> None:
    """qdel gets the id that qsub printed."""
    pbs.write("qdel")
    assert {"done": True} == pbs.cancel("1.pbslab")
    assert ["1.pbslab"] == pbs.arguments("qdel")


def test_another_users_job(pbs: ExecutorProcess) -> None:
    """A cancellation that OpenPBS refuses is an error with its own words."""
    denied = read_saved_reply(OUTPUTS / "pbs" / "qdel-not-owner")
    pbs.write("qdel", denied.stdout, denied.stderr, denied.exit_status)
    reply = pbs.cancel("1.pbslab")
    expected = ("CancelError", "qdel: Unauthorized Request  1.pbslab")
    assert expected == (reply["error"], reply["output"])


@pytest.mark.parametrize(
    ("stderr", "status"),
    [
        ("qdel: Unknown Job Id 1.pbslab\n", 153),
        ("qdel: Job has finished 1.pbslab\n", 35),
        ("qdel: Request invalid for state of job 1.pbslab\n", 168),
        ("qdel: Unknown Job Id Error 1.torquelab\n", 153),
        ("qdel: Request invalid for state of job MSG=invalid state for job - COMPLETE 1.x\n", 170),
    ],
)
def test_a_job_that_has_ended_is_cancelled(pbs: ExecutorProcess, stderr: str, status: int) -> None:
    """To cancel a job that has ended, or is ending, is not an error."""
    pbs.write("qdel", "", stderr, status)
    assert {"done": True} == pbs.cancel("1.pbslab")
