"""The status of a server, which the Hub's pages and its API show."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from typing import Any, Protocol

from ..job import JobInfo, JobState
from ..reasons import recognise
from . import bookkeeping
from .continuation import Continuation
from .summary import format_moment

_MOMENTS = ("waiting_since", "estimated_start", "started", "ends")


@dataclass(frozen=True)
class ServerStatus:
    """A server as the Hub knows it at this moment. To make this, no scheduler is queried.

    Attributes
    ----------
    user, name
        The server's owner, and its name; the default server's is empty.
    state
        ``stopped``, ``failed``, ``submitting``, ``queued``, ``held``, ``starting`` (the job runs
        and its server does not answer yet), ``running``, ``suspended`` or ``stopping``.
    message
        The state as a sentence, with all that is known.
    profile, profile_name
        The chosen profile: its slug, and the name that users see.
    summary
        What the job requests: "4 cores, 16 GiB, 8 hours".
    scheduler, cluster, job_id
        The scheduler and the cluster that have the job, and its id there.
    reason
        Why the job waits or has ended, in plain words or in the scheduler's.
    queue_position
        The job's place in its queue; 1 starts next.
    exec_host
        The scheduler's name of the node.
    waiting_since, estimated_start, started, ends
        Seconds since the epoch. ``ends`` is the end of the job's time limit.
    ending_soon
        True if at most ``c.UniSpawner.end_warning`` seconds are left until ``ends``, and at most
        half of the job's time.
    heard
        False while the scheduler does not answer; all fields then show its last answer.
    continuation
        How the server can be continued before its job ends; None where that is not possible.
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
    continuation: Continuation | None = None

    @property
    def time_left(self) -> float | None:
        """Seconds until ``ends``; None if that is not known or there is no time limit."""
        return None if self.ends is None else max(0.0, self.ends - time.time())

    def to_dict(self) -> dict[str, Any]:
        """Return data for JSON, with moments as JupyterHub writes them, and ``time_left``."""
        result = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in _MOMENTS:
            if result[name] is not None:
                result[name] = format_moment(result[name])
        result["continuation"] = self.continuation.to_dict() if self.continuation else None
        return {**result, "time_left": self.time_left}


@dataclass(frozen=True)
class JobFacts:
    """What a spawner knows about its server's job, for :func:`server_status`.

    Attributes
    ----------
    job_id
        Empty until the scheduler has accepted the job.
    info
        The scheduler's last answer; None before the first.
    message, summary, scheduler, cluster, heard
        As in :class:`ServerStatus`.
    waiting_since
        Seconds since the epoch; None if the spawner does not record that.
    duration
        The time limit that the job was submitted with, in seconds; None if it had none.
    end_warning
        How many seconds before its end a job counts as ending soon.
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
        """When a running job's time limit ends: the scheduler's answer, or else our own sum."""
        if self.info is None or self.info.state is not JobState.RUNNING:
            return None
        if self.info.estimated_end is not None:
            return self.info.estimated_end
        if self.duration and self.info.start_time is not None:
            return self.info.start_time + self.duration
        return None

    @property
    def length(self) -> float:
        """How long (seconds) the job may run from its start to its end; 0 if not known."""
        if self.duration:
            return self.duration
        started, ends = self.info.start_time if self.info else None, self.ends
        return 0.0 if started is None or ends is None else max(0.0, ends - started)

    @property
    def warned_at(self) -> float | None:
        """When the user is warned of the end: not in the first half of the job's time."""
        if self.ends is None or not self.end_warning:
            return None
        half = self.length / 2
        return self.ends - (min(self.end_warning, half) if half else self.end_warning)


class HasFacts(Protocol):
    """The job of a server, which our spawners have as the attribute ``server_job``."""

    def facts(self) -> JobFacts:
        """Return what is known about the job at this moment."""


class WithStatus:
    """A mixin that gives spawners the status for our pages: templates can call no function."""

    def server_status(self) -> ServerStatus:
        """Return what is known about this spawner's server."""
        return server_status(self)


def server_status(spawner: Any) -> ServerStatus:
    """Return what is known about a server, for any class of spawner."""
    outer = bookkeeping.outer(spawner)
    common = {
        "user": outer.user.name,
        "name": outer.name,
        "profile": getattr(outer, "child_profile", ""),
        "profile_name": getattr(outer, "child_profile_name", ""),
    }
    if not outer.active:
        error = bookkeeping.failure(outer)
        message = getattr(error, "jupyterhub_message", str(error)) if error else ""
        return ServerStatus(state="failed" if error else "stopped", message=message, **common)
    inner = bookkeeping.inner(spawner)
    job: HasFacts | None = getattr(inner, "server_job", None)
    facts = _other_facts(inner) if job is None else job.facts()
    info = facts.info or JobInfo("", JobState.UNKNOWN)
    runs = info.state is JobState.RUNNING
    return ServerStatus(
        state=_state(outer, info.state if facts.info else None),
        message=facts.message,
        summary=facts.summary,
        scheduler=facts.scheduler,
        cluster=facts.cluster,
        job_id=facts.job_id,
        reason=recognise(info.message),
        queue_position=info.queue_position,
        exec_host=info.exec_host,
        waiting_since=None if runs else facts.waiting_since,
        estimated_start=info.estimated_start,
        started=info.start_time if runs else None,
        ends=facts.ends,
        ending_soon=facts.warned_at is not None and time.time() >= facts.warned_at,
        heard=facts.heard,
        continuation=inner.hand_over.status() if hasattr(inner, "hand_over") else None,
        **common,
    )


def _other_facts(spawner: Any) -> JobFacts:
    """Return what is known of a server of another class.

    batchspawner's own classes, which a site may still use beside ours, have a job's id and what the
    last query printed.
    """
    waits = getattr(spawner, "job_status", "") and spawner.state_ispending()
    info = JobInfo("", JobState.QUEUED if waits else JobState.RUNNING)
    return JobFacts(job_id=str(getattr(spawner, "job_id", "")), info=info)


def _state(outer: Any, state: JobState | None) -> str:
    """Return a server's state as a word.

    Parameters
    ----------
    state
        The state of its job; None before the scheduler's first answer.
    """
    if outer.pending == "stop":
        return "stopping"
    if state in (JobState.QUEUED, JobState.HELD, JobState.SUSPENDED):
        return str(state.value).lower()
    if outer.ready:
        return "running"
    return "submitting" if state is None else "starting"
