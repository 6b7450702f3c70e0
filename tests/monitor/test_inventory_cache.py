"""The inventory's cache: one question for all, whose answer is reused for a while."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.hub import until

from unispawner.errors import AgentError, SchedulerUnavailable
from unispawner.monitor import inventory_cache as module
from unispawner.monitor.inventory_cache import InventoryCache
from unispawner.schedulers.base import QUERY_ENVIRONMENT, Dialogue
from unispawner.schedulers.inventory import Inventory, Node, Queue, Totals
from unispawner.submit_host.host import Finished, SubmitHost
from unispawner.testing import FakeScheduler

GIGABYTE = 1024**3


class Host(SubmitHost):
    """A real SubmitHost that counts commands; while its gate is shut it holds answers back."""

    def __init__(self) -> None:
        super().__init__()
        self.commands = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def run(self, command: Any, **options: Any) -> Finished:
        self.commands += 1
        done = await super().run(command, **options)
        await self.gate.wait()
        return done


@pytest.fixture
def scheduler(tmp_path: Path) -> FakeScheduler:
    return FakeScheduler(tmp_path, ["node1", "node2"])


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def cache(scheduler: FakeScheduler, host: Host) -> InventoryCache:
    return InventoryCache(scheduler, host, {})


def breaks(scheduler: FakeScheduler) -> None:
    (scheduler.directory / "nodes").rename(scheduler.directory / "away")


def recovers(scheduler: FakeScheduler) -> None:
    (scheduler.directory / "away").rename(scheduler.directory / "nodes")


# -- the cache ----------------------------------------------------------------------------------


async def test_many_askers_are_one_question(cache: InventoryCache, host: Host) -> None:
    """Two hundred callers at a time cause one question and get the same answer."""
    host.gate.clear()
    askers = [asyncio.create_task(cache.get()) for _ in range(200)]
    await asyncio.sleep(0.1)
    host.gate.set()
    answers = await asyncio.gather(*askers)
    assert 1 == host.commands
    assert {frozenset({"node1", "node2"})} == {answer.hosts for answer in answers}


async def test_an_asker_who_goes_away_takes_no_answer_from_the_others(
    cache: InventoryCache, host: Host
) -> None:
    """A caller that is cancelled does not cancel the question of the others."""
    host.gate.clear()
    first, second = asyncio.create_task(cache.get()), asyncio.create_task(cache.get())
    await asyncio.sleep(0.1)
    first.cancel()
    host.gate.set()
    assert {"node1", "node2"} == (await second).hosts
    assert 1 == host.commands


async def test_an_answer_is_kept_for_its_lifetime(
    cache: InventoryCache, scheduler: FakeScheduler, host: Host
) -> None:
    """Each caller says how old an answer may be."""
    first = await cache.get(1000)
    (scheduler.directory / "nodes").write_text("node9")
    assert first is await cache.get(1000)
    assert 1 == host.commands
    assert {"node9"} == (await cache.get(0)).hosts
    assert 2 == host.commands


async def test_its_age_is_counted_from_the_question(cache: InventoryCache, host: Host) -> None:
    """An answer's age counts from its question, since a slow scheduler's answer is older."""
    host.gate.clear()
    asker = asyncio.create_task(cache.get())
    await asyncio.sleep(0.1)
    before = time.monotonic()
    host.gate.set()
    await asker
    assert cache.asked_at < before


async def test_the_first_failure_is_raised(
    cache: InventoryCache, scheduler: FakeScheduler, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    """The first failure is raised in the scheduler's words, and logged once."""
    breaks(scheduler)
    for _ in range(3):
        with pytest.raises(SchedulerUnavailable, match="No such file or directory"):
            await cache.get()
    assert 1 == host.commands
    assert 1 == len([r for r in caplog.records if "queues can't be listed" in r.getMessage()])


