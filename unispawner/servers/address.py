"""Where a job's server is: what the job reports counts if the scheduler agrees."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from ..errors import SchedulerUnavailable, UniSpawnerError
from ..job import JobInfo, JobState
from ..monitor.monitor import Monitor
from ..monitor.tracked_job import TrackedJob
from ..settings.host_map import HostMap, map_host
from ..web import words
from ..web.hosts import check_form, check_host, is_dns_name, is_same_name
from ..web.own_host import Address

REPORT_WAITS = 4.0
"""How long (seconds) a report waits for the scheduler's answer about its job."""


def find_exec_host(job: TrackedJob) -> str | None:
    """Return the host a running job is on; None if it does not run or the host is not known."""
    if job.info is None or job.info.state is not JobState.RUNNING or job.info.ending:
        return None
    return job.info.exec_host or None


async def ask_for_host(job: TrackedJob, monitor: Monitor) -> None:
    """Ask the scheduler where a job runs, if that is not known; wait a few seconds for it."""
    if find_exec_host(job) is None:
        await monitor.ask_about(job, REPORT_WAITS)


async def check_address(
    job: TrackedJob,
    reported: str | None,
    host_map: HostMap,
    monitor: Monitor,
    *,
    asker: str,
    on_own_host: Callable[[set[Address], set[Address]], Awaitable[str]],
    peer: str = "",
) -> str:
    """Return the address at which the Hub reaches a job's server.

    Parameters
    ----------
    reported
        The host that the job reports; None if it leaves that to the scheduler.
    host_map
        ``c.UniSpawner.host_map``.
    monitor
        The monitor of the job's scheduler.
    asker, on_own_host
        The Hub user, and what checks a server on the Hub's own host: see
        :func:`unispawner.web.hosts.check_host`.
    peer
        The address that the report comes from; empty if that is not known.

    Raises
    ------
    SchedulerUnavailable
        If it is not known yet where the job runs, or it has just moved.
    InvalidJobError
        If the reported host is not the job's.
    """
    host = find_exec_host(job)
    if host is None and peer and _is_claimed(job):
        # Its user could name any node. That it reports from there shows that it is there.
        host, reported = job.claimed_host, peer
    if host is None:
        raise SchedulerUnavailable(words.HOST_UNKNOWN)
    mapped = await map_host(host_map, host)
    name = mapped
    if reported is not None:
        check_form(reported)
        name = await map_host(host_map, reported, asker)
        if name == reported and is_same_name(reported, host):
            name = mapped
    try:
        address = await check_host(
            name,
            mapped,
            loopback=monitor.scheduler.loopback,
            asker=asker,
            on_own_host=on_own_host if monitor.host.here else None,
            resolve=None if monitor.host.here else partial(monitor.host.resolve, asker=asker),
            find_address=partial(_find_address, monitor, host) if mapped == host else None,
        )
    except SchedulerUnavailable as error:
        if mapped == host:
            raise
        message = f"{error.message} The scheduler calls the job's host {host!r}."
        raise SchedulerUnavailable(message) from None
    if (find_exec_host(job) or job.claimed_host) != host:
        raise SchedulerUnavailable(words.JOB_MOVED)
    return address


def _is_claimed(job: TrackedJob) -> bool:
    running = job.info is not None and job.info.state is JobState.RUNNING and not job.info.ending
    return running and bool(job.claimed_host)


async def find_names(
    job: TrackedJob,
    reported: str,
    host_map: HostMap,
    monitor: Monitor,
    *,
    asker: str,
    peer: str = "",
) -> list[str]:
    """Return what a certificate for a job's host names: the address of the route, and the name.

    On the Hub's own host the server's sockets decide which address the route has, and there are
    none yet: so these are all addresses of the host.

    Raises
    ------
    SchedulerUnavailable, InvalidJobError
        As :func:`check_address` does.
    """
    all_own: set[Address] = set()

    async def on_own_host(_: set[Address], own: set[Address]) -> str:
        all_own.update(one for one in own if not one.is_link_local)
        return ""

    address = await check_address(
        job, reported, host_map, monitor, asker=asker, on_own_host=on_own_host, peer=peer
    )
    name = find_exec_host(job) or job.claimed_host
    names = [f"IP:{one}" for one in sorted(map(str, all_own)) or [address]]
    return names + ([f"DNS:{name}"] if is_dns_name(name) else [])


async def _find_address(monitor: Monitor, host: str) -> str:
    """Return the scheduler's own address of a node, for a name that the Hub can't resolve."""
    try:
        found = await monitor.find_address(host)
    except UniSpawnerError:  # the error of the name says what to do
        return ""
    return "" if found == host else found


def has_moved(job: TrackedJob, before: JobInfo | None, now: JobInfo) -> bool:
    """Return whether a server that has reported is no longer where it was.

    A run of a job is known by its start time. ``job.run_start`` is that of the run that has
    reported. It is taken from the scheduler's answers after the report, because an earlier answer
    may be about an earlier run. It is saved, so that a restarted Hub knows it, too. Only a later
    start means another run: no scheduler runs a job earlier than it did.
    """
    waits = now.state in (JobState.QUEUED, JobState.HELD)
    elsewhere = bool(before and before.exec_host and now.exec_host not in ("", before.exec_host))
    known, start = job.run_start, now.start_time
    anew = known is not None and start is not None and start > known
    return waits or elsewhere or anew or now.ending
