"""A job as its server knows it: the scheduler's last answer, and waiting for the next change."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from .. import tasks
from ..job import JobInfo, JobState
from ..run_as.client import AgentClient

log = logging.getLogger("JupyterHub.unispawner")  # with the Hub's own handlers


@dataclass(frozen=True)
class SlowStart:
    """What is known of a job that runs for a while and whose server has not reported yet.

    Attributes
    ----------
    seconds, limit
        How long the job has run, and how long it may run without a report.
    log_end
        The last lines of the job's log.
    """

    seconds: int
    limit: int
    log_end: str = ""


@dataclass(eq=False)
class TrackedJob:
    """A job that the monitor follows. The monitor updates it; its server reads it and waits for it.

    What the monitor notes for itself is in :class:`.followed.Followed`.

    Attributes
    ----------
    info
        What the scheduler has said last about the job; None before the first answer.
    reported
        True once its server has reported where it listens.
    had_server
        True once its server has reported, until the job is run again: its address may be dropped
        before the scheduler says that it has ended.
    stopping
        True once somebody has asked for its end.
    cancelled
        True once the scheduler has accepted the cancellation.
    being_reported
        True while a report is checked: only one is checked at a time.
    has_begun
        True from the job's own report that it runs until the scheduler has answered.
    server_ended
        True from the job's own report that its server has ended until another server reports.
    server_status
        The exit status in that report; None if it has none.
    refusal
        Why the last report was not accepted, in words for its user; empty if it was, or none came.
    slow_start
        Why its user still waits while it runs; None at first, and while it does not run.
    misfit
        Why it can never start, by what is known of the cluster; empty if nothing says so.
    reported_at, run_start
        When the server reported (time.monotonic), and the start time of the run that reported, as
        the first answer to a later question gives it. Another start time means another run.
    asked_at
        When the question was asked (time.monotonic) whose answer is ``info``.
    claimed_host
        The host of a running job that only its user's side names, although the scheduler does not
        say that it hides jobs: only a report that comes from that host counts.
    on_change
        Called with the job and its previous ``info`` after ``info`` or ``run_start`` has changed.
    """

    job_id: str
    client: AgentClient
    info: JobInfo | None = None
    reported: bool = False
    had_server: bool = False
    stopping: bool = False
    cancelled: bool = False
    being_reported: bool = False
    has_begun: bool = False
    server_ended: bool = False
    server_status: int | None = None
    refusal: str = ""
    slow_start: SlowStart | None = None
    misfit: str = ""
    reported_at: float = float("-inf")
    run_start: float | None = None
    asked_at: float = float("-inf")
    claimed_host: str = ""
    on_change: Callable[[TrackedJob, JobInfo | None], None] | None = None
    _begun_at: float = float("-inf")
    _changed: asyncio.Event | None = None

    @property
    def final(self) -> bool:
        """True if the job has ended for good."""
        return self.info is not None and self.info.state.final

    @property
    def over(self) -> bool:
        """True if the job has ended, or if it was cancelled and the scheduler is taking it down.

        On a node that is gone, a job would stay in the state of being taken down for ever.
        """
        return self.final or bool(self.cancelled and self.info and self.info.ending)

    @property
    def ended_in_order(self) -> bool:
        """True if the job has ended and there is nothing to explain to its user.

        If it is only gone, the scheduler may have lost it. Then its server itself must have
        reported that it has ended with status 0.
        """
        if self.info is None or self.info.state is not JobState.COMPLETED:
            return False
        return bool(self.info.native_state) or (self.server_ended and self.server_status == 0)

    @property
    def awaited(self) -> bool:
        """True while somebody waits for the job's end, or for its server's report."""
        info = self.info
        starts = info is not None and info.state is JobState.RUNNING and not info.ending
        return self.stopping or (starts and not self.reported)

    async def wait_change(self, seconds: float | None = None) -> None:
        """Return when something has changed, or after that many seconds."""
        if self._changed is None:  # most jobs run, and nobody waits for them
            self._changed = asyncio.Event()
        await tasks.wait_for_event(self._changed, seconds)

    def notify(self) -> None:
        """Wake everybody who waits in :meth:`wait_change`."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def note_begin(self) -> None:
        """Take note that the job itself says that it runs."""
        self.has_begun, self._begun_at = True, time.monotonic()
        self.notify()

    def note_server_end(self, status: int | None = None) -> None:
        """Take note that the job itself says that its server has ended, and how."""
        self.server_ended, self.server_status = True, status
        self.notify()

    def note_refusal(self, why: str) -> None:
        """Take note that a report was not accepted: the user's page shows why."""
        if why != self.refusal:
            self.refusal = why
            self.notify()

    def update(self, info: JobInfo, asked_at: float) -> None:
        """Take over a scheduler's answer, and notify others if it is news.

        Parameters
        ----------
        asked_at
            When the scheduler was asked (time.monotonic).
        """
        message, native_state = _one_line(info.message), _one_line(info.native_state)
        if (message, native_state) != (info.message, info.native_state):
            info = replace(info, message=message, native_state=native_state)
        before, self.info, self.asked_at = self.info, info, asked_at
        known_run = self.run_start
        if asked_at >= self._begun_at:
            self.has_begun = False
        if self.reported and self.run_start is None and asked_at > self.reported_at:
            self.run_start = info.start_time
        if info == before and self.run_start == known_run:
            return
        if info.state is not JobState.RUNNING or (before and before.exec_host != info.exec_host):
            self.refusal = ""  # it was about an earlier run
        if info.state in (JobState.QUEUED, JobState.HELD):
            self.had_server = False
        self.notify()
        if self.on_change is not None:
            try:
                self.on_change(self, before)
            except Exception:  # a locked database must not end the monitor
                log.exception("Job %s: its change of state could not be handled", self.job_id)


def _one_line(text: str) -> str:
    """Return foreign text as one short line for logs and pages: users can write some of it."""
    return " ".join(text.split())[:1000]
