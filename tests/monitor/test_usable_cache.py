"""What a user may use is asked once for all who wait, kept for hours, and asked again if needed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from unispawner.errors import AgentError
from unispawner.monitor import turns
from unispawner.monitor import usable_cache as module
from unispawner.monitor.usable_cache import UsableCache
from unispawner.schedulers.usable import Entry, Usable, make_usable

ONE = make_usable({"account": [Entry("physics")]})
OTHER = make_usable({"account": [Entry("biology")]})


class Scheduler:
    """Answers one question after the other, and holds an answer back while its gate is shut."""

    def __init__(self, *answers: Usable | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> Usable:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await self.gate.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def cache() -> UsableCache:
    return UsableCache()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a list whose only item is the time in seconds."""
    now = [1000.0]

    class Time:
        @staticmethod
        def monotonic() -> float:
            return now[0]

    monkeypatch.setattr(module, "time", Time)
    return now


async def test_many_askers_are_one_question(cache: UsableCache) -> None:
    """A class of students who all open a form twice causes one question for each of them."""
    ask = Scheduler(ONE)
    found = await asyncio.gather(*(cache.get("ada", ask) for _ in range(100)))
    assert (1, {id(ONE)}) == (ask.asked, {id(one) for one in found})


async def test_only_a_few_users_are_asked_about_at_a_time(cache: UsableCache) -> None:
    """However many users open a form, few of their questions run at the same time."""
    ask = Scheduler(ONE)
    ask.gate.clear()
    tasks = [asyncio.create_task(cache.get(str(user), ask)) for user in range(50)]
    await asyncio.sleep(0.05)
    assert module.AT_ONCE == ask.asked
    ask.gate.set()
    await asyncio.gather(*tasks)
    assert 50 == ask.asked


@pytest.mark.threat(
    who="user",
    tries="Their homes hang, and so do the questions about what they may use.",
    stopped_by="A question that hangs keeps its turn only for a short time.",
)
async def test_homes_that_hang(cache: UsableCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many questions as may run at a time hang, and another user is answered all the same."""
    monkeypatch.setattr(turns, "LONGEST_TURN", 0.02)
    hanging = Scheduler(ONE)
    hanging.gate.clear()
    tasks = [asyncio.create_task(cache.get(str(n), hanging)) for n in range(module.AT_ONCE)]
    await asyncio.sleep(0)
    assert OTHER is await cache.get("ada", Scheduler(OTHER), seconds=5.0)
    hanging.gate.set()
    await asyncio.gather(*tasks)


async def test_who_fails_again_and_again_is_asked_about_less(
    cache: UsableCache, clock: Any
) -> None:
    """Each further failure doubles the pause of its user, up to ten minutes."""
    ask = Scheduler(AgentError("no"))
    for _ in range(200):
        await cache.get("eve", ask)
        clock[0] += module.PAUSE + 1
    assert ask.asked < 30


async def test_each_user_has_an_answer_of_their_own(cache: UsableCache) -> None:
    """No user gets the answer about another one."""
    assert ONE is await cache.get("ada", Scheduler(ONE))
    assert OTHER is await cache.get("bob", Scheduler(OTHER))
    assert ONE is await cache.get("ada", Scheduler(OTHER))


async def test_a_page_never_waits(cache: UsableCache) -> None:
    """A look returns at once, and the answer is there for the next one."""
    ask = Scheduler(ONE)
    ask.gate.clear()
    assert cache.peek("ada", ask) is None
    assert cache.is_asking("ada")
    ask.gate.set()
    await cache.get("ada", ask)
    assert (ONE, False, 1) == (cache.peek("ada", ask), cache.is_asking("ada"), ask.asked)


async def test_an_answer_is_kept_for_hours(cache: UsableCache, clock: Any) -> None:
    """After its lifetime an answer is asked for anew, and until then a look shows the old one."""
    ask = Scheduler(ONE, OTHER)
    await cache.get("ada", ask)
    clock[0] += module.LIFETIME
    assert ONE is await cache.get("ada", ask)
    clock[0] += 1
    assert ONE is cache.peek("ada", ask)
    await asyncio.sleep(0)
    assert OTHER is await cache.get("ada", ask)
    assert 2 == ask.asked


async def test_after_a_refusal_it_is_asked_anew(cache: UsableCache) -> None:
    """When the scheduler has refused a job, the next look asks again."""
    ask = Scheduler(ONE, OTHER)
    await cache.get("ada", ask)
    cache.forget("ada")
    cache.forget("nobody")
    assert OTHER is await cache.get("ada", ask)


@pytest.mark.parametrize("error", [AgentError("no account"), ZeroDivisionError("a bug")])
async def test_a_failure_keeps_the_last_answer(
    cache: UsableCache, clock: Any, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """If nobody answers, what is known stays; the scheduler is asked again after a pause only."""
    ask = Scheduler(ONE, error, OTHER)
    await cache.get("ada", ask)
    clock[0] += module.LIFETIME + 1
    assert ONE is await cache.get("ada", ask)
    assert ONE is await cache.get("ada", ask)
    assert 2 == ask.asked
    assert str(error) in caplog.text
    clock[0] += module.PAUSE + 1
    assert OTHER is await cache.get("ada", ask)


async def test_nothing_is_known_of_who_was_never_answered_about(cache: UsableCache) -> None:
    """A failure without an earlier answer means that nothing is known."""
    assert None is await cache.get("ada", Scheduler(AgentError("no")))


async def test_an_answer_with_gaps_is_soon_asked_for_again(cache: UsableCache, clock: Any) -> None:
    """If a part of the question had no answer, nobody waits hours for it."""
    ask = Scheduler(make_usable({}, partial=True), ONE)
    await cache.get("ada", ask)
    clock[0] += module.PAUSE + 1
    assert ONE is await cache.get("ada", ask)


async def test_a_start_does_not_wait_for_ever(cache: UsableCache) -> None:
    """Who waits for a scheduler that hangs goes on without an answer; the question goes on, too."""
    ask = Scheduler(ONE)
    ask.gate.clear()
    assert None is await cache.get("ada", ask, seconds=0.01)
    ask.gate.set()
    assert ONE is await cache.get("ada", ask)
    assert 1 == ask.asked


async def test_the_number_of_kept_answers_is_limited(
    cache: UsableCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers that were needed least recently are dropped."""
    monkeypatch.setattr(module, "MOST_USERS", 2)
    ask = Scheduler(ONE)
    for user in ("ada", "bob", "ada", "eve", "ada", "bob"):
        await cache.get(user, ask)
    assert 4 == ask.asked
