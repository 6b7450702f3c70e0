"""When a job would start that is not submitted yet: the values that say so. Pure, without I/O.

Slurm is asked (:mod:`.slurm_estimate`); for other schedulers there is an estimate from the
inventory (:mod:`.free_room`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SOON = 60.0
"""A job that starts within so many seconds starts "now": schedulers act at intervals."""
LONG_WAIT = 300.0
"""How long (seconds) a wait must be until it is worth asking how the job would start sooner."""


class Outlook(str, Enum):
    """What is known about the start of a job.

    ``PERHAPS``: enough is free, but other jobs wait. ``NOT_NOW``: not enough is free, and nobody
    knows until when. ``REFUSED``: the scheduler says that it can't start such a job now.
    """

    NOW = "now"
    LATER = "later"
    PERHAPS = "perhaps"
    NOT_NOW = "not_now"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class StartEstimate:
    """When a job would start if it was submitted now.

    Attributes
    ----------
    outlook
        What is known.
    start
        The moment in seconds since the epoch, if the outlook is ``NOW`` or ``LATER`` and the
        scheduler named it.
    reason
        The scheduler's words, if the outlook is ``REFUSED``.
    by_inventory
        True if the scheduler was not asked about the job: this is our own estimate.
    """

    outlook: Outlook = Outlook.UNKNOWN
    start: float | None = None
    reason: str = ""
    by_inventory: bool = False

    @classmethod
    def at(cls, start: float, now: float) -> StartEstimate:
        """Return the estimate for a start at a moment."""
        return cls(Outlook.NOW if start - now <= SOON else Outlook.LATER, start)

    def wait(self, now: float) -> float | None:
        """Return how many seconds the job would wait; None if nobody knows.

        A job that can't start now waits without end as far as anybody knows.
        """
        if self.outlook is Outlook.NOW:
            return 0.0
        if self.outlook is Outlook.LATER and self.start is not None:
            return max(0.0, self.start - now)
        if self.outlook in (Outlook.NOT_NOW, Outlook.REFUSED):
            return float("inf")
        return None

    def waits_long(self, now: float) -> bool:
        """Return whether it is worth asking how the job would start sooner."""
        wait = self.wait(now)
        return wait is not None and wait > LONG_WAIT

    def is_much_sooner(self, other: StartEstimate, now: float) -> bool:
        """Return whether this start is so much earlier than another that a user wants to know."""
        mine, others = self.wait(now), other.wait(now)
        return mine is not None and others is not None and others - mine > LONG_WAIT
