"""What a waiting user is told, from the submission to the server's start."""

import time
from pathlib import Path
from typing import Any

import pytest

from unispawner.errors import SchedulerUnavailable
from unispawner.job import JobInfo, JobState
from unispawner.monitor.monitor import TrackedJob
from unispawner.testing import FakeScheduler, fake_client
from unispawner.web.words import job_ended, never_reported, progress_event

DOWN = SchedulerUnavailable("down")


@pytest.fixture
def tell(tmp_path: Path) -> Any:
    client = fake_client(FakeScheduler(tmp_path))

    def job(state: JobState | None, *, reported: bool = False, **fields: Any) -> TrackedJob:
        info = None if state is None else JobInfo("alice", state, **fields)
        return TrackedJob("17", client, info=info, reported=reported)

    return job


def words(job: TrackedJob | None, problem: SchedulerUnavailable | None = None) -> str:
    return str(progress_event(job, problem, "Slurm")["message"])


def test_before_there_is_a_job() -> None:
    """The submission itself may take seconds."""
    assert "Submitting the job to Slurm" == words(None)


def test_before_the_first_answer(tell: Any) -> None:
    """The job's id is known."""
    assert "Job 17 is submitted to Slurm" == words(tell(None))


def test_a_queued_job(tell: Any) -> None:
    """Position, reason and estimated start, as far as the scheduler tells."""
    assert "Job 17 is queued" == words(tell(JobState.QUEUED))
    start = time.time()
    told = words(tell(JobState.QUEUED, message="waiting", queue_position=3, estimated_start=start))
    clock = time.strftime("%H:%M", time.localtime(start))
    assert told.startswith("Job 17 is queued, number 3 in its queue: waiting. Estimated start: ")
    assert clock in told


def test_a_start_on_another_day_has_its_day(tell: Any) -> None:
    """09:00 may be tomorrow's."""
    start = time.time() + 3 * 86400
    told = words(tell(JobState.QUEUED, estimated_start=start))
    assert time.strftime("%a %d %b, %H:%M", time.localtime(start)) in told


def test_a_held_job(tell: Any) -> None:
    """It is not called queued."""
    held = tell(JobState.HELD, message="an administrator holds the job")
    assert "Job 17 is held: an administrator holds the job" == words(held)


def test_a_running_job(tell: Any) -> None:
    """The host as soon as it is known; then that the server is ready."""
    assert "Job 17 is running; waiting" in words(tell(JobState.RUNNING))
    assert "running on node3; waiting" in words(tell(JobState.RUNNING, exec_host="node3"))
    ready = tell(JobState.RUNNING, exec_host="node3", reported=True)
    assert "The server is ready on node3" == words(ready)


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELED, JobState.UNKNOWN])
def test_other_states(tell: Any, state: JobState) -> None:
    """By their names, with the reason."""
    expected = f"Job 17 is {state.value.lower()}: why"
    assert expected == words(tell(state, message="why"))


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.HELD, JobState.RUNNING])
def test_a_scheduler_that_does_not_answer_is_told(tell: Any, state: JobState) -> None:
    """What is shown is its last word."""
    assert "Slurm does not answer at the moment" in words(tell(state), DOWN)


def test_progress_only_grows(tell: Any) -> None:
    """JupyterHub's bar never runs back while all goes well, and never ends before it is ready."""
    steps = [
        None,
        tell(None),
        tell(JobState.QUEUED),
        tell(JobState.RUNNING),
        tell(JobState.RUNNING, reported=True, exec_host="n"),
    ]
    numbers = [progress_event(step, None, "Slurm")["progress"] for step in steps]
    assert sorted(set(numbers)) == numbers
    assert numbers[-1] < 100


@pytest.mark.parametrize("state", JobState)
def test_an_event_is_equal_while_nothing_changes(tell: Any, state: JobState) -> None:
    """The page gets an event when something is new, not each second."""
    fields = {"message": "m", "queue_position": 1, "estimated_start": 2e9, "exec_host": "n"}
    first, second = (progress_event(tell(state, **fields), None, "Slurm") for _ in range(2))
    assert first == second


@pytest.mark.parametrize("state", [*JobState, None])
def test_events_are_text_that_jupyterhub_escapes(tell: Any, state: JobState | None) -> None:
    """It puts html_message into the page as it is: there is none."""
    told = progress_event(tell(state), None, "Slurm")
    assert {"progress", "message"} == set(told)


def test_why_a_job_is_no_more(tell: Any) -> None:
    """State and reason in the scheduler's words."""
    job = tell(JobState.FAILED, native_state="OUT_OF_MEMORY", message="too much memory")
    expected = "The job 17 ended before its server was ready. Slurm says OUT_OF_MEMORY: "
    assert f"{expected}too much memory." == job_ended(job, "Slurm")
    assert "It is gone" in job_ended(tell(JobState.COMPLETED), "Slurm")


@pytest.mark.parametrize("reported", [False, True])
def test_why_a_job_is_stuck(tell: Any, reported: bool) -> None:
    """It has not ended, and it is not said to have: it can't run, and why."""
    fields = {"native_state": "Eqw", "message": "can't chdir to /home/alice", "stuck": True}
    job = tell(JobState.HELD, reported=reported, **fields)
    expected = "The job 17 can't run. Grid Engine says Eqw: can't chdir to /home/alice."
    assert expected == job_ended(job, "Grid Engine")


def test_a_stuck_job_of_which_nothing_more_is_known(tell: Any) -> None:
    """Neither a word of the scheduler's nor a reason."""
    assert "can't run" in job_ended(tell(JobState.HELD, stuck=True), "Grid Engine")


def test_a_stuck_job_while_it_is_still_waited_for(tell: Any) -> None:
    """Held, with the reason."""
    job = tell(JobState.HELD, stuck=True, message="can't chdir to /home/alice")
    assert "Job 17 is held: can't chdir to /home/alice" == words(job)


def test_why_a_job_was_given_up(tell: Any) -> None:
    """Host, time, and the address that nodes must reach."""
    told = never_reported(tell(JobState.RUNNING, exec_host="n3"), 120, "http://hub:8081/hub/api")
    for part in ("17", "n3", "120 s", "http://hub:8081/hub/api", "report_timeout"):
        assert part in told
