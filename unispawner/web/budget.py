"""A budget for each user: some of something at once, and then one at a time at a pace."""

from __future__ import annotations

import time
from collections.abc import Callable


class Budget:
    """Says whether a user may do something now.

    Parameters
    ----------
    at_once
        How often a user may do it at once, after a while without.
    pace
        After that, a user may do it once in so many seconds.
    clock
        The time in seconds.
    """

    def __init__(
        self, at_once: int, pace: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = at_once * pace
        self._pace = pace
        self._clock = clock
        self._spent_until: dict[str, float] = {}
        """When a user will have the whole budget again."""

    def take(self, user: str) -> bool:
        """Return whether a user may do it now; if so, it is taken from the budget."""
        now = self._clock()
        spent = {one: until for one, until in self._spent_until.items() if until > now}
        self._spent_until = spent
        until = max(spent.get(user, now), now) + self._pace
        if until - now > self._most:
            return False
        spent[user] = until
        return True
