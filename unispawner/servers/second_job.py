"""The second job of a server whose user continues it, and how it takes the route.

A server has one job that users are sent to. Its user may continue it with a second job of the same
choice before the first job ends: see :mod:`.hand_over` for how that one begins. From then on:

- What finds both jobs is in the server's saved state, the second within the first's, before the
  second is submitted. A Hub that is killed at any step has left the first job with the route, and
  the next Hub follows the second, or finds that there is none.
- ``take_over`` gives the second job the route, when the user wants it, or when the first job has
  ended. One commit makes the second the server's job and adds the first to the table of jobs that
  are being ended (:mod:`.endings`), so that it is ended whatever happens to the Hub.
- ``end`` ends the second job, when the user does not want it any more, when it has failed or when
  the server is stopped. The same table has it from when it leaves the saved state.

Both jobs have the server's token. It is revoked with the server, when both have ended.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Sequence
from typing import Any

from .. import tasks
from ..errors import InvalidJobError, JobEndedError, SchedulerUnavailable, UniSpawnerError
from ..monitor.monitor import Monitor
from ..monitor.tracked_job import TrackedJob
from ..run_as.client import AgentClient
from ..web import bookkeeping, continuation
from . import endings, event_log, history, notices
from .database import session_of
from .job import ServerJob
from .state import DEAD_ADDRESS, SavedState, ServerState


class PairedJob(ServerJob[ServerState]):
    """A job whose server may have a second one, or which is such a second one.

    Attributes
    ----------
    tracked
        The job as the monitor follows it; None until it is found.
    second
        The second job of the server, if this one has the route.
    """

    def __init__(self, spawner: Any, state: ServerState) -> None:
        super().__init__(spawner, state)
        self.tracked: TrackedJob | None = None
        self.second = SecondJob(self)

    # -- what a subclass writes ------------------------------------------------------------------

    @property
    @abc.abstractmethod
    def title(self) -> str:
        """The scheduler's name for people."""

    @property
    @abc.abstractmethod
    def monitor(self) -> Monitor:
        """The monitor of the scheduler."""

    @abc.abstractmethod
    def track(self, client: AgentClient, job_id: str, *, submitted: bool = False) -> None:
        """Follow the job from now on."""

    @abc.abstractmethod
    def find(self) -> asyncio.Task[None]:
        """Begin to find the job that another process has submitted; return the task."""

    @abc.abstractmethod
    async def look_at_own_place(self) -> None:
        """Look whether the server still listens, if it is on the Hub's own host."""

    @abc.abstractmethod
    async def why_ended(self) -> JobEndedError:
        """Return the error that says why the job has ended."""

    @abc.abstractmethod
    def end_early(self, error: UniSpawnerError) -> None:
        """End a job that users are sent to but whose server never comes, and show why."""

    @abc.abstractmethod
    async def confirm_end(self) -> None:
        """Cancel the job until the scheduler confirms that, and remove its private files."""

    # -- two jobs of one server ------------------------------------------------------------------

    @property
    def is_second(self) -> bool:
        """True if the server has another job that has the route, and this is its second one."""
        routed = getattr(self.spawner, "server_job", None)
        return isinstance(routed, PairedJob) and routed.second.job is self

    def is_current(self) -> bool:
        """Return False once the spawner has forgotten this job."""
        return self.has_route or self.is_second

    def of_mark(self, mark: str) -> PairedJob | None:
        """Return the job that a report is about, by the mark in it; None if it is not known.

        An older launcher names no mark, and only the first job of a server can have one.
        """
        second = self.second.job
        if second is not None and mark == second.state.mark:
            return second
        return self if mark in ("", self.state.mark) else None

    def states(self) -> Sequence[SavedState]:
        """Return the states of all jobs of the server that may be there."""
        second = self.second.job
        return [self.state] + ([second.state] if second is not None and second.state.mark else [])

    def to_dict(self) -> dict[str, Any]:
        """Return what is saved of the server: this job, and the second one in it."""
        saved = self.state.to_dict()
        return {**saved, "next": self.second.to_dict()} if saved else {}

    @property
    def all_over(self) -> bool:
        """True if this job has ended, and there is no second one that has to be ended."""
        return self.over and self.second.job is None

    def forget(self) -> bool:
        """Let go of the job: see the base class. A second job is ended."""
        if not super().forget():
            return False
        self.second.leave_and_end()
        return True


