"""Background tasks: their failures are logged, and waiting for an event can be cancelled."""

from __future__ import annotations

import asyncio
import logging

import pytest

from unispawner import tasks
from unispawner.errors import AgentError
from unispawner.tasks import wait_for_event


@pytest.mark.parametrize("steps", range(4))
async def test_a_cancellation_together_with_the_event(steps: int) -> None:
    """A cancellation that comes together with the event ends the waiting.

    JupyterHub cancels a start only once and then waits for it.
    """
    event = asyncio.Event()
    waiting = asyncio.ensure_future(wait_for_event(event, 60))
    await asyncio.sleep(0.01)
    event.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    if waiting.done():  # the event came first
        assert steps > 0
        await waiting
        return
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_timeout_is_no_error() -> None:
    """After its time ``wait_for_event`` returns without an error and leaves no task behind."""
    before = asyncio.all_tasks()
    await asyncio.wait_for(wait_for_event(asyncio.Event(), 0.01), 20)
    await asyncio.sleep(0)
    assert before == asyncio.all_tasks()


@pytest.mark.parametrize(
    ("error", "level", "traceback"),
    [(AgentError("no sudo"), logging.WARNING, False), (KeyError("x"), logging.ERROR, True)],
    ids=["an error of ours", "a bug"],
)
async def test_a_failure_is_logged(
    caplog: pytest.LogCaptureFixture, error: Exception, level: int, traceback: bool
) -> None:
    """A task that raises leaves a line in the log; only a bug has its traceback there."""

    async def fail() -> None:
        raise error

    task = tasks.start(fail(), "submission for alice")
    await asyncio.wait({task})
    await asyncio.sleep(0)  # for the callbacks of the task
    (record,) = caplog.records
    assert f"unispawner: submission for alice failed: {error}" == record.getMessage()
    assert (level, traceback) == (record.levelno, record.exc_info is not None)


async def test_a_turnstile_lets_a_few_through_in_each_turn() -> None:
    """Tasks that are ready at once go on in their order, a few in each turn of the event loop; one
    that is cancelled holds up nobody."""
    turnstile, went = tasks.Turnstile(3), list[list[int]]()

    async def go(number: int) -> None:
        await turnstile.wait()
        went[-1].append(number)

    for _ in range(2):  # it serves again once all have gone
        went.clear()
        going = [asyncio.ensure_future(go(number)) for number in range(10)]
        await asyncio.sleep(0)
        going[4].cancel()
        while not all(one.done() for one in going):
            went.append([])
            await asyncio.sleep(0)
        assert [0, 1, 2, 3, 5, 6, 7, 8, 9] == [number for turn in went for number in turn]
        assert max(map(len, went)) <= 3


def test_a_turnstile_serves_a_new_event_loop() -> None:
    """Those who waited in an event loop that has ended do not hold up those of the next one."""
    turnstile = tasks.Turnstile(1)

    async def leave() -> None:
        waiting = [asyncio.ensure_future(turnstile.wait()) for _ in range(5)]
        await asyncio.sleep(0)
        assert not waiting[-1].done()
        for one in waiting:
            one.cancel()

    asyncio.run(leave())
    asyncio.run(asyncio.wait_for(turnstile.wait(), 60))
