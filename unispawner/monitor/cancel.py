"""Cancels a job until the scheduler confirms that it has ended."""

from __future__ import annotations

import logging
import time

from ..errors import UniSpawnerError
from .monitor import Monitor
from .tracked_job import TrackedJob

log = logging.getLogger("JupyterHub.unispawner")  # with the Hub's own handlers

FIRST_PAUSE = 2.0
LONGEST_PAUSE = 60.0
"""The pauses (seconds) between attempts: the first one, and the longest one."""
GENTLE_ATTEMPTS = 3
"""After so many attempts ``force`` is used, which kills the processes of a local job."""


async def cancel_until_ended(job: TrackedJob, monitor: Monitor) -> None:
    """Cancel a job until the scheduler confirms that it has ended; errors are only logged."""
    pause, attempts = FIRST_PAUSE, 0
    while not job.over:
        began = time.monotonic()
        job.client.host.hurry()  # a user waits for the end of a server as for its start
        try:
            await job.client.cancel(job.job_id, force=attempts >= GENTLE_ATTEMPTS)
            job.cancelled = True
        except UniSpawnerError as error:
            log.warning("Job %s could not be cancelled yet; trying again: %s", job.job_id, error)
        job.notify()
        monitor.expect_end(job)
        attempts, until = attempts + 1, time.monotonic() + pause
        while not job.over and time.monotonic() < until:
            await job.wait_change(until - time.monotonic())
        if job.cancelled:
            await _wait_for_answer(job, began)
        pause = min(2 * pause, LONGEST_PAUSE)


async def _wait_for_answer(job: TrackedJob, since: float) -> None:
    """Return when the scheduler has been asked about the job since then, or after a while.

    It may be asked seldom. That it has not been asked is no reason to cancel the job once more.
    """
    until = since + LONGEST_PAUSE
    while not job.over and job.asked_at < since and time.monotonic() < until:
        await job.wait_change(1.0)
