"""Hands what a thread has found over to the event loop in which somebody waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Generic, TypeVar

T = TypeVar("T")


class ThreadResult(Generic[T]):
    """One result, or one error, for the event loop that runs where this is made.

    ``await result.future`` waits for it; :meth:`deliver` may be called from any thread.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self._loop.create_future()

    def deliver(self, result: T | None, error: BaseException | None = None) -> None:
        """Deliver the result or, if there is one, the error."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, so that nobody waits
            self._loop.call_soon_threadsafe(self._settle, result, error)

    def _settle(self, result: T | None, error: BaseException | None) -> None:
        if self.future.done():
            return  # cancelled meanwhile
        if error is not None:
            self.future.set_exception(error)
        elif result is not None:
            self.future.set_result(result)
