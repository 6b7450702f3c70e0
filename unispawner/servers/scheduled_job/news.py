"""What the scheduler says of a server's job: what JupyterHub and its pages learn of it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from ... import tasks
from ...errors import JobEndedError
from ...job import JobInfo
from ...monitor.tracked_job import TrackedJob
from ...web import bookkeeping, words
from .. import event_log
from ..address import has_moved
from ..second_job import PairedJob
from .log import JobLog
from .measures import JobMeasures
from .record import JobRecord
from .restart import JobRestart


class JobNews:
    """Follows a job that is run again, and lets the Hub know at once of one that has ended."""

    def __init__(
        self,
        job: PairedJob,
        log: JobLog,
        record: JobRecord,
        restart: JobRestart,
        measures: JobMeasures,
    ) -> None:
        self._job = job
        self._log = log
        self._record = record
        self._restart = restart
        self._measures = measures

    def take(self, job: TrackedJob, before: JobInfo | None) -> None:
        """Do what follows from a change of the job's state."""
        now = job.info
        if not self._job.is_current() or job is not self._job.tracked or now is None:
            return
        self._keep_run(job)
        self._measures.note_state(now)
        event_log.note_info(self._job, now)
        if not self._job.has_route:
            self._take_of_second(job, before, now)
        elif now.state.final:
            self._take_end(job)
        elif now.stuck and self._job.state.port and not job.stopping:
            self._end_stuck(job)
        elif self._job.state.port and not job.stopping and has_moved(job, before, now):
            if now.ending:
                self._measures.note_run_end()
            else:
                self._measures.note_requeue()
            self._job.forget_address(ending=now.ending)
            event_log.note_info(self._job, now)  # it may run elsewhere already
            self._start(self._job.second.take_over_if_ready(), "second job")

    def _keep_run(self, job: TrackedJob) -> None:
        """Save which run has reported: the job may be run again while there is no Hub."""
        state = self._job.state
        if state.port and job.run_start is not None and state.run_start != job.run_start:
            state.run_start = job.run_start
            self._start(self._save(), "run")

    async def _save(self) -> None:
        await self._job.commit_soon()

    def _take_of_second(self, job: TrackedJob, before: JobInfo | None, now: JobInfo) -> None:
        """Take note of what has become of a second job, to which no user is sent yet."""
        first = self._job.spawner.server_job
        if now.state.final or now.stuck:
            first.second.note_end(self._job)
        elif self._job.state.port and has_moved(job, before, now):
            self._job.drop_address()
            first.second.follow()

    def _take_end(self, job: TrackedJob) -> None:
        if not job.stopping:
            self._log_end(job)
        self._job.start_clean_up()
        if self._job.second.take_over():
            return
        if bookkeeping.is_polled(self._job.spawner):
            self._start(self._forget_server(job), "end")
        elif self._restart.unheard and self._job.resumption is None and not job.stopping:
            self._start(self._show_lost(), "end")

    def _end_stuck(self, job: TrackedJob) -> None:
        """End a job that would stay for ever although its server has ended."""
        self._log_end(job)
        if self._job.second.take_over():
            return
        self._job.forget_address(ending=True)
        if not self._job.stop_under_way:
            self._show_end(job)
        self._job.start_stop()

    def _log_end(self, job: TrackedJob) -> None:
        message = words.job_ended(job, self._job.title)
        self._job.spawner.log.warning("%s: %s", self._job.name, message)

    async def _show_lost(self) -> None:
        """Show why a server is gone that a restarted Hub is still waiting for."""
        error = await self._job.why_ended()
        if self._job.is_current():
            bookkeeping.report_failed_start(self._job.spawner, error)

    async def _forget_server(self, job: TrackedJob) -> None:
        """Make JupyterHub forget a server whose job has ended, and show why if it has failed."""
        if not job.stopping and not job.ended_in_order:
            self._show_end(job)
        self._job.revoke_token_surely()
        await bookkeeping.notify_end(self._job.spawner)

    def _show_end(self, job: TrackedJob) -> None:
        """Show on JupyterHub's pages why a ready server has ended, and soon the end of its log."""
        spawner, mark = self._job.spawner, self._job.state.mark
        message = words.job_ended(job, self._job.title)
        self._job.note_failure(JobEndedError(message))
        if not bookkeeping.outer(spawner).ready:
            return
        shown = bookkeeping.report_ended_server(spawner, JobEndedError(message))

        async def add_log() -> None:
            log = await self._log.read_end(mark)
            bookkeeping.report_ended_server(spawner, JobEndedError(message, output=log), shown)
            self._record.note_log(mark, log)

        self._start(add_log(), "log")

    def _start(self, work: Coroutine[Any, Any, None], what: str) -> None:
        tasks.start(work, f"{what} of {self._job.name}")
