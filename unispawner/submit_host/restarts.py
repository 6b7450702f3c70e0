"""When a broker is started again."""

from __future__ import annotations

import time

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""The pauses (seconds) before the broker is started again: the first one, and the longest one."""
SHORTEST_PAUSE, LONGEST_HURRY = 1.0, 15.0
"""The pauses (seconds) between attempts that users wait for: the first one, and the longest one.

They double, too, for all users together. Otherwise each user could have the submit host log the Hub
in once a second, and an account that is refused so often may be locked there.
"""
PATIENCE = 3
"""After so many attempts in a row without a greeting, requests no longer wait for the next one."""


class Restarts:
    """When the broker may be started again: the pauses double while it does not live long.

    Attributes
    ----------
    starts
        How often it has been started.
    """

    def __init__(self) -> None:
        self.starts = 0
        self._next = self._last = float("-inf")
        self._short_lives = self._failures = self._hurries = 0
        self._hurried = False

    @property
    def next_start(self) -> float:
        """When (time.monotonic) it may be started."""
        return self._next

    def is_hopeless(self, now: float) -> bool:
        """Return whether a request should not wait for the next attempt."""
        return now < self._next and self._failures >= PATIENCE and not self._hurried

    def note_start(self) -> None:
        """Take note of an attempt."""
        self.starts += 1
        now = time.monotonic()
        if now - self._last > LONGEST_PAUSE:
            self._hurries = 0
        self._hurries += self._hurried
        self._last = now

    def note_greeting(self) -> None:
        """Take note that the broker serves requests."""
        self._failures, self._hurried = 0, False

    def note_failure(self) -> None:
        """Take note that there is no broker, or none any more: the pause begins."""
        now = time.monotonic()
        if now - self._last > LONGEST_PAUSE:
            self._short_lives = 0
        self._next = now + min(FIRST_PAUSE * 2**self._short_lives, LONGEST_PAUSE)
        self._short_lives = min(self._short_lives + 1, 10)
        self._failures += 1
        self._hurried = False

    def hurry(self) -> None:
        """Cut the pause short, since a user waits; requests wait for what this attempt brings."""
        pause = min(SHORTEST_PAUSE * 2 ** min(self._hurries, 10), LONGEST_HURRY)
        self._next = min(self._next, self._last + pause)
        self._hurried = True
