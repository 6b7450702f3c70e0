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
from ..monitor.tracked_job import TrackedJob
from ..reasons import is_never, recognise
from ..texts import Text, join, number, say
from .summary import describe_moment, format_moment

# -- while it starts ----------------------------------------------------------------------------


def _in_state(job_id: str, state: JobState) -> Text:
    """Return the text about a job that neither waits nor runs."""
    return {
        JobState.SUSPENDED: say("Job {job} is suspended", job=job_id),
        JobState.COMPLETED: say("Job {job} has ended", job=job_id),
        JobState.FAILED: say("Job {job} has failed", job=job_id),
        JobState.CANCELED: say("Job {job} was cancelled", job=job_id),
    }.get(state, say("Job {job} is in an unknown state", job=job_id))


def progress_event(
    job: TrackedJob | None, problem: UniSpawnerError | None, title: str
) -> dict[str, Any]:
    """Return one event of JupyterHub's progress stream; equal as long as nothing has changed.

    There is no ``html_message``, which JupyterHub would put into the page as it is. ``moments``
    are the moments that the message has in the time zone of the Hub's host, each with the moment
    for a page that shows it in the reader's zone.

    Parameters
    ----------
    job
        The job that the monitor follows; None while it is being submitted.
    problem
        Why the scheduler does not answer; None while it does.
    title
        The scheduler's name for people; empty if it is not known yet.
    """
    progress, message = _progress(job, title)
    if problem is not None and job is not None and job.info is None:
        message = say(
            "{message} ({scheduler} does not answer at the moment)",
            message=message,
            scheduler=title,
        )
    elif problem is not None and job is not None and not _is_sure(job):
        message = say(
            "{message} ({scheduler} does not answer at the moment; this is its last answer)",
            message=message,
            scheduler=title,
        )
    if job is not None and job.slow_start is not None and progress == _STARTING:
        message = _with_log(message, job)
    start = _estimated_start(job)
    if start is None:
        return {"progress": progress, "message": message}
    moments = [{"words": describe_moment(start), "moment": format_moment(start)}]
    return {"progress": progress, "message": message, "moments": moments}


def _estimated_start(job: TrackedJob | None) -> float | None:
    """Return the estimated start, if the sentence about a job has it."""
    info = job.info if job is not None and not job.has_begun else None
    waits = info is not None and info.state in (JobState.QUEUED, JobState.HELD)
    return info.estimated_start if info is not None and waits else None


_STARTING = 60


def _is_sure(job: TrackedJob) -> bool:
    """Return whether the text is right although the scheduler's last answer is an old one."""
    info = job.info
    if info is None or info.state in (JobState.QUEUED, JobState.HELD):
        return False
    if info.state is JobState.RUNNING:
        return job.reported and not job.server_ended and not job.refusal
    return True


def _progress(job: TrackedJob | None, title: str) -> tuple[int, Text]:
    """Return how far a start is, in percent, and the sentence for it."""
    if job is None and not title:  # it is not known yet
        return 5, say("Submitting the job to the cluster")
    if job is None:
        return 5, say("Submitting the job to {scheduler}", scheduler=title)
    info = job.info
    if info is None:
        return 10, say("Job {job} is submitted to {scheduler}", job=job.job_id, scheduler=title)
    if info.state in (JobState.QUEUED, JobState.HELD):
        return (40, _begun(job)) if job.has_begun else (20, _waiting(job, info))
    if info.state is not JobState.RUNNING:
        return _STARTING, _with_reason(_in_state(job.job_id, info.state), info.message)
    values = {"host": info.exec_host, "job": job.job_id, "reason": job.refusal}
    if job.server_ended:
        return 90, say("The server on {host} has ended, as its job {job} reports", **values)
    if job.reported and job.refusal:
        return 90, say("The server on {host} can't be reached: {reason}", **values)
    if job.reported:
        return 90, say("The server is ready on {host}", **values)
    return _STARTING, _starting(job, info.exec_host)


