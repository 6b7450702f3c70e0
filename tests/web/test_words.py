"""What a waiting user reads, from the submission to the server's start."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from support.pseudo import write_pseudo_catalogue
from support.reasons import reasons_of_schedulers

from unispawner.errors import SchedulerUnavailable
from unispawner.job import JobInfo, JobState
from unispawner.monitor.tracked_job import SlowStart, TrackedJob
from unispawner.testing import FakeScheduler, fake_client
from unispawner.web.languages import read_languages
from unispawner.web.words import job_ended, never_reported, not_in_time, progress_event

DOWN = SchedulerUnavailable("down")


@pytest.fixture
def make_job(tmp_path: Path) -> Any:
    client = fake_client(FakeScheduler(tmp_path))

    def job(state: JobState | None, *, reported: bool = False, **fields: Any) -> TrackedJob:
        info = None if state is None else JobInfo("alice", state, **fields)
        return TrackedJob("17", client, info=info, reported=reported)

    return job


def words(job: TrackedJob | None, problem: SchedulerUnavailable | None = None) -> str:
    return str(progress_event(job, problem, "Slurm")["message"])


def test_before_there_is_a_job() -> None:
    """During the submission, which may take seconds, the message says so."""
    assert "Submitting the job to Slurm" == words(None)


def test_before_the_first_answer(make_job: Any) -> None:
    """After the submission the message has the job's id."""
    assert "Job 17 is submitted to Slurm" == words(make_job(None))


def test_a_queued_job(make_job: Any) -> None:
    """The message of a queued job has position, reason and estimated start, as far as they are
    known."""
    assert "Job 17 is queued" == words(make_job(JobState.QUEUED))
    start = time.time()
    message = words(
        make_job(JobState.QUEUED, message="waiting", queue_position=3, estimated_start=start)
    )
    clock = time.strftime("%H:%M", time.localtime(start))
    assert message.startswith("Job 17 is queued, number 3 in its queue: waiting. Estimated start: ")
    assert clock in message


def test_an_estimated_start_can_be_shown_in_the_readers_zone(make_job: Any) -> None:
    """An event of progress has the moment that is in its message, for the page's script; an event
    whose message has no moment has none."""
    start = 1795806123.0
    job = make_job(JobState.QUEUED, estimated_start=start)
    (one,) = progress_event(job, None, "Slurm")["moments"]
    assert "2026-11-27T19:02:03Z" == one["moment"]
    assert one["words"] in words(job)
    job.has_begun = True
    assert "moments" not in progress_event(job, None, "Slurm")
    assert "moments" not in progress_event(make_job(JobState.QUEUED), None, "Slurm")


def test_a_start_on_another_day_has_its_day(make_job: Any) -> None:
    """An estimated start on another day is shown with its date."""
    start = time.time() + 3 * 86400
    message = words(make_job(JobState.QUEUED, estimated_start=start))
    assert time.strftime("%a %d %b, %H:%M", time.localtime(start)) in message


def test_a_held_job(make_job: Any) -> None:
    """A held job is called held instead of queued."""
    held = make_job(JobState.HELD, message="an administrator holds the job")
    assert "Job 17 is held: an administrator holds the job" == words(held)


def test_a_running_job(make_job: Any) -> None:
    """The message of a running job has its host as soon as it is known, and then says that the
    server is ready."""
    assert "Job 17 is running; waiting" in words(make_job(JobState.RUNNING))
    assert "running on node3; waiting" in words(make_job(JobState.RUNNING, exec_host="node3"))
    ready = make_job(JobState.RUNNING, exec_host="node3", reported=True)
    assert "The server is ready on node3" == words(ready)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (JobState.SUSPENDED, "is suspended"),
        (JobState.COMPLETED, "has ended"),
        (JobState.FAILED, "has failed"),
        (JobState.CANCELED, "was cancelled"),
        (JobState.UNKNOWN, "is in an unknown state"),
    ],
)
def test_other_states(make_job: Any, state: JobState, expected: str) -> None:
    """The message of a job in any other state is a sentence, with the reason."""
    assert f"Job 17 {expected}: why" == words(make_job(state, message="why"))
    assert f"Job 17 {expected}" == words(make_job(state))


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.HELD, JobState.RUNNING])
def test_a_scheduler_that_does_not_answer(make_job: Any, state: JobState) -> None:
    """While the scheduler does not answer, the message says that it shows the last answer."""
    assert "Slurm does not answer at the moment; this is its last" in words(make_job(state), DOWN)


def test_a_scheduler_that_has_not_answered_yet(make_job: Any) -> None:
    """If the scheduler has not answered since the submission, the message says so."""
    expected = "Job 17 is submitted to Slurm (Slurm does not answer at the moment)"
    assert expected == words(make_job(None), DOWN)


def test_progress_only_grows(make_job: Any) -> None:
    """The progress bar never goes back while all goes well, and stays below 100 until the server is
    ready."""
    steps = [
        None,
        make_job(None),
        make_job(JobState.QUEUED),
        make_job(JobState.RUNNING),
        make_job(JobState.RUNNING, reported=True, exec_host="n"),
    ]
    numbers = [progress_event(step, None, "Slurm")["progress"] for step in steps]
    assert sorted(set(numbers)) == numbers
    assert numbers[-1] < 100


