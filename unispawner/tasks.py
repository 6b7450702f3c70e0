"""Background tasks, and threads for questions that may hang.

Each task is kept until it is done, and its failure goes to the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from .errors import UniSpawnerError

log = logging.getLogger("JupyterHub.unispawner")  # a child of the Hub's logger: its handlers serve

_running: set[asyncio.Task[Any]] = set()
"""The tasks that are not done: asyncio itself keeps only weak references to tasks."""


def start(work: Coroutine[Any, Any, Any], what: str) -> asyncio.Task[Any]:
    """Start a coroutine in the background and return its task.

    If it raises, the log has a line that begins with ``what``. When JupyterHub shuts down, it
    cancels and awaits every task.
    """
    task = asyncio.get_running_loop().create_task(work, name=f"unispawner: {what}")
    _running.add(task)
    task.add_done_callback(_log_failure)
    return task


async def wait_for_event(event: asyncio.Event, seconds: float | None) -> None:
    """Return when an event is set, or after that many seconds; None waits without limit.

    ``asyncio.wait_for`` would not do: before Python 3.12 it loses a cancellation that comes at the
    same moment as the event. JupyterHub cancels a start only once, when its time is up, and would
    then wait for ever.
    """
    waiter = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({waiter}, timeout=seconds)
    finally:
        waiter.cancel()


class Turnstile:
    """Lets many tasks go on a few at a time, and the event loop do something else in between.

    After a restart thousands of tasks are ready at once. Each would take its short time in the same
    turn of the event loop, and nobody would get an answer meanwhile.

    Parameters
    ----------
    at_a_time
        How many tasks go on in one turn of the event loop.
    """

    def __init__(self, at_a_time: int) -> None:
        self.at_a_time = at_a_time
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def wait(self) -> None:
        """Return when it is the caller's turn: callers go on in the order in which they came."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop or not self._waiting:
            self._loop = loop  # those who waited in a loop that has ended wait no more
            self._waiting.clear()
            loop.call_soon(self._release)
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _release(self) -> None:
        for _ in range(min(self.at_a_time, len(self._waiting))):
            turn = self._waiting.popleft()
            if not turn.done():  # its task may have been cancelled
                turn.set_result(None)
        if self._waiting and self._loop is not None:
            self._loop.call_soon(self._release)


def _log_failure(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if task.cancelled() or (error := task.exception()) is None:
        return
    if isinstance(error, UniSpawnerError):  # its message is enough, without a traceback
        log.warning("%s failed: %s", task.get_name(), error)
    else:
        log.error("%s failed: %s", task.get_name(), error, exc_info=error)


class Questions:
    """Threads for questions that may hang: at most one at a time for each who asks.

    A question about a name that a user has made up may take long, and its thread can't be stopped.
    A job that reports such names must take no second thread, or soon nobody would get an answer.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._threads = ThreadPoolExecutor(threads, name)
        self._open: dict[str, tuple[str, Future[Any]]] = {}

    async def ask(
        self, question: Callable[[str], Any], about: str, asker: str, seconds: float
    ) -> Any:
        """Return the answer to a question about a name.

        Raises
        ------
        asyncio.TimeoutError
            If it takes too long, or an earlier question of the same asker still does.
        """
        self._open = {one: entry for one, entry in self._open.items() if not entry[1].done()}
        if asker not in self._open:
            self._open[asker] = about, self._threads.submit(question, about)
        name, work = self._open[asker]
        if name != about:
            raise asyncio.TimeoutError
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(work)), seconds)
