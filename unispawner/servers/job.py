"""One server's job from its submission to its end, whatever submits, queries and cancels it.

The life of a job is written once, here: the submission that nothing interrupts, what is saved and
when, the stop that goes on until it is confirmed, the route that leads nowhere while the job waits
again, the start that goes on after a restart of the Hub, and the clean-up. How a job is followed
and cancelled is written in a subclass: :class:`.scheduled_job.ScheduledJob` for UniSpawner, and
``unispawner.legacy.job.BatchJob``.

A spawner has one ServerJob at a time, and a new one when JupyterHub makes it forget its server. So
whoever awaits something for a job never meets the next one's state.
"""

from __future__ import annotations

import abc
import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Generic, TypeVar

from .. import tasks
from ..errors import JobEndedError, UniSpawnerError
from ..run_as.client import AgentClient
from ..web import bookkeeping, words
from ..web.allowance import Allowance
from ..web.reports import REPORTS_AT_ONCE, Report, ServerEnd
from ..web.server_status import JobFacts
from . import database, event_log
from .resume import Resumption
from .state import DEAD_ADDRESS, SavedState, State

Result = TypeVar("Result")

_LONGEST_FAILURE = 2000
"""How many characters of an error's message are saved."""


class ServerJob(abc.ABC, Generic[State]):
    """One server's job.

    Attributes
    ----------
    spawner
        The spawner that runs the server; a wrapper may be around it.
    state
        What is saved of it; empty while there is no job.
    starting
        True while the spawner's ``start()`` is under way.
    restored
        True if another process of the Hub has submitted the job.
    resumption
        The start that goes on after a restart of the Hub; None if none does.
    recorded
        True once the database has a record of the job's end, which outlives what JupyterHub keeps.
    stopped_by
        Who has the server stopped: see :mod:`.stops`. Empty for its user, or if nobody does.
    allowance
        How many reports its server may send.
    """

    def __init__(self, spawner: Any, state: State) -> None:
        self.spawner = spawner
        self.state = state
        self.starting = False
        self.restored = bool(state.mark)
        self._was_saved = self.restored or bool(state.failure)
        self._was_stopping = state.stopping
        self.resumption: Resumption | None = None
        self._submission: asyncio.Task[Any] | None = None
        self._stop: asyncio.Task[None] | None = None
        self._clean_up: asyncio.Task[None] | None = None
        self._cleaned_mark = ""
        self._base_url = ""
        self._left = False
        self.recorded = False
        self.stopped_by = ""
        self._last_end: tuple[str, int | None] | None = None
        self.allowance = Allowance(REPORTS_AT_ONCE)

    # -- what a subclass writes ------------------------------------------------------------------

    @property
    @abc.abstractmethod
    def over(self) -> bool:
        """True if the job is known to have ended."""

    @property
    def all_over(self) -> bool:
        """True if this job has ended, and there is no second one that has to be ended."""
        return self.over

    @property
    def url(self) -> str:
        """Where the server is; empty if that is not known here."""
        return ""

    @abc.abstractmethod
    async def wait_ready(self) -> str:
        """Return the server's URL when it has reported.

        Raises
        ------
        UniSpawnerError
            If it never will.
        """

    @abc.abstractmethod
    async def take_report(self, report: Report) -> None:
        """Take where the server listens: see :class:`unispawner.web.reports.TakesReports`."""

    async def take_begin(self, host: str, peer: str = "") -> dict[str, str]:
        """Take note that the job says that it runs: see TakesReports. Does nothing here."""
        return {}

    async def take_end(self, end: ServerEnd) -> None:
        """Send users to the dead address if they are sent to the server that has ended.

        The launcher holds the server's port until this returns. Nothing else of its report is
        believed. It may also be the late report of an earlier run, whose server was elsewhere.
        """
        self._last_end = (end.host, end.port)
        if not self._leads_to(end):
            return
        await self.move_route(*DEAD_ADDRESS)
        if self._leads_to(end):
            self.spawner.log.info(
                "%s: the server has ended with status %s, so its route leads nowhere",
                self.name,
                end.status,
            )
            self.drop_address()

    def _leads_to(self, end: ServerEnd) -> bool:
        state = self.state
        same_host = not state.reported_host or state.reported_host == end.host
        return bool(state.port) and state.port == end.port and same_host

    def expect_server(self) -> None:
        """Take note that a report is checked: from now on the end of its server counts."""
        self._last_end = None

    def has_just_ended(self, report: Report) -> bool:
        """Return whether the server of a report has ended while the report was checked."""
        return self._last_end == (report.host, report.port)

    @abc.abstractmethod
    async def cancel(self) -> None:
        """Cancel the job; return when the scheduler has confirmed that, however long it takes."""

    @abc.abstractmethod
    async def client(self) -> AgentClient:
        """Return the way to the agent of the job's account.

        Raises
        ------
        AgentError
            If there is no such account.
        """

    @abc.abstractmethod
    def facts(self) -> JobFacts:
        """Return what is known of the job at this moment, for people."""

    def stop_following(self) -> None:
        """Stop following the job: the spawner forgets it."""

    # -- saved state -----------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The server's name in log lines."""
        return bookkeeping.log_name(self.spawner)

    @property
    def has_route(self) -> bool:
        """True if this is the job of the spawner's server, to which users are sent."""
        return getattr(self.spawner, "server_job", None) is self

    def is_current(self) -> bool:
        """Return False once the spawner has forgotten this job."""
        return self.has_route

    def of_mark(self, mark: str) -> ServerJob[Any] | None:
        """Return the job that a report is about, by the mark in it; None if it is not known.

        A server has one job here, so what the report says does not matter.
        """
        return self

    def states(self) -> Sequence[SavedState]:
        """Return the states of all jobs of the server that may be there: of one here."""
        return [self.state]

    def to_dict(self) -> dict[str, Any]:
        """Return what is saved of the server."""
        return self.state.to_dict()

    def commit(self, change: database.Write | None = None) -> bool:
        """Save the state now; return False, and log why, if the database refuses.

        A forgotten job saves nothing, because its row may be the next job's.
        """
        return not self.is_current() or database.commit(self.spawner, change)

    async def commit_soon(self, change: database.Write | None = None) -> bool:
        """Save the state together with other servers' states: see :func:`.database.commit_soon`."""
        return not self.is_current() or await database.commit_soon(self.spawner, change)

    def forget(self) -> bool:
        """Let go of the job and revoke its token; return False if the next Hub must end it.

        JupyterHub forgets a server when its stop returns, raises, or is cancelled because the Hub
        itself ends. In the last case the job may still run.
        """
        if self.leave_stop():
            return False
        if not self.recorded:  # else the private files go when the end is confirmed
            self.start_clean_up()
        database.revoke_token(self.spawner, self._token)
        if self.resumption is not None:
            self.resumption.forget(JobEndedError(self._why_not_ready()))
        elif self._was_saved and bookkeeping.is_stopped_unexplained(self.spawner):
            self._explain_loss()
        self.stop_following()
        return True

    def revoke_token_surely(self) -> None:
        """See to it that the token goes with the job, also if the database refuses for a while."""
        database.revoke_token_surely(self.spawner, self._token)

    @property
    def _token(self) -> bookkeeping.ServerToken:
        return bookkeeping.ServerToken(self.state.token_id, self.state.token_created)

    def leave_stop(self) -> bool:
        """Leave a stop that was cut short to the next Hub; return False if none was.

        A spawner that has a server again is being started: what is saved is then of a Hub that was
        killed after the stop.
        """
        cut_short = self.state.stopping and self.state.mark and not self.all_over
        if self.recorded:
            return False
        if not cut_short or (self.server is not None and not self._left):
            return False
        self._left = True
        database.leave_to_the_next_hub(self.spawner, self._base_url)
        return True

    def _why_not_ready(self) -> str:
        """Return why JupyterHub stops a server whose start a restart had interrupted."""
        if not self.state.port:
            return words.CANCELLED
        return words.no_answer(bookkeeping.outer(self.spawner).http_timeout)

    def note_failure(self, error: UniSpawnerError) -> None:
        """Keep why there is no server, in case that this Hub ends before its user can read it."""
        long = len(error.message) > _LONGEST_FAILURE
        self.state.failure = error.message[:_LONGEST_FAILURE] if long else error.message

    def _explain_loss(self) -> None:
        """Show why a server of an earlier Hub is gone that JupyterHub has not found up again.

        JupyterHub only logs it. Nobody can stop a server while it looks for it, so if somebody had
        asked for that, the earlier Hub knew it.
        """
        self._note_given_up()
        if self.state.failure:
            bookkeeping.report_failed_start(self.spawner, JobEndedError(self.state.failure))

    def _note_given_up(self) -> None:
        """Keep why a server is stopped that no user can stop: this Hub may end before it is."""
        if self._was_saved and not (self._was_stopping or self.resumption or self.state.failure):
            self.state.failure = words.no_answer(bookkeeping.outer(self.spawner).http_timeout)

    # -- submission ------------------------------------------------------------------------------

    @property
    def submitting(self) -> bool:
        """True while a submission is under way."""
        return self._submission is not None and not self._submission.done()

    async def submit(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do the work of a submission to its end, also if whoever awaits it is cancelled.

        A Hub that shuts down cancels a start, and so does a user; the job that is being submitted
        must not be lost by that.
        """
        self._submission = submission = tasks.start(work, f"submission for {self.name}")
        result: Result = await asyncio.shield(submission)
        return result

    async def wait_submitted(self) -> None:
        """Return when no submission is under way, whatever became of it."""
        if self._submission is not None and not self._submission.done():
            await asyncio.wait({self._submission})

    @property
    def server(self) -> Any:
        """JupyterHub's object with the server's address; None without a server.

        A wrapped spawner has an object of its own for the same row of the database. It would not
        do: JupyterHub makes routes of the outer spawner's, which has its own copy of the address.
        """
        return bookkeeping.outer(self.spawner).server

    # -- where the server is ---------------------------------------------------------------------

    def forget_address(self, *, ending: bool = False) -> None:
        """Send users to a dead address: the server's old port may be another user's by now.

        Parameters
        ----------
        ending
            True if the job's run is ending, as every run does, and has not moved.
        """
        if not ending:
            event_log.note_requeue(self)
        if ending:
            self.spawner.log.info(
                "%s: this run of the job is ending, so its server's route leads nowhere; if the "
                "job runs again, it is followed",
                self.name,
            )
        else:
            self.spawner.log.warning(
                "%s: the job is no longer where its server was; it is followed to its new place",
                self.name,
            )
        self.drop_address()
        tasks.start(self.move_route(*DEAD_ADDRESS), f"route of {self.name}")

    def drop_address(self) -> None:
        """Forget where the server was."""
        self.state.port, self.state.reported_host = 0, ""
        self.state.waiting_since = time.time()
        if not self.state.stopping:  # that is saved, and soon the server has no row any more
            self.commit()

    async def move_route(self, host: str, port: int) -> None:
        """Send a ready server's users to another address at once."""
        server = self.server
        if server is None or not self.has_route:  # the row may be the next job's
            return
        ready = bookkeeping.outer(self.spawner).ready
        if self.state.stopping and not ready:
            return  # JupyterHub has removed the route, and removes the row soon
        server.ip, server.port = host, port
        self.commit()
        if ready:
            await self.add_route()

    async def add_route(self) -> None:
        """Have the proxy send users to the server's saved address.

        One request after the other: the last one has the newest address.
        """
        user = self.spawner.user
        async with self.spawner.route_lock:
            await user.settings["proxy"].add_user(user, self.spawner.name)

    # -- after a restart -------------------------------------------------------------------------

    @property
    def unfinished(self) -> bool:
        """True if a restart has interrupted the start: the server's address was not saved yet."""
        server = self.server
        saved = server is not None and (server.ip, server.port) != DEAD_ADDRESS
        return self.restored and not (self.state.port and saved)

    def note_ready(self) -> None:
        """Take note that JupyterHub has found the server up."""
        if self.restored and self.resumption is None:
            event_log.note_resumed(self, "server")
        event_log.note_ready(self)
        self.restored = self._was_saved = False
        if self.resumption is not None:
            self.resumption.note_ready()

    def resume(self) -> Resumption:
        """Make the start that a restart has interrupted a pending spawn, if it is not one yet."""
        if self.resumption is None:
            event_log.note_resumed(self, "start")
            self.resumption = Resumption(self)
        return self.resumption

    # -- the end ---------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Cancel the job and return when its end is confirmed; raise nothing.

        JupyterHub forgets a server whose stop has returned or raised, and would leave the job to
        itself. The work goes on if whoever awaits it is cancelled.
        """
        self._note_given_up()
        if self.resumption is not None:
            await self.resumption.join_stops()
        await asyncio.shield(self.start_stop())

    @property
    def stop_asked(self) -> bool:
        """True once this Hub has begun to end the job because somebody has asked for that."""
        return self._stop is not None

    @property
    def stop_under_way(self) -> bool:
        """True while the job is being ended."""
        return self._stop is not None and not self._stop.done()

    def start_stop(self) -> asyncio.Task[None]:
        """Begin to end the job, if that is not under way, and return the task that does it."""
        if self._stop is None or self._stop.done():
            self._stop = tasks.start(self._save_and_cancel(), f"stop of {self.name}")
        return self._stop

    async def _save_and_cancel(self) -> None:
        server = self.server
        self._base_url = server.base_url if server else self._base_url
        await self._save_stopping()
        await self.wait_submitted()
        if not self.state.stopping:  # a submission may have made the state anew
            await self._save_stopping()
        await self.cancel()
        self.revoke_token_surely()

    async def _save_stopping(self) -> None:
        self.state.stopping = True
        if self.state.mark:
            await self.commit_soon()

    def start_clean_up(self) -> asyncio.Task[None] | None:
        """Begin to remove the job's private files, once; return the task, None without a job."""
        mark = self.state.mark
        if mark and mark != self._cleaned_mark:  # a start that is tried again has another mark
            self._cleaned_mark = mark
            self._clean_up = tasks.start(self._remove_files(mark), f"clean-up for {self.name}")
        return self._clean_up

    async def clean_up(self) -> None:
        """Remove the job's private files; the agent sweeps later what can't be removed now."""
        if (task := self.start_clean_up()) is not None:
            await asyncio.wait({task})

    async def _remove_files(self, mark: str) -> None:
        try:
            await (await self.client()).cleanup(mark)
        except Exception as error:  # of a directory service that is down, too
            self.spawner.log.warning(
                "%s: the job's private files could not be removed; a later start removes them: %s",
                self.name,
                error,
            )
