"""What a job has used, from its scheduler's accounting after its end.

Each scheduler answers this question in :meth:`.base.Scheduler.usage`, and the user's own side asks
it. Whatever can't be known is None, and nothing depends on it: it is for the user's eyes.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from ..units import MEMORY_UNITS

CAUSES = ("time_limit", "memory", "limit", "preempted", "cancelled", "node")
"""Why a job has ended before its time: it reached its time limit, used too much memory, or reached
one of several limits, of which the scheduler does not say which one; it had to make room for
another job; somebody cancelled it; its node failed."""
_CLOCKS = 300.0
"""By how many seconds the clocks of the Hub and of the scheduler may differ."""
_SAME = 5.0
"""By how many seconds two answers of one scheduler about one start may differ."""


@dataclass(frozen=True)
class EndedJob:
    """A job whose usage is asked for. Its id alone may also be another job's.

    Attributes
    ----------
    job_id, owner, mark
        The scheduler's id, the account, and the mark; empty if the job has no mark.
    submitted, ended
        When the Hub submitted it and saw it end, in seconds since the epoch.
    started
        When its last run began, in the scheduler's words; None if that is not known.
    """

    job_id: str
    owner: str
    mark: str = ""
    submitted: float = 0.0
    ended: float = 0.0
    started: float | None = None

    def is_run(self, owner: str, started: float | None) -> bool:
        """Return whether a record of the accounting is about the last run of this job.

        Schedulers give the id of an old job to a new one, maybe of somebody else, and have a record
        for each run of a job that was run again.
        """
        if owner != self.owner or started is None:
            return False
        if self.started is not None and started < self.started - _SAME:
            return False
        return self.submitted - _CLOCKS <= started <= self.ended + _CLOCKS


@dataclass(frozen=True)
class Usage:
    """What a job has used.

    Attributes
    ----------
    seconds
        For how long its last run ran.
    cpu_seconds
        The processor time of all its processes.
    memory
        The most memory, in bytes, that it had at a time.
    gpus
        How many GPUs it kept busy, on average: 0.5 is half of one GPU.
    gpu_memory
        The most memory of its GPUs, in bytes.
    cause
        Why it has ended, one of ``CAUSES``; empty if the accounting does not say that.
    """

    seconds: float | None = None
    cpu_seconds: float | None = None
    memory: int | None = None
    gpus: float | None = None
    gpu_memory: int | None = None
    cause: str = ""

    @property
    def cores(self) -> float | None:
        """How many cores it kept busy, on average; None if that is not known."""
        if self.cpu_seconds is None or not self.seconds:
            return None
        return self.cpu_seconds / self.seconds


@dataclass(frozen=True)
class Accounting:
    """An answer of the accounting.

    Attributes
    ----------
    usage
        What the job has used; None if there is no record of it yet.
    kept
        False if the site has no accounting that a user could ask, so that nobody need ask again.
    """

    usage: Usage | None = None
    kept: bool = True


NO_ACCOUNTING = Accounting(kept=False)
NOT_YET = Accounting()
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?([KMGTP]?)(?:B|bytes)?", re.ASCII)


def read_size(text: str) -> int | None:
    """Return the bytes of ``318440K``, ``309.793MB`` or ``2.5 Gbytes``; None for 0 and other text.

    All units are binary.
    """
    found = _SIZE.fullmatch(text)
    return (int(float(found[1]) * MEMORY_UNITS.get(found[2], 1)) or None) if found else None


def clean(usage: Usage) -> Usage:
    """Return a usage without numbers that no job can have: they may be a user's own inventions."""
    return replace(
        usage,
        seconds=_amount(usage.seconds),
        cpu_seconds=_amount(usage.cpu_seconds),
        memory=_whole(usage.memory),
        gpus=_amount(usage.gpus),
        gpu_memory=_whole(usage.gpu_memory),
        cause=usage.cause if usage.cause in CAUSES else "",
    )


def _amount(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) and 0 <= value < 2**40 else None


def _whole(value: int | None) -> int | None:
    return value if value is not None and 0 < value < 2**53 else None
