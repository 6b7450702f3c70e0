"""Asks a scheduler at intervals about all jobs, and answers every poll from memory.

A query that fails changes nothing. A job that is missing from an answer has not ended for that
reason: see :meth:`Monitor._handle_missing`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from .. import tasks
from ..errors import UniSpawnerError, as_unavailable
from ..job import JobInfo, JobState
from ..run_as.client import AgentClient
from ..schedulers import Scheduler
from ..submit_host.dialogue import hold_dialogue
from ..submit_host.host import SubmitHost
from .inventory_cache import InventoryCache
from .tracked_job import TrackedJob

log = logging.getLogger("JupyterHub.unispawner")  # with the Hub's own handlers

FAST_INTERVAL = 1.0
"""Seconds between queries while something starts or stops."""
FAST_AFTER_SUBMIT = 60.0
"""How long (seconds) after its submission a job counts as starting."""
LARGEST_SHARE = 0.1
"""The largest part of the time that queries may take: a slow scheduler is asked less often."""
LARGEST_SHARE_OF_FAILURES = 0.5
"""The same for queries that failed.

It is larger, because a query that ran out of time says nothing about how long the next one will
take, and twenty starts may wait for that one.
"""
DOUBT_LASTS = 600.0
"""How long (seconds) jobs that vanished together are taken for running all the same."""
HOSTS_INTERVAL = 600.0
"""How long (seconds) the list of the cluster's nodes is reused for jobs that are hidden."""
HIDDEN_INTERVAL = 5.0
"""The shortest time (seconds) between two queries for a job that only its own user may see."""
NEW_JOB_GRACE = 30.0
"""How long (seconds) after its submission a job may be unknown to the scheduler.

LSF answers queries from a copy of its state that is some seconds old.
"""
SAMPLE = 5
"""How many of the jobs that vanished together are asked for by id at the same time."""


@dataclass
class Followed:
    """What the monitor notes about one job that it follows.

    Attributes
    ----------
    since
        When it began to follow the job. All moments are of time.monotonic.
    starting_until
        Until when the job counts as one that has just been submitted.
    missed
        How many good answers in a row have lacked the job.
    listed
        True once an answer about all jobs had the job.
    hidden
        True if the scheduler shows the job to its own user and not to the Hub.
    asking
        True while the scheduler is asked for this job by id, as its user.
    asked_at
        When the last such question ended.
    """

    since: float = field(default_factory=time.monotonic)
    starting_until: float = float("-inf")
    missed: int = 0
    listed: bool = False
    hidden: bool = False
    asking: bool = False
    asked_at: float = float("-inf")


