"""Turns for questions to a scheduler as its users: some at a time, and none keeps others waiting.

Such a question runs on its user's side, and may hang there, perhaps in the user's home.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

LONGEST_TURN = 10.0
"""How long (seconds) a question keeps other users waiting. One that takes longer goes on without
its turn; whoever asks sees to it that a user has one question at a time."""


class Turns:
    """The turns of all users.

    Parameters
    ----------
    at_once
        How many there are at a time.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._free: tuple[asyncio.AbstractEventLoop, asyncio.Semaphore] | None = None

    @contextlib.asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Hold one of the turns, but not for long."""
        free = self._of_loop()
        with contextlib.ExitStack() as held:
            await free.acquire()
            held.callback(free.release)
            over = asyncio.get_running_loop().call_later(LONGEST_TURN, held.close)
            held.callback(over.cancel)
            yield

    def _of_loop(self) -> asyncio.Semaphore:
        """Return the semaphore of the running event loop."""
        loop = asyncio.get_running_loop()
        if self._free is None or self._free[0] is not loop:
            self._free = loop, asyncio.Semaphore(self._at_once)
        return self._free[1]
