"""What a user reads while a server starts, and when it fails: all of it, to be read together.

Why a job waits is ``JobInfo.message``: the scheduler's reason, in the words of its file of
``schedulers/``. The texts around these messages are in ``templates/``. Amounts and moments are put
into words by :mod:`.summary`; what JupyterHub does with an error is in :mod:`.failures`. JupyterHub
escapes all of them where it makes HTML of them.
"""

from __future__ import annotations

from typing import Any

from ..errors import UniSpawnerError
from ..job import JobInfo, JobState
from ..monitor.tracked_job import SlowStart, TrackedJob
from ..schedulers.reading import NEVER
from .summary import describe_moment

# -- while it starts ----------------------------------------------------------------------------

_STATES = {
    JobState.SUSPENDED: "is suspended",
    JobState.COMPLETED: "has ended",
    JobState.FAILED: "has failed",
    JobState.CANCELED: "was cancelled",
    JobState.UNKNOWN: "is in an unknown state",
}
"""What is said of a job that neither waits nor runs."""


def progress_event(
    job: TrackedJob | None, problem: UniSpawnerError | None, title: str
) -> dict[str, Any]:
    """Return one event of JupyterHub's progress stream; equal as long as nothing has changed.

    There is no ``html_message``, which JupyterHub would put into the page as it is.

    Parameters
    ----------
    job
        The job that the monitor follows; None while it is being submitted.
    problem
        Why the scheduler does not answer; None while it does.
    title
        The scheduler's name for people.
    """
    if job is None:
        return {"progress": 5, "message": f"Submitting the job to {title}"}
    info = job.info
    if info is None:
        return {"progress": 10, "message": f"Job {job.job_id} is submitted to {title}"}
    old = f" ({title} does not answer at the moment; this is its last answer)" if problem else ""
    if info.state in (JobState.QUEUED, JobState.HELD):
        if job.has_begun:
            return {"progress": 40, "message": _begun(job) + old}
        return {"progress": 20, "message": _waiting(job, info) + old}
    if info.state is JobState.RUNNING:
        if job.server_ended:
            message = f"The server on {info.exec_host} has ended, as its job {job.job_id} reports"
            return {"progress": 90, "message": message + old}
        if job.reported and job.refusal:
            message = f"The server on {info.exec_host} can't be reached: {job.refusal}"
            return {"progress": 90, "message": message + old}
        if job.reported:
            return {"progress": 90, "message": f"The server is ready on {info.exec_host}"}
        where = f" on {info.exec_host}" if info.exec_host else ""
        if job.refusal:
            message = f"Job {job.job_id} is running{where}; {_refused(job)}"
            return {"progress": 60, "message": message + old}
        if job.slow_start is not None:
            return {"progress": 60, "message": _slow(job, where, job.slow_start, old)}
        message = f"Job {job.job_id} is running{where}; waiting for the server to start"
        return {"progress": 60, "message": message + old}
    reason = f": {info.message}" if info.message else ""
    return {"progress": 60, "message": f"Job {job.job_id} {_STATES[info.state]}{reason}"}


def _begun(job: TrackedJob) -> str:
    return f"Job {job.job_id} reports that it runs; waiting for the scheduler to confirm it"


def looking_for(error: UniSpawnerError) -> str:
    """Return what is said while it is not known whether a submission has made a job."""
    return (
        "The submission has no answer, and there may be a job all the same. The Hub looks for it: "
        f"if there is one, the start goes on. What failed: {error.message}"
    )


def _slow(job: TrackedJob, where: str, start: SlowStart, old: str) -> str:
    message = (
        f"Job {job.job_id}{where} runs for {start.seconds} s of {start.limit}; the server is not "
        f"up yet{old}"
    )
    return f"{message}. The end of its log:\n{start.log_end}" if start.log_end else message


def _refused(job: TrackedJob) -> str:
    return f"its server has reported, but the Hub did not accept the report: {job.refusal}"


def _waiting(job: TrackedJob, info: JobInfo) -> str:
    word = "held" if info.state is JobState.HELD else "queued"
    parts = [f"Job {job.job_id} is {word}"]
    if info.queue_position is not None:
        parts.append(f"number {info.queue_position} in its queue")
    message = ", ".join(parts)
    if info.message:
        message += f": {info.message}"
    if info.estimated_start is not None:
        message += f". Estimated start: {describe_moment(info.estimated_start)}"
    elif job.misfit and not info.message.endswith(NEVER):
        message += (
            f". It will never start as it is, because {job.misfit}. Cancel it and change the choice"
        )
    return message


# -- why there is no server ---------------------------------------------------------------------

STOPPED_BEFORE_SUBMISSION = "The start was stopped before the job was submitted."
CANCELLED = "The start was cancelled."
RESTARTED_BEFORE_SUBMISSION = "the Hub was restarted before the job was submitted"
DATABASE_REFUSES = "The Hub's database takes no changes at the moment. Try again in a minute."


def job_ended(job: TrackedJob, title: str) -> str:
    """Return why a job has ended, or why it can never run."""
    info = job.info
    words = f"{title} says {info.native_state}" if info and info.native_state else "It is gone"
    reason = f": {info.message}" if info and info.message else ""
    if info and info.stuck:
        return f"The job {job.job_id} can't run. {words}{reason}."
    when = (
        "" if job.reported or job.had_server or job.server_ended else " before its server was ready"
    )
    ended = f"The job {job.job_id} ended{when}. {words}{reason}."
    if not (info and info.native_state) and job.server_ended and job.server_status:
        return f"{ended} Its server ended with status {job.server_status}, as the job reports."
    return ended


