"""Where a server is when its job is run again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.attacks import CLAIMED_HOST

from unispawner.errors import InvalidJobError, SchedulerUnavailable
from unispawner.job import JobInfo, JobState
from unispawner.monitor.monitor import Monitor
from unispawner.monitor.tracked_job import TrackedJob
from unispawner.servers.address import check_address, has_moved
from unispawner.servers.state import ServerState
from unispawner.submit_host.host import SubmitHost
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


async def check(job: TrackedJob, reported: str, peer: str) -> str:
    """Check a report that comes from an address."""

    async def on_own_host(*_: object) -> str:
        raise AssertionError

    monitor = Monitor(job.client.scheduler, SubmitHost(), {})
    return await check_address(
        job, reported, {}, monitor, asker="alice", on_own_host=on_own_host, peer=peer
    )


CLAIMED = JobInfo("alice", JobState.RUNNING)


@pytest.mark.threat(
    who="job",
    tries="Its scheduler hides it from the Hub, and it names another node as its own.",
    stopped_by="A report counts only if it comes from the very node that it names.",
)
@pytest.mark.threat(**CLAIMED_HOST)
@pytest.mark.parametrize("peer", ["", "10.9.0.8"])
async def test_a_claimed_host_is_no_place_for_a_route(tmp_path: Path, peer: str) -> None:
    """If only the user's side names a node, a report from elsewhere, or through a proxy, does not
    count: the user could send the Hub's proxy to any node of the cluster."""
    job = tracked(tmp_path, None)
    job.info, job.claimed_host = CLAIMED, "10.9.0.7"
    with pytest.raises((InvalidJobError, SchedulerUnavailable)):
        await check(job, "10.9.0.7", peer)


async def test_a_report_from_the_claimed_host_counts(tmp_path: Path) -> None:
    """A report that comes from the very node that the user's side names shows that it is there."""
    job = tracked(tmp_path, None)
    job.info, job.claimed_host = CLAIMED, "10.9.0.7"
    assert "10.9.0.7" == await check(job, "node7.unknown.invalid", "10.9.0.7")
    job.info = JobInfo("alice", JobState.QUEUED)
    with pytest.raises(SchedulerUnavailable):
        await check(job, "10.9.0.7", "10.9.0.7")


async def test_the_schedulers_host_comes_before_a_claim(tmp_path: Path) -> None:
    """Where the scheduler itself names the host, an earlier claim of the user's means nothing."""
    job = tracked(tmp_path, None)
    job.info, job.claimed_host = replace(RUNNING, exec_host="10.9.0.6"), "10.9.0.7"
    with pytest.raises(InvalidJobError, match=r"10\.9\.0\.6"):
        await check(job, "10.9.0.7", "10.9.0.7")
    assert "10.9.0.6" == await check(job, "10.9.0.6", "10.9.0.7")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("10.1.0.7", "http://10.1.0.7:2000"), ("fd00::7", "http://[fd00::7]:2000")],
)
def test_the_url_of_an_address(host: str, expected: str) -> None:
    """An IPv6 address is written in brackets in a URL."""
    assert expected == ServerState(host=host, port=2000).url
