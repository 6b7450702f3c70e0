"""What the monitor notes about one job."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from ..job import JobInfo, JobState
from .tracked_job import TrackedJob

NEW_SECONDS = 3.0
"""How long (seconds) after its submission a job may be about to begin."""


@dataclass(eq=False)
class Followed:
    """The monitor's own notes about a job that it follows.

    Attributes
    ----------
    since
        When the monitor began to follow the job. All moments are of time.monotonic.
    begun_at
        When something began that no launcher reports: the job's submission, or its end; None if
        nothing did.
    starting_until
        Until when the job counts as one that has just been submitted.
    wanted_at
        When somebody asked for news of this job that has not come yet; None if nobody waits for it.
    missed
        How many good answers in a row have lacked the job.
    listed
        True once an answer about all jobs had the job.
    unread
        True if the last answer names the job in a line that can't be read. Nothing is known of it
        then; as its user may know more, it is asked for by id like a job that is missing.
    hidden
        True if the scheduler shows the job to its own user and not to the Hub.
    asking
        True while the scheduler is asked for this job by id, as its user.
    asked_at
        When the last such question ended.
    confirmed_host
        The host that the last answer about this job alone named; empty if it named none.
    """

    job: TrackedJob
    since: float = field(default_factory=time.monotonic)
    begun_at: float | None = None
    starting_until: float = float("-inf")
    wanted_at: float | None = None
    missed: int = 0
    listed: bool = False
    unread: bool = False
    hidden: bool = False
    asking: bool = False
    asked_at: float = float("-inf")
    confirmed_host: str = ""

    @property
    def urgent(self) -> bool:
        """True while somebody waits for the job to start, to report, or to stop."""
        return self.job.awaited or time.monotonic() < self.starting_until

    def is_new(self, now: float) -> bool:
        """Return whether the job was submitted a moment ago and nothing is known of it yet."""
        recently = self.begun_at is not None and now < self.begun_at + NEW_SECONDS
        known = self.job.info is not None or self.job.has_begun or self.wanted_at is not None
        return recently and not known

    @property
    def may_change_since(self) -> float | None:
        """When the job was submitted, or began to be ended, if that may still change its state
        without a report of the launcher's; otherwise None."""
        info = self.job.info
        waits = info is None or info.state in (JobState.QUEUED, JobState.HELD)
        return self.begun_at if waits or self.job.stopping else None

    def decides_next_question(self, now: float) -> bool:
        """Return whether the time of the next question depends on this job."""
        wanted = self.wanted_at is not None
        return wanted or self.is_new(now) or self.may_change_since is not None

    @property
    def expected(self) -> bool:
        """True if the answers about all jobs should have this job."""
        return not (self.hidden or self.unread or self.job.stopping)

    @property
    def host(self) -> str:
        """The host on which the job runs, as far as it is known; else empty."""
        return self.job.info.exec_host if self.job.info else ""

    def believe(self, info: JobInfo) -> JobInfo | None:
        """Return what counts at once of a row that users may have forged; None if nothing does.

        A new host, the job's end, and what would take its route from a server or end the job, count
        only when an answer about the job alone confirms them. A job that had another host keeps it
        until then, so that its move is noticed.
        """
        if info.state.final or _takes_away(self.job.info, info):
            return None
        if info.exec_host in ("", self.confirmed_host):
            return info
        return None if self.host else replace(info, exec_host="")

    def update(self, info: JobInfo, asked_at: float, *, claimed_host: str = "") -> None:
        """Take over an answer that has the job."""
        self.missed = 0
        self.job.claimed_host = claimed_host
        self.job.update(info, asked_at)


def _takes_away(before: JobInfo | None, now: JobInfo) -> bool:
    """Return whether news of a job would end it, or take the route from its server."""
    if before is None:
        return now.stuck
    waits = before.state is JobState.RUNNING and now.state in (JobState.QUEUED, JobState.HELD)
    anew = before.start_time is not None and now.start_time not in (None, before.start_time)
    given_up = now.stuck and not before.stuck
    return waits or anew or given_up or (now.ending and not before.ending)
