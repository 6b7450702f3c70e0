"""What the Hub's event log learns of a server's job: each step once, also over a restart.

The last event is part of the job's saved state (``last_event``), so that a restarted Hub goes on
where the earlier one was; it is empty in a Hub without a handler of events. An event is written
first and the state is saved then: a Hub that is killed between the two writes the event once more,
and never loses it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from .. import events, tasks
from ..job import JobInfo, JobSpec, JobState
from ..web import bookkeeping
from .state import SavedState

_WAITS = (JobState.QUEUED, JobState.HELD)
_RUNS = (JobState.RUNNING, JobState.SUSPENDED)
_NOT_RUN = ("submitted", "queued", "requeued")
"""After these events a job that runs has started."""
_SAVED = ("queued", "started", "ready", "requeued")
"""The state is saved after these events; with the others it is saved, or forgotten, anyway."""
_OVER = ("ended", "refused")
_AMOUNTS = {"cores": "cores", "memory": "memory", "gpus": "gpus", "seconds": "duration"}
"""What a saved state has of a request, and the names of the properties."""


Make = Callable[[], Mapping[str, Any]]
"""Returns properties of an event; it is called if somebody wants the event."""


class LoggedJob(Protocol):
    """What is read of a server's job: see :class:`.job.ServerJob`."""

    spawner: Any

    @property
    def state(self) -> SavedState:
        """What is saved of it."""

    @property
    def name(self) -> str:
        """The server's name in log lines."""

    async def commit_soon(self) -> bool:
        """Save the state together with those of other jobs."""


def note_asked(job: LoggedJob, continues: str = "") -> None:
    """Write that a server is asked for.

    Parameters
    ----------
    continues
        The mark of the job that a second one is to continue; empty for a start.
    """
    _write(job, "asked", lambda: {"continues": continues or None})


def note_accepted(job: LoggedJob, spec: JobSpec, requested: Mapping[str, Any]) -> None:
    """Write that the choice and the settings make a job, which is submitted now."""

    def make() -> dict[str, Any]:
        amounts = {_AMOUNTS[name]: value for name, value in requested.items() if name in _AMOUNTS}
        return {"queue": spec.queue_name or None, "project": spec.account or None, **amounts}

    _write(job, "accepted", make)


def note_submitted(job: LoggedJob) -> None:
    """Write that the scheduler has the job."""
    if job.state.last_event in ("asked", "accepted"):
        _write(job, "submitted")


def note_info(job: LoggedJob, info: JobInfo) -> None:
    """Write that a job waits, runs or waits again, if the scheduler's answer says so first."""
    last = job.state.last_event
    if info.ending:
        return
    if info.state in _WAITS and last == "submitted":
        _write(job, "queued")
    elif info.state in _WAITS and last in ("started", "ready"):
        _write(job, "requeued")
    elif info.state in _RUNS:
        note_started(job)


def note_started(job: LoggedJob, host: str = "") -> None:
    """Write that the job runs, unless that was written.

    Parameters
    ----------
    host
        Where it runs. Default: what the scheduler has said last.
    """
    if job.state.last_event in _NOT_RUN:
        _write(job, "started", lambda: {"host": host or _host_of(job)})


def note_requeue(job: LoggedJob) -> None:
    """Write that the job is run again, unless that was written."""
    if job.state.last_event in ("started", "ready"):
        _write(job, "requeued")


def note_ready(job: LoggedJob) -> None:
    """Write that the server is up, unless that was written."""
    note_started(job)
    if job.state.last_event == "started":
        _write(job, "ready", lambda: {"host": _host_of(job)})


def note_resumed(job: LoggedJob, what: str) -> None:
    """Write that a restarted Hub has found a start or a server again; the next event may follow.

    Parameters
    ----------
    what
        ``start`` or ``server``.
    """
    _write(job, "resumed", lambda: {"what": what}, step=False)


