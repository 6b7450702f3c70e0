"""Where a server is, when its job is run again."""

from __future__ import annotations

import pytest

from unispawner.job import JobInfo, JobState
from unispawner.report import has_moved, url
from unispawner.state import ServerState

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
def test_a_job_that_is_run_again_is_not_where_it_was(now: JobInfo, expected: bool) -> None:
    """Queued again, on another node, on the same node anew, or being taken down: its old port may
    be another user's. What merely isn't known changes nothing."""
    assert expected is has_moved(RUNNING, now)


def test_nothing_is_known_from_before() -> None:
    """After a restart of the Hub the first answer is no move."""
    assert has_moved(None, RUNNING) is False


@pytest.mark.parametrize(
    ("host", "expected"),
    [("10.1.0.7", "http://10.1.0.7:2000"), ("fd00::7", "http://[fd00::7]:2000")],
)
def test_the_url_of_an_address(host: str, expected: str) -> None:
    """IPv6 goes in brackets."""
    assert expected == url(ServerState(host=host, port=2000))
