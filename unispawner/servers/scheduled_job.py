"""The job of a UniSpawner's server: the monitor follows it, the agent submits and cancels it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from .. import tasks
from ..errors import InvalidJobError, JobEndedError, SchedulerUnavailable, UniSpawnerError
from ..job import JobInfo, JobState
from ..monitor.cancel import cancel_until_ended
from ..monitor.monitor import Monitor
from ..monitor.tracked_job import TrackedJob
from ..run_as.accounts import find_account
from ..run_as.client import AgentClient
from ..submit_host.host import LONGEST_WAIT
from ..web import bookkeeping, words
from ..web.reports import Report, ServerEnd
from ..web.server_status import JobFacts
from . import endings, history, notices
from .address import ask_for_host, check_address, find_exec_host, has_moved
from .database import session_of
from .never_starts import NeverStarts
from .node_certificates import NodeCertificates
from .own_place import OwnPlace
from .second_job import PairedJob
from .slow_start import StartWatch, find_limits
from .state import ServerState

_LOG_LINES = 20
_FIRST_ANSWER = 4.0
"""How long (seconds) a restarted Hub waits to find the job, and then for an answer about it."""
_SUBMIT_MARGIN = 30.0
"""Seconds that a submission may take longer than ``agent_timeout`` allows."""
_TIMEOUT_MARGIN = 3.0
"""How long (seconds) before JupyterHub a start gives up, to read the job's log meanwhile."""
_LONGEST_PAUSE = 60.0
"""Seconds between attempts to find a job after a restart."""
_RETURNS = tasks.Turnstile(50)
"""A restarted Hub asks for all servers in the same turn of the event loop."""


