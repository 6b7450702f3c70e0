"""Continues a running server before its job ends: with more time for the job, or a second job.

What the user has chosen is checked anew, with the profile and the hooks as they are now, on a
spawner that JupyterHub does not know (a draft): the running server's own spawner keeps its
settings. Only the environment is that of the running server, because the Hub does not keep the
value of a token: the agent copies the file, as the user. The second job must be followed in the
same way as the first: on the same scheduler and account. What becomes of it then is in
:mod:`.second_job`.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from dataclasses import replace
from typing import Any

from .. import tasks
from ..errors import InvalidJobError, SchedulerUnavailable, UniSpawnerError
from ..job import JobInfo, JobSpec, JobState
from ..texts import number, say
from ..web import bookkeeping, continuation
from ..web.allowance import AllowanceByUser
from ..web.continuation import EXTEND, SECOND_JOB, TOO_OFTEN, Continuation, TooOften
from ..web.per_hub import PerHub
from ..web.server_status import JobFacts
from . import event_log, notices, submission
from .certificates import Identity
from .scheduled_job import ScheduledJob
from .second_job import PairedJob
from .state import ServerState

HOOK_SECONDS = 60.0
"""How long (seconds) the site's hook may take."""
EARLIEST = 0.5
"""The part of its time after which a server can be continued at the earliest."""
PACE = PerHub(lambda: AllowanceByUser(at_once=10, pause=60.0))
"""How often a user may continue servers: each time is a job, which the user may give up at once."""
_ANSWER_SECONDS = 10.0
"""How long (seconds) the user waits until the scheduler has said when an extended job ends."""
_SAME = (
    *("scheduler", "scheduler_options", "cluster", "scheduler_path", "scheduler_environment"),
    *("submit_host", "account", "uid", "state_dir", "log_dir"),
)
"""What the second job must have in common with the first: with it, jobs are found and ended."""