class SecondJob:
    """The second job of a server; there is none most of the time.

    Attributes
    ----------
    job
        The job; None if there is none.
    problem
        Why there is none although the user wanted one, in words; empty at first.
    """

    def __init__(self, first: PairedJob) -> None:
        self._first = first
        self.job: PairedJob | None = None
        self.problem = ""
        self._following: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._moving: asyncio.Task[None] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what is saved of the second job; nothing if there is none."""
        return self.job.state.to_dict() if self.job is not None else {}

    @property
    def ready(self) -> bool:
        """True if its server has reported, so that it can take the route."""
        return self.job is not None and bool(self.job.state.port) and not self.job.over

    # -- it begins -------------------------------------------------------------------------------

    def make(self, state: ServerState) -> PairedJob:
        """Make the job of a state, which nobody has submitted yet, and return it."""
        self.job = type(self._first)(self._first.spawner, state)
        self.job.restored = False
        return self.job

    def restore(self) -> None:
        """Make the job that the first one's saved state has, if it has one."""
        saved = ServerState.from_dict(self._first.state.next)
        self._first.state.next = {}
        if saved.mark and self._first.state.mark:
            self.job = type(self._first)(self._first.spawner, saved)

    def resume(self) -> None:
        """Find the job after a restart of the Hub, and follow it."""
        if self.job is not None:
            self.job.find()
            self.follow()

    def follow(self) -> None:
        """Wait for the report of its server, and note why there will be none."""
        if self.job is not None and (self._following is None or self._following.done()):
            self._following = tasks.start(self._follow(self.job), f"second job of {self._name}")

    async def _follow(self, job: PairedJob) -> None:
        was_ready = bool(job.state.port)  # a restarted Hub knows it from before
        try:
            await job.wait_ready()
        except UniSpawnerError as error:
            if self.job is job:
                await self._end_with(error)
            elif job.has_route and not job.over:  # it took the route before it was ready
                job.end_early(error)
        else:
            history.note_ready(job)
            event_log.note_ready(job)
            if not was_ready:
                notices.note_second_ready(job)
            await self._take_over_from_nobody()

    def note_end(self, job: PairedJob) -> None:
        """Take note that the scheduler has ended the job, or will never run it."""
        if self._following is None or self._following.done():  # else that one reads its log
            self._following = tasks.start(self._note_end(job), f"second job of {self._name}")

    async def _note_end(self, job: PairedJob) -> None:
        error = await job.why_ended()
        if self.job is job:
            await self._end_with(error)

    async def _end_with(self, error: UniSpawnerError) -> None:
        """End the job, which will be of no use, and show why."""
        self.problem = continuation.failed(error)
        notices.note_no_second(self._first, self.problem)
        await self.end()

    @property
    def _name(self) -> str:
        return self._first.name

    # -- it takes the route ----------------------------------------------------------------------

    async def switch(self) -> None:
        """Give the job the route, as the user wants, and end the first job.

        Return when the proxy has the new route: the user's next request is for the second server.

        Raises
        ------
        InvalidJobError
            If there is no second job that is ready.
        SchedulerUnavailable
            If the database does not save it, or the first job is not found yet after a restart.
        """
        if self.job is not None:
            await self.job.look_at_own_place()
        if not self.ready:
            raise InvalidJobError(continuation.NOT_READY)
        if self._first.state.stopping:
            raise InvalidJobError(continuation.STOPPING)
        if self._first.tracked is None or not self.take_over(wanted=True):
            raise SchedulerUnavailable(continuation.NOT_NOW)
        if self._moving is not None:
            await asyncio.wait({self._moving})

    async def _take_over_from_nobody(self) -> None:
        if not self._first.state.port:
            await self.take_over_if_ready()

    async def take_over_if_ready(self) -> None:
        """Give the job the route if it is ready: the first one's server is not there any more."""
        if self.ready and self._first.has_route and self._first.tracked is not None:
            self.take_over()

    def take_over(self, *, wanted: bool = False) -> bool:
        """Make the job the server's, and end the first one; return False if that can't be.

        Nothing is awaited, so nobody meets a server with half of the change.

        Parameters
        ----------
        wanted
            True if the first job's server is there, so that nothing may change if the database
            does not save it.
        """
        first, job = self._first, self.job
        if job is None or first.state.stopping or not first.has_route or not job.state.mark:
            return False
        spawner, database = first.spawner, session_of(first.spawner)
        ends = None if first.over or database is None else self._writer(first)
        self.job = None
        spawner.server_job = job
        saved = job.commit(lambda: _save_route(job, ends))
        if not saved and wanted:
            spawner.server_job, self.job = first, job
            return False
        first.recorded = saved and ends is not None
        first.state.stopping = first.state.stopping or not first.over
        _note_end(first)
        _adopt(first, job)
        if not wanted:
            notices.note_first_ended(job)
        notices.watch_end(job)
        first.spawner.log.info(
            "%s: job %s has taken over from job %s, which is ended",
            self._name,
            job.state.job_id,
            first.state.job_id,
        )
        self._moving = tasks.start(self._move_route(job), f"route of {self._name}")
        tasks.start(self._end_first(first, self._moving), f"end of first job of {self._name}")
        return True

    async def _end_first(self, first: PairedJob, moving: asyncio.Task[None]) -> None:
        await asyncio.wait({moving})
        await _end_for_good(first)

    async def _move_route(self, job: PairedJob) -> None:
        if job.has_route and bookkeeping.outer(job.spawner).ready:
            try:
                await job.add_route()
            except Exception as error:  # the Hub looks at all routes again, and corrects this one
                job.spawner.log.warning("%s: the route was not moved yet: %s", self._name, error)

    # -- it is ended -----------------------------------------------------------------------------

    async def end(self) -> None:
        """End the second job, if there is one; return when the scheduler has confirmed that."""
        if self.job is not None and (self._ending is None or self._ending.done()):
            self._ending = tasks.start(self._end(self.job), f"end of second job of {self._name}")
        if self._ending is not None:
            await asyncio.wait({self._ending})

    async def _end(self, job: PairedJob) -> None:
        await job.wait_submitted()
        if job.state.mark and job.tracked is None:  # a restarted Hub has not found it yet
            await asyncio.wait({job.find()})
        if self.job is not job:  # it has taken the route, or was never submitted
            return
        self.leave()
        if job.state.mark:
            await _end_for_good(job)

    def leave(self) -> None:
        """Take the job out of the server's saved state, and save that it has to be ended."""
        first, job = self._first, self.job
        if job is None:
            return
        known = bool(job.state.mark) and session_of(first.spawner) is not None
        ends = self._writer(job) if known and not job.over else None
        self.job = None
        job.recorded = first.commit(ends) and ends is not None
        job.state.stopping = job.state.stopping or not self.problem
        _note_end(job)

    def leave_and_end(self) -> None:
        """End the job of a server that is being forgotten."""
        if (job := self.job) is not None:
            self.leave()
            tasks.start(_end_for_good(job), f"end of second job of {self._name}")

    def _writer(self, job: PairedJob) -> Any:
        """Return what saves that one of the two jobs has to be ended."""
        spawner = self._first.spawner
        own = spawner.get_state()
        alone = {**own, **job.state.to_dict()}
        whole = _replace(bookkeeping.outer(spawner).get_state(), own, alone)
        return endings.writer(spawner, job.state.mark, whole)