class ScheduledJob(PairedJob):
    """A job that the monitor follows.

    Attributes
    ----------
    tracked
        The job as the monitor follows it; None until the job has an id, and after a restart until
        it is found again.
    lost
        The error of a submission that may have made a job all the same, while it is looked for.
    began
        When the start began (time.monotonic); after a restart, ``waiting_since`` counts.
    """

    def __init__(self, spawner: object, state: ServerState | None = None) -> None:
        super().__init__(spawner, state or ServerState())
        self.lost: UniSpawnerError | None = None
        self.began = time.monotonic()
        self._attachment: asyncio.Task[None] | None = None
        self._confirmation: asyncio.Task[None] | None = None
        self._unheard = False  # True if a restarted Hub went on without an answer about the job
        self._told = False  # True once the history and the user know that the start has failed
        self._own_place = OwnPlace(self, self._note_refusal)
        self._certificates = NodeCertificates(self, self._ends)
        self._asked_after_restart = False
        self._never_starts = NeverStarts()

    # -- what it is made of ----------------------------------------------------------------------

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

    def track(self, client: AgentClient, job_id: str, *, submitted: bool = False) -> None:
        """Follow the job from now on; ``submitted`` means that it was submitted just now."""
        self.tracked = TrackedJob(job_id, client, on_change=self._handle_change)
        self.tracked.reported = self.tracked.had_server = bool(self.state.port)
        self.monitor.track(self.tracked, submitted=submitted)

    def note_ready(self) -> None:
        """Take note that JupyterHub has found the server up."""
        again = self.restored and self.resumption is None
        if not again:
            history.note_ready(self)
        notices.note_ready(self, again=again)
        super().note_ready()

    @contextmanager
    def failure_noted(self) -> Iterator[None]:
        """Tell the history and the user of a start that raises an error."""
        try:
            yield
        except UniSpawnerError as error:
            self.note_failure(error)
            ending = history.failed_start(self, error)
            history.note_failed_start(self, ending)
            notices.note_end(self, ending)
            self._told = True
            raise

    def forget(self) -> bool:
        """Let go of the job: see :meth:`.job.ServerJob.forget`."""
        forgotten, ending = super().forget(), history.find_ending(self)
        if forgotten and self.state.mark and not self._told:
            history.note_end(self, ending)
            notices.note_end(self, ending)
        return forgotten

    def stop_following(self) -> None:
        """Stop following the job, unless its end has to be confirmed: nobody asks about it more."""
        unconfirmed = self._confirmation is not None and not self._confirmation.done()
        if self.tracked is not None and not unconfirmed:
            self.monitor.untrack(self.tracked)

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

    # -- ready or not ----------------------------------------------------------------------------

    async def wait_ready(self) -> str:
        """Return the server's URL when it has reported.

        Raises
        ------
        JobEndedError
            If the job ends first, runs too long without a report, or if ``start_timeout`` is over.
        """
        deadline = self._start_deadline()
        watch: StartWatch | None = None
        if self._attachment is not None:  # a restarted Hub is looking for the job
            await asyncio.wait({self._attachment})
        if self.tracked is None:  # it was stopped meanwhile
            raise JobEndedError(words.CANCELLED)
        while not self.state.port:
            job, now = self.tracked, time.monotonic()
            if job.final or (job.info and job.info.stuck):
                raise await self.why_ended()
            if now >= deadline:
                raise await self._not_in_time(job)
            if job.info is None or job.info.state is not JobState.RUNNING:
                watch = job.slow_start = None
                self._never_starts.look(self.spawner, job, self.state.waiting_since)
                await job.wait_change(min(30.0, deadline - now))
                continue
            watch = watch or StartWatch(job, find_limits(self.spawner), self._read_log)
            if watch.left > 0:
                await watch.wait(deadline - now)
                continue
            await watch.look()  # the log may have grown since the last look
            if watch.left <= 0 and not self.state.port:
                raise await self._never_reported(job, watch.seconds)
        return self.state.url

    def _start_deadline(self) -> float:
        """Return when (time.monotonic) the start has failed because ``start_timeout`` is over.

        It comes a little before JupyterHub's own, which would give no reason.
        """
        limit = float(self.spawner.start_timeout)
        if self.restored:
            return self.state.waiting_since + limit - time.time() + time.monotonic()
        return self.began + limit - min(_TIMEOUT_MARGIN, limit / 10)

    async def why_ended(self) -> JobEndedError:
        """Return the error that says why the job has ended, with the end of its log."""
        assert self.tracked is not None
        message = words.job_ended(self.tracked, self.title)
        return JobEndedError(message, output=await self._log_tail(self.state.mark))

    async def _never_reported(self, job: TrackedJob, seconds: float) -> JobEndedError:
        url = self.spawner.get_env().get("JUPYTERHUB_API_URL", "")
        message = words.never_reported(job, seconds, url)
        return JobEndedError(message, output=await self._log_tail(self.state.mark))

    async def _not_in_time(self, job: TrackedJob) -> JobEndedError:
        message = words.not_in_time(self.spawner.start_timeout, job)
        runs = job.info is not None and job.info.state is JobState.RUNNING
        output = await self._log_tail(self.state.mark) if runs else ""
        return JobEndedError(message, output=output)

    async def read_log(self, lines: int) -> str:
        """Return the last lines of the job's log, read as the user.

        Raises
        ------
        UniSpawnerError
            If it can't be read now.
        """
        return (await self._read_log(lines))[0]

    async def _read_log(self, lines: int) -> tuple[str, int]:
        """Return the last lines of the job's log, read as the user, and the log's size."""
        return await (await self.client()).log_end(self.state.mark, lines)

    async def _log_tail(self, mark: str) -> str:
        """Return the end of the job's log, read as the user."""
        try:
            return await (await self.client()).log_tail(mark, _LOG_LINES)
        except UniSpawnerError as error:
            return words.no_log(error)

    # -- where the server is ---------------------------------------------------------------------

    async def take_report(self, report: Report) -> None:
        """Save where the server listens.

        Raises
        ------
        SchedulerUnavailable
            If it is not known yet where the job runs: the job should report again.
        InvalidJobError
            If the host is not the job's.
        """
        job = self.tracked
        if job is None:
            raise SchedulerUnavailable(words.STILL_SUBMITTING)
        if job.being_reported:
            raise SchedulerUnavailable(words.REPORT_UNDER_CHECK)
        job.being_reported, self._last_end = True, None
        try:
            address = await self._check_report(job, report)
        except UniSpawnerError as error:
            self._note_failed_report(job, error)
            raise
        finally:
            job.being_reported = False
        self.state.host, self.state.port = address, report.port
        self.state.reported_host = report.host or ""
        job.server_ended, job.had_server = False, True
        job.reported, job.reported_at, job.run_start = True, time.monotonic(), None
        job.refusal = ""
        job.notify()
        if self.has_route and bookkeeping.outer(self.spawner).ready:
            await self.move_route(address, report.port)
        else:
            await self.commit_soon()  # before the launcher believes that it has reported
            await self._lead()

    async def _lead(self) -> None:
        """Take the route if this is a second job that is ready, and the first has no server."""
        routed = self.spawner.server_job
        if self.is_second and not routed.state.port:
            await routed.second.take_over_if_ready()

    async def _check_report(self, job: TrackedJob, report: Report) -> str:
        """Return the address of the job's server; raise what :meth:`take_report` raises."""
        await ask_for_host(job, self.monitor)
        address = await check_address(
            job,
            report.host,
            self.spawner.host_map,
            self.monitor,
            asker=self.spawner.user.name,
            on_own_host=partial(self._own_place.find, report),
            peer=report.peer,
        )
        await self._certificates.check_server(address, report.port)
        moved = not (self.is_current() and self.tracked is job)
        if moved or self.has_just_ended(report):
            raise SchedulerUnavailable(words.JOB_MOVED)
        return address

    async def take_begin(self, host: str, peer: str = "") -> dict[str, str]:
        """Ask soon about a job that says that it runs; return its certificate, if it needs one."""
        job = self.tracked
        if job is not None:  # else it is asked for as soon as it has an id
            job.server_ended = job.had_server = False  # the job was run again
            if find_exec_host(job) is None:
                job.note_begin()
                self.monitor.want(job)
        if not self._certificates.needed:
            return {}
        if job is None:
            raise SchedulerUnavailable(words.STILL_SUBMITTING)
        try:
            certificate = await self._certificates.issue(job, self.monitor, host, peer)
        except UniSpawnerError as error:
            self._note_failed_report(job, error)
            raise
        job.refusal = ""
        return {"certificate": certificate}

    def _ends(self, job: TrackedJob) -> bool:
        """Return whether a job is being ended, or is not this server's any more."""
        current = self.is_current() and self.tracked is job
        return self.state.stopping or job.stopping or job.final or not current

    async def take_end(self, end: ServerEnd) -> None:
        """Send users to the dead address, and ask soon whether the job has ended."""
        job = self.tracked
        led_there = bool(self.state.port)
        await super().take_end(end)
        if job is not None and job is self.tracked and not self.state.port:
            if led_there or job.stopping:
                job.note_server_end(end.status)
            self.monitor.want(job)
            if led_there:
                await self.second.take_over_if_ready()

    def drop_address(self) -> None:
        """Forget where the server was."""
        self.state.host = ""
        if self.tracked is not None:
            self.tracked.reported = False
        self._own_place.forget()
        super().drop_address()

    def _note_failed_report(self, job: TrackedJob, error: UniSpawnerError) -> None:
        """Note why a report did not count, for the job's user, unless it only came too early."""
        if isinstance(error, InvalidJobError):
            self.monitor.want(job)  # the job may have been run again elsewhere; it reports again
            job.note_refusal(error.message)
        elif error.message not in words.REPORT_LATER:
            job.note_refusal(error.message)

    def _note_refusal(self, why: str) -> None:
        if self.tracked is not None:
            self.tracked.note_refusal(why)

    # -- what the scheduler says -----------------------------------------------------------------

    def _handle_change(self, job: TrackedJob, before: JobInfo | None) -> None:
        """Follow a job that is run again, and let the Hub know at once of a job that has ended."""
        if not self.is_current() or job is not self.tracked or job.info is None:
            return
        if not self.has_route:
            self._follow_as_second(job, before, job.info)
        elif job.info.state.final:
            if not job.stopping:
                self._log_end(job)
            self.start_clean_up()
            if self.second.take_over():
                return
            if bookkeeping.is_polled(self.spawner):
                tasks.start(self._server_ended(job), f"end of {self.name}")
            elif self._unheard and self.resumption is None and not job.stopping:
                tasks.start(self._show_lost(), f"end of {self.name}")
        elif job.info.stuck and self.state.port and not job.stopping:
            # The server has ended, and the job would stay for ever: it is as good as ended.
            self._log_end(job)
            if self.second.take_over():
                return
            self.forget_address()
            if self._stop is None or self._stop.done():
                self._show_end(job)
            self.start_stop()
        elif self.state.port and not job.stopping and has_moved(job, before, job.info):
            self.forget_address()
            tasks.start(self.second.take_over_if_ready(), f"second job of {self.name}")

    def _follow_as_second(self, job: TrackedJob, before: JobInfo | None, now: JobInfo) -> None:
        """Take note of what has become of a second job, to which no user is sent yet."""
        if now.state.final or now.stuck:
            self.spawner.server_job.second.note_end(self)
        elif self.state.port and has_moved(job, before, now):
            self.drop_address()
            self.spawner.server_job.second.follow()

    def _log_end(self, job: TrackedJob) -> None:
        self.spawner.log.warning("%s: %s", self.name, words.job_ended(job, self.title))

    def end_early(self, error: UniSpawnerError) -> None:
        """End a job that users are sent to but whose server never comes, and show why."""
        if bookkeeping.outer(self.spawner).ready:
            self.spawner.log.warning("%s: %s", self.name, error)
            bookkeeping.report_ended_server(self.spawner, error)
            self.start_stop()

    async def _show_lost(self) -> None:
        """Show why a server is gone that a restarted Hub is still waiting for."""
        error = await self.why_ended()
        if self.is_current():
            bookkeeping.report_failed_start(self.spawner, error)

    async def _server_ended(self, job: TrackedJob) -> None:
        """Make JupyterHub forget a server whose job has ended, and show why if it has failed."""
        if not job.stopping and not job.ended_in_order:
            self._show_end(job)
        self.revoke_token_surely()
        await bookkeeping.notify_end(self.spawner)

    def _show_end(self, job: TrackedJob) -> None:
        """Show on JupyterHub's pages why a ready server has ended, and soon the end of its log."""
        message, mark = words.job_ended(job, self.title), self.state.mark
        self.note_failure(JobEndedError(message))
        if not bookkeeping.outer(self.spawner).ready:
            return
        shown = bookkeeping.report_ended_server(self.spawner, JobEndedError(message))

        async def add_log() -> None:
            log = await self._log_tail(mark)
            bookkeeping.report_ended_server(self.spawner, JobEndedError(message, output=log), shown)
            history.note_log(self, mark, log)

        tasks.start(add_log(), f"log of {self.name}")

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
            await self._wait_first_answer()
            if not self.has_route:  # it was stopped meanwhile, or its second job has the route
                return 0
        if self.recorded:  # a stop has returned: its confirmation needs no server any more
            return _exit_status(self.tracked.info if self.tracked else None)
        if self.tracked is None or not self.tracked.over:
            for one in filter(None, (self, self.second.job)):
                await one.look_at_own_place()
            return None
        return _exit_status(self.tracked.info)

    async def look_at_own_place(self) -> None:
        """Look whether the server still listens, if it is on the Hub's own host."""
        await self._own_place.look_again()

    # -- the end ---------------------------------------------------------------------------------

    async def cancel(self) -> None:
        """Cancel the job, and return when it is certain that its end comes.

        That is so when the scheduler has confirmed it and the private files are removed. It is so
        earlier, when the scheduler has accepted the cancellation and the job itself has reported
        that its server has ended. Then the database has a record of the job until it is confirmed.
        """
        second = tasks.start(self.second.end(), f"end of the second job of {self.name}")
        await self._cancel_this()
        await asyncio.wait({second})

    async def _cancel_this(self) -> None:
        if self.tracked is None and self.state.mark:
            await self._attach()
        job = self.tracked
        if job is None:
            return
        if self._confirmation is None or self._confirmation.done():
            self._confirmation = tasks.start(self.confirm_end(), f"end of a job of {self.name}")
        may_record = True
        while not self._confirmation.done():
            if job.cancelled and job.server_ended and may_record and self.second.job is None:
                database, mark = session_of(self.spawner), self.state.mark
                self.recorded = may_record = await endings.record(self.spawner, mark)
                if self.recorded:
                    if self._confirmation.done():  # it did not know of the record yet
                        await endings.forget(database, mark, self.spawner.log)
                    return
            news = tasks.start(job.wait_change(1.0), f"news of a job of {self.name}")
            await asyncio.wait({news, self._confirmation}, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
        self._confirmation.result()  # raises what kept it from its end

    async def confirm_end(self) -> None:
        """Cancel the job until the scheduler confirms that, and remove its private files."""
        if self.tracked is None:
            await self._attach()
        job = self.tracked
        if job is None:
            return
        # The database's session: when this ends, the spawner may have been forgotten.
        database, mark = session_of(self.spawner), self.state.mark
        job.stopping = True
        self.monitor.track(job)
        await cancel_until_ended(job, self.monitor)
        await self.clean_up()
        if self.recorded:
            await endings.forget(database, mark, self.spawner.log)
            self.monitor.untrack(job)

    # -- after a restart -------------------------------------------------------------------------

    def find(self) -> asyncio.Task[None]:
        """Begin to find the job that another process has submitted; return the task."""
        if self._attachment is None:
            self._attachment = tasks.start(self._attach(), f"return of {self.name}")
        return self._attachment

    async def _attach(self) -> None:
        """Follow the job that another process of the Hub has submitted.

        Without an id, the Hub died in the middle of the submission: the job is looked for by its
        mark, until no agent can be at work on it any more.
        """
        state, pause = self.state, 1.0
        # What waited for its turn when the Hub died is gone; what had begun ends in this time.
        deadline = min(time.time(), state.submit_time + LONGEST_WAIT)
        deadline += self.spawner.agent_timeout + _SUBMIT_MARGIN
        while self.tracked is None and self.is_current():
            try:
                client = await self.client()
                over = time.time() > deadline
                if not state.job_id:
                    state.job_id = await client.find(state.mark)
                    if self.is_current():
                        self.commit()
                if not self.is_current() or self.tracked is not None:
                    return  # it was stopped meanwhile, or a stop has found it
                if state.job_id:
                    self.track(client, state.job_id)
                elif over:
                    reason = words.RESTARTED_BEFORE_SUBMISSION
                    info = JobInfo(client.account.name, JobState.FAILED, reason)
                    self.tracked = TrackedJob("", client, info=info)
                    self.start_clean_up()
            except UniSpawnerError as error:
                self.spawner.log.warning(
                    "%s: the job was not found after the restart; trying again: %s",
                    self.name,
                    error,
                )
            if self.tracked is None:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _wait_first_answer(self) -> None:
        """Wait a few seconds for the scheduler's answer, so that nobody is sent to a dead server.

        A start that had not reported becomes a pending spawn here; a stop that the restart
        interrupted goes on here, however long it takes.
        """
        await _RETURNS.wait()
        first, self._asked_after_restart = not self._asked_after_restart, True
        if first and not self.state.port and not self.state.stopping:
            self.resume()
        if first and not self.state.stopping:
            self.second.resume()
        patience = None if self.state.stopping else _FIRST_ANSWER
        await asyncio.wait({self.find()}, timeout=patience)
        until = time.monotonic() + _FIRST_ANSWER
        while self.tracked and not self.tracked.info and time.monotonic() < until:
            await self.tracked.wait_change(until - time.monotonic())
        if self.state.stopping and self.tracked and not self.all_over:
            await self.stop()
        if not self.has_route:
            return
        if first and self.resumption is not None and self.resumption.future.cancelled():
            await self.resumption.forgotten.wait()
        elif first and self.over and not self.state.stopping:
            error = await self.why_ended()
            if self.resumption is not None:
                self.resumption.fail(error)
            else:
                bookkeeping.report_failed_start(self.spawner, error)
        elif first:
            self._unheard = not self.over


def _exit_status(info: JobInfo | None) -> int:
    """Return a job's exit status; a job that failed before its script ran has none of its own."""
    failed = info is not None and info.state is JobState.FAILED
    return (info.exit_code if info else 0) or int(failed)
