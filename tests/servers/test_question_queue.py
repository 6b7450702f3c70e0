"""The queue for questions that cost a scheduler's time: who may ask, and who may not now."""

from __future__ import annotations

import asyncio

import pytest

from unispawner.servers import question_queue as module
from unispawner.servers.question_queue import QuestionQueue

PATIENCE = 60.0


class Clock:
    """A clock that a test moves on."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def waiting(queue: QuestionQueue, *users: str) -> list[asyncio.Task[bool]]:
    return [asyncio.create_task(queue.enter(user, PATIENCE)) for user in users]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_few_at_a_time_in_their_order() -> None:
    """At most two questions are under way; the others get their turn in the order they came."""
    queue = QuestionQueue(2)
    tasks = waiting(queue, "ada", "bob", "eve", "joe")
    await settle()
    assert [True, True, False, False] == [task.done() for task in tasks]
    queue.leave("bob")
    await settle()
    assert (True, False) == (tasks[2].done(), tasks[3].done())
    queue.leave("ada")
    assert await tasks[3]


async def test_the_newest_question_of_a_user_counts() -> None:
    """Of several questions of a user that wait, only the newest gets a turn."""
    queue = QuestionQueue(1)
    assert await queue.enter("bob", PATIENCE)
    older, newer = waiting(queue, "ada", "ada")
    await settle()
    assert (True, False) == (older.done(), newer.done())
    assert not older.result()
    queue.leave("bob")
    assert await newer


async def test_a_user_has_one_turn_at_a_time() -> None:
    """While a question of a user is under way, their next one waits, and others go first."""
    queue = QuestionQueue(2)
    assert await queue.enter("ada", PATIENCE)
    (second,) = waiting(queue, "ada")
    await settle()
    assert await queue.enter("bob", PATIENCE)
    assert not second.done()
    queue.leave("ada")
    assert await second


@pytest.mark.threat(
    who="user",
    tries="They ask the Hub again and again when their server would start.",
    stopped_by="Each user may ask only so often, and the Hub asks few at a time for everybody.",
)
async def test_a_user_may_ask_only_so_often() -> None:
    """After some questions at once a user may ask one every few seconds; others are not held up."""
    clock = Clock()
    queue = QuestionQueue(1, clock)

    async def asks(user: str) -> bool:
        entered = await queue.enter(user, PATIENCE)
        if entered:
            queue.leave(user)
        return entered

    answers = [await asks("ada") for _ in range(30)]
    assert module.AT_FIRST == answers.count(True)
    assert await asks("bob")
    clock.now += module.PAUSE
    assert [True, False] == [await asks("ada") for _ in range(2)]
    clock.now += 1000 * module.PAUSE
    assert module.AT_FIRST == [await asks("ada") for _ in range(30)].count(True)


async def test_a_turn_that_does_not_come() -> None:
    """Whoever waits too long, or finds too many waiting, gets no turn; no turn is lost by that."""
    queue = QuestionQueue(1)
    assert await queue.enter("ada", PATIENCE)
    assert not await queue.enter("bob", 0.01)
    tasks = waiting(queue, *(f"user{number}" for number in range(module.MOST_WAITING)))
    await settle()
    assert not await queue.enter("eve", PATIENCE)
    tasks[0].cancel()
    await settle()
    queue.leave("ada")
    assert await tasks[1]
    for task in tasks[2:]:
        task.cancel()
    await settle()
    queue.leave("user1")
    assert await queue.enter("eve", PATIENCE)


async def test_a_turn_rests_after_a_question() -> None:
    """After a question its turn is free for others only when the scheduler has had its rest."""
    queue = QuestionQueue(1)
    assert await queue.enter("ada", PATIENCE)
    queue.leave("ada", rest=0.05)
    (task,) = waiting(queue, "bob")
    await settle()
    assert not task.done()
    assert await task


async def test_a_question_that_hangs_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The turn of a question that hangs is given on, and only its own user waits for its end."""
    monkeypatch.setattr(module, "LONGEST_TURN", 0.02)
    queue = QuestionQueue(1)
    assert await queue.enter("eve", PATIENCE)
    again, bob = waiting(queue, "eve", "bob")
    assert await bob
    assert not again.done()
    queue.leave("eve", rest=9.0)  # the turn is another's by now
    await settle()
    assert not again.done()
    queue.leave("bob")
    assert await again
    (ada,) = waiting(queue, "ada")
    await settle()
    assert not ada.done()  # one turn is one turn


async def test_a_cancelled_question_gives_its_turn_back() -> None:
    """A question that is cancelled at the moment of its turn leaves the turn to the next."""
    queue = QuestionQueue(1)
    assert await queue.enter("ada", PATIENCE)
    bob, eve = waiting(queue, "bob", "eve")
    await settle()
    queue.leave("ada")
    bob.cancel()
    assert await eve