def _note_end(job: PairedJob) -> None:
    """Take note of how one of the two jobs has ended, or is ended, while the server goes on."""
    ending = history.find_ending(job)
    event_log.note_end(job, ending.outcome, ending.reason, ending.cause)
    history.note_end(job, ending)


def _replace(state: Any, old: dict[str, Any], new: dict[str, Any]) -> Any:
    """Return a saved state with another part: a wrapper's has its child's in it."""
    if state == old:
        return new
    if isinstance(state, dict):
        return {name: _replace(part, old, new) for name, part in state.items()}
    return state


def _save_route(job: PairedJob, ends: Any) -> None:
    """Change what is saved together with the state of a job that takes the route."""
    server, state = job.server, job.state
    if server is not None:
        server.proto = state.proto
        server.ip, server.port = (state.host, state.port) if state.port else DEAD_ADDRESS
    if ends is not None:
        ends()


def _adopt(first: PairedJob, job: PairedJob) -> None:
    """Give the job what belongs to the server and not to one of its jobs."""
    job.restored, first.restored = first.restored or job.restored, False
    job.resumption, first.resumption = first.resumption, None
    if job.resumption is not None:
        job.resumption.follow(job)


async def _end_for_good(job: PairedJob) -> None:
    """End a job that is not the server's any more, and forget it when that is confirmed."""
    if job.tracked is None or not job.tracked.job_id:  # it was never submitted
        await job.clean_up()
        return
    await job.confirm_end()
    job.monitor.untrack(job.tracked)
