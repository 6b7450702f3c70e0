"""A submission whose answer is lost: no job is left behind, and no start is given up too early."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect
from support.hub_app import PATIENCE, FakeSpawner, Hub, Server, hub_app

from unispawner.errors import AgentError, SchedulerUnavailable, UniSpawnerError
from unispawner.monitor import rhythm
from unispawner.run_as.accounts import Account
from unispawner.servers import submission
from unispawner.submit_host import entries
from unispawner.submit_host.host import SubmitHost
from unispawner.testing import FakeScheduler, FakeUserSide
from unispawner.web.failures import SpawnFailure


class LosingSide(FakeUserSide):
    """A user's side whose answer to a submission is lost.

    Attributes
    ----------
    done
        Whether the submission is done.
    error
        What the Hub gets instead of the answer.
    searches
        What the next searches raise; a search without one is answered.
    """

    def __init__(self, scheduler: FakeScheduler) -> None:
        super().__init__(scheduler)
        self.done = True
        self.loss: UniSpawnerError = SchedulerUnavailable("the broker is lost")
        self.searches: list[UniSpawnerError] = []
        self.searched = asyncio.Event()

    async def call(
        self, host: SubmitHost, account: Account, request: Mapping[str, Any], seconds: float
    ) -> Any:
        if request["action"] == "submit":
            if self.done:
                await super().call(host, account, request, seconds)
            raise self.loss
        if request["action"] == "find":
            self.searched.set()
            if self.searches:
                raise self.searches.pop(0)
        return await super().call(host, account, request, seconds)


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    """A Hub's application."""
    async with hub_app(tmp_path) as found:
        yield found


