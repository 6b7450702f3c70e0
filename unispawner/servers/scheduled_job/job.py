"""The job of a UniSpawner's server: the monitor follows it, the agent submits and cancels it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import JobEndedError, UniSpawnerError
from ...job import JobInfo, JobSpec, JobState
from ...monitor.monitor import Monitor
from ...monitor.tracked_job import TrackedJob
from ...run_as.accounts import find_account
from ...run_as.client import AgentClient
from ...web import bookkeeping, words
from ...web.reports import Report, ServerEnd
from ...web.server_status import JobFacts
from .. import event_log
from ..resume import Resumption
from ..second_job import PairedJob
from ..state import ServerState
from .end import JobEnd
from .log import JobLog
from .measures import JobMeasures
from .news import JobNews
from .record import JobRecord
from .reports import JobReports
from .restart import JobRestart
from .start import JobStart


class ScheduledJob(PairedJob):
    """A job that the monitor follows.

    Attributes
    ----------
    tracked
        The job as the monitor follows it; None until the job has an id, and after a restart until
        it is found again.
    lost
        The error of a submission that may have made a job all the same, while it is looked for.
    """

    def __init__(self, spawner: object, state: ServerState | None = None) -> None:
        super().__init__(spawner, state or ServerState())
        self.lost: UniSpawnerError | None = None
        self._log = JobLog(self)
        self._measures = JobMeasures(self)
        self._record = JobRecord(self, self._measures)
        self._restart = JobRestart(self)
        self._start = JobStart(self, self._log, self._restart)
        self._reports = JobReports(self, self._measures)
        self._news = JobNews(self, self._log, self._record, self._restart, self._measures)
        self._end = JobEnd(self, self._restart)

    # -- what is known of it ---------------------------------------------------------------------

    @property
    def title(self) -> str:
        """The scheduler's name for people, with the cluster's if that has one."""
        return str(self.spawner.get_scheduler().title)

    @property
    def monitor(self) -> Monitor:
        """The monitor of the scheduler, which all its spawners share."""
        monitor: Monitor = self.spawner.monitor()
        return monitor

    @property
    def over(self) -> bool:
        """True if the scheduler has said that the job has ended."""
        return self.tracked is not None and self.tracked.over

    @property
    def url(self) -> str:
        """Where the server is; empty before it has reported."""
        return self.state.url

    async def client(self) -> AgentClient:
        """Return the way to the agent of the job's account."""
        if self.tracked is not None:
            return self.tracked.client
        await self.spawner.find_way()
        spawner, min_uid = self.spawner, self.spawner.min_uid
        account = self.state.saved_account(min_uid, spawner.submit_host) or await find_account(
            self.state.account, min_uid, host=spawner.get_host()
        )
        client: AgentClient = self.spawner.agent_client(account)
        return client

    def facts(self) -> JobFacts:
        """Return what is known of the job at this moment."""
        tracked = self.tracked
        if tracked is None:
            message = words.looking_for(self.lost) if self.lost else ""
            return JobFacts(summary=self.state.summary, message=message)
        problem = self.monitor.problem
        return JobFacts(
            job_id=tracked.job_id,
            info=tracked.info,
            message=words.progress_event(tracked, problem, self.title)["message"],
            summary=self.state.summary,
            scheduler=type(self.spawner.get_scheduler()).title,
            cluster=self.state.cluster or self.spawner.cluster_title(),
            waiting_since=self.state.waiting_since,
            duration=self.state.duration,
            end_warning=self.spawner.end_warning,
            heard=problem is None,
        )

    async def read_log(self, lines: int) -> str:
        """Return the last lines of the job's log, read as the user.

        Raises
        ------
        UniSpawnerError
            If it can't be read now.
        """
        return (await self._log.read(lines))[0]

    async def why_ended(self) -> JobEndedError:
        """Return the error that says why the job has ended, with the end of its log."""
        assert self.tracked is not None
        message = words.job_ended(self.tracked, self.title)
        return JobEndedError(message, output=await self._log.read_end())

    # -- the start -------------------------------------------------------------------------------

    @contextmanager
    def start_under_way(self) -> Iterator[None]:
        """Mark the job as starting meanwhile, and have it known if the start raises an error."""
        self.starting, self._start.began = True, time.monotonic()
        self._measures.note_start()
        event_log.note_asked(self)
        try:
            with self._record.failure_noted():
                yield
        finally:
            self.starting = False

    def track(self, client: AgentClient, job_id: str, *, submitted: bool = False) -> None:
        """Follow the job from now on; ``submitted`` means that it was submitted just now."""
        self.tracked = TrackedJob(job_id, client, on_change=self._news.take)
        self.tracked.reported = self.tracked.had_server = bool(self.state.port)
        self.tracked.run_start = self.state.run_start if self.state.port else None
        self.monitor.track(self.tracked, submitted=submitted)

    def note_submitted(self, spec: JobSpec) -> None:
        """Take note that the scheduler has the job."""
        self._measures.note_submitted(spec.queue_name or "")

    def resume(self) -> Resumption:
        """Make the start that a restart has interrupted a pending spawn, if it is not one yet."""
        if self.resumption is None:
            self._measures.note_resumed_start()
        return super().resume()

    async def wait_ready(self) -> str:
        """Return the server's URL when it has reported.

        Raises
        ------
        JobEndedError
            If the job ends first, runs too long without a report, or if ``start_timeout`` is over.
        """
        return await self._start.wait_ready()

    def note_ready(self) -> None:
        """Take note that JupyterHub has found the server up."""
        found_again = self.restored and self.resumption is None
        self._record.note_ready(again=found_again)
        self._measures.note_ready(resumed=found_again)
        super().note_ready()

    def find(self) -> asyncio.Task[None]:
        """Begin to find the job that another process has submitted; return the task."""
        return self._restart.find()

    # -- where the server is ---------------------------------------------------------------------

    async def take_report(self, report: Report) -> None:
        """Save where the server listens: see :meth:`.JobReports.take_report`."""
        await self._reports.take_report(report)

    async def take_begin(self, host: str, peer: str = "") -> dict[str, str]:
        """Ask soon about a job that says that it runs; return its certificate, if it needs one."""
        return await self._reports.take_begin(host, peer)

    async def take_end(self, end: ServerEnd) -> None:
        """Send users to the dead address, and ask soon whether the job has ended."""
        job, led_there = self.tracked, bool(self.state.port)
        await super().take_end(end)
        if job is not None and job is self.tracked and not self.state.port:
            await self._reports.note_end(job, end, led_there=led_there)

    async def look_at_own_place(self) -> None:
        """Look whether the server still listens, if it is on the Hub's own host."""
        await self._reports.own_place.look_again()

    def drop_address(self) -> None:
        """Forget where the server was."""
        self.state.host = ""
        if self.tracked is not None:
            self.tracked.reported = False
        self._reports.own_place.forget()
        super().drop_address()

    # -- what JupyterHub asks --------------------------------------------------------------------

    async def poll(self) -> int | None:
        """Return None while there is a job, or it may be there; else its exit status.

        Answers from memory. Only the first time after a restart it waits for the scheduler, a few
        seconds at most.
        """
        if self.starting and not (self.tracked and self.tracked.final):
            return None
        if self.submitting:
            return None
        if not self.state.mark:
            return 0
        if self.restored and not (self.tracked and self.tracked.info):
            await self._restart.wait_first_answer()
            if not self.has_route:  # it was stopped meanwhile, or its second job has the route
                return 0
        if self.recorded:  # a stop has returned: its confirmation needs no server any more
            return _exit_status(self.tracked.info if self.tracked else None)
        if self.tracked is None or not self.tracked.over:
            for one in filter(None, (self, self.second.job)):
                await one.look_at_own_place()
            return None
        return _exit_status(self.tracked.info)

    # -- the end ---------------------------------------------------------------------------------

    async def cancel(self) -> None:
        """Cancel the job, and return when it is certain that its end comes.

        That is so when the scheduler has confirmed it and the private files are removed. It is so
        earlier, when the scheduler has accepted the cancellation and the job itself has reported
        that its server has ended. Then the database has a record of the job until it is confirmed.
        """
        await self._end.cancel()

    async def confirm_end(self) -> None:
        """Cancel the job until the scheduler confirms that, and remove its private files."""
        await self._end.confirm()

    def end_early(self, error: UniSpawnerError) -> None:
        """End a job that users are sent to but whose server never comes, and show why."""
        if bookkeeping.outer(self.spawner).ready:
            self.spawner.log.warning("%s: %s", self.name, error)
            bookkeeping.report_ended_server(self.spawner, error)
            self.start_stop()

    def forget(self) -> bool:
        """Let go of the job: see :meth:`..job.ServerJob.forget`."""
        if not super().forget():
            return False
        self._record.note_end()
        return True

    def stop_following(self) -> None:
        """Stop following the job, unless its end has to be confirmed: nobody asks about it more."""
        if self.tracked is not None and not self._end.under_way:
            self.monitor.untrack(self.tracked)


def _exit_status(info: JobInfo | None) -> int:
    """Return a job's exit status; a job that failed before its script ran has none of its own."""
    failed = info is not None and info.state is JobState.FAILED
    return (info.exit_code if info else 0) or int(failed)
