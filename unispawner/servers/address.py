"""Where a server is: a job's word counts if the scheduler's agrees, and it may move."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .. import tasks
from ..errors import InvalidJobError, SchedulerUnavailable
from ..job import JobInfo, JobState
from ..monitor.monitor import FAST_INTERVAL, TrackedJob
from ..web.bookkeeping import front
from ..web.hosts import check_host
from .state import ServerState

if TYPE_CHECKING:
    from .spawner import UniSpawner

DEAD_ADDRESS = ("127.0.0.1", 1)
"""Where nothing listens, and where no user could: port 1 of the Hub's own loopback."""
_PATIENCE = 4 * FAST_INTERVAL
"""Seconds that a report may wait for the scheduler's next answer."""


async def take_report(spawner: UniSpawner, host: str | None, port: int) -> None:
    """Save where a server listens.

    Parameters
    ----------
    host
        As its job says; None if it leaves that to the scheduler.

    Raises
    ------
    SchedulerUnavailable
        If it isn't known yet where the job runs: the job should try again.
    InvalidJobError
        If the host isn't the job's.
    """
    job = spawner.job
    if job is None:
        raise SchedulerUnavailable("The job is still being submitted.")
    if job.being_reported:
        raise SchedulerUnavailable("Another report of this server is being looked at.")
    job.being_reported = True
    try:
        if _exec_host(job) is None:
            await spawner.monitor().refresh(_PATIENCE)
        address = await _check(spawner, job, host)
    except InvalidJobError:
        spawner.monitor().hurry()  # the job may have been run again elsewhere; it reports again
        raise
    finally:
        job.being_reported = False
    spawner.state.host, spawner.state.port = address, port
    job.reported, job.reported_at, job.life = True, time.monotonic(), None
    spawner.commit()
    job.notify()
    if front(spawner).ready:
        await move_route(spawner, address, port)


async def _check(spawner: UniSpawner, job: TrackedJob, host: str | None) -> str:
    """Return the address of a host that is the job's."""
    exec_host = _exec_host(job)
    if exec_host is None:
        raise SchedulerUnavailable("It is not yet known on which host this job runs.")
    mapped = spawner.host_map.get(exec_host, exec_host)
    address = await check_host(host or mapped, mapped, loopback=spawner.get_scheduler().loopback)
    if spawner.job is not job or _exec_host(job) != exec_host:
        raise SchedulerUnavailable("The job has just moved.")
    return address


def url(state: ServerState) -> str:
    """Return the URL of a server that has reported."""
    host = f"[{state.host}]" if ":" in state.host else state.host
    return f"http://{host}:{state.port}"


def has_moved(job: TrackedJob, before: JobInfo | None, now: JobInfo) -> bool:
    """Return whether a server that was somewhere is there no more.

    A run is told by its start time. That of the run that has reported is what answers since the
    report say: what was known before may have been of an earlier run.
    """
    waits = now.state in (JobState.QUEUED, JobState.HELD)
    elsewhere = bool(before and before.exec_host and now.exec_host not in ("", before.exec_host))
    anew = job.life is not None and now.start_time not in (None, job.life)
    return waits or elsewhere or anew or now.ending


def forget_address(spawner: UniSpawner, job: TrackedJob) -> None:
    """Send nobody to where the server was: its port may be another user's by now."""
    spawner.log.warning("%s: job %s is not where it was", spawner._log_name, job.job_id)
    spawner.state.host, spawner.state.port, job.reported = "", 0, False
    spawner.state.waiting_since = time.time()
    spawner.commit()
    tasks.start(move_route(spawner, *DEAD_ADDRESS), f"route of {spawner._log_name}")


async def move_route(spawner: Any, host: str, port: int) -> None:
    """Send a ready server's users to another address at once."""
    server = spawner.server
    if server is None:
        return
    server.ip, server.port = host, port
    spawner.commit()
    if front(spawner).ready:
        await spawner.user.settings["proxy"].add_user(spawner.user, spawner.name)


def _exec_host(job: TrackedJob) -> str | None:
    """Return the host a running job is on; None if it doesn't run or that isn't known."""
    if job.info is None or job.info.state is not JobState.RUNNING or job.info.ending:
        return None
    return job.info.exec_host or None
