"""A job that waits and that can never start, by what is known of the cluster."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unispawner.job import JobInfo, JobSpec, JobState
from unispawner.monitor.tracked_job import TrackedJob
from unispawner.schedulers import get_scheduler
from unispawner.schedulers.inventory import Inventory, Node, Queue
from unispawner.servers import never_starts
from unispawner.servers.never_starts import NeverStarts
from unispawner.testing import FakeScheduler, fake_client
from unispawner.web import words

ASKED = timedelta(hours=3)


def inventory(hours: int) -> Inventory:
    """Return a cluster whose only queue allows so many hours."""
    queue = Queue("q", default=True, max_duration=timedelta(hours=hours))
    return Inventory((queue,), (Node("n", cores=4, queues=frozenset({"q"})),))


class Cache:
    """What is known of the cluster, and how often it was asked for."""

    def __init__(self, found: Inventory | None) -> None:
        self.found, self.peeks = found, 0

    def recent(self, lifetime: float) -> Inventory | None:
        return self.found

    def peek(self, lifetime: float) -> Inventory | None:
        self.peeks += 1
        return self.found


class Waiting:
    """A job that waits, and a look at it."""

    def __init__(self, folder: Path, found: Inventory | None, **settings: Any) -> None:
        self.cache, self.specs, self.seen = Cache(found), 0, NeverStarts()
        self.job = TrackedJob("17", fake_client(FakeScheduler(folder)))
        self.job.info = JobInfo("alice", JobState.QUEUED, "waiting for resources to become free")
        self.spawner = SimpleNamespace(
            check_nodes=settings.get("check_nodes", True),
            inventory_interval=60.0,
            monitor=lambda: SimpleNamespace(inventory=self.cache),
            get_scheduler=lambda: get_scheduler("slurm"),
            job_spec=self.job_spec,
        )

    def job_spec(self, mark: str, environment: dict[str, str]) -> JobSpec:
        self.specs += 1
        return JobSpec(duration=ASKED)

    def look(self, since: float = -1000.0) -> str:
        """Look at the job, which has waited since then by the clock of the test: 0 is now."""
        self.seen.look(self.spawner, self.job, since)
        return self.job.misfit


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(never_starts, "time", SimpleNamespace(time=lambda: 0.0))


def test_the_page_says_it(tmp_path: Path) -> None:
    """The user reads that the job will never start, why, and what to do."""
    waiting = Waiting(tmp_path, inventory(2))
    assert waiting.look()
    expected = (
        "Job 17 is queued: waiting for resources to become free. It will never start as it is, "
        "because the queue q allows at most 02:00:00, and the job asks for 03:00:00. Cancel it "
        "and change the choice"
    )
    assert expected == words.progress_event(waiting.job, None, "Slurm")["message"]


def test_a_job_that_fits(tmp_path: Path) -> None:
    """A job that fits is compared once, however often the inventory is renewed."""
    waiting = Waiting(tmp_path, inventory(3))
    assert "" == waiting.look()
    waiting.cache.found = inventory(2)
    assert "" == waiting.look()
    assert 1 == waiting.specs


def test_a_limit_that_is_raised(tmp_path: Path) -> None:
    """A job that did not fit is compared with each newer inventory, and with each only once."""
    waiting = Waiting(tmp_path, inventory(2))
    assert waiting.look()
    assert waiting.look()
    assert 1 == waiting.specs
    waiting.cache.found = inventory(3)
    assert "" == waiting.look()


def test_a_job_that_runs_after_all(tmp_path: Path) -> None:
    """The reason why a job can't start is forgotten once the job runs."""
    waiting = Waiting(tmp_path, inventory(2))
    waiting.look()
    waiting.job.info = JobInfo("alice", JobState.RUNNING)
    assert "" == waiting.look()


def test_a_bug_costs_no_start(tmp_path: Path) -> None:
    """An unexpected error in this advice does not reach the start."""
    waiting = Waiting(tmp_path, inventory(2))
    logged: list[str] = []
    waiting.spawner.log = SimpleNamespace(exception=logged.append)
    waiting.spawner.monitor = lambda: 1 / 0
    assert "" == waiting.look()
    assert 1 == len(logged)


def test_nobody_wonders_too_early(tmp_path: Path) -> None:
    """A job that has just begun to wait is not looked at, nor is one whose site does not want it,
    and an inventory that nobody knows is asked for."""
    assert "" == Waiting(tmp_path, inventory(2)).look(since=-59.0)
    assert "" == Waiting(tmp_path, inventory(2), check_nodes=False).look()
    unknown = Waiting(tmp_path, None)
    assert ("", 1, 0) == (unknown.look(), unknown.cache.peeks, unknown.specs)