@pytest.mark.parametrize("state", JobState)
def test_an_event_is_equal_while_nothing_changes(make_job: Any, state: JobState) -> None:
    """Events are equal while nothing changes, so that the page gets an event only for news."""
    fields = {"message": "m", "queue_position": 1, "estimated_start": 2e9, "exec_host": "n"}
    first, second = (progress_event(make_job(state, **fields), None, "Slurm") for _ in range(2))
    assert first == second


@pytest.mark.parametrize("state", [*JobState, None])
def test_events_are_text_that_jupyterhub_escapes(make_job: Any, state: JobState | None) -> None:
    """Events have no html_message, which JupyterHub would put into the page without escaping."""
    event = progress_event(make_job(state), None, "Slurm")
    assert {"progress", "message"} == set(event)


def test_why_a_job_has_ended(make_job: Any) -> None:
    """The message about the end of a job has its state and reason in the scheduler's words."""
    job = make_job(JobState.FAILED, native_state="OUT_OF_MEMORY", message="too much memory")
    expected = "The job 17 ended before its server was ready. Slurm says OUT_OF_MEMORY: "
    assert f"{expected}too much memory." == job_ended(job, "Slurm")
    assert "It is gone" in job_ended(make_job(JobState.COMPLETED), "Slurm")


@pytest.mark.parametrize("reported", [False, True])
def test_why_a_job_is_stuck(make_job: Any, reported: bool) -> None:
    """The message about a stuck job says that it can't run, and why; it does not say that it has
    ended."""
    fields = {"native_state": "Eqw", "message": "can't chdir to /home/alice", "stuck": True}
    job = make_job(JobState.HELD, reported=reported, **fields)
    expected = "The job 17 can't run. Grid Engine says Eqw: can't chdir to /home/alice."
    assert expected == job_ended(job, "Grid Engine")


def test_a_stuck_job_without_a_reason(make_job: Any) -> None:
    """A stuck job without a state or a reason has a message, too."""
    assert "can't run" in job_ended(make_job(JobState.HELD, stuck=True), "Grid Engine")


def test_a_stuck_job_while_it_is_still_waited_for(make_job: Any) -> None:
    """While the Hub still waits for a stuck job, the message says that it is held, with the
    reason."""
    job = make_job(JobState.HELD, stuck=True, message="can't chdir to /home/alice")
    assert "Job 17 is held: can't chdir to /home/alice" == words(job)


def test_why_a_job_was_given_up(make_job: Any) -> None:
    """The message about a silent server has job, host, time, and the address that nodes must
    reach."""
    message = never_reported(
        make_job(JobState.RUNNING, exec_host="n3"), 120, "http://hub:8081/hub/api"
    )
    for part in ("17", "n3", "120 s", "http://hub:8081/hub/api", "report_timeout"):
        assert part in message


def test_a_server_that_is_slow(make_job: Any) -> None:
    """The message about a server that is not up yet has its time and the end of its job's log."""
    job = make_job(JobState.RUNNING, exec_host="n3")
    job.slow_start = SlowStart(80, 600, "loading modules\nfetching an image")
    assert (
        "Job 17 on n3 runs for 80 s of 600; the server is not up yet. The end of its log:\n"
        "loading modules\nfetching an image"
    ) == words(job)
    job.slow_start = SlowStart(20, 120)
    assert "Job 17 on n3 runs for 20 s of 120; the server is not up yet" == words(job)


@pytest.mark.parametrize(
    ("state", "fields", "expected"),
    [
        (JobState.QUEUED, {"message": "wait"}, "Job 17 is queued: wait. "),
        (JobState.RUNNING, {"exec_host": "n3"}, "Job 17 runs on n3, but its server has not "),
        (JobState.SUSPENDED, {}, "Job 17 is suspended. "),
    ],
)
def test_a_start_that_takes_too_long(
    make_job: Any, state: JobState, fields: dict[str, Any], expected: str
) -> None:
    """At the end of start_timeout the message has what the job was doing, and the setting."""
    message = not_in_time(600, make_job(state, **fields))
    assert message.startswith(expected)
    assert message.endswith("did not start within 600 s (c.Spawner.start_timeout).")


def test_the_message_of_a_job_that_waits_has_no_english(tmp_path: Path, make_job: Any) -> None:
    """In a language in which each message stands in brackets, all that is said of a job that waits
    is in brackets, for each reason of each scheduler."""
    write_pseudo_catalogue(tmp_path, "sv")
    language = read_languages(str(tmp_path))["sv"]
    for reason in reasons_of_schedulers():
        job = make_job(JobState.QUEUED, message=reason, queue_position=3)
        rest = language.translate(progress_event(job, None, "Slurm")["message"])
        while rest != (shorter := re.sub("⟦[^⟦⟧]*⟧", "", rest)):
            rest = shorter
        assert ": " == rest, reason
