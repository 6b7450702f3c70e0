"""Background tasks that somebody owns: held until done, their failures logged, never swallowed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("unispawner")

_running: set[asyncio.Task[Any]] = set()


def start(work: Coroutine[Any, Any, Any], what: str) -> asyncio.Task[Any]:
    """Start work in the background and hold it until it is done.

    What it raises is logged with ``what``. JupyterHub cancels and awaits every task when it ends.
    """
    task = asyncio.get_running_loop().create_task(work, name=f"unispawner: {what}")
    _running.add(task)
    task.add_done_callback(_done)
    return task


def _done(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s failed: %s", task.get_name(), error, exc_info=error)
