"""Waiting that can be cancelled, whatever comes at the same moment."""

from __future__ import annotations

import asyncio

import pytest

from unispawner.tasks import wait_for_event


@pytest.mark.parametrize("steps", range(4))
async def test_a_cancellation_together_with_the_event(steps: int) -> None:
    """It counts, unless the waiting was over: JupyterHub cancels a start once, and waits."""
    event = asyncio.Event()
    waiting = asyncio.ensure_future(wait_for_event(event, 60))
    await asyncio.sleep(0.01)
    event.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    if waiting.done():
        return
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_timeout_is_no_error() -> None:
    """It returns, and leaves nothing waiting."""
    before = asyncio.all_tasks()
    await asyncio.wait_for(wait_for_event(asyncio.Event(), 0.01), 20)
    await asyncio.sleep(0)
    assert before == asyncio.all_tasks()
