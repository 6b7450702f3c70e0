"""The line for questions that cost a scheduler's time: who may ask, and who may not now."""

from __future__ import annotations

import asyncio

import pytest

from unispawner.servers import line as module
from unispawner.servers.line import Line

PATIENCE = 60.0


class Clock:
    """A clock that a test moves on."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def waiting(line: Line, *users: str) -> list[asyncio.Task[bool]]:
    return [asyncio.create_task(line.enter(user, PATIENCE)) for user in users]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_few_at_a_time_in_their_order() -> None:
    """At most two questions are under way; the others get their turn in the order they came."""
    line = Line(2)
    tasks = waiting(line, "ada", "bob", "eve", "joe")
    await settle()
    assert [True, True, False, False] == [task.done() for task in tasks]
    line.leave("bob")
    await settle()
    assert (True, False) == (tasks[2].done(), tasks[3].done())
    line.leave("ada")
    assert await tasks[3]


async def test_the_newest_question_of_a_user_counts() -> None:
    """Of several questions of a user that wait, only the newest gets a turn."""
    line = Line(1)
    assert await line.enter("bob", PATIENCE)
    older, newer = waiting(line, "ada", "ada")
    await settle()
    assert (True, False) == (older.done(), newer.done())
    assert not older.result()
    line.leave("bob")
    assert await newer


async def test_a_user_has_one_turn_at_a_time() -> None:
    """While a question of a user is under way, their next one waits, and others go first."""
    line = Line(2)
    assert await line.enter("ada", PATIENCE)
    (second,) = waiting(line, "ada")
    await settle()
    assert await line.enter("bob", PATIENCE)
    assert not second.done()
    line.leave("ada")
    assert await second


@pytest.mark.threat(
    who="user",
    tries="They ask the Hub again and again when their server would start.",
    stopped_by="Each user has a budget of questions, and the Hub asks few at a time for everybody.",
)
async def test_a_user_has_a_budget() -> None:
    """After some questions at once a user may ask one every few seconds; others are not held up."""
    clock = Clock()
    line = Line(1, clock)

    async def asks(user: str) -> bool:
        entered = await line.enter(user, PATIENCE)
        if entered:
            line.leave(user)
        return entered

    answers = [await asks("ada") for _ in range(30)]
    assert module.AT_FIRST == answers.count(True)
    assert await asks("bob")
    clock.now += module.PACE
    assert [True, False] == [await asks("ada") for _ in range(2)]
    clock.now += 1000 * module.PACE
    assert module.AT_FIRST == [await asks("ada") for _ in range(30)].count(True)


async def test_a_turn_that_does_not_come() -> None:
    """Whoever waits too long, or finds too many waiting, gets no turn; no turn is lost by that."""
    line = Line(1)
    assert await line.enter("ada", PATIENCE)
    assert not await line.enter("bob", 0.01)
    tasks = waiting(line, *(f"user{number}" for number in range(module.MOST_WAITING)))
    await settle()
    assert not await line.enter("eve", PATIENCE)
    tasks[0].cancel()
    await settle()
    line.leave("ada")
    assert await tasks[1]
    for task in tasks[2:]:
        task.cancel()
    await settle()
    line.leave("user1")
    assert await line.enter("eve", PATIENCE)


async def test_a_turn_rests_after_a_question() -> None:
    """After a question its turn is free for others only when the scheduler has had its rest."""
    line = Line(1)
    assert await line.enter("ada", PATIENCE)
    line.leave("ada", rest=0.05)
    (task,) = waiting(line, "bob")
    await settle()
    assert not task.done()
    assert await task


async def test_a_cancelled_question_gives_its_turn_back() -> None:
    """A question that is cancelled at the moment of its turn leaves the turn to the next."""
    line = Line(1)
    assert await line.enter("ada", PATIENCE)
    bob, eve = waiting(line, "bob", "eve")
    await settle()
    line.leave("ada")
    bob.cancel()
    assert await eve
