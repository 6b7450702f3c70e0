"""When the scheduler is asked: for the list of all jobs, and for a single job.

The launchers report that jobs begin, are ready and end, so the list of all jobs is asked for
seldom. It is asked for more often only while something may happen that no launcher reports: for a
while after a submission, because a job may fail in the queue, and while a job is being ended.

Nothing here reads a clock: callers say what time it is (time.monotonic).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from .followed import Followed

FAST_INTERVAL = 1.0
"""Seconds until the second question after something has begun; from then on, they double."""
SINGLE_INTERVAL = 1.0
"""The shortest time (seconds) between two questions for single jobs."""
LARGEST_SHARE = 0.1
"""The largest part of the time that queries may take: a slow scheduler is asked less often."""
LARGEST_SHARE_OF_FAILURES = 0.5
"""The same for queries that failed.

It is larger, because a query that ran out of time says nothing about how long the next one will
take, and twenty starts may wait for that one.
"""
GATHER = 1.0
"""How long (seconds) a question for all jobs waits for jobs that are about to begin.

Whoever comes too late for it waits for the next one, which ``min_query_interval`` holds back.
"""


@dataclass(frozen=True)
class Question:
    """The next question, and when to ask it; ``about`` is None if it is for all jobs."""

    at: float
    about: Followed | None = None


@dataclass
class _Pace:
    """When the last question of one kind was asked, and when the next one may be."""

    asked_at: float = float("-inf")
    next_at: float = float("-inf")

    def note(self, began: float, ended: float, least: float, share: float) -> None:
        self.asked_at = began
        self.next_at = began + max(least, (ended - began) / share)


@dataclass
class Rhythm:
    """Decides what is asked next, and when.

    Attributes
    ----------
    status_interval
        Seconds between questions for all jobs when nothing starts or stops.
    min_query_interval
        The shortest time (seconds) between two questions for all jobs.
    failures
        How many questions for all jobs have failed in a row.
    """

    status_interval: float = 15.0
    min_query_interval: float = 2.0
    failures: int = 0
    _hurried: bool = False
    _all: _Pace = field(default_factory=_Pace)
    _single: _Pace = field(default_factory=_Pace)

    def hurry(self) -> None:
        """Have all jobs asked for as soon as that is allowed."""
        self._hurried = True

    def note_all(self, began: float, ended: float, *, failed: bool, arrived: bool = True) -> None:
        """Take note of a question for all jobs.

        Parameters
        ----------
        arrived
            False if it has failed before it reached the scheduler, because there is no connection
            to the submit host: then its time says nothing about the scheduler.
        """
        self.failures = min(self.failures + 1, 10) if failed else 0
        share = LARGEST_SHARE_OF_FAILURES if failed else LARGEST_SHARE
        began = began if arrived else ended
        self._all.note(began, ended, max(FAST_INTERVAL, self.min_query_interval), share)

    def begin_all(self) -> None:
        """Take note that all jobs are being asked for: who hurries now wants another."""
        self._hurried = False

    def note_single(self, began: float, ended: float) -> None:
        """Take note of a question for a single job."""
        self._single.note(began, ended, SINGLE_INTERVAL, LARGEST_SHARE)

    def next_question(self, now: float, jobs: Collection[Followed]) -> Question:
        """Return what is asked next, and when: at a moment that has passed, ask at once.

        A job that somebody wants to know about is asked for alone, if that is possible earlier than
        a question for all jobs, or if there is only one such job.
        """
        wanted = [one for one in jobs if one.wanted_at is not None]
        due = self._all.next_at
        new = [one.begun_at for one in jobs if one.begun_at is not None and one.is_new(now)]
        if not (self._hurried or wanted):
            first_look = min(new) + FAST_INTERVAL if new else due
            due = max(due, first_look, self._all.asked_at + self.interval(jobs))
        elif new and not self._hurried:
            due = max(due, min(one.wanted_at or 0.0 for one in wanted) + GATHER)
        if wanted and not self.failures:
            first = min(wanted, key=lambda one: one.wanted_at or 0.0)
            alone = max(now, self._single.next_at)
            together = max(now, due)
            if alone < together or (alone == together == now and self._only(wanted)):
                return Question(alone, first)
        return Question(due)

    def _only(self, wanted: Collection[Followed]) -> bool:
        return len(wanted) == 1 and not self._hurried

    def interval(self, jobs: Collection[Followed]) -> float:
        """Return the seconds between the last and the next question for all jobs.

        It is as long as the time from the beginning of what is going on to the last question.
        """
        beginnings = [one.may_change_since for one in jobs if one.may_change_since is not None]
        if not beginnings:
            return self.status_interval
        soon = max(FAST_INTERVAL, self._all.asked_at - max(beginnings))
        if self.failures:
            soon = max(soon, FAST_INTERVAL * 2**self.failures)
        return min(self.status_interval, soon)
