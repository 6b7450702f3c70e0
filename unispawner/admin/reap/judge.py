"""Which jobs no server owns: a pure comparison of jobs with what the Hub knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from ...job import hub_of_mark, start_of_mark
from ...run_as.client import MarkedJob
from ...servers.starts import KnownStart, KnownStarts


class Kind(str, Enum):
    """What a job is for the Hub. Only an orphan is ever ended."""

    OWNED = "owned"
    ORPHAN = "orphan"
    YOUNG = "young"
    COPY = "copy"
    OLD_MARK = "old mark"
    UNCLEAR = "unclear"
    OTHER_HUB = "other hub"


MEANINGS = {
    Kind.ORPHAN: "no server owns it",
    Kind.YOUNG: "no server owns it, but its start began so late that it may be in progress",
    Kind.COPY: "its mark is that of a server with another job",
    Kind.OLD_MARK: "an older release submitted it, so it may be another Hub's",
    Kind.UNCLEAR: "its user's saved state can't be read, so it may be the job of a server",
}
"""How the report explains the kinds that it lists."""


@dataclass
class FoundJob:
    """A job that has a mark.

    Attributes
    ----------
    place, account
        The cluster's name, and the account that has the job.
    job
        The job.
    kind
        What it is for the Hub.
    result
        What became of ending it: empty, ``ended``, ``ending``, or why it was not ended.
    """

    place: str
    account: str
    job: MarkedJob
    kind: Kind = Kind.UNCLEAR
    result: str = ""


class Judge:
    """Compares jobs with the starts that the Hub knows.

    Parameters
    ----------
    known
        What the Hub has said after the jobs were listed.
    accounts
        The user of each account.
    now
        The time in seconds since the epoch.
    oldest
        How long (seconds) a start may be in progress.
    """

    def __init__(
        self, known: KnownStarts, accounts: dict[str, set[str]], now: float, oldest: float
    ) -> None:
        self._hub_id, self._now, self._oldest = known.hub_id, now, oldest
        self._starts: dict[str, list[KnownStart]] = {}
        for one in known.starts:
            self._starts.setdefault(one.mark, []).append(one)
        unreadable = set(known.unreadable)
        self._unreadable = {name for name, users in accounts.items() if users & unreadable}
        self._unreadable |= unreadable

    def judge(self, account: str, job: MarkedJob) -> Kind:
        """Return what a job is for the Hub."""
        if starts := self._starts.get(job.mark):
            owned = any(_is_job_of(one, account, job) for one in starts)
            return Kind.OWNED if owned else Kind.COPY
        hub_id = hub_of_mark(job.mark)
        if not hub_id:
            return Kind.OLD_MARK
        if hub_id != self._hub_id:
            return Kind.OTHER_HUB
        if account in self._unreadable:
            return Kind.UNCLEAR
        # A time in the future, after a change of the clock, is young as well.
        return Kind.ORPHAN if self._now - start_of_mark(job.mark) > self._oldest else Kind.YOUNG

    def judge_all(self, jobs: Iterable[FoundJob]) -> None:
        """Set the kind of each job."""
        for one in jobs:
            one.kind = self.judge(one.account, one.job)


def _is_job_of(start: KnownStart, account: str, job: MarkedJob) -> bool:
    """Return whether a job may be that of a start, of which the Hub may not know the id yet."""
    return start.account in ("", account) and start.job_id in ("", job.job_id)