class HandOver:
    """What the user of one server asks for, and how far that is. Each spawner has one.

    Attributes
    ----------
    refused
        Why the site's hook has not extended the present job; empty if it has not refused.
    counted
        True if the second job that begins is within the limits of its profile: see
        ``unispawner.profiles.server_limits``.
    """

    def __init__(self, spawner: Any) -> None:
        self._spawner = spawner
        self._beginning: asyncio.Task[None] | None = None
        self._withdrawn = False
        self._of = ""
        self._notice = ""
        self._extended_at = float("-inf")
        self.refused = ""
        self.counted = False

    @property
    def _job(self) -> ScheduledJob:
        job: ScheduledJob = self._spawner.server_job
        if job.state.mark != self._of:  # what was said is about an earlier job
            self._of, self._notice, self.refused = job.state.mark, "", ""
        return job

    @property
    def _begins(self) -> bool:
        return self._beginning is not None and not self._beginning.done()

    @property
    def second_counts(self) -> bool:
        """True if there is a second job, or if one begins that limits have counted."""
        return self._job.second.job is not None or (self._begins and self.counted)

    # -- what is offered -------------------------------------------------------------------------

    def status(self) -> Continuation:
        """Return what the user can do, and has done."""
        job = self._job
        why_not, offered_from = self._why_not(job)
        seconds = _length(job)
        way = EXTEND if self._spawner.extend_hook is not None and not self.refused else SECOND_JOB
        second = job.second.job
        if second is not None:
            return replace(_second_status(second), seconds=seconds, way=SECOND_JOB)
        if self._begins:
            return Continuation(
                state="submitting", message=continuation.SUBMITTING, seconds=seconds
            )
        return Continuation(
            offered=not why_not,
            label=continuation.label(seconds) if seconds else "",
            way=way,
            seconds=seconds,
            offered_from=offered_from,
            message=job.second.problem or self.refused or self._notice,
        )

    def _why_not(self, job: ScheduledJob) -> tuple[str, float | None]:
        """Return why the server can't be continued now, and when it can; both may be empty."""
        window = float(self._spawner.continue_window)
        if not window:
            return continuation.NEVER, None
        if job.state.stopping:
            return continuation.STOPPING, None
        info = job.tracked.info if job.tracked else None
        runs = info is not None and info.state is JobState.RUNNING and not info.ending
        if not (runs and job.state.port and bookkeeping.outer(self._spawner).ready):
            return continuation.NOT_RUNNING, None
        if job.tracked is not None and job.tracked.asked_at < self._extended_at:
            return continuation.JUST_EXTENDED, None  # the end that is known is the one before
        ends = job.facts().ends
        if ends is None:
            return continuation.NO_END, None
        begins = ends - min(window, _length(job) * (1 - EARLIEST))
        if time.time() < begins:
            return continuation.TOO_EARLY, begins
        return "", None

    # -- what the user asks for ------------------------------------------------------------------

    async def go_on(self) -> None:
        """Extend the job, or begin a second one; do nothing if that is under way already.

        Return when the scheduler has accepted the second job. The work goes on if whoever awaits
        it is cancelled.

        Raises
        ------
        InvalidJobError
            If that is not offered now, or the choice is not offered any more, or the user has done
            it too often (TooOften).
        UniSpawnerError
            If the hook, or the scheduler, refuses it.
        """
        if self._job.second.job is not None and not self._begins:
            return
        if not self._begins:
            if why_not := self._why_not(self._job)[0]:
                raise InvalidJobError(why_not)
            outer = bookkeeping.outer(self._spawner)
            if not PACE.of(outer.user.settings).take(outer.user.name):
                raise TooOften(TOO_OFTEN)
            work = self._extend if self.status().way == EXTEND else self._begin
            self._withdrawn = self.counted = False
            self._beginning = tasks.start(work(self._job), f"second job of {self._job.name}")
        assert self._beginning is not None
        await asyncio.shield(self._beginning)

    async def switch(self) -> None:
        """Move the server to its second job: see :meth:`.second_job.SecondJob.switch`."""
        await self._job.second.switch()

    async def give_up(self) -> None:
        """End the second job; the first goes on. Do nothing if there is none."""
        self._withdrawn = True
        second = self._job.second
        second.problem = ""
        await second.end()

    # -- a second job ----------------------------------------------------------------------------

    async def _begin(self, job: ScheduledJob) -> None:
        job.second.problem = self._notice = ""
        try:
            spec, identity, state = await self._prepare(job)
            if self._withdrawn or job.state.stopping or not job.has_route:
                raise InvalidJobError(continuation.WITHDRAWN)
            second = job.second.make(state)
            event_log.note_asked(second, continues=job.state.mark)
            event_log.note_accepted(second, spec, state.requested)
            assert isinstance(second, ScheduledJob)
            work = submission.submit(second, spec, identity, environment_of=job.state.mark)
            await second.submit(work)
        except UniSpawnerError as error:
            await self._take_failure(job, error)
            raise
        job.second.follow()

    async def _prepare(self, job: ScheduledJob) -> tuple[JobSpec, Identity | None, ServerState]:
        """Return the second job, its key, and what finds it; all of it as for a start."""
        draft = await bookkeeping.make_draft(self._spawner)
        if type(draft) is not type(self._spawner):
            raise InvalidJobError(continuation.other_place("class"))
        spec, identity = await submission.prepare(draft.server_job, copies_environment=True)
        state, first = draft.server_job.state, job.state
        for name in _SAME:
            if getattr(state, name) != getattr(first, name):
                raise InvalidJobError(continuation.other_place(name))
        state = replace(state, token_id=first.token_id, token_created=first.token_created)
        return spec, identity, state

    async def _take_failure(self, job: ScheduledJob, error: UniSpawnerError) -> None:
        """Note why there is no second job, or that there is no server any more."""
        second, job.second.job = job.second.job, None
        if second is not None:
            event_log.note_end(second, "refused", error.message)
        routed = self._spawner.server_job
        # The first job may have ended meanwhile, so that this one was the server's.
        gone = second is None and routed is not job and not routed.state.mark
        if not self._withdrawn:
            job.second.problem = continuation.failed(error)
            reason = continuation.no_job_left(error) if gone else job.second.problem
            notices.note_no_second(job, reason)
        if gone:
            bookkeeping.report_ended_server(self._spawner, error)
            await bookkeeping.notify_end(self._spawner)

    # -- more time for the same job --------------------------------------------------------------

    async def _extend(self, job: ScheduledJob) -> None:
        seconds = _length(job)
        try:
            await asyncio.wait_for(self._call_hook(seconds), HOOK_SECONDS)
        except Exception as error:  # the site's own function: whatever it raises
            reason = _in_words(error)
            self.refused = continuation.not_extended(reason)
            self._spawner.log.warning("%s: c.UniSpawner.extend_hook: %s", job.name, reason)
            raise SchedulerUnavailable(self.refused) from None
        self._extended_at = time.monotonic()
        job.state.extended += seconds
        if job.state.duration is not None:
            job.state.duration += seconds
        await job.commit_soon()
        self._notice = continuation.EXTENDED
        self._spawner.log.info("%s: the job was extended by %s s", job.name, round(seconds))
        if job.tracked is not None:
            await job.monitor.ask_about(job.tracked, _ANSWER_SECONDS)

    async def _call_hook(self, seconds: float) -> None:
        hook = self._spawner.extend_hook
        if inspect.iscoroutinefunction(hook):
            await hook(self._spawner, seconds)
            return
        found = await asyncio.to_thread(hook, self._spawner, seconds)
        if inspect.isawaitable(found):
            await found


def _in_words(error: Exception) -> str:
    """Return why the site's hook has failed, as a sentence."""
    if isinstance(error, asyncio.TimeoutError):
        return say(
            "c.UniSpawner.extend_hook did not finish within {seconds} s.",
            seconds=number(HOOK_SECONDS),
        )
    text = " ".join(str(error).split()) or type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _length(job: ScheduledJob) -> float:
    """Return how long (seconds) the job could run at first; 0 if that is not known."""
    return max(0.0, job.facts().length - job.state.extended)


def _second_status(job: PairedJob) -> Continuation:
    """Return what the second job does."""
    facts: JobFacts = job.facts()
    info = facts.info or JobInfo("", JobState.UNKNOWN)
    ready = job.state.port and info.state is JobState.RUNNING
    if ready:
        state, message = "ready", continuation.READY
    else:
        waiting = (JobState.QUEUED, JobState.HELD, JobState.SUSPENDED)
        known = str(info.state.value).lower() if info.state in waiting else "starting"
        state = known if facts.info else "submitting"
        message = continuation.waits(facts.message) if facts.message else continuation.SUBMITTING
    return Continuation(
        state=state,
        message=message,
        job_id=job.state.job_id,
        exec_host=info.exec_host,
        estimated_start=info.estimated_start,
        ends=facts.ends,
    )
