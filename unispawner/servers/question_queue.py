"""A queue of questions that cost a scheduler's time: few at a time, and one of each user.

Of each user only the newest question waits: who types on does not want to know about the choice
before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ..web.allowance import AllowanceByUser

AT_ONCE = 2
"""How many questions may be under way at a time, whoever asks."""
MOST_WAITING = 200
"""How many users may wait."""
AT_FIRST = 12
"""How many questions a user may ask at once, after a while without any."""
LONGEST_TURN = 5.0
"""How long (seconds) a question keeps others waiting: one that hangs, perhaps in a user's home,
costs the scheduler nothing. It goes on, and its user has no other one meanwhile."""
PAUSE = 5.0
"""After these, a user may ask a question every so many seconds."""


class QuestionQueue:
    """Says who may ask now.

    Parameters
    ----------
    at_once
        How many questions may be under way at a time.
    clock
        The time in seconds.
    """

    def __init__(self, at_once: int = AT_ONCE, clock: Callable[[], float] = time.monotonic) -> None:
        self._free = at_once
        self._allowance = AllowanceByUser(AT_FIRST, PAUSE, clock)
        self._busy: dict[str, asyncio.TimerHandle] = {}
        """Who has a question under way, with what gives the turn to others while it goes on."""
        self._waiting: dict[str, asyncio.Future[bool]] = {}

    async def enter(self, user: str, patience: float) -> bool:
        """Return True when it is the user's turn; then :meth:`leave` must follow.

        Return False if the user asks too often, or asks something newer meanwhile, or if the turn
        does not come within ``patience`` seconds.
        """
        self._drop(user)
        if len(self._waiting) >= MOST_WAITING or not self._allowance.take(user):
            return False
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[user] = place
        self._call_next()
        try:
            await asyncio.wait({place}, timeout=patience)
        except asyncio.CancelledError:
            if place.done() and place.result():
                self.leave(user)
            raise
        finally:
            if self._waiting.get(user) is place:
                del self._waiting[user]
        return place.done() and place.result()

    def leave(self, user: str, rest: float = 0.0) -> None:
        """End a turn; nobody else has it for ``rest`` seconds, unless it was given on before."""
        given_on = self._busy.pop(user)
        if given_on.when() <= asyncio.get_running_loop().time():
            self._call_next()
            return
        given_on.cancel()
        if rest > 0:
            asyncio.get_running_loop().call_later(rest, self._return_turn)
        else:
            self._return_turn()
        self._call_next()

    def _return_turn(self) -> None:
        self._free += 1
        self._call_next()

    def _drop(self, user: str) -> None:
        place = self._waiting.pop(user, None)
        if place is not None and not place.done():
            place.set_result(False)

    def _call_next(self) -> None:
        for user, place in list(self._waiting.items()):
            if self._free <= 0:
                return
            if user not in self._busy:
                del self._waiting[user]
                self._free -= 1
                loop = asyncio.get_running_loop()
                self._busy[user] = loop.call_later(LONGEST_TURN, self._return_turn)
                place.set_result(True)