def note_end(job: LoggedJob, outcome: str, reason: str = "", cause: str = "") -> None:
    """Write how a server has ended, or that its start was refused, unless that was written.

    Parameters
    ----------
    outcome
        As :class:`.history.Ending` has it; empty is taken for "unknown".
    """
    last, state = job.state.last_event, job.state
    if last in _OVER or not (last or state.mark):
        return

    def make() -> dict[str, Any]:
        return {"reason": events.clean_reason(reason, str(job.spawner.api_token or ""))}

    if outcome == "refused" or last in ("asked", "accepted"):
        _write(job, "refused", make)
    else:
        what = {"outcome": outcome or "unknown", "cause": cause}
        _write(job, "ended", lambda: {**what, **make()})


@contextmanager
def start_noted(job: LoggedJob) -> Iterator[None]:
    """Write that a server is asked for and, if the block raises an error, how that ended."""
    note_asked(job)
    try:
        yield
    except Exception as error:
        note_end(job, "failed", getattr(error, "message", "") or str(error))
        raise


def note_refused_choice(spawner: Any, reason: str) -> None:
    """Write that a server is asked for with a choice that is refused, before there is a job.

    It does nothing where no server is being started: a choice is checked at other times, too.
    """
    if not bookkeeping.is_starting(spawner):
        return
    names = dict.fromkeys(("profile", "scheduler", "cluster", "mark", "job_id"), "")
    _emit(spawner, "asked", lambda: {**_names_of(spawner), **names})
    why = events.clean_reason(reason)
    _emit(spawner, "refused", lambda: {**_names_of(spawner), **names, "reason": why})


# -- how it is written -----------------------------------------------------------------------------


def _write(job: LoggedJob, event: str, make: Make = dict, *, step: bool = True) -> None:
    """Write an event, and save the step of the job's life, if it is one.

    Without a reader nothing is changed, so that nothing has to be saved for it.
    """
    if not events.has_readers(_eventlog_of(job.spawner)):
        return
    if step:
        job.state.last_event = event

    def make_all() -> dict[str, Any]:
        age = {} if event in ("asked", "accepted", "refused") else {"seconds": _age_of(job)}
        return {**_names_of(job.spawner), **_place_of(job), **age, **make()}

    if _emit(job.spawner, event, make_all) and step and event in _SAVED and job.state.mark:
        tasks.start(_save(job), f"saving an event of {job.name}")


async def _save(job: LoggedJob) -> None:
    await job.commit_soon()


def _emit(spawner: Any, event: str, make: Make) -> bool:
    eventlog = _eventlog_of(spawner)
    if not events.has_readers(eventlog):
        return False
    return events.emit(eventlog, spawner.log, event, bookkeeping.log_name(spawner), make)


def _eventlog_of(spawner: Any) -> Any:
    """Return the Hub's event log; None where there is no Hub."""
    settings = getattr(getattr(spawner, "user", None), "settings", None)
    return settings.get("eventlog") if settings else None


def _names_of(spawner: Any) -> dict[str, str]:
    known = bookkeeping.outer(spawner)
    return {"user": known.user.name, "server": known.name}


def _place_of(job: LoggedJob) -> dict[str, str]:
    """Return which profile, which scheduler and which job it is."""
    spawner, state = job.spawner, job.state
    of_legacy = "" if hasattr(state, "scheduler") else type(spawner).__name__
    return {
        "profile": str(getattr(bookkeeping.outer(spawner), "child_profile", "") or ""),
        "scheduler": str(getattr(state, "scheduler", of_legacy)),
        "cluster": str(getattr(state, "cluster", "")),
        "mark": state.mark,
        "job_id": str(getattr(state, "job_id", "") or getattr(spawner, "job_id", "")),
    }


def _host_of(job: LoggedJob) -> str | None:
    info: JobInfo | None = getattr(getattr(job, "tracked", None), "info", None)
    return (info.exec_host or None) if info else None


def _age_of(job: LoggedJob) -> float | None:
    """Return how long ago the start was accepted, if that is known."""
    since = getattr(job.state, "submit_time", 0.0)
    return round(max(0.0, time.time() - since), 3) if since else None
