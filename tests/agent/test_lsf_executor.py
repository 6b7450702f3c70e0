"""LSF's executor, with a bsub and a bkill that print OpenLava's real words and IBM's.

The words are in tests/outputs/openlava, bsub(1) and bkill(1).
"""

import subprocess
from pathlib import Path

import pytest
from support import OUTPUTS
from support.executor import ExecutorProcess, spec_in
from support.jobs import MARK

from unispawner.schedulers.lsf import Lsf
from unispawner.testing import read_saved_reply

SUBMITTED = read_saved_reply(OUTPUTS / "openlava" / "bsub").stdout


@pytest.fixture
def lsf(tmp_path: Path) -> ExecutorProcess:
    return ExecutorProcess(tmp_path, Lsf(), tmp_path / "work")


def test_the_script_is_bsubs_standard_input(lsf: ExecutorProcess, tmp_path: Path) -> None:
    """bsub gets the script on standard input and no argument, which would be the job's command.

    No file is left afterwards.
    """
    lsf.write("bsub", SUBMITTED)
    assert {"job_id": "116"} == lsf.submit(spec_in(tmp_path))
    assert [""] == lsf.arguments("bsub")
    script = lsf.stdin("bsub")
    assert script.startswith(f"#!/bin/bash -l\n# unispawner:{MARK}\n#BSUB -J jupyter\n")
    assert "topsecret" not in script
    assert [] == list(lsf.work.iterdir())


def test_the_job_writes_its_log(lsf: ExecutorProcess, tmp_path: Path) -> None:
    """Run as LSF runs it, the script writes both output streams to its log, in order.

    A second run appends to the log.
    """
    lsf.write("bsub", SUBMITTED)
    spec = spec_in(tmp_path)
    lsf.submit(spec)
    script = tmp_path / "script"
    script.write_text(lsf.stdin("bsub"))
    script.chmod(0o755)
    for _ in range(2):
        done = subprocess.run([script], capture_output=True, text=True, timeout=60)
        assert (0, "") == (done.returncode, done.stdout), done.stderr
    expected = ["prologue", "problem", "served"]
    assert expected * 2 == Path(spec.stdout_path).read_text().splitlines()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SUBMITTED, "116"),
        ("Job <7> is submitted to queue <gpu>.\n", "7"),
        (
            "esub: memory set to 1 GB\nJob <7> is submitted to queue <gpu>.\nProject <12> noted\n",
            "7",
        ),
        ("作业 Job <7> 已提交\n", "7"),
    ],
)
def test_job_ids(lsf: ExecutorProcess, tmp_path: Path, text: str, expected: str) -> None:
    """The job's id is found among other output, such as that of a site's esub."""
    lsf.write("bsub", text)
    assert {"job_id": expected} == lsf.submit(spec_in(tmp_path))


@pytest.mark.parametrize(
    ("stdout", "stderr", "status", "expected"),
    [
        ("", "gold: No such queue. Job not submitted.\n", 255, "SubmitError"),
        ("", "Request aborted by esub. Job not submitted.\n", 255, "SubmitError"),
        (
            "",
            "Failed in an LSF library call: LIM is down; try later.\n",
            255,
            "SchedulerUnavailable",
        ),
        ("hello\n", "", 0, "AgentError"),
    ],
)
def test_submissions_that_fail(
    lsf: ExecutorProcess, tmp_path: Path, stdout: str, stderr: str, status: int, expected: str
) -> None:
    """A refusal, a cluster that is down, and an answer without an id are different errors."""
    lsf.write("bsub", stdout, stderr, status)
    reply = lsf.submit(spec_in(tmp_path))
    assert expected == reply["error"]
    assert (stderr or stdout).strip() == reply["output"].strip()


@pytest.mark.parametrize(
    ("stderr", "status", "expected"),
    [
        ("", 0, None),
        ("Job <116>: Job has already finished\n", 255, None),
        ("Job <116>: No matching job found\n", 255, None),
        ("Job <116>: User permission denied\n", 255, "CancelError"),
        ("LSF is down. Please wait ...\n", 255, "SchedulerUnavailable"),
    ],
)
def test_cancellations(
    lsf: ExecutorProcess, stderr: str, status: int, expected: str | None
) -> None:
    """To cancel a job that has ended is not an error; to cancel another user's job is one."""
    lsf.write("bkill", "" if status else "Job <116> is being terminated\n", stderr, status)
    assert expected == lsf.cancel("116").get("error")
    assert ["116"] == lsf.arguments("bkill")