def _starting(job: TrackedJob, host: str) -> Text:
    """Return the text about a job that runs, and whose server has not reported."""
    values: dict[str, Any] = {"job": job.job_id, "host": host, "reason": job.refusal}
    if job.refusal and host:
        return say(
            "Job {job} is running on {host}; its server has reported, but the Hub did not accept "
            "the report: {reason}",
            **values,
        )
    if job.refusal:
        return say(
            "Job {job} is running; its server has reported, but the Hub did not accept the "
            "report: {reason}",
            **values,
        )
    if job.slow_start is not None:
        values = {**values, "seconds": job.slow_start.seconds, "limit": job.slow_start.limit}
        if host:
            return say(
                "Job {job} on {host} runs for {seconds} s of {limit}; the server is not up yet",
                **values,
            )
        return say("Job {job} runs for {seconds} s of {limit}; the server is not up yet", **values)
    if host:
        return say("Job {job} is running on {host}; waiting for the server to start", **values)
    return say("Job {job} is running; waiting for the server to start", **values)


def _with_log(message: Text, job: TrackedJob) -> Text:
    """Return a message with the end of the log of a job that starts slowly."""
    running = job.info is not None and job.info.state is JobState.RUNNING
    log = job.slow_start.log_end if job.slow_start and running and not job.refusal else ""
    if not log:
        return message
    return say("{message}. The end of its log:\n{log}", message=message, log=log)


def _with_reason(message: Text, reason: str) -> Text:
    return join(": ", [message, recognise(reason)]) if reason else message


def _begun(job: TrackedJob) -> Text:
    return say(
        "Job {job} reports that it runs; waiting for the scheduler to confirm it", job=job.job_id
    )


def looking_for(error: UniSpawnerError) -> Text:
    """Return the text while it is not known whether a submission has made a job."""
    return say(
        "The submission has no answer, and there may be a job all the same. The Hub looks for it: "
        "if there is one, the start goes on. What failed: {reason}",
        reason=error.message,
    )


def _waiting(job: TrackedJob, info: JobInfo) -> Text:
    values = {"job": job.job_id, "place": info.queue_position}
    if info.state is JobState.HELD:
        message = say("Job {job} is held", **values)
        if info.queue_position is not None:
            message = say("Job {job} is held, number {place} in its queue", **values)
    else:
        message = say("Job {job} is queued", **values)
        if info.queue_position is not None:
            message = say("Job {job} is queued, number {place} in its queue", **values)
    message = _with_reason(message, info.message)
    if info.estimated_start is not None:
        start = describe_moment(info.estimated_start)
        return say("{message}. Estimated start: {time}", message=message, time=start)
    if job.misfit and not is_never(info.message):
        return say(
            "{message}. It will never start as it is, because {reason}. Cancel it and change the "
            "choice",
            message=message,
            reason=job.misfit,
        )
    return message


# -- why there is no server ---------------------------------------------------------------------

STOPPED_BEFORE_SUBMISSION = say("The start was stopped before the job was submitted.")
CANCELLED = say("The start was cancelled.")
RESTARTED_BEFORE_SUBMISSION = say("the Hub was restarted before the job was submitted")
DATABASE_REFUSES = say("The Hub's database takes no changes at the moment. Try again in a minute.")


def job_ended(job: TrackedJob, title: str) -> Text:
    """Return why a job has ended, or why it can never run."""
    info = job.info
    said = info is not None and bool(info.native_state)
    parts = [_end_of(job), _scheduler_says(info, title)]
    if not said and job.server_ended and job.server_status and not (info and info.stuck):
        parts.append(
            say(
                "Its server ended with status {status}, as the job reports.",
                status=job.server_status,
            )
        )
    return join(" ", parts)


def _end_of(job: TrackedJob) -> Text:
    if job.info and job.info.stuck:
        return say("The job {job} can't run.", job=job.job_id)
    if job.reported or job.had_server or job.server_ended:
        return say("The job {job} ended.", job=job.job_id)
    return say("The job {job} ended before its server was ready.", job=job.job_id)


