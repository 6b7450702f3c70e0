"""Asks a scheduler at intervals about all jobs, and answers every poll from memory.

A query that fails changes nothing. A job that is missing from an answer has not ended for that
reason: see :mod:`.missing`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from .. import tasks
from ..errors import UniSpawnerError, as_unavailable
from ..job import JobInfo
from ..schedulers import Scheduler
from ..schedulers.base import QUERY_LIMIT
from ..schedulers.questions import Survey, Tracked
from ..submit_host.host import SubmitHost
from ..submit_host.names import Remembered
from ..texts import english
from .followed import Followed
from .inventory_cache import InventoryCache
from .missing import MissingJobs
from .rhythm import Rhythm
from .tracked_job import TrackedJob
from .usable_cache import UsableCache
from .usage_collector import UsageCollector

log = logging.getLogger("JupyterHub.unispawner")  # with the Hub's own handlers

FAST_AFTER_SUBMIT = 60.0
"""How long (seconds) after its submission a job counts as starting."""
BY_ID_SECONDS = 600.0
"""How long (seconds) only our own jobs are asked for, once the list of all jobs was too large."""
AT_A_TIME = 500
"""How many jobs of an answer are taken over before the event loop does something else."""
CONFIRM_SECONDS = 2.0
"""How long (seconds) jobs are asked for one by one after a list that users may have forged."""


class Monitor:
    """Follows the jobs of one scheduler.

    Parameters
    ----------
    scheduler, host
        Which scheduler to ask, and where.
    environment
        The whole environment of the query command.
    status_interval
        Seconds between questions for all jobs when nothing starts or stops.
    min_query_interval
        The shortest time (seconds) between two questions for all jobs.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        host: SubmitHost,
        environment: Mapping[str, str],
        status_interval: float = 15.0,
        min_query_interval: float = 2.0,
    ) -> None:
        self.scheduler = scheduler
        self.host = host
        self.environment = dict(environment)
        self.rhythm = Rhythm(status_interval, min_query_interval)
        self.problem: UniSpawnerError | None = None
        """Why the last question for all jobs failed; None if it succeeded."""
        self.answered_at = time.monotonic()
        """When the scheduler has last answered about all jobs (time.monotonic)."""
        self.queries = 0
        """How many questions for all jobs there have been."""
        self.single_queries = 0
        """How many questions for a single job there have been."""
        self._jobs: dict[TrackedJob, Followed] = {}
        self._deciding: set[Followed] = set()
        """The jobs on which the next question depends, and some on which it no longer does."""
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._answered = asyncio.Event()
        self._by_id_until = float("-inf")
        """Until when only our own jobs are asked for, because all jobs are too many."""
        self._refused_single = False
        self._addresses: Remembered[str] = Remembered()
        self.inventory = InventoryCache(scheduler, host, self.environment)
        self.usable = UsableCache()
        self.usage = UsageCollector()
        self._missing = MissingJobs(scheduler, self.inventory, self._jobs, self.hides_jobs)

    @property
    def labels(self) -> tuple[str, str]:
        """The scheduler's name and its cluster's, or its submit host's, for metrics."""
        elsewhere = "" if self.host.place == SubmitHost.place else self.host.place
        return self.scheduler.name, self.scheduler.cluster_name or elsewhere

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
        followed = self._jobs.setdefault(job, Followed(job))
        if submitted:
            followed.begun_at = time.monotonic()
            followed.starting_until = followed.begun_at + FAST_AFTER_SUBMIT
            self._deciding.add(followed)
            self._wake.set()
        else:
            self.hurry()
        if self._task is None or self._task.done():
            self.answered_at = time.monotonic()  # before, there was nothing to ask about
            # Tasks of an event loop that has ended may have waited for the old ones.
            self._wake, self._answered = asyncio.Event(), asyncio.Event()
            self._task = tasks.start(self._run(), f"monitor of {self.scheduler.title}")

    def untrack(self, job: TrackedJob) -> None:
        """Forget a job."""
        self._jobs.pop(job, None)
        self._wake.set()

    def hurry(self) -> None:
        """Ask for all jobs as soon as possible: something is about to change."""
        self.rhythm.hurry()
        self._wake.set()

    def expect_end(self, job: TrackedJob) -> None:
        """Ask about a job now and, for a while, often: it is being ended."""
        if (followed := self._jobs.get(job)) is not None:
            followed.begun_at = time.monotonic()
            self.want(job)

    def want(self, job: TrackedJob) -> None:
        """Ask about a job as soon as possible, alone or with all others."""
        followed = self._jobs.get(job)
        if followed is not None:
            self.host.hurry()  # a user waits for a start or a stop
        if followed is not None and followed.wanted_at is None:
            followed.wanted_at = time.monotonic()
            self._deciding.add(followed)
            self._wake.set()

    async def ask_about(self, job: TrackedJob, seconds: float) -> None:
        """Return after the next answer that counts for a job, or after that many seconds."""
        self.want(job)
        deadline = time.monotonic() + seconds
        while (followed := self._jobs.get(job)) is not None and followed.wanted_at is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                return
            await tasks.wait_for_event(self._answered, left)

    async def refresh(self, seconds: float) -> None:
        """Return after the next answer, or after that many seconds."""
        answered = self._answered
        self.hurry()
        await tasks.wait_for_event(answered, seconds)

    async def find_address(self, host: str) -> str:
        """Return the scheduler's own address of a node; empty if it has none.

        Raises
        ------
        UniSpawnerError
            If the scheduler does not answer.
        """
        if (known := self._addresses.get(host)) is not None:
            return known  # a server that is not ready reports once a second
        found: str = await self._question("find_address", [host])
        self._addresses.put(host, found)
        return found

    async def _run(self) -> None:
        while self._jobs:
            self._wake.clear()
            now = time.monotonic()
            # Not all jobs: of ten thousand servers nearly all just run.
            self._deciding = {
                one
                for one in self._deciding
                if one.job in self._jobs and one.decides_next_question(now)
            }
            question = self.rhythm.next_question(now, self._deciding)
            if question.at > now:
                await tasks.wait_for_event(self._wake, question.at - now)
                continue
            if question.about is not None:
                took = await self._ask_single(question.about, now) or time.monotonic() - now
                self.rhythm.note_single(now, now + took)
            else:
                self.rhythm.begin_all()
                await self._ask(now)
            self._answered.set()
            self._answered = asyncio.Event()

    async def _ask(self, began: float) -> None:
        try:
            answer = await self.query()
        except Exception as error:
            if self.problem is None:
                # A bug, such as one in a parser, is logged with its place.
                ours = isinstance(error, UniSpawnerError)
                log.warning(
                    "%s gave no answer that can be read, so jobs keep their last known state: %s",
                    self.scheduler.title,
                    error,
                    exc_info=not ours,
                )
            self.problem = as_unavailable(error, self.scheduler.title)
            arrived = not getattr(error, "unsent", False)
            self.rhythm.note_all(began, time.monotonic(), failed=True, arrived=arrived)
            for one in self._jobs.values():
                one.wanted_at = None  # a scheduler that is down is not asked all the time
                one.job.notify()
            return
        if self.problem is not None:
            log.warning("%s answers again.", self.scheduler.title)
        self.problem, self.answered_at = None, began
        # Only the scheduler's time counts: the rest may take long in an event loop that is busy.
        took = answer.seconds or time.monotonic() - began
        self.rhythm.note_all(began, began + took, failed=False)
        unconfirmed = await self._apply(
            answer.jobs, began, answer.unread, forgeable=answer.forgeable
        )
        await self._confirm(unconfirmed)

    async def query(self) -> Tracked:
        """Ask once about all jobs that are followed.

        Raises
        ------
        UniSpawnerError
            If the scheduler does not answer, or its answer can't be read.
        """
        self.queries += 1
        now = time.monotonic()
        name = "query" if now < self._by_id_until else "query_tracked"
        found: Tracked = await self._question(name, [job.job_id for job in self._jobs])
        if name == "query_tracked":
            self._note_size(found.by_id, now)
        return found

    def _note_size(self, too_large: bool, now: float) -> None:
        """Remember for a while that the list of all jobs is too large, and log the change."""
        was_too_large = self._by_id_until > float("-inf")
        self._by_id_until = now + BY_ID_SECONDS if too_large else float("-inf")
        if too_large and not was_too_large:
            log.warning(
                "%s's list of all jobs has more than %d MiB, which is too large to be read. Only "
                "the jobs of servers are asked for, and jobs that wait show no position in the "
                "queue. The whole list is tried again every %g minutes.",
                self.scheduler.title,
                QUERY_LIMIT // 1024**2,
                BY_ID_SECONDS / 60,
            )
        elif was_too_large and not too_large:
            log.warning("%s's list of all jobs can be read again.", self.scheduler.title)

    async def query_one(self, job_id: str) -> Tracked:
        """Ask about one job only, which costs the scheduler little however many jobs it has.

        The answer does not have the job's position in the queue.

        Raises
        ------
        UniSpawnerError
            If the scheduler does not answer, or its answer can't be read.
        """
        self.single_queries += 1
        found: Tracked = await self._question("query", [job_id])
        return found

    async def survey(self) -> Survey:
        """Ask how many jobs all users have, and who has some.

        Raises
        ------
        UniSpawnerError
            If the scheduler does not answer, or its answer can't be read.
        """
        found: Survey = await self._question("survey")
        return found

    async def hides_jobs(self) -> bool:
        """Return whether the site hides users' jobs from accounts like the Hub's.

        Raises
        ------
        UniSpawnerError
            If the scheduler does not answer, or its answer can't be read.
        """
        found: bool = await self._question("hides_jobs")
        return found

    async def _question(self, name: str, arguments: Collection[str] = ()) -> Any:
        return await self.host.ask(self.scheduler, name, arguments, environment=self.environment)

    async def _ask_single(self, one: Followed, began: float) -> float:
        """Ask about one job: as the Hub, or as its user if the Hub can't see it.

        An answer without the job means no more than a list of all jobs without it. Return how long
        (seconds) the scheduler took; 0 if that is not known.
        """
        one.wanted_at = None
        job = one.job
        if one.hidden:
            self._missing.ask_now(one)
            return 0.0
        try:
            answer = await self.query_one(job.job_id)
        except Exception as error:
            if not self._refused_single:
                self._refused_single = True
                log.info(
                    "%s did not answer about job %s alone, so it is asked about all jobs: %s",
                    self.scheduler.title,
                    job.job_id,
                    error,
                    exc_info=not isinstance(error, UniSpawnerError),
                )
            self.rhythm.hurry()
            return 0.0
        if job not in self._jobs:
            return answer.seconds
        info = answer.jobs.get(job.job_id)
        if info is not None and job.client.account.owns(info.owner):
            one.listed, one.unread = True, False
            one.confirmed_host = info.exec_host
            # An answer about one job can't know its place among the others.
            place = job.info.queue_position if job.info else None
            self._take_answer(one, replace(info, queue_position=place), began)
            if job.final:
                self._jobs.pop(job, None)
        else:
            one.missed += 1
            self._missing.ask_now(one)
        return answer.seconds

    async def _apply(
        self,
        answer: Mapping[str, JobInfo],
        began: float,
        unread: Collection[str] = (),
        *,
        forgeable: bool = False,
    ) -> list[Followed]:
        """Take over an answer about all jobs, to a question asked at that moment.

        Returns the jobs about which an answer that may be forged says something that does not count
        before it is confirmed.

        The event loop has a turn for others after each ``AT_A_TIME`` jobs, and those who waited for
        news of these jobs have theirs.

        Parameters
        ----------
        unread
            The ids that occur in lines of the answer which can't be read.
        forgeable
            True if users may have written some of the answer's rows.
        """
        missing, unconfirmed = [], []
        for number, one in enumerate(list(self._jobs.values()), start=1):
            if number % AT_A_TIME == 0:
                await asyncio.sleep(0)
            if one.job not in self._jobs:
                continue  # another job's change has ended this one, or somebody has meanwhile
            if one.wanted_at is not None and one.wanted_at <= began:
                one.wanted_at = None
            if one.since >= began:
                continue  # the job is younger than the question, and its id may be a forged one
            info = answer.get(one.job.job_id)
            if info is not None and one.job.client.account.owns(info.owner):
                one.hidden, one.listed, one.unread = False, True, False
                believed = one.believe(info) if forgeable else info
                if believed is not info:
                    unconfirmed.append(one)
                if believed is not None:
                    self._take_answer(one, believed, began)
            else:
                one.unread = one.job.job_id in unread
                missing.append(one)
            if one.job.final:
                self._jobs.pop(one.job, None)
        self._missing.handle(
            [one for one in missing if one.job in self._jobs], self.rhythm.status_interval
        )
        return unconfirmed

    async def _confirm(self, unconfirmed: Collection[Followed]) -> None:
        """Ask about each of these jobs alone: those first for which somebody waits.

        It takes ``CONFIRM_SECONDS`` at most; the other jobs are asked for after the next list.
        """
        began = time.monotonic()
        for one in sorted(unconfirmed, key=lambda one: not (one.urgent or one.host)):
            now = time.monotonic()
            if now - began > CONFIRM_SECONDS:
                if one.urgent:
                    self.rhythm.hurry()
                return
            if one.job in self._jobs:
                await self._ask_single(one, now)

    def _take_answer(self, one: Followed, info: JobInfo, asked_at: float) -> None:
        """Update a job; if it is stuck for an unknown reason, ask for the reason before that."""
        before = one.job.info
        if info.stuck and not info.message:
            if not (before and before.stuck):
                if not one.asking:
                    what = f"asking why job {one.job.job_id} is stuck"
                    tasks.start(self._explain(one, info, asked_at), what)
                return
            info = replace(info, message=before.message)
        one.update(info, asked_at)

    async def _explain(self, one: Followed, info: JobInfo, asked_at: float) -> None:
        """Ask why a job is stuck, where the list of all jobs has no reason."""
        job, before, reason = one.job, one.job.info, ""
        one.asking = True
        try:
            answer = await job.client.status([job.job_id])
            if job.job_id in answer:
                reason = answer[job.job_id].message
        except UniSpawnerError as error:
            log.warning("Job %s is stuck, and its reason can't be read: %s", job.job_id, error)
        finally:
            one.asking = False
        if job not in self._jobs or job.info is not before:
            return  # it was cancelled, or somebody mended it, meanwhile
        message = reason or english("the scheduler gives no reason")
        one.update(replace(info, message=message), asked_at)


_monitors: dict[tuple[object, ...], Monitor] = {}


def monitors() -> list[Monitor]:
    """Return all monitors of this process."""
    return list(_monitors.values())


def get_monitor(
    scheduler: Scheduler,
    host: SubmitHost,
    environment: Mapping[str, str],
    status_interval: float,
    min_query_interval: float = 0.0,
) -> Monitor:
    """Return the one monitor of a scheduler, shared by all spawners that ask it the same way.

    Of their shortest times between two questions, the longest one counts.
    """
    key = (scheduler.query_key, host, tuple(sorted(environment.items())))
    monitor = _monitors.get(key)
    if monitor is None:
        monitor = Monitor(scheduler, host, environment, status_interval, min_query_interval)
        _monitors[key] = monitor
    monitor.rhythm.status_interval = status_interval
    least = max(monitor.rhythm.min_query_interval, min_query_interval)
    monitor.rhythm.min_query_interval = least
    return monitor
