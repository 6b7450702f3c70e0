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
        cache, lifetime = spawner.monitor().inventory, spawner.inventory_interval
        # With a form open the inventory is at hand. Without one it is asked for, but seldom.
        inventory = cache.recent(lifetime) or cache.peek(lifetime)
        if inventory is None or inventory is self._compared_with:
            return
        if self._compared_with is not None and not job.misfit:
            return
        self._compared_with = inventory
        try:
            unfit = find_misfit_of(spawner, spawner.job_spec("", environment={}))
        except UniSpawnerError:  # a setting has changed since
            return
        misfit = unfit.message if unfit else ""
        if misfit != job.misfit:
            job.misfit = misfit
            job.notify()
