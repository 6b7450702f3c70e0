"""Questions about the start of a job: what is asked, reused, joined and left alone."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from unispawner.errors import AgentError, SchedulerUnavailable
from unispawner.schedulers.estimate import Outlook, StartEstimate
from unispawner.servers import start_time as module
from unispawner.servers.question_queue import QuestionQueue
from unispawner.servers.start_time import StartTimes

ANSWER = StartEstimate(Outlook.NOW)


class Asked:
    """A scheduler that counts questions and answers them when it is told to."""

    def __init__(self) -> None:
        self.count = 0
        self.error: Exception | None = None
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self) -> StartEstimate:
        self.count += 1
        await self.free.wait()
        if self.error is not None:
            raise self.error
        return ANSWER


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(module, "time", found)
    return found


@pytest.fixture
def times(clock: Clock) -> StartTimes:
    return StartTimes(QuestionQueue(50, clock.monotonic))


async def test_an_answer_is_reused_for_a_minute(times: StartTimes, clock: Clock) -> None:
    """The same question of the same user is asked once a minute; any other is asked."""
    asked = Asked()
    for _ in range(5):
        assert ANSWER == await times.get("ada", "slurm", "4 cores", asked)
    assert 1 == asked.count
    await times.get("ada", "slurm", "2 cores", asked)
    await times.get("bob", "slurm", "4 cores", asked)
    await times.get("ada", "other", "4 cores", asked)
    assert 4 == asked.count
    clock.now += module.LIFETIME
    await times.get("ada", "slurm", "4 cores", asked)
    assert 5 == asked.count


async def test_questions_at_the_same_time_are_one(times: StartTimes) -> None:
    """Whoever asks what is being asked already waits for that answer."""
    asked = Asked()
    asked.free.clear()
    both = [asyncio.create_task(times.get("ada", "slurm", "x", asked)) for _ in range(3)]
    await asyncio.sleep(0.01)
    asked.free.set()
    assert [ANSWER] * 3 == await asyncio.gather(*both)
    assert 1 == asked.count


async def test_a_scheduler_that_is_down(
    times: StartTimes, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is shown, it is logged once, and after three users nobody asks for a minute."""
    asked = Asked()
    asked.error = SchedulerUnavailable("Slurm did not answer.")
    with caplog.at_level(logging.WARNING, "JupyterHub.unispawner"):
        for number in range(10):
            assert await times.get(f"user{number}", "slurm", "x", asked) is None
        assert module.FAILING == asked.count
        clock.now += module.PAUSE
        for number in range(10, 20):
            assert await times.get(f"user{number}", "slurm", "x", asked) is None
    assert 1 == len(caplog.records)
    clock.now += module.PAUSE
    asked.error = None
    assert ANSWER == await times.get("eve", "slurm", "x", asked)


@pytest.mark.threat(
    who="user",
    tries="Their own side fails or hangs whenever the Hub asks when their server would start.",
    stopped_by="Only their own questions pause then, each time for longer.",
)
@pytest.mark.parametrize("error", [SchedulerUnavailable("late"), AgentError("odd")])
async def test_one_user_who_fails(times: StartTimes, clock: Clock, error: Exception) -> None:
    """A user whose questions fail is asked about less and less; the others get their answers."""
    good, bad = Asked(), Asked()
    bad.error = error
    for _ in range(100):
        clock.now += 30
        assert await times.get("eve", "slurm", str(clock.now), bad) is None
        assert ANSWER == await times.get("ada", "slurm", str(clock.now), good)
    assert 100 == good.count
    assert bad.count < 10


@pytest.mark.threat(
    who="user",
    tries="Three of them have homes that hang, and look at forms at the same time.",
    stopped_by="A cluster that answers anybody else is not taken for down.",
)
async def test_some_users_who_fail(times: StartTimes, clock: Clock) -> None:
    """Three homes that hang stop nobody's answers for longer than a trial, and none while others
    are answered."""
    good, bad = Asked(), Asked()
    bad.error = SchedulerUnavailable("late")
    for name in ("eve", "mallory", "trent"):
        assert await times.get(name, "slurm", "x", bad) is None
    assert await times.get("ada", "slurm", "x", good) is None
    clock.now += module.TRIAL_PAUSE
    assert ANSWER == await times.get("ada", "slurm", "x", good)
    assert ANSWER == await times.get("bob", "slurm", "x", good)
    for number, name in enumerate(("eve", "mallory", "trent")):
        clock.now += module.PAUSE
        assert await times.get(name, "slurm", "y", bad) is None
        assert ANSWER == await times.get("ada", "slurm", f"y{number}", good)


async def test_a_question_that_hangs(times: StartTimes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that takes too long counts as failed."""
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    asked = Asked()
    asked.free.clear()
    assert await times.get("ada", "slurm", "x", asked) is None


async def test_few_answers_are_kept(times: StartTimes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest answers are dropped, so that memory stays small."""
    monkeypatch.setattr(module, "MOST_KEPT", 10)
    for number in range(40):
        await times.get(f"user{number}", "slurm", "x", Asked())
    assert len(times._answers) <= 10


def test_the_newest_request_of_a_user(times: StartTimes) -> None:
    """An earlier request knows that it is not the newest any more; other users do not count."""
    with times.request("ada") as first, times.request("bob") as other:
        assert first()
        with times.request("ada") as second:
            assert (False, True, True) == (first(), second(), other())
        assert not first()
    assert {} == times._newest


class Spawner:
    """What an estimate reads from a spawner; `asked` has the agent's requests."""

    estimate_start = False

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was used")


async def test_an_administrator_can_turn_it_off() -> None:
    """With `estimate_start = False` nothing is asked and nothing is known."""
    assert StartEstimate() == await module.estimate_start(Spawner())