def never_reported(job: TrackedJob, seconds: float, url: str) -> str:
    """Return what to look at when a job has run for some seconds and its server is silent.

    Parameters
    ----------
    url
        Where the server reports to: the Hub's API, as the nodes reach it.
    """
    host = job.info.exec_host if job.info else ""
    if job.refusal:
        return f"The job {job.job_id} has run on {host} for {seconds:g} s; {_refused(job)}"
    return (
        f"The job {job.job_id} has run on {host} for {round(seconds)} s, but its server has not "
        f"reported. Check whether the nodes can reach the Hub at {url} (c.JupyterHub.hub_ip, "
        "c.Spawner.hub_connect_url). If the server needs more time, raise "
        "c.UniSpawner.report_timeout."
    )


def not_in_time(seconds: float, job: TrackedJob | None = None) -> str:
    """Return that ``start_timeout`` is over, and what the job was doing, as far as it is known."""
    over = f"The server did not start within {seconds:g} s (c.Spawner.start_timeout)."
    return over if job is None else f"{_job_state(job)}. {over}"


def _job_state(job: TrackedJob) -> str:
    info = job.info
    if info is None:
        return f"Job {job.job_id} is submitted"
    if info.state is JobState.RUNNING:
        return f"Job {job.job_id} runs on {info.exec_host}, but its server has not reported"
    if info.state in (JobState.QUEUED, JobState.HELD):
        return _waiting(job, info)
    return f"Job {job.job_id} {_STATES[info.state]}"


def no_answer(seconds: float) -> str:
    """Return that ``http_timeout`` is over."""
    return (
        "The server has reported where it listens, but it did not answer the Hub within "
        f"{seconds:g} s (c.Spawner.http_timeout)."
    )


def start_broke_off(error: Exception) -> str:
    """Return that a start which a restart interrupted met an unexpected error."""
    return f"The start could not be continued: {type(error).__name__}: {error}"


def no_log(error: UniSpawnerError) -> str:
    """Return what is shown in place of the end of the job's log."""
    return f"(The job's log can't be read: {error.message})"


# -- why a report is not taken ------------------------------------------------------------------

STILL_SUBMITTING = "The job is still being submitted. Report again."
REPORT_UNDER_CHECK = "Another report of this server is being checked. Report again."
HOST_UNKNOWN = "The scheduler has not said yet on which host this job runs. Report again."
JOB_MOVED = "The job has just moved to another host. Report again."
ENDING = "The job is being ended, so its server gets no certificate."
OTHER_JOB = "mark: this job is not a job of the server any more."
TOO_MANY_CERTIFICATES = "This server has been given many certificates just now. Report again."
REPORT_LATER = {
    STILL_SUBMITTING,
    REPORT_UNDER_CHECK,
    HOST_UNKNOWN,
    JOB_MOVED,
    TOO_MANY_CERTIFICATES,
}
"""Answers to a report that only comes too early: there is nothing that a user should do."""

LISTENS_NO_MORE = (
    "it no longer listens on its port. If it does not come back, stop it and start it again."
)
"""Why the route of a server that was ready leads nowhere."""

# -- the legacy classes: batchspawner's words, which sites search for ---------------------------

LEGACY_PENDING = "Pending in queue..."
LEGACY_RUNNING = "Cluster job running... waiting to connect"
LEGACY_UNKNOWN = "Unknown status..."
LEGACY_DISAPPEARED = (
    "The Jupyter batch job has disappeared while pending in the queue or died immediately after "
    "starting."
)


def legacy_no_job_id(cls: str, command: str, output: str, reason: str = "") -> str:
    """Return that a job has no id that can be used.

    Parameters
    ----------
    reason
        From :func:`legacy_refused_id` or :func:`legacy_unparsed_id`; empty if the id is empty.
    """
    return (
        f"Jupyter batch job submission failure {reason or '(no jobid in output)'}. "
        f"c.{cls}.batch_submit_cmd, {command!r}, printed: {output!r}"
    )


def legacy_ended(job_id: str) -> str:
    """Return that the job of a server that was ready is gone."""
    return (
        f"The job {job_id} of this server has ended: its scheduler does not list it any more. "
        "Someone may have cancelled it, its time may be over, or the server itself has ended."
    )


def legacy_refused_id(cls: str, reason: str) -> str:
    """Return that what a site's ``parse_job_id`` has returned can't be a job's id."""
    return f"(no jobid that can be used): {cls}.parse_job_id returned {reason}"


def legacy_unparsed_id(cls: str, error: Exception) -> str:
    """Return that a site's ``parse_job_id`` has failed."""
    return f"(no jobid in output): {cls}.parse_job_id failed with {type(error).__name__}: {error}"


def legacy_no_host(cls: str, job_id: str) -> str:
    """Return that no host can be read from what the query command prints of a running job."""
    return (
        f"The job {job_id} runs, but its host can't be read (c.{cls}.state_exechost_re). The query "
        "command printed:"
    )
