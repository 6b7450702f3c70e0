"""How often something may be done: some times at once, and later at a steady pace."""

from __future__ import annotations

import time
from collections.abc import Callable


class Allowance:
    """Counts how often one user, or one server, has done something.

    Parameters
    ----------
    at_once
        How often it may be done without a pause.
    pause
        After that, it may be done once in so many seconds.
    clock
        Returns the time in seconds, from any beginning.
    """

    def __init__(
        self, at_once: int, pause: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._pause, self._clock = float(at_once), pause, clock
        self._left, self._since = self._most, clock()

    def take(self) -> bool:
        """Return whether it may be done once more now; if so, it counts as done."""
        self._refill()
        if self._left < 1:
            return False
        self._left -= 1
        return True

    @property
    def is_whole(self) -> bool:
        """Whether it was not done for so long that nothing has to be remembered."""
        self._refill()
        return self._left >= self._most

    def _refill(self) -> None:
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._since) / self._pause)
        self._since = now


class AllowanceByUser:
    """An allowance for each user. The parameters are those of :class:`Allowance`."""

    def __init__(
        self, at_once: int, pause: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._at_once, self._pause, self._clock = at_once, pause, clock
        self._by_user: dict[str, Allowance] = {}

    def take(self, user: str) -> bool:
        """Return whether a user may do it once more now; if so, it counts as done."""
        self._by_user = {name: one for name, one in self._by_user.items() if not one.is_whole}
        if user not in self._by_user:
            self._by_user[user] = Allowance(self._at_once, self._pause, self._clock)
        return self._by_user[user].take()
