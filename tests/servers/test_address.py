"""Where a server is, when its job is run again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from unispawner.job import JobInfo, JobState
from unispawner.monitor.monitor import TrackedJob
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
    """Queued again, on another node, on the same node anew, or being taken down: its old port may
    be another user's. What merely isn't known changes nothing."""
    assert expected is has_moved(tracked(tmp_path, 1000.0), RUNNING, now)


def tracked(folder: Path, life: float | None) -> TrackedJob:
    return TrackedJob("1", fake_client(FakeScheduler(folder), "alice"), info=RUNNING, life=life)


def test_nothing_is_known_from_before(tmp_path: Path) -> None:
    """After a restart of the Hub the first answer is no move."""
    assert has_moved(tracked(tmp_path, None), None, RUNNING) is False


def test_the_run_that_has_reported_is_that_of_the_answers_since(tmp_path: Path) -> None:
    """A job that was run again on its node reports before the next query: what was known then is of
    its first run, and the answer that has the second run's start is no move; a third run's is."""
    job = tracked(tmp_path, None)
    job.reported, job.reported_at = True, 100.0
    job.update(RUNNING, asked_at=99.0)  # the question is older than the report
    assert job.life is None
    second = replace(RUNNING, start_time=1002.0)
    job.update(second, asked_at=101.0)
    assert has_moved(job, RUNNING, second) is False
    assert has_moved(job, second, replace(RUNNING, start_time=1009.0)) is True


@pytest.mark.parametrize(
    ("host", "expected"),
    [("10.1.0.7", "http://10.1.0.7:2000"), ("fd00::7", "http://[fd00::7]:2000")],
)
def test_the_url_of_an_address(host: str, expected: str) -> None:
    """IPv6 goes in brackets."""
    assert expected == ServerState(host=host, port=2000).url
