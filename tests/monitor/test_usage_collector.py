"""When the accounting is asked again, and when nobody asks it any more; no clock, no scheduler."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from unispawner.errors import AgentError
from unispawner.monitor import turns, usage_collector
from unispawner.monitor.usage_collector import SILENT_USERS, UsageCollector
from unispawner.schedulers.usage import NO_ACCOUNTING, NOT_YET, Accounting, Usage

USED = Usage(seconds=60.0)
ERROR = AgentError("the agent does not answer")


class Answers:
    """Gives one answer after the other, the last one again and again, and counts the questions."""

    def __init__(self, *answers: Accounting | AgentError) -> None:
        self.answers: Sequence[Accounting | AgentError] = answers
        self.asked = 0

    async def __call__(self) -> Accounting:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if isinstance(answer, AgentError):
            raise answer
        return answer


def collector() -> UsageCollector:
    return UsageCollector((0.0, 0.0, 0.0))


async def test_a_record_that_comes_late() -> None:
    """A job whose record is not there yet is asked for again, also after an error."""
    ask = Answers(NOT_YET, ERROR, Accounting(USED))
    assert USED == await collector().collect("alice", ask)
    assert 3 == ask.asked


async def test_a_record_that_never_comes() -> None:
    """The questions have a number, and errors say nothing about the next job."""
    ask, asks = Answers(ERROR), collector()
    assert None is await asks.collect("alice", ask)
    assert None is await asks.collect("alice", ask)
    assert 6 == ask.asked


@pytest.mark.threat(
    who="user",
    tries="Their own side says that the site has no accounting, so that nobody sees any usage.",
    stopped_by="It counts for this user only, until the sides of several users say the same.",
)
async def test_a_site_without_accounting() -> None:
    """One user is asked once; after several users nobody is asked; a record makes up for them."""
    asks, ask = collector(), Answers(NO_ACCOUNTING)
    for _ in range(3):
        assert None is await asks.collect("alice", ask)
    assert 1 == ask.asked
    assert USED == await asks.collect("bob", Answers(Accounting(USED)))
    for number in range(SILENT_USERS):
        await asks.collect(f"user{number}", ask)
    assert 1 + SILENT_USERS == ask.asked
    after = Answers(Accounting(USED))
    assert None is await asks.collect("bob", after)
    assert 0 == after.asked


async def test_an_accounting_that_lacks_one_job() -> None:
    """Where there is an accounting, a job without a record says nothing about the next job; where
    none was ever seen, nobody asks again for a while."""
    asks, never = collector(), Answers(NOT_YET)
    assert USED == await asks.collect("alice", Answers(Accounting(USED)))
    assert None is await asks.collect("alice", never)
    assert USED == await asks.collect("alice", Answers(Accounting(USED)))
    other = collector()
    assert None is await other.collect("alice", Answers(NOT_YET))
    assert None is await other.collect("alice", Answers(Accounting(USED)))


async def test_asking_again_after_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rest ends: the site may have got an accounting."""
    monkeypatch.setattr(usage_collector, "REST", 0.0)
    asks = collector()
    assert None is await asks.collect("alice", Answers(NO_ACCOUNTING))
    assert USED == await asks.collect("alice", Answers(Accounting(USED)))


async def test_many_jobs_that_end_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limited number of jobs wait, and of questions run."""
    monkeypatch.setattr(usage_collector, "MOST_WAITING", 3)
    running = most = 0

    async def ask() -> Accounting:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return Accounting(USED)

    monkeypatch.setattr(usage_collector, "AT_ONCE", 2)
    asks = collector()
    found = await asyncio.gather(*(asks.collect(str(number), ask) for number in range(5)))
    assert [USED, USED, USED, None, None] == found
    assert 2 == most


@pytest.mark.threat(
    who="user",
    tries="The jobs of one user end while their home hangs, so that nobody else sees any usage.",
    stopped_by="A user has one question at a time, which keeps its turn only for a short time, and "
    "few jobs that wait.",
)
async def test_a_user_whose_side_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the questions of a user hang, those of others go on. Of the user's own, one runs at a
    time, and few jobs wait."""
    monkeypatch.setattr(turns, "LONGEST_TURN", 0.02)
    monkeypatch.setattr(usage_collector, "AT_ONCE", 1)
    monkeypatch.setattr(usage_collector, "MOST_OF_USER", 3)
    first, over, began = asyncio.Event(), asyncio.Event(), 0

    async def hang() -> Accounting:
        nonlocal began
        began += 1
        first.set()
        await over.wait()
        return Accounting(USED)

    asks = collector()
    hanging = [asyncio.ensure_future(asks.collect("mallory", hang)) for _ in range(5)]
    await first.wait()
    assert USED == await asks.collect("alice", Answers(Accounting(USED)))
    assert 1 == began
    over.set()
    assert [USED, USED, USED, None, None] == await asyncio.gather(*hanging)
    assert USED == await asks.collect("mallory", Answers(Accounting(USED)))
