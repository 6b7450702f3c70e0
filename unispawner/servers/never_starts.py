"""Finds out about a job that waits whether it can start at all, by what is known of the cluster.

A submission is checked in the same way, but at that time perhaps nobody knew what the cluster has:
only forms ask for that.
"""

from __future__ import annotations

import time
from typing import Any

from ..errors import UniSpawnerError
from ..job import JobState
from ..monitor.tracked_job import TrackedJob
from ..web.availability import find_misfit_of

PATIENCE = 60.0
"""Seconds that a job waits before anybody wonders: most start earlier."""


class NeverStarts:
    """Notes in ``TrackedJob.misfit`` why a job can never start.

    A job is compared with the cluster once, and again with each newer inventory only if it did not
    fit: an administrator may raise a limit.
    """

    def __init__(self) -> None:
        self._compared_with: object = None

    def look(self, spawner: Any, job: TrackedJob, waiting_since: float) -> None:
        """Compare a job that waits for long; nobody waits for the scheduler here."""
        info = job.info
        if info is None or info.state is not JobState.QUEUED:
            job.misfit = ""
            return
        if not spawner.check_nodes or time.time() - waiting_since < PATIENCE:
            return
        try:
            misfit = self._compare(spawner, job.misfit)
        except UniSpawnerError:  # a setting has changed since
            return
        except Exception:  # it is advice: no start may fail for it
            spawner.log.exception("Whether a job can ever start could not be found out")
            return
        if misfit != job.misfit:
            job.misfit = misfit
            job.notify()

    def _compare(self, spawner: Any, before: str) -> str:
        """Return why the job can't start, if there is an inventory to compare it with."""
        cache, lifetime = spawner.monitor().inventory, spawner.inventory_interval
        # With a form open the inventory is at hand. Without one it is asked for, but seldom.
        inventory = cache.recent(lifetime) or cache.peek(lifetime)
        if inventory is None or inventory is self._compared_with:
            return before
        if self._compared_with is not None and not before:
            return before
        self._compared_with = inventory
        unfit = find_misfit_of(spawner, spawner.job_spec("", environment={}))
        return unfit.message if unfit else ""
