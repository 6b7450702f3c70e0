"""Where a job's server is: what the job reports counts if the scheduler agrees."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import SchedulerUnavailable
from ..job import JobInfo, JobState
from ..monitor.tracked_job import TrackedJob
from ..web import words
from ..web.hosts import check_host


def find_exec_host(job: TrackedJob) -> str | None:
    """Return the host a running job is on; None if it does not run or the host is not known."""
    if job.info is None or job.info.state is not JobState.RUNNING or job.info.ending:
        return None
    return job.info.exec_host or None


async def check_address(
    job: TrackedJob, reported: str | None, host_map: Mapping[str, str], *, loopback: bool
) -> str:
    """Return the address at which the Hub reaches a job's server.

    Parameters
    ----------
    reported
        The host that the job reports; None if it leaves that to the scheduler.
    host_map
        ``c.UniSpawner.host_map``: the scheduler's name of a host -> what the Hub can reach.
    loopback
        True if jobs run on the Hub's own host.

    Raises
    ------
    SchedulerUnavailable
        If it is not known yet where the job runs, or it has just moved.
    InvalidJobError
        If the reported host is not the job's.
    """
    host = find_exec_host(job)
    if host is None:
        raise SchedulerUnavailable(words.HOST_UNKNOWN)
    mapped = host_map.get(host, host)
    address = await check_host(reported or mapped, mapped, loopback=loopback)
    if find_exec_host(job) != host:
        raise SchedulerUnavailable(words.JOB_MOVED)
    return address


def has_moved(job: TrackedJob, before: JobInfo | None, now: JobInfo) -> bool:
    """Return whether a server that has reported is no longer where it was.

    A run of a job is known by its start time. ``job.run_start`` is that of the run that has
    reported. It is taken from the scheduler's answers after the report, because an earlier answer
    may be about an earlier run.
    """
    waits = now.state in (JobState.QUEUED, JobState.HELD)
    elsewhere = bool(before and before.exec_host and now.exec_host not in ("", before.exec_host))
    anew = job.run_start is not None and now.start_time not in (None, job.run_start)
    return waits or elsewhere or anew or now.ending
