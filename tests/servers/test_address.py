"""Where a server is when its job is run again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from unispawner.job import JobInfo, JobState
from unispawner.monitor.tracked_job import TrackedJob
from unispawner.servers.address import has_moved
from unispawner.servers.state import ServerState
from unispawner.testing import FakeScheduler, fake_client

RUNNING = JobInfo("alice", JobState.RUNNING, exec_host="node1", start_time=1000.0)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (RUNNING, False),
        (JobInfo("alice", JobState.UNKNOWN), False),
        (JobInfo("alice", JobState.SUSPENDED, exec_host="node1", start_time=1000.0), False),
        (JobInfo("alice", JobState.QUEUED), True),
        (JobInfo("alice", JobState.HELD), True),
        (JobInfo("alice", JobState.RUNNING, exec_host="node2", start_time=1000.0), True),
        (JobInfo("alice", JobState.RUNNING, exec_host="node1", start_time=1002.0), True),
        (JobInfo("alice", JobState.RUNNING, exec_host="node1", ending=True), True),
    ],
)
def test_a_job_that_is_run_again_is_not_where_it_was(
    tmp_path: Path, now: JobInfo, expected: bool
) -> None:
    """A job has left its place if it is queued again, runs on another node or anew on the same
    node, or is being ended; its old port may be another user's. Unknown states change nothing."""
    assert expected is has_moved(tracked(tmp_path, 1000.0), RUNNING, now)


def tracked(folder: Path, run_start: float | None) -> TrackedJob:
    return TrackedJob(
        "1", fake_client(FakeScheduler(folder), "alice"), info=RUNNING, run_start=run_start
    )


def test_the_first_answer_is_not_a_move(tmp_path: Path) -> None:
    """The first answer after a restart of the Hub is not a move."""
    assert has_moved(tracked(tmp_path, None), None, RUNNING) is False


def test_a_second_run_that_has_reported(tmp_path: Path) -> None:
    """Answers to queries from before the report are about an earlier run of the job. The first
    answer after it has the start of the run that has reported, so it is not a move; another start
    after that is."""
    job = tracked(tmp_path, None)
    job.reported, job.reported_at = True, 100.0
    job.update(RUNNING, asked_at=99.0)  # the question is older than the report
    assert job.run_start is None
    second = replace(RUNNING, start_time=1002.0)
    job.update(second, asked_at=101.0)
    assert has_moved(job, RUNNING, second) is False
    assert has_moved(job, second, replace(RUNNING, start_time=1009.0)) is True


@pytest.mark.parametrize(
    ("host", "expected"),
    [("10.1.0.7", "http://10.1.0.7:2000"), ("fd00::7", "http://[fd00::7]:2000")],
)
def test_the_url_of_an_address(host: str, expected: str) -> None:
    """An IPv6 address is written in brackets in a URL."""
    assert expected == ServerState(host=host, port=2000).url
