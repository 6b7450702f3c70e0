"""A job that the monitor follows, and that others wait for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from .. import tasks
from ..job import JobInfo, JobState
from ..run_as.client import AgentClient

log = logging.getLogger("JupyterHub.unispawner")  # with the Hub's own handlers


@dataclass(eq=False)
class TrackedJob:
    """A job that the monitor follows.

    Attributes
    ----------
    info
        The last that is known; None before the first answer.
    reported
        True once its server has reported where it listens.
    stopping
        True once its end has been asked for.
    cancelled
        True once the scheduler has taken that.
    being_reported
        True while a report is looked at: one at a time.
    reported_at, life
        When it was reported, and the start time of the run that did so, as the first answer to a
        question after that has it. Another start time is another run.
    on_change
        Called with the job and what was known before, after ``info`` has changed.
    """

    job_id: str
    client: AgentClient
    info: JobInfo | None = None
    reported: bool = False
    stopping: bool = False
    cancelled: bool = False
    being_reported: bool = False
    reported_at: float = float("-inf")
    life: float | None = None
    on_change: Callable[[TrackedJob, JobInfo | None], None] | None = None
    fast_until: float = 0.0
    _since: float = field(default_factory=time.monotonic)
    _missed: int = 0
    _hidden: bool = False
    _shown: bool = False
    _asked: float = float("-inf")
    _asking: bool = False
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def final(self) -> bool:
        """True if the job has ended for good."""
        return self.info is not None and self.info.state.final

    @property
    def over(self) -> bool:
        """True if the job has ended, or is being taken down after it was cancelled.

        On a node that is gone, a job that is taken down would stay so for ever.
        """
        return self.final or bool(self.cancelled and self.info and self.info.ending)

    @property
    def fast(self) -> bool:
        """True while somebody waits for the job to start, to report, or to stop."""
        running = self.info is not None and self.info.state is JobState.RUNNING
        return (
            self.stopping
            or (running and not self.reported and not (self.info and self.info.ending))
            or time.monotonic() < self.fast_until
        )

    async def wait_change(self, seconds: float | None = None) -> None:
        """Return when something has changed, or after that many seconds."""
        await tasks.wait_for_event(self._changed, seconds)

    def notify(self) -> None:
        """Wake everyone in :meth:`wait_change`."""
        self._changed.set()
        self._changed = asyncio.Event()

    def update(self, info: JobInfo, asked: float) -> None:
        """Take what a scheduler told when it was asked at that moment; tell others if it is new."""
        info = replace(info, message=_short(info.message), native_state=_short(info.native_state))
        before, self.info, self._missed = self.info, info, 0
        if self.reported and self.life is None and asked > self.reported_at:
            self.life = info.start_time
        if info != before:
            self.notify()
            if self.on_change is not None:
                try:
                    self.on_change(self, before)
                except Exception:  # a locked database must not end the monitor
                    log.exception("Job %s has changed, and that could not be followed", self.job_id)


def _short(text: str) -> str:
    """Return foreign text as one line of a log or a page: users have a hand in some of it."""
    return " ".join(text.split())[:1000]
