"""What a server's user is told of it, on the Hub's pages and by its API."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from typing import Any

from ..job import JobInfo, JobState
from ..servers import resume
from . import progress
from .bookkeeping import front, serving

_MOMENTS = ("waiting_since", "estimated_start", "started", "ends")


@dataclass(frozen=True)
class ServerStatus:
    """A server as it is known just now; nobody is asked.

    Attributes
    ----------
    user, name
        Whose server it is, and its name; empty is the default server's.
    state
        ``stopped``, ``failed``, ``submitting``, ``queued``, ``held``, ``starting`` (the job runs,
        its server does not answer yet), ``running``, ``suspended`` or ``stopping``.
    message
        The same as a sentence, with all that is known.
    profile, profile_name
        The profile that was chosen: its slug and what people are shown.
    summary
        What the job asks for: "4 cores, 16 GiB, 8 hours".
    scheduler, cluster, job_id
        Where the job is.
    reason
        Why it waits, in the scheduler's words.
    queue_position
        1 for the next to start.
    exec_host
        The scheduler's name of the node.
    waiting_since, estimated_start, started, ends
        Seconds since the epoch. ``ends`` is when the job's time is up.
    ending_soon
        True once no more than ``c.UniSpawner.end_warning`` of it is left.
    heard
        False while the scheduler does not answer: this is its last word.
    """

    user: str
    name: str
    state: str
    message: str = ""
    profile: str = ""
    profile_name: str = ""
    summary: str = ""
    scheduler: str = ""
    cluster: str = ""
    job_id: str = ""
    reason: str = ""
    queue_position: int | None = None
    exec_host: str = ""
    waiting_since: float | None = None
    estimated_start: float | None = None
    started: float | None = None
    ends: float | None = None
    ending_soon: bool = False
    heard: bool = True

    @property
    def time_left(self) -> float | None:
        """Seconds until the job's time is up; None if there is no end, or none that is known."""
        return None if self.ends is None else max(0.0, self.ends - time.time())

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-serialisable data: moments as JupyterHub has them, ``time_left`` in it."""
        result = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in _MOMENTS:
            if result[name] is not None:
                moment = datetime.fromtimestamp(result[name], timezone.utc)
                result[name] = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
        return {**result, "time_left": self.time_left}


class WithStatus:
    """Of a spawner: what our pages show of its server. JupyterHub hands templates no functions."""

    def server_status(self) -> ServerStatus:
        """Return what is known of this spawner's server."""
        return server_status(self)


def server_status(spawner: Any) -> ServerStatus:
    """Return what is known of a server, whatever class of spawner runs it."""
    known, child = front(spawner), serving(spawner)
    common = {
        "user": known.user.name,
        "name": known.name,
        "profile": getattr(known, "child_profile", ""),
        "profile_name": getattr(known, "child_profile_name", ""),
    }
    if not known.active:
        error = resume.failure(known)
        words = getattr(error, "jupyterhub_message", str(error)) if error else ""
        return ServerStatus(state="failed" if error else "stopped", message=words, **common)
    job = getattr(child, "job", None)
    if job is None:
        common["job_id"] = getattr(child, "job_id", "")  # of a legacy class
        return ServerStatus(state=_state(known, _legacy_state(child)), **common)
    monitor, scheduler = child.monitor(), child.get_scheduler()
    info = job.info or JobInfo("", JobState.UNKNOWN)
    runs = info.state is JobState.RUNNING
    ends = _end(info, child.state.duration) if runs else None
    return ServerStatus(
        state=_state(known, job.info and info.state),
        message=progress.event(job, monitor.problem, scheduler.title)["message"],
        summary=child.state.summary,
        scheduler=scheduler.title,
        cluster=child.cluster,
        job_id=job.job_id,
        reason=info.message,
        queue_position=info.queue_position,
        exec_host=info.exec_host,
        waiting_since=None if runs else child.state.waiting_since,
        estimated_start=info.estimated_start,
        started=info.start_time if runs else None,
        ends=ends,
        ending_soon=ends is not None and ends - time.time() <= child.end_warning,
        heard=monitor.problem is None,
        **common,
    )


def _state(known: Any, state: JobState | None) -> str:
    if known.pending == "stop":
        return "stopping"
    if state in (JobState.QUEUED, JobState.HELD, JobState.SUSPENDED):
        return str(state.value).lower()
    if known.ready:
        return "running"
    return "submitting" if state is None else "starting"


def _legacy_state(child: Any) -> JobState | None:
    if getattr(child, "job_status", "") and child.state_ispending():
        return JobState.QUEUED
    return JobState.RUNNING


def _end(info: JobInfo, duration: float | None) -> float | None:
    """Return when a job's time is up: as the scheduler says, or else by what it was given."""
    if info.estimated_end is not None:
        return info.estimated_end
    if duration and info.start_time is not None:
        return info.start_time + duration
    return None
