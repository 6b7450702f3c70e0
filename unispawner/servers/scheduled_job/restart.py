"""A server's job after a restart of the Hub: it is found again, and its start or stop goes on."""

from __future__ import annotations

import asyncio
import time

from ... import tasks
from ...errors import UniSpawnerError
from ...job import JobInfo, JobState
from ...monitor.tracked_job import TrackedJob
from ...run_as.client import AgentClient
from ...submit_host.host import LONGEST_WAIT
from ...web import bookkeeping, words
from ...web.per_hub import PerHub
from .. import event_log
from ..second_job import PairedJob
from ..state import ServerState

_FIRST_ANSWER = 4.0
"""How long (seconds) a restarted Hub waits to find the job, and then for an answer about it."""
_SUBMIT_MARGIN = 30.0
"""Seconds that a submission may take longer than ``agent_timeout`` allows."""
_LONGEST_PAUSE = 60.0
"""Seconds between attempts to find a job after a restart."""
_RETURNS = PerHub(lambda: tasks.Turnstile(50))
"""A restarted Hub asks for all servers in the same turn of the event loop."""


class JobRestart:
    """Finds the job that another process of the Hub has submitted.

    Attributes
    ----------
    unheard
        True if the Hub went on without an answer of the scheduler about the job.
    """

    def __init__(self, job: PairedJob) -> None:
        self._job = job
        self.unheard = False
        self._search: asyncio.Task[None] | None = None
        self._asked = False

    # -- the job is found ------------------------------------------------------------------------

    def find(self) -> asyncio.Task[None]:
        """Begin to find the job, if that is not under way; return the task."""
        if self._search is None:
            self._search = tasks.start(self.attach(), f"return of {self._job.name}")
        return self._search

    async def wait_search(self) -> None:
        """Return when nobody is looking for the job any more."""
        if self._search is not None:
            await asyncio.wait({self._search})

    async def attach(self) -> None:
        """Follow the job; return when that is so, or the job is not the spawner's any more.

        Without an id, the Hub died in the middle of the submission: the job is looked for by its
        mark, until no agent can be at work on it any more.
        """
        state, pause, deadline = self._job.state, 1.0, self._submission_deadline()
        while self._job.tracked is None and self._job.is_current():
            try:
                client = await self._job.client()
                over = time.time() > deadline
                await self._find_id(client, state)
                if not self._job.is_current() or self._job.tracked is not None:
                    return  # it was stopped meanwhile, or a stop has found it
                if state.job_id:
                    self._job.track(client, state.job_id)
                elif over:
                    self._note_no_job(client)
            except UniSpawnerError as error:
                self._job.spawner.log.warning(
                    "%s: the job was not found after the restart; trying again: %s",
                    self._job.name,
                    error,
                )
            if self._job.tracked is None:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _submission_deadline(self) -> float:
        """Return when (in seconds since the epoch) no agent can be at work on the submission.

        What waited for its turn when the Hub died is gone; what had begun ends in this time.
        """
        begun = min(time.time(), self._job.state.submit_time + LONGEST_WAIT)
        return begun + float(self._job.spawner.agent_timeout) + _SUBMIT_MARGIN

    async def _find_id(self, client: AgentClient, state: ServerState) -> None:
        """Look for the job's id, and save it, if it is not known."""
        if not state.job_id:
            state.job_id = await client.find(state.mark)
            if self._job.is_current():
                if state.job_id:
                    event_log.note_submitted(self._job)
                self._job.commit()

    def _note_no_job(self, client: AgentClient) -> None:
        """Take note that the Hub died before there was a job."""
        reason = words.RESTARTED_BEFORE_SUBMISSION
        info = JobInfo(client.account.name, JobState.FAILED, reason)
        self._job.tracked = TrackedJob("", client, info=info)
        self._job.start_clean_up()

    # -- the scheduler's first answer ------------------------------------------------------------

    async def wait_first_answer(self) -> None:
        """Wait a few seconds for the scheduler's answer, so that nobody is sent to a dead server.

        A start that had not reported becomes a pending spawn here; a stop that the restart
        interrupted goes on here, however long it takes.
        """
        await _RETURNS.of(self._job.spawner.user.settings).wait()
        job, first = self._job, not self._asked
        self._asked = True
        if first and not job.state.stopping:
            if not job.state.port:
                job.resume()
            job.second.resume()
        patience = None if job.state.stopping else _FIRST_ANSWER
        await asyncio.wait({self.find()}, timeout=patience)
        until = time.monotonic() + _FIRST_ANSWER
        while job.tracked and not job.tracked.info and time.monotonic() < until:
            await job.tracked.wait_change(until - time.monotonic())
        if job.state.stopping and job.tracked and not job.all_over:
            await job.stop()
        if first and job.has_route:
            await self._go_on()

    async def _go_on(self) -> None:
        """Let a start go on that the restart has interrupted, or say why there is no server."""
        job = self._job
        if job.resumption is not None and job.resumption.future.cancelled():
            await job.resumption.forgotten.wait()
        elif job.over and not job.state.stopping:
            error = await job.why_ended()
            if job.resumption is not None:
                job.resumption.fail(error)
            else:
                bookkeeping.report_failed_start(job.spawner, error)
        else:
            self.unheard = not job.over