def _scheduler_says(info: JobInfo | None, title: str) -> Text:
    """Return the scheduler's own words about the end of a job."""
    values = {
        "scheduler": title,
        "state": info.native_state if info else "",
        "reason": recognise(info.message) if info else "",
    }
    if values["state"] and values["reason"]:
        return say("{scheduler} says {state}: {reason}.", **values)
    if values["state"]:
        return say("{scheduler} says {state}.", **values)
    return say("It is gone: {reason}.", **values) if values["reason"] else say("It is gone.")


def never_reported(job: TrackedJob, seconds: float, url: str) -> Text:
    """Return what to look at when a job has run for some seconds and its server is silent.

    Parameters
    ----------
    url
        Where the server reports to: the Hub's API, as the nodes reach it.
    """
    host = job.info.exec_host if job.info else ""
    if job.refusal:
        return say(
            "The job {job} has run on {host} for {seconds} s; its server has reported, but the "
            "Hub did not accept the report: {reason}",
            job=job.job_id,
            host=host,
            seconds=number(seconds),
            reason=job.refusal,
        )
    return say(
        "The job {job} has run on {host} for {seconds} s, but its server has not "
        "reported. Check whether the nodes can reach the Hub at {url} (c.JupyterHub.hub_ip, "
        "c.Spawner.hub_connect_url). If the server needs more time, raise "
        "c.UniSpawner.report_timeout.",
        job=job.job_id,
        host=host,
        seconds=round(seconds),
        url=url,
    )


def not_in_time(seconds: float, job: TrackedJob | None = None) -> Text:
    """Return that ``start_timeout`` is over, and what the job was doing, as far as it is known."""
    over = say(
        "The server did not start within {seconds} s (c.Spawner.start_timeout).",
        seconds=number(seconds),
    )
    return over if job is None else join(". ", [_job_state(job), over])


def _job_state(job: TrackedJob) -> Text:
    info = job.info
    if info is None:
        return say("Job {job} is submitted", job=job.job_id)
    if info.state is JobState.RUNNING:
        return say(
            "Job {job} runs on {host}, but its server has not reported",
            job=job.job_id,
            host=info.exec_host,
        )
    if info.state in (JobState.QUEUED, JobState.HELD):
        return _waiting(job, info)
    return _in_state(job.job_id, info.state)


def no_answer(seconds: float) -> Text:
    """Return that ``http_timeout`` is over."""
    return say(
        "The server has reported where it listens, but it did not answer the Hub within "
        "{seconds} s (c.Spawner.http_timeout).",
        seconds=number(seconds),
    )


def start_broke_off(error: Exception) -> Text:
    """Return that a start which a restart interrupted met an unexpected error."""
    problem = f"{type(error).__name__}: {error}"
    return say("The start could not be continued: {problem}", problem=problem)


def no_log(error: UniSpawnerError) -> Text:
    """Return what is shown in place of the end of the job's log."""
    return say("(The job's log can't be read: {reason})", reason=error.message)


# -- why a report is not taken ------------------------------------------------------------------

STILL_SUBMITTING = say("The job is still being submitted. Report again.")
REPORT_UNDER_CHECK = say("Another report of this server is being checked. Report again.")
HOST_UNKNOWN = say("The scheduler has not said yet on which host this job runs. Report again.")
JOB_MOVED = say("The job has just moved to another host. Report again.")
ENDING = say("The job is being ended, so its server gets no certificate.")
OTHER_JOB = say("mark: this job is not a job of the server any more.")
TOO_MANY_CERTIFICATES = say("This server has been given many certificates just now. Report again.")
REPORT_LATER = {
    STILL_SUBMITTING,
    REPORT_UNDER_CHECK,
    HOST_UNKNOWN,
    JOB_MOVED,
    TOO_MANY_CERTIFICATES,
}
"""Answers to a report that only comes too early: there is nothing that a user should do."""

LISTENS_NO_MORE = say(
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
    """Return that the job of a server is gone.

    Parameters
    ----------
    job_id
        Empty if the Hub was stopped before the submit command had printed it.
    """
    if not job_id:
        return (
            "The Hub was stopped while it submitted the job of this server, and does not know the "
            "job's id. Start the server again: the lost job is cancelled, or ends by itself."
        )
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