async def test_it_is_asked_again_after_a_pause(
    cache: InventoryCache,
    scheduler: FakeScheduler,
    host: Host,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a failure the scheduler is asked again only when a pause is over."""
    breaks(scheduler)
    with pytest.raises(SchedulerUnavailable):
        await cache.get()
    recovers(scheduler)
    with pytest.raises(SchedulerUnavailable):
        await cache.get()
    monkeypatch.setattr(module, "PAUSE", 0.0)
    assert {"node1", "node2"} == (await cache.get()).hosts
    assert 2 == host.commands


async def test_a_later_failure_keeps_the_last_answer(
    cache: InventoryCache, scheduler: FakeScheduler, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a later failure the last answer is returned, without a new question each time."""
    first = await cache.get()
    breaks(scheduler)
    assert [first] * 3 == [await cache.get(0) for _ in range(3)]
    assert 2 == host.commands
    monkeypatch.setattr(module, "PAUSE", 0.0)
    recovers(scheduler)
    assert first is not await cache.get(0)
    monkeypatch.setattr(module, "PAUSE", 1000.0)
    assert 3 == host.commands
    await cache.get(0)
    assert 4 == host.commands, "an answer ends the pause"


async def test_a_look_does_not_wait(
    cache: InventoryCache, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """peek returns the last answer at once and asks for a new one if it is old; an answer that is
    too old is not returned.
    """
    assert None is cache.peek(100)
    known = await cache.get(100)
    assert 1 == host.commands, "the look has asked already"
    assert known is cache.peek(100)
    assert known is cache.peek(0)
    await until(lambda: 2 == host.commands, "it is asked for")
    monkeypatch.setattr(module, "STALE", 0.0)
    assert None is cache.peek(0)


async def test_when_to_look_again(
    cache: InventoryCache, scheduler: FakeScheduler, host: Host
) -> None:
    """A caller may look again soon while a question is open, else after the lifetime or the
    pause.
    """
    assert module.SOON == cache.refresh_in(100)
    host.gate.clear()
    cache.peek(100)
    await asyncio.sleep(0)
    assert module.SOON == cache.refresh_in(100)
    host.gate.set()
    await cache.get(100)
    assert 90 < cache.refresh_in(100) <= 101
    assert module.SOON == cache.refresh_in(1)
    breaks(scheduler)
    await cache.get(0)
    assert module.PAUSE - 1 < cache.refresh_in(0) <= module.PAUSE + 1


class Broken(FakeScheduler):
    """A scheduler whose parser has a bug."""

    def inventory(self) -> Dialogue[Inventory]:
        yield ["/bin/true"]
        raise ZeroDivisionError("in the parser")


async def test_a_bug_in_a_parser_is_the_schedulers_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in a parser is a SchedulerUnavailable, and the log has its traceback."""
    cache = InventoryCache(Broken(tmp_path), SubmitHost(), {})
    with pytest.raises(SchedulerUnavailable, match="ZeroDivisionError"):
        await cache.get()
    assert any(record.exc_info for record in caplog.records)


async def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    """A missing command is an AgentError with its name."""

    class NoCommand(FakeScheduler):
        def inventory(self) -> Dialogue[Inventory]:
            yield ["/no/such/command"]
            return Inventory()

    with pytest.raises(AgentError, match="/no/such/command can't be run"):
        await InventoryCache(NoCommand(tmp_path), SubmitHost(), {}).get()


async def test_it_asks_in_its_own_environment(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The commands get the given environment, that of every query, and nothing of the Hub's."""

    class Printing(FakeScheduler):
        def inventory(self) -> Dialogue[Inventory]:
            reply = yield ["/usr/bin/env"]
            return Inventory(nodes=tuple(Node(line) for line in reply.stdout.splitlines()))

    cache = InventoryCache(Printing(tmp_path), SubmitHost(), {"A": "1"})
    assert {"A=1", *(f"{name}={value}" for name, value in QUERY_ENVIRONMENT.items())} == (
        await cache.get()
    ).hosts


# -- the value ----------------------------------------------------------------------------------

CLUSTER = Inventory(
    queues=(
        Queue("short", default=True, max_duration=timedelta(minutes=30), max_nodes=1),
        Queue("gpu", max_memory=64 * GIGABYTE, waiting=3, running=1),
        Queue("empty", available=False),
    ),
    nodes=(
        Node(
            *("a", True, 8, 3),
            memory=16 * GIGABYTE,
            idle_memory=GIGABYTE,
            queues=frozenset({"short"}),
        ),
        Node("b", True, 64, 64, 4, 1, 32 * GIGABYTE, queues=frozenset({"short", "gpu"})),
        Node("c", False, 128, 0, 8, 0, 512 * GIGABYTE, queues=frozenset({"short", "gpu"})),
        Node("d", True, 4),
    ),
)


def test_totals() -> None:
    """Totals are of one queue or of all available nodes; unknown numbers are left out, and a sum of
    unknown numbers only is unknown.
    """
    expected = Totals(
        nodes=3,
        idle_nodes=0,
        cores=76,
        idle_cores=67,
        gpus=4,
        idle_gpus=1,
    )
    assert expected == CLUSTER.totals()
    gpu = Totals(1, 0, 64, 64, 4, 1)
    assert gpu == CLUSTER.totals("gpu")
    silent = Inventory(nodes=(Node("a", cores=8), Node("b", cores=8)))
    assert Totals(2, None, 16, None, 0, 0) == silent.totals()
    assert None is Inventory(nodes=(Node("a", cores=8, gpus=2),)).totals().idle_gpus
    assert Totals() == CLUSTER.totals("empty") == CLUSTER.totals("no such queue")
    assert Totals() == Inventory().totals()


def test_hosts_are_all_nodes() -> None:
    """The hosts include drained nodes, where jobs run to their end."""
    assert {"a", "b", "c", "d"} == CLUSTER.hosts
