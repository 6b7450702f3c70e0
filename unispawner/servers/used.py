"""Asks, after the end of a server's job, what the job has used, and saves it with the session.

It is asked as the job's user, in the background: see :mod:`unispawner.monitor.usage_collector`. If
the Hub ends meanwhile, it remains unknown.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from .. import tasks
from ..job import JobState
from ..monitor.monitor import Monitor
from ..monitor.tracked_job import TrackedJob
from ..schedulers.usage import EndedJob, Usage
from .state import ServerState

_NEAR = 10.0
"""By how many seconds a job may have ended before its time limit, as the accounting rounds it."""
Save = Callable[[dict[str, float], str], None]
"""Saves what was used, and why the job ended; the latter is empty if that is not known."""


class UsedJob(Protocol):
    """What is read of a server's job: see :class:`.scheduled_job.ScheduledJob`."""

    spawner: Any
    state: ServerState
    tracked: TrackedJob | None

    @property
    def monitor(self) -> Monitor:
        """The monitor of the scheduler."""


def ask_later(job: UsedJob, save: Save) -> None:
    """Ask in the background what a job has used that has ended, or is being ended.

    A job that has never run, as far as is known, is not asked about.
    """
    tracked = job.tracked
    if tracked is None or not tracked.job_id or not job.spawner.ask_accounting:
        return
    if not _has_run(tracked):
        return
    ended = EndedJob(
        job_id=tracked.job_id,
        owner=tracked.client.account.name,
        mark=job.state.mark,
        submitted=job.state.submit_time,
        ended=time.time(),
        started=tracked.run_start,
    )
    limit = job.state.duration

    async def ask() -> None:
        user = job.spawner.user.name
        found = await job.monitor.usage.collect(user, lambda: tracked.client.usage(ended))
        if found is not None:
            save(amounts(found), resolve_limit(found.cause, found.seconds, limit))

    tasks.start(ask(), "what a job has used")


def _has_run(tracked: TrackedJob) -> bool:
    info = tracked.info
    if tracked.had_server or tracked.run_start is not None:
        return True
    return info is not None and info.state in (
        *(JobState.RUNNING, JobState.COMPLETED, JobState.FAILED, JobState.SUSPENDED),
    )


def amounts(usage: Usage) -> dict[str, float]:
    """Return what was used as :data:`.session_facts.AMOUNTS`; what is not known is missing."""
    found = {
        "seconds": usage.seconds,
        "cores": None if usage.cores is None else round(usage.cores, 3),
        "memory": usage.memory,
        "gpus": usage.gpus,
        "gpu_memory": usage.gpu_memory,
    }
    return {name: value for name, value in found.items() if value is not None}


def resolve_limit(cause: str, seconds: float | None, limit: float | None) -> str:
    """Return which limit a job has reached, where its scheduler names several of them."""
    if cause != "limit":
        return cause
    if seconds is None or limit is None:
        return ""
    return "time_limit" if seconds >= limit - _NEAR else "memory"
