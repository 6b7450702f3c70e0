"""What a waiting user is told."""

from __future__ import annotations

from typing import Any

from ..errors import UniSpawnerError
from ..job import JobInfo, JobState
from ..monitor.monitor import TrackedJob
from .summary import clock


def event(job: TrackedJob | None, problem: UniSpawnerError | None, title: str) -> dict[str, Any]:
    """Return one event of JupyterHub's progress stream; equal as long as nothing has changed.

    JupyterHub escapes ``message``; there is no ``html_message``.
    """
    if job is None:
        return {"progress": 5, "message": f"Submitting the job to {title}"}
    info = job.info
    if info is None:
        return {"progress": 10, "message": f"Job {job.job_id} is submitted to {title}"}
    unheard = f" ({title} does not answer just now; this is its last word)" if problem else ""
    if info.state in (JobState.QUEUED, JobState.HELD):
        return {"progress": 20, "message": _waiting(job.job_id, info) + unheard}
    if info.state is JobState.RUNNING:
        if job.reported:
            return {"progress": 90, "message": f"The server is ready on {info.exec_host}"}
        where = f" on {info.exec_host}" if info.exec_host else ""
        message = f"Job {job.job_id} is running{where}; waiting for the server to start"
        return {"progress": 60, "message": message + unheard}
    reason = f": {info.message}" if info.message else ""
    return {"progress": 60, "message": f"Job {job.job_id} is {info.state.value.lower()}{reason}"}


def ended(job: TrackedJob, title: str) -> str:
    """Return why a job is no more."""
    info = job.info
    words = f"{title} says {info.native_state}" if info and info.native_state else "It is gone"
    reason = f": {info.message}" if info and info.message else ""
    if info and info.stuck:
        return f"The job {job.job_id} can't run. {words}{reason}."
    when = "" if job.reported else " before its server was ready"
    return f"The job {job.job_id} ended{when}. {words}{reason}."


def never_reported(job: TrackedJob, seconds: float, url: str) -> str:
    """Return what to look at when a job runs and its server is silent."""
    host = job.info.exec_host if job.info else ""
    return (
        f"The job {job.job_id} has run on {host} for {seconds:g} s, but its server has not "
        f"reported. Can the nodes reach the Hub at {url}? (c.JupyterHub.hub_ip, "
        "c.Spawner.hub_connect_url, c.UniSpawner.report_timeout)"
    )


def _waiting(job_id: str, info: JobInfo) -> str:
    word = "held" if info.state is JobState.HELD else "queued"
    parts = [f"Job {job_id} is {word}"]
    if info.queue_position is not None:
        parts.append(f"number {info.queue_position} in its queue")
    message = ", ".join(parts)
    if info.message:
        message += f": {info.message}"
    if info.estimated_start is not None:
        message += f". Estimated start: {clock(info.estimated_start)}"
    return message
