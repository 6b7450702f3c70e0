"""Background tasks that somebody owns: held until done, their failures logged, never swallowed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from .errors import UniSpawnerError

log = logging.getLogger("JupyterHub.unispawner")  # with the Hub's own handlers

_running: set[asyncio.Task[Any]] = set()


def start(work: Coroutine[Any, Any, Any], what: str) -> asyncio.Task[Any]:
    """Start work in the background and hold it until it is done.

    What it raises is logged with ``what``. JupyterHub cancels and awaits every task when it ends.
    """
    task = asyncio.get_running_loop().create_task(work, name=f"unispawner: {what}")
    _running.add(task)
    task.add_done_callback(_done)
    return task


async def wait_for_event(event: asyncio.Event, seconds: float | None) -> None:
    """Return when an event is set, or after that many seconds.

    Not by ``asyncio.wait_for``: before Python 3.12 it swallows a cancellation that comes together
    with the event, and JupyterHub, which cancels a start once when its time is up, would wait for
    ever.
    """
    waiter = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({waiter}, timeout=seconds)
    finally:
        waiter.cancel()


def _done(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if task.cancelled() or (error := task.exception()) is None:
        return
    if isinstance(error, UniSpawnerError):  # it says all there is to say
        log.warning("%s failed: %s", task.get_name(), error)
    else:
        log.error("%s failed: %s", task.get_name(), error, exc_info=error)
