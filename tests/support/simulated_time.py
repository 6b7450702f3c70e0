"""An event loop whose time is simulated: nothing waits, and the hour of a timeout takes no time.

When every task waits, the clock goes to the moment of the next timer at once. So a test of days
takes milliseconds, and a loaded machine changes nothing.
"""

from __future__ import annotations

import asyncio
import contextvars
import selectors
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

Result = TypeVar("Result")

EPOCH = 1_800_000_000.0
"""When simulated time begins, in seconds since the epoch."""


class Clock:
    """The time. While it is installed, it is the time of the whole process."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self._real = time.monotonic, time.time

    def install(self) -> None:
        """Replace the functions of the module ``time`` that the Hub and asyncio use."""
        time.monotonic = lambda: self.now
        time.time = lambda: EPOCH + self.now

    def uninstall(self) -> None:
        """Bring the real functions back."""
        time.monotonic, time.time = self._real


class Process:
    """What runs in one simulated process: its tasks and timers, which end when it is killed."""

    def __init__(self) -> None:
        self.dead = False
        self.tasks: set[asyncio.Task[Any]] = set()


PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("PROCESS", default=None)
"""The process that the running code belongs to; None for the world around it."""


class _Selector(selectors.DefaultSelector):
    """Lets time pass instead of waiting."""

    clock: Clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if events := super().select(0):
            return events
        if timeout is None:
            raise RuntimeError("every task waits, and there is no timer: this would hang for ever")
        self.clock.now += max(0.0, timeout)
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """The loop of the world and of all simulated processes."""

    def __init__(self, clock: Clock) -> None:
        selector = _Selector()
        selector.clock = clock
        self.clock = clock
        super().__init__(selector)
        self.set_task_factory(_make_task)  # type: ignore[arg-type] # of any release of Python

    def time(self) -> float:
        return self.clock.now

    def run_in_executor(  # type: ignore[override] # a future is all that anybody needs
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run the function at once: a thread would take real time."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # raised where somebody awaits it
            future.set_exception(error)
        return future

    def run_as(
        self, process: Process | None, work: Coroutine[Any, Any, Result]
    ) -> asyncio.Task[Result]:
        """Start a task that belongs to a process, with all that it starts itself."""
        context = contextvars.Context()
        context.run(PROCESS.set, process)
        return context.run(self.create_task, work)

    def kill(self, process: Process) -> None:
        """End all that runs in a process, while nothing else happens.

        Its tasks are cancelled, which a real process would not notice: so nothing outside the
        process may listen to it from now on. Who simulates something checks ``Process.dead``.
        """
        process.dead = True
        for _ in range(200):
            for timer in list(self._scheduled):  # type: ignore[attr-defined] # asyncio's
                if timer._context.get(PROCESS) is process:
                    timer.cancel()
            if not process.tasks:
                return
            for task in list(process.tasks):
                task.cancel()
            self.call_soon(self.stop)  # one turn
            self.run_forever()
        raise RuntimeError(f"tasks that can't be cancelled: {process.tasks}")


def _make_task(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **more: Any
) -> asyncio.Task[Any]:
    task = asyncio.Task(work, loop=loop, **more)
    context = more.get("context")
    process = context.get(PROCESS) if context is not None else PROCESS.get()
    if process is not None:
        process.tasks.add(task)
        task.add_done_callback(process.tasks.discard)
    return task
