"""Jobs without a scheduler, which are real processes of this host."""

import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from unispawner.errors import CancelError, InvalidJobError, SchedulerUnavailable
from unispawner.job import JobSpec, JobState, ResourceSpec
from unispawner.schedulers import get_scheduler
from unispawner.schedulers.base import Reply
from unispawner.schedulers.local import start_time

LOCAL = get_scheduler("local")
ME = pwd.getpwuid(os.getuid()).pw_name
MARK = "0123456789abcdef"
PATIENCE = 30


@contextmanager
def session(mark: str = "") -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Return the job id of a process that leads a session, as the agent starts one."""
    process = subprocess.Popen(
        ["sleep", "600"],
        start_new_session=True,
        env={"UNISPAWNER_MARK": mark} if mark else {},
        stdin=subprocess.DEVNULL,
    )
    try:
        yield f"{process.pid}.{start_time(process.pid)}", process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()


def ask(command: list[str]) -> Reply:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    return Reply(tuple(command), done.returncode, done.stdout, done.stderr)


def test_a_session_is_a_running_job() -> None:
    """A session is listed with its owner, among all sessions and alone by its id."""
    with session() as (job_id, _):
        everything = LOCAL.read_status(ask(LOCAL.status_command()))
        assert (ME, JobState.RUNNING) == (everything[job_id].owner, everything[job_id].state)
        assert "localhost" == everything[job_id].exec_host
        assert [job_id] == list(LOCAL.read_status(ask(LOCAL.status_command([job_id]))))


def test_only_leaders_of_sessions_are_jobs() -> None:
    """The children of a session's leader are not jobs."""
    with session() as (job_id, _):
        child = subprocess.Popen(["sleep", "600"])
        try:
            jobs = LOCAL.read_status(ask(LOCAL.status_command()))
            assert job_id in jobs
            assert f"{child.pid}.{start_time(child.pid)}" not in jobs
        finally:
            child.kill()
            child.wait()


def test_a_stopped_session_is_suspended() -> None:
    """A session whose leader is stopped is a suspended job."""
    with session() as (job_id, process):
        process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + PATIENCE
        while (job := LOCAL.read_status(ask(LOCAL.status_command([job_id])))[job_id]).state is (
            JobState.RUNNING
        ):
            assert time.monotonic() < deadline
        assert JobState.SUSPENDED is job.state


def test_a_zombie_has_ended() -> None:
    """A zombie has ended, even if nobody waits for it: a container may have no init."""
    with session() as (job_id, process):
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert JobState.COMPLETED is LOCAL.read_status(ask(LOCAL.status_command()))[job_id].state


def test_a_zombie_with_an_exit_code_has_failed() -> None:
    """A job that ended with an error is not shown as completed while nobody has waited for it."""
    process = subprocess.Popen(["sh", "-c", "exit 3"], start_new_session=True)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    job_id = f"{process.pid}.{start_time(process.pid)}"
    found = LOCAL.read_status(ask(LOCAL.status_command([job_id])))
    process.wait()
    assert (JobState.FAILED, "F") == (found[job_id].state, found[job_id].native_state)


def test_a_session_that_is_gone_is_missing() -> None:
    """A session that has ended is missing, even if its process id has been reused."""
    with session() as (job_id, process):
        process.kill()
        process.wait()
        assert "" == start_time(process.pid)
        assert {} == LOCAL.read_status(ask(LOCAL.status_command([job_id])))
    with session() as (job_id, _):
        reused = f"{job_id.partition('.')[0]}.1"
        assert {} == LOCAL.read_status(ask(LOCAL.status_command([reused])))


def test_a_session_is_found_by_its_mark() -> None:
    """A session is found by its mark, for a submission whose answer was lost."""
    with session(MARK) as (job_id, _), session():
        assert job_id == LOCAL.read_marks(ask(LOCAL.mark_command())).get(MARK)


@pytest.mark.parametrize("name", ["a) R 1 1", "(((", "x y", "\n1|root|R\n"])
def test_a_process_cannot_forge_a_row_with_its_name(tmp_path: Path, name: str) -> None:
    """A process can't forge a job with its name, which is in /proc/PID/stat."""
    code = (
        "import ctypes, os, sys\n"
        f"ctypes.CDLL(None).prctl(15, {name!r}.encode(), 0, 0, 0)\n"
        "print(flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        jobs = LOCAL.read_status(ask(LOCAL.status_command()))
        job_id = f"{process.pid}.{start_time(process.pid)}"
        assert (ME, JobState.RUNNING) == (jobs[job_id].owner, jobs[job_id].state)
        assert not any(key.startswith("1.") and key != _init() for key in jobs)


def _init() -> str:
    return f"1.{start_time(1)}"


@pytest.mark.parametrize("text", ["1.2|alice|R|x", "1|alice|R", "1.2|alice|", "Traceback", "1.2"])
def test_garbage_is_no_answer(text: str) -> None:
    """Output of another form raises an error, as with every scheduler."""
    with pytest.raises(SchedulerUnavailable):
        LOCAL.read_status(Reply(("x",), 0, f"1.2|bob|S\n{text}\n"))


def test_nothing_can_be_asked_for() -> None:
    """A job that asks for resources is refused, because nothing would grant them."""
    assert [] == LOCAL.directives(JobSpec(queue_name="q"))
    with pytest.raises(InvalidJobError, match="^memory: The local host"):
        LOCAL.check_supported(JobSpec(resources=ResourceSpec(memory=1)))


def test_errors() -> None:
    """It is not an error if a process has ended; another user's process can't be cancelled."""
    assert None is LOCAL.cancel_error(Reply(("kill",), 1, "", "kill: No such process"))
    denied = LOCAL.cancel_error(Reply(("kill",), 1, "", "kill: Operation not permitted"))
    assert isinstance(denied, CancelError)