@pytest.fixture
async def side(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> LosingSide:
    """The users' side of the Hub; searches follow each other quickly."""
    monkeypatch.setattr(rhythm, "FAST_INTERVAL", 0.02)
    monkeypatch.setattr(rhythm, "LARGEST_SHARE", 1.0)
    monkeypatch.setattr(submission, "_FIRST_PAUSE", 0.02)
    monkeypatch.setattr(submission, "_LONGEST_PAUSE", 0.02)
    found = LosingSide(FakeSpawner.fake)
    monkeypatch.setattr(FakeSpawner, "side", found)
    return found


Begin = Callable[[], Server]


@pytest.fixture
async def begin(hub: Hub, side: LosingSide) -> AsyncIterator[Begin]:
    """Return a function that starts a server."""
    made: list[Server] = []

    def start() -> Server:
        made.append(Server(hub.user("ada").spawners[""]))
        return made[-1]

    yield start
    [found] = made
    found.start.cancel()
    await asyncio.wait({found.start})
    side.searches.clear()
    await found.spawner.stop()
    found.spawner.clear_state()
    assert [] == alive(side)


def alive(side: FakeUserSide) -> list[str]:
    """Return the ids of the jobs that have not ended."""
    return [one for one, info in side.scheduler.jobs.items() if not info.state.final]


def not_before(error: UniSpawnerError, seconds: float) -> UniSpawnerError:
    error.open_until = time.monotonic() + seconds
    return error


async def test_a_job_that_exists_is_found(side: LosingSide, begin: Begin) -> None:
    """A job that was made although its answer is lost is followed, and the start goes on."""
    server = begin()
    await server.running()
    assert ["1"] == alive(side)
    assert server.spawner.server_job.lost is None


async def test_absence_counts_only_after_the_deadline(side: LosingSide, begin: Begin) -> None:
    """A job that appears after the first searches, but before the deadline, is found."""
    side.done = False
    side.loss = not_before(side.loss, PATIENCE)
    server = begin()
    for _ in range(4):
        side.searched.clear()
        await asyncio.wait_for(side.searched.wait(), PATIENCE)
    assert not server.start.done()
    assert await server.spawner.poll() is None
    side.scheduler.submit(
        server.spawner.server_job.state.account, server.spawner.server_job.state.mark
    )
    await server.submitted()
    assert ["1"] == alive(side)


async def test_a_job_that_is_absent_after_the_deadline(side: LosingSide, begin: Begin) -> None:
    """Without a job after the deadline, the start fails with the reason, and nothing is left."""
    side.done = False
    side.loss = not_before(side.loss, 0.2)
    server = begin()
    with pytest.raises(SpawnFailure, match="the broker is lost"):
        await asyncio.wait_for(server.start, PATIENCE)
    assert time.monotonic() >= side.loss.open_until
    assert "" == server.spawner.server_job.state.mark
    assert [] == alive(side)


async def test_a_search_that_fails_says_nothing(side: LosingSide, begin: Begin) -> None:
    """While nobody answers, the start stays pending with its mark, and the page says so."""
    side.searches = [SchedulerUnavailable("no broker")] * 3 + [AgentError("no home")] * 3
    server = begin()
    while side.searches:
        side.searched.clear()
        await asyncio.wait_for(side.searched.wait(), PATIENCE)
        if side.searches:
            assert server.spawner.server_job.state.mark
            assert await server.spawner.poll() is None
            event = await anext(server.spawner.progress())
            assert "The Hub looks for it" in event["message"]
            assert "the broker is lost" in server.spawner.server_job.facts().message
    await server.submitted()
    assert ["1"] == alive(side)


async def test_what_has_certainly_not_happened(side: LosingSide, begin: Begin) -> None:
    """A request that certainly did nothing fails the start at once, without any search."""
    side.done = False
    side.loss.unsent = True
    server = begin()
    with pytest.raises(SpawnFailure, match="the broker is lost"):
        await asyncio.wait_for(server.start, PATIENCE)
    assert [] == side.asked("find")


async def test_a_stop_meanwhile(side: LosingSide, begin: Begin) -> None:
    """A stop waits until it is known whether there is a job, and cancels it."""
    side.searches = [SchedulerUnavailable("no broker")] * 5
    server = begin()
    await asyncio.wait_for(side.searched.wait(), PATIENCE)
    await asyncio.wait_for(server.spawner.stop(), PATIENCE)
    assert [] == side.searches
    assert ["1"] == list(side.scheduler.jobs)
    assert [] == alive(side)
    with pytest.raises(SpawnFailure, match="CANCELED"):
        await server.start


async def test_a_hub_that_ends_meanwhile(side: LosingSide, begin: Begin) -> None:
    """A Hub that shuts down meanwhile leaves the mark, with which the next Hub finds the job."""
    side.searches = [SchedulerUnavailable("no broker")] * 1000
    server = begin()
    await asyncio.wait_for(side.searched.wait(), PATIENCE)
    job = server.spawner.server_job
    assert job._submission
    job._submission.cancel()
    await asyncio.wait({job._submission, server.start})
    state = {**server.spawner.get_state(), "scheduler": "slurm"}  # "fake" is no value of the trait
    assert (job.state.mark, "") == (state["mark"], state["job_id"])
    assert state["mark"]
    side.searches.clear()
    server.spawner.load_state(state)
    assert await asyncio.wait_for(server.spawner.poll(), PATIENCE) is None
    assert "1" == server.spawner.server_job.state.job_id


async def test_a_start_is_sent_before_the_second_turn_of_the_event_loop(
    side: LosingSide, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start is saved and sent after one turn of the event loop, which its own task takes: while a
    whole class starts, each further turn would take seconds."""
    monkeypatch.setattr(entries, "LOOP_WAIT", 10.0)
    order: list[str] = []
    call = side.call

    async def note(host: SubmitHost, account: Account, request: Any, seconds: float) -> Any:
        order.append(request["action"])
        saved = inspect(server.spawner.orm_spawner).committed_state
        assert {} == saved  # nothing is left to commit
        assert server.spawner.server_job.state.mark == server.spawner.orm_spawner.state["mark"]
        return await call(host, account, request, seconds)

    monkeypatch.setattr(side, "call", note)
    server = begin()
    loop = asyncio.get_running_loop()
    loop.call_soon(loop.call_soon, order.append, "second turn")
    await server.submitted()
    assert ["submit", "second turn"] == order[:2]
