"""How long a job may run until its server is up, and what its user sees meanwhile.

A server may need minutes: a prologue that loads modules, a container that is fetched, a file system
that is slow. So a job that shows life, because its log grows, has more time than a silent one. The
launcher writes into the log, too, while it waits for the server to listen.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .. import tasks
from ..errors import UniSpawnerError, clean_output
from ..monitor.tracked_job import SlowStart, TrackedJob
from ..settings.job import JobSettings
from ..web.per_hub import PerHub

FIRST_LOOK = 15.0
"""How long (seconds) a job runs before its log is read: most servers are up by then."""
SHORTEST_PAUSE = 10.0
"""The shortest time (seconds) between two looks at a log: each runs a process as the user."""
LOOKS_AT_ONCE = 2
"""How many logs of different users are read at a time, so that submissions do not have to wait."""
PAUSE_SHARE = 0.1
"""The part of the time since the start that passes before the next look."""
LOG_LINES, LOG_CHARACTERS = 5, 600
"""How much of the end of the log a user sees while the server starts."""
SILENT, LIVELY = 120.0, 600.0
"""How long (seconds) a job may run without and with signs of life, if the site sets nothing."""

ReadLog = Callable[[int], Awaitable[tuple[str, int]]]
"""Returns the last lines of the job's log, as many as it is asked for, and the log's size."""


@dataclass(frozen=True)
class StartLimits:
    """How long (seconds) a job may run without a report of its server.

    Attributes
    ----------
    silent
        While its log does not grow.
    longest
        In any case.
    """

    silent: float
    longest: float


def find_limits(spawner: Any) -> StartLimits:
    """Return a spawner's limits: ``report_timeout``, or what follows from the other time limits.

    A site that gives starts more time than usual means the whole start, as with batchspawner. Our
    own default of ``start_timeout`` is one day because of the queue, and says nothing.
    """
    if spawner.report_timeout is not None:
        return StartLimits(spawner.report_timeout, spawner.report_timeout)
    names = ("start_timeout", "http_timeout")
    defaults = JobSettings.class_traits()
    values = {name: float(getattr(spawner, name)) for name in names}
    of_site = [value for name, value in values.items() if value != defaults[name].default_value]
    silent = max([SILENT, *of_site])
    return StartLimits(silent, max(silent, LIVELY))


class LogLooks:
    """Whose logs are being read: few at a time, and one of each account.

    A home that hangs then holds up a single command of its user, and the cancellation of the job
    can still run.
    """

    def __init__(self) -> None:
        self.accounts: set[str] = set()

    def has_room(self, account: str) -> bool:
        """Return whether a log of an account may be read as well."""
        return len(self.accounts) < LOOKS_AT_ONCE and account not in self.accounts

    @contextmanager
    def under_way(self, account: str) -> Iterator[None]:
        """Take note that a log of an account is being read meanwhile."""
        self.accounts.add(account)
        try:
            yield
        finally:
            self.accounts.discard(account)


LOOKS = PerHub(LogLooks)


class StartWatch:
    """One run of a job, from the moment when it is known to run until its server reports."""

    def __init__(
        self, job: TrackedJob, limits: StartLimits, read_log: ReadLog, looks: LogLooks
    ) -> None:
        self.limits = limits
        self._job = job
        self._read_log = read_log
        self._looks = looks
        self._began = self._alive_at = time.monotonic()
        self._next_look = self._began + FIRST_LOOK
        self._size = 0
        self._look: asyncio.Task[None] | None = None

    @property
    def _account(self) -> str:
        return self._job.client.account.name

    @property
    def seconds(self) -> float:
        """How long the job has run."""
        return time.monotonic() - self._began

    @property
    def left(self) -> float:
        """How long (seconds) the job may still run in silence."""
        deadline = min(self._alive_at + self.limits.silent, self._began + self.limits.longest)
        return deadline - time.monotonic()

    @property
    def limit(self) -> float:
        """How long (seconds) the job may run, as far as its log shows by now."""
        return self.limits.longest if self._size else self.limits.silent

    async def wait(self, seconds: float) -> None:
        """Return when something has changed, when there is something to do, or after ``seconds``.

        The log is read beside this, so that a user's home that hangs delays no report.
        """
        now = time.monotonic()
        if now >= self._next_look and (self._look is None or self._look.done()):
            self._next_look = now + max(SHORTEST_PAUSE, PAUSE_SHARE * self.seconds)
            if self._looks.has_room(self._account):
                self._look = tasks.start(self.look(), f"log of job {self._job.job_id}")
        # An unfinished look wakes this when it is done.
        looking = self._look is not None and not self._look.done()
        pauses = [seconds, self.left, *([] if looking else [self._next_look - now])]
        await self._job.wait_change(max(0.0, min(pauses)))

    async def look(self) -> None:
        """Read the end of the log now, and note whether it has grown."""
        with self._looks.under_way(self._account):
            await self._look_at_log()

    async def _look_at_log(self) -> None:
        text = ""
        try:
            text, size = await self._read_log(LOG_LINES)
            text = clean_output(text, LOG_CHARACTERS)
            if size > self._size:
                self._size, self._alive_at = size, time.monotonic()
        except UniSpawnerError:
            pass  # then the job shows no life; the error of a failed start says why
        if not self._job.reported:
            self._job.slow_start = SlowStart(round(self.seconds), round(self.limit), text)
        self._job.notify()
