"""Ends a command's work by a signal in such a way that what it has started can be stopped."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def cancelled_by_signals(
    task: asyncio.Future[Any], numbers: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)
) -> Iterator[None]:
    """Cancel a task by SIGINT and SIGTERM; later signals do nothing until this is left."""
    loop = asyncio.get_running_loop()
    for number in numbers:
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
