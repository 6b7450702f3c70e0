"""What the Hub's pages and its API show of a server."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from typing import Any, Protocol

from ..job import JobInfo, JobState
from . import bookkeeping

_MOMENTS = ("waiting_since", "estimated_start", "started", "ends")


@dataclass(frozen=True)
class ServerStatus:
    """A server as the Hub knows it at this moment; neither job nor scheduler is asked.

    Attributes
    ----------
    user, name
        The server's owner, and its name; the default server's is empty.
    state
        ``stopped``, ``failed``, ``submitting``, ``queued``, ``held``, ``starting`` (the job runs,
        its server does not answer yet), ``running``, ``suspended`` or ``stopping``.
    message
        The same as a sentence, with all that is known.
    profile, profile_name
        The profile that was chosen: its slug and the name that people see.
    summary
        What the job asks for: "4 cores, 16 GiB, 8 hours".
    scheduler, cluster, job_id
        Where the job is.
    reason
        Why it waits, in the scheduler's words.
    queue_position
        1 for the job that starts next.
    exec_host
        The scheduler's name of the node.
    waiting_since, estimated_start, started, ends
        Seconds since the epoch. ``ends`` is when the job's time is up.
    ending_soon
        True once at most ``c.UniSpawner.end_warning`` seconds of it are left.
    heard
        False while the scheduler does not answer: what is shown is its last answer.
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
        """Seconds until the job's time is up; None if it has no end, or the end is not known."""
        return None if self.ends is None else max(0.0, self.ends - time.time())

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-serialisable data: moments as JupyterHub writes them, and ``time_left``."""
        result = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in _MOMENTS:
            if result[name] is not None:
                moment = datetime.fromtimestamp(result[name], timezone.utc)
                result[name] = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
        return {**result, "time_left": self.time_left}


@dataclass(frozen=True)
class JobFacts:
    """What a spawner knows of its server's job, for :func:`server_status`.

    Attributes
    ----------
    job_id
        Empty until the scheduler has given one.
    info
        The scheduler's last answer; None before the first.
    message, summary, scheduler, cluster, heard
        As in :class:`ServerStatus`.
    waiting_since
        Seconds since the epoch; None if that is not kept.
    duration
        The time limit that the job was given, in seconds; None for no limit of ours.
    end_warning
        Seconds before the end from which on the end is near.
    """

    job_id: str = ""
    info: JobInfo | None = None
    message: str = ""
    summary: str = ""
    scheduler: str = ""
    cluster: str = ""
    waiting_since: float | None = None
    duration: float | None = None
    end_warning: float = 0.0
    heard: bool = True

    @property
    def ends(self) -> float | None:
        """When a running job's time is up: as the scheduler says, or else by its time limit."""
        if self.info is None or self.info.state is not JobState.RUNNING:
            return None
        if self.info.estimated_end is not None:
            return self.info.estimated_end
        if self.duration and self.info.start_time is not None:
            return self.info.start_time + self.duration
        return None


class HasFacts(Protocol):
    """The job of a server, as a spawner of ours has it in its attribute ``server_job``."""

    def facts(self) -> JobFacts:
        """Return what is known of the job at this moment."""


class WithStatus:
    """A mixin for spawners: what our pages show. JupyterHub gives templates no functions."""

    def server_status(self) -> ServerStatus:
        """Return what is known of this spawner's server."""
        return server_status(self)


def server_status(spawner: Any) -> ServerStatus:
    """Return what is known of a server, whatever class of spawner runs it."""
    known = bookkeeping.outer(spawner)
    common = {
        "user": known.user.name,
        "name": known.name,
        "profile": getattr(known, "child_profile", ""),
        "profile_name": getattr(known, "child_profile_name", ""),
    }
    if not known.active:
        error = bookkeeping.failure(known)
        words = getattr(error, "jupyterhub_message", str(error)) if error else ""
        return ServerStatus(state="failed" if error else "stopped", message=words, **common)
    job: HasFacts | None = getattr(bookkeeping.inner(spawner), "server_job", None)
    if job is None:  # a class that is not ours
        return ServerStatus(state=_state(known, JobState.RUNNING), **common)
    facts = job.facts()
    info = facts.info or JobInfo("", JobState.UNKNOWN)
    runs = info.state is JobState.RUNNING
    return ServerStatus(
        state=_state(known, info.state if facts.info else None),
        message=facts.message,
        summary=facts.summary,
        scheduler=facts.scheduler,
        cluster=facts.cluster,
        job_id=facts.job_id,
        reason=info.message,
        queue_position=info.queue_position,
        exec_host=info.exec_host,
        waiting_since=None if runs else facts.waiting_since,
        estimated_start=info.estimated_start,
        started=info.start_time if runs else None,
        ends=facts.ends,
        ending_soon=facts.ends is not None and facts.ends - time.time() <= facts.end_warning,
        heard=facts.heard,
        **common,
    )


def _state(known: Any, state: JobState | None) -> str:
    """Return a server's state in a word; ``state`` is its job's, None before the first answer."""
    if known.pending == "stop":
        return "stopping"
    if state in (JobState.QUEUED, JobState.HELD, JobState.SUSPENDED):
        return str(state.value).lower()
    if known.ready:
        return "running"
    return "submitting" if state is None else "starting"
