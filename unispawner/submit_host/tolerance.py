"""What a broker may send without having been asked: one that floods its connection loses it."""

from __future__ import annotations

import time

from .broker_process import BrokenConnection

FRAMES = 100
BYTES = 32 * 1024**2
"""How many frames, with how many bytes, may come within a minute that answer no request."""
ERROR_BYTES = 1024**2
"""How many bytes a broker may print to standard error within a minute."""
LOGGED_BYTES = 16 * 1024
"""How many bytes of what brokers have printed go to the log within a minute."""


class PerMinute:
    """An amount that may be used up within a minute."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._used, self._since = 0, float("-inf")

    def take(self, amount: int = 1) -> bool:
        """Use some of it; return whether that much was left."""
        now = time.monotonic()
        if now >= self._since + 60.0:
            self._used, self._since = 0, now
        self._used += amount
        return self._used <= self.most


class Tolerance:
    """Counts what comes from the brokers of one connection."""

    def __init__(self) -> None:
        self._logged = PerMinute(LOGGED_BYTES)
        self.renew()

    def renew(self) -> None:
        """Begin anew with another broker: only the log still has the old limit."""
        self._frames, self._bytes = PerMinute(FRAMES), PerMinute(BYTES)
        self._errors = PerMinute(ERROR_BYTES)

    def take_unasked(self, size: int) -> None:
        """Count a frame that answers no request.

        Raises
        ------
        BrokenConnection
            If there were too many within a minute.
        """
        if not (self._frames.take() and self._bytes.take(size)):
            raise BrokenConnection(
                f"it sent more than {FRAMES} frames or {BYTES} bytes within a minute that answer "
                "no request. Only something else than our broker does that: look what runs there"
            )

    def take_errors(self, size: int) -> None:
        """Count what was printed to standard error.

        Raises
        ------
        BrokenConnection
            If it was too much within a minute.
        """
        if not self._errors.take(size):
            raise BrokenConnection(
                f"it printed more than {ERROR_BYTES} bytes to standard error within a minute"
            )

    def may_log(self, text: str) -> bool:
        """Return whether a text of a broker's may still go to the log."""
        return self._logged.take(len(text))