class Monitor:
    """Follows the jobs of one scheduler.

    Parameters
    ----------
    scheduler, host
        Which scheduler to ask, and where.
    environment
        The whole environment of the query command.
    status_interval
        Seconds between queries when nothing starts or stops.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        host: SubmitHost,
        environment: Mapping[str, str],
        status_interval: float = 15.0,
    ) -> None:
        self.scheduler = scheduler
        self.host = host
        self.environment = dict(environment)
        self.status_interval = status_interval
        self.problem: UniSpawnerError | None = None
        """Why the last query failed; None if it succeeded."""
        self.queries = 0
        """How many queries there have been."""
        self._jobs: dict[TrackedJob, Followed] = {}
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._answered = asyncio.Event()
        self._failures = 0
        self._doubted_since: float | None = None
        self.inventory = InventoryCache(scheduler, host, self.environment)

    @property
    def jobs(self) -> frozenset[TrackedJob]:
        """The jobs that are followed."""
        return frozenset(self._jobs)

    def track(self, job: TrackedJob, *, submitted: bool = False) -> None:
        """Follow a job until it is final or :meth:`untrack` is called.

        Parameters
        ----------
        submitted
            True for a job that has just been submitted.
        """
        followed = self._jobs.setdefault(job, Followed())
        if submitted:
            followed.starting_until = time.monotonic() + FAST_AFTER_SUBMIT
        self._wake.set()
        if self._task is None or self._task.done():
            # Tasks of an event loop that has ended may have waited for the old ones.
            self._wake, self._answered = asyncio.Event(), asyncio.Event()
            self._task = tasks.start(self._run(), f"monitor of {self.scheduler.title}")

    def untrack(self, job: TrackedJob) -> None:
        """Forget a job."""
        self._jobs.pop(job, None)
        self._wake.set()

    def hurry(self) -> None:
        """Ask as soon as possible: something is about to change."""
        self._wake.set()

    async def refresh(self, seconds: float) -> None:
        """Return after the next answer, or after that many seconds."""
        answered = self._answered
        self.hurry()
        await tasks.wait_for_event(answered, seconds)

    async def _run(self) -> None:
        while self._jobs:
            began = time.monotonic()
            self._wake.clear()
            await self._ask(began)
            took = time.monotonic() - began
            self._answered.set()
            self._answered = asyncio.Event()
            share = LARGEST_SHARE_OF_FAILURES if self.problem else LARGEST_SHARE
            least = max(FAST_INTERVAL, took / share)
            # Not before `least` is over; then at the interval's end, or when somebody hurries.
            await asyncio.sleep(max(0.0, began + least - time.monotonic()))
            rest = began + max(least, self._interval()) - time.monotonic()
            if rest > 0 and self._jobs:
                await tasks.wait_for_event(self._wake, rest)

    def _interval(self) -> float:
        fast = any(self._is_urgent(job) for job in self._jobs)
        if fast and self._failures:
            return float(min(self.status_interval, FAST_INTERVAL * 2**self._failures))
        return FAST_INTERVAL if fast else self.status_interval

    def _is_urgent(self, job: TrackedJob) -> bool:
        """Return whether somebody waits for a job to start, to report, or to stop."""
        return job.awaited or time.monotonic() < self._jobs[job].starting_until

    async def _ask(self, began: float) -> None:
        try:
            answer = await self.query()
        except Exception as error:
            self._failures = min(self._failures + 1, 10)
            if self.problem is None:
                # A bug, such as one in a parser, is logged with its place.
                ours = isinstance(error, UniSpawnerError)
                log.warning("Jobs keep their last known state: %s", error, exc_info=not ours)
            self.problem = as_unavailable(error, self.scheduler.title)
            for job in self._jobs:
                job.notify()
            return
        if self.problem is not None:
            log.warning("%s answers again.", self.scheduler.title)
        self.problem, self._failures = None, 0
        self._apply(answer, began)

    async def query(self) -> dict[str, JobInfo]:
        """Ask once about all jobs.

        Raises
        ------
        UniSpawnerError
            If the scheduler does not answer, or its answer can't be read.
        """
        self.queries += 1
        question = self.scheduler.query_tracked([job.job_id for job in self._jobs])
        return await hold_dialogue(question, self.host, self.environment)

    def _apply(self, answer: Mapping[str, JobInfo], began: float) -> None:
        """Take over an answer about all jobs, to a question asked at that moment."""
        missing = []
        for job, followed in list(self._jobs.items()):
            if job not in self._jobs:
                continue  # another job's change has ended this one
            if followed.since >= began:
                continue  # the job is younger than the question, and its id may be a forged one
            info = answer.get(job.job_id)
            if info is not None and job.client.account.owns(info.owner):
                followed.hidden, followed.listed = False, True
                self._take_answer(job, followed, info, began)
            else:
                missing.append(job)
        self._handle_missing([job for job in missing if job in self._jobs])
        self._jobs = {job: followed for job, followed in self._jobs.items() if not job.final}

    def _take_answer(
        self, job: TrackedJob, followed: Followed, info: JobInfo, asked_at: float
    ) -> None:
        """Update a job; if it is stuck for an unknown reason, ask for the reason before that."""
        if info.stuck and not info.message:
            if not (job.info and job.info.stuck):
                if not followed.asking:
                    what = f"asking why job {job.job_id} is stuck"
                    tasks.start(self._explain(job, followed, info, asked_at), what)
                return
            info = replace(info, message=job.info.message)
        followed.missed = 0
        job.update(info, asked_at)

    async def _explain(
        self, job: TrackedJob, followed: Followed, info: JobInfo, asked_at: float
    ) -> None:
        """Ask why a job is stuck, where the list of all jobs has no reason."""
        before = job.info
        followed.asking = True
        reason = ""
        try:
            answer = await job.client.status([job.job_id])
            if job.job_id in answer:
                reason = answer[job.job_id].message
        except UniSpawnerError as error:
            log.warning("Job %s is stuck, and its reason can't be read: %s", job.job_id, error)
        finally:
            followed.asking = False
        if job not in self._jobs or job.info is not before:
            return  # it was cancelled, or somebody mended it, meanwhile
        message = reason or "the scheduler gives no reason"
        followed.missed = 0
        job.update(replace(info, message=message), asked_at)

    def _handle_missing(self, missing: Collection[TrackedJob]) -> None:
        """Find out what became of jobs that an answer lacks.

        That a job is missing never means that it has ended. If two good answers lack it, it is
        asked for by id as its user, who sees it even where PrivateData hides it from the Hub. It
        has ended only if the scheduler says so, or says that it knows no such job. If over half of
        the jobs are missing at once, the answers are probably wrong (a scheduler that lost its
        memory, or another cluster's). Then, for a while, a job has ended only if the scheduler
        says so, and only a few jobs are asked for at a time.
        """
        now = time.monotonic()
        vanished = [job for job in missing if self._counts_as_visible(job)]
        self._update_doubt(vanished, now)
        due: list[TrackedJob] = []
        in_doubt: list[TrackedJob] = []
        asking = 0
        for job in missing:
            followed = self._jobs[job]
            followed.missed += 1
            urgent = self._is_urgent(job)
            wait = HIDDEN_INTERVAL if urgent else max(HIDDEN_INTERVAL, self.status_interval)
            doubtful = job.info is not None and self._counts_as_visible(job)
            asking += doubtful and followed.asking
            if followed.missed >= 2 and not followed.asking and now - followed.asked_at >= wait:
                (in_doubt if doubtful and self._in_doubt else due).append(job)
        in_doubt.sort(key=lambda job: self._jobs[job].asked_at)
        by_user: dict[str, dict[TrackedJob, Followed]] = {}
        for job in due + in_doubt[: max(0, SAMPLE - asking)]:
            by_user.setdefault(job.client.account.name, {})[job] = self._jobs[job]
        for name, jobs in by_user.items():
            client = next(iter(jobs)).client
            tasks.start(self._ask_by_id(client, jobs), f"asking for jobs as {name}")

    def _counts_as_visible(self, job: TrackedJob) -> bool:
        """Return whether the answers about all jobs should have this job."""
        return not self._jobs[job].hidden and not job.stopping

    def _update_doubt(self, vanished: Collection[TrackedJob], now: float) -> None:
        """Begin or cease to doubt the answers. One vanished job alone is no reason for doubt."""
        visible = sum(self._counts_as_visible(job) for job in self._jobs)
        if not (len(vanished) > 1 and 2 * len(vanished) > visible):
            self._doubted_since = None
        elif self._doubted_since is None:
            self._doubted_since = now
            log.error(
                "%d of %d jobs are missing from one answer of %s. The answer may be wrong: the "
                "jobs keep their last known state, and some are asked for by id.",
                len(vanished),
                visible,
                self.scheduler.title,
            )

    @property
    def _in_doubt(self) -> bool:
        since = self._doubted_since
        return since is not None and time.monotonic() - since < DOUBT_LASTS

    async def _nodes(self) -> frozenset[str]:
        """Return the names of the cluster's nodes, which the Hub itself asks for."""
        return (await self.inventory.get(HOSTS_INTERVAL)).hosts

    async def _ask_by_id(self, client: AgentClient, jobs: Mapping[TrackedJob, Followed]) -> None:
        """Ask for jobs of one user by id, as this user."""
        for followed in jobs.values():
            followed.asking = True
        asked_at = time.monotonic()
        try:
            answer = await client.status([job.job_id for job in jobs])
            for job_id, info in answer.items():
                if info.exec_host and info.exec_host not in await self._nodes():
                    answer[job_id] = replace(info, exec_host="")
        except UniSpawnerError as error:
            log.warning("The jobs of %s could not be asked for: %s", client.account.name, error)
            return
        finally:
            for followed in jobs.values():
                followed.asking, followed.asked_at = False, time.monotonic()
        for job in jobs:
            if job in self._jobs:
                self._take_answer_by_id(job, answer.get(job.job_id), asked_at)

    def _take_answer_by_id(self, job: TrackedJob, info: JobInfo | None, asked_at: float) -> None:
        """Take over what the user's side says of a job; None if the scheduler knows no such job."""
        if info is None:
            info = self._conclude_end(job, asked_at)
        elif info.owner.isdigit() or info.owner == "nobody":
            return  # the directory service can't name a uid just now
        elif not job.client.account.owns(info.owner):
            # A forged reply of the user's own agent, or a cluster that began to count anew. If a
            # job of theirs runs all the same, it ends itself: the Hub refuses its report.
            owner = job.client.account.name
            log.error("Job %s belongs to %r and not to %r.", job.job_id, info.owner, owner)
            message = f"{self.scheduler.title} says that job {job.job_id} is somebody else's"
            info = JobInfo(owner=owner, state=JobState.FAILED, message=message)
        elif not info.state.final and not self._accept_hidden(job):
            return
        if info is None:
            return
        self._jobs[job].missed = 0
        job.update(info, asked_at)
        if job.final:
            self._jobs.pop(job, None)

    def _conclude_end(self, job: TrackedJob, asked_at: float) -> JobInfo | None:
        """Return that a job has ended which the scheduler doesn't know; None if that is early."""
        young = job.info is None and asked_at - self._jobs[job].since < NEW_JOB_GRACE
        if not job.stopping and (self._in_doubt or young):
            return None
        # If this is wrong, nobody else would look after a job that the Hub has given up.
        tasks.start(job.client.cancel(job.job_id), f"cancelling job {job.job_id}, just in case")
        return JobInfo(
            owner=job.client.account.name,
            state=JobState.COMPLETED,
            message=f"{self.scheduler.title} does not know the job any more",
        )

    def _accept_hidden(self, job: TrackedJob) -> bool:
        """Return whether only the user's side can say how a job is, and note that.

        Else the list of all jobs would have the job, and the user's side may say anything.
        """
        followed = self._jobs[job]
        if followed.listed or not self.scheduler.may_hide_jobs:
            return False
        if not followed.hidden:
            followed.hidden = True
            log.warning(
                "%s shows job %s to %s but not to the Hub, so the Hub has to ask as each user. "
                "Give the Hub's account the right to see all jobs (docs/install.md).",
                self.scheduler.title,
                job.job_id,
                job.client.account.name,
            )
        return True


_monitors: dict[tuple[object, ...], Monitor] = {}


def get_monitor(
    scheduler: Scheduler,
    host: SubmitHost,
    environment: Mapping[str, str],
    status_interval: float,
) -> Monitor:
    """Return the one monitor of a scheduler, shared by all spawners that ask it the same way."""
    key = (scheduler.asked_as, host, tuple(sorted(environment.items())))
    monitor = _monitors.setdefault(key, Monitor(scheduler, host, environment, status_interval))
    monitor.status_interval = status_interval
    return monitor


__all__ = ["Followed", "Monitor", "TrackedJob", "get_monitor"]
