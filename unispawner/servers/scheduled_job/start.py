"""The start of a server's job, from its submission to the report of its server."""

from __future__ import annotations

import time

from ...errors import JobEndedError
from ...job import JobState
from ...monitor.tracked_job import TrackedJob
from ...web import words
from ..never_starts import NeverStarts
from ..second_job import PairedJob
from ..slow_start import LOOKS, StartWatch, find_limits
from .log import JobLog
from .restart import JobRestart

_TIMEOUT_MARGIN = 3.0
"""How long (seconds) before JupyterHub a start gives up, to read the job's log meanwhile."""


class JobStart:
    """Waits for the report of a job's server.

    Attributes
    ----------
    began
        When the start began (time.monotonic); after a restart of the Hub, the saved
        ``waiting_since`` counts.
    """

    def __init__(self, job: PairedJob, log: JobLog, restart: JobRestart) -> None:
        self._job = job
        self._log = log
        self._restart = restart
        self._never_starts = NeverStarts()
        self.began = time.monotonic()

    async def wait_ready(self) -> str:
        """Return the server's URL when it has reported.

        Raises
        ------
        JobEndedError
            If the job ends first, runs too long without a report, or if ``start_timeout`` is over.
        """
        deadline = self._deadline()
        watch: StartWatch | None = None
        await self._restart.wait_search()
        if self._job.tracked is None:  # it was stopped meanwhile
            raise JobEndedError(words.CANCELLED)
        while not self._job.state.port:
            job, now = self._job.tracked, time.monotonic()
            if job.final or (job.info and job.info.stuck):
                raise await self._job.why_ended()
            if now >= deadline:
                raise await self._not_in_time(job)
            if not _runs(job):
                watch = job.slow_start = None
                self._never_starts.look(self._job.spawner, job, self._job.state.waiting_since)
                await job.wait_change(min(30.0, deadline - now))
                continue
            watch = watch or self._watch(job)
            if watch.left > 0:
                await watch.wait(deadline - now)
                continue
            await watch.look()  # the log may have grown since the last look
            if watch.left <= 0 and not self._job.state.port:
                raise await self._never_reported(job, watch.seconds)
        return self._job.state.url

    def _watch(self, job: TrackedJob) -> StartWatch:
        spawner = self._job.spawner
        looks = LOOKS.of(spawner.user.settings)
        return StartWatch(job, find_limits(spawner), self._log.read, looks)

    def _deadline(self) -> float:
        """Return when (time.monotonic) the start has failed because ``start_timeout`` is over.

        It comes a little before JupyterHub's own, which would give no reason.
        """
        limit = float(self._job.spawner.start_timeout)
        if self._job.restored:
            return self._job.state.waiting_since + limit - time.time() + time.monotonic()
        return self.began + limit - min(_TIMEOUT_MARGIN, limit / 10)

    async def _never_reported(self, job: TrackedJob, seconds: float) -> JobEndedError:
        url = self._job.spawner.get_env().get("JUPYTERHUB_API_URL", "")
        message = words.never_reported(job, seconds, url)
        return JobEndedError(message, output=await self._log.read_end())

    async def _not_in_time(self, job: TrackedJob) -> JobEndedError:
        message = words.not_in_time(self._job.spawner.start_timeout, job)
        return JobEndedError(message, output=await self._log.read_end() if _runs(job) else "")


def _runs(job: TrackedJob) -> bool:
    return job.info is not None and job.info.state is JobState.RUNNING
