"""Asks a scheduler once per interval about all jobs, and answers every poll from memory.

A query that fails changes nothing. A job that is missing from an answer isn't gone for that: see
:meth:`Monitor._missing`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import replace

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
"""Seconds after a submission for which that holds."""
LARGEST_SHARE = 0.1
"""Of the interval, at most this part may be spent in queries: a slow scheduler is asked less."""
LARGEST_SHARE_OF_FAILURES = 0.5
"""The same for queries that failed: one that ran out of time does not say how long the next will
take, and twenty starts may wait for that."""
DOUBT_LASTS = 600.0
"""Seconds after which jobs that vanished together are asked for one by one, after all."""
HOSTS_INTERVAL = 600.0
"""Seconds for which the list of the cluster's nodes is believed, for jobs that are hidden."""
HIDDEN_INTERVAL = 5.0
"""Seconds between queries for jobs that only their own user is shown, at the fastest."""
NEW_JOB_GRACE = 30.0
"""Seconds after its submission for which a job that was never seen isn't gone: LSF answers queries
from a copy of its state that is some seconds old."""
SAMPLE = 5
"""Of jobs that vanished together, so many at a time are asked for by id."""


class Monitor:
    """Follows the jobs of one scheduler.

    Parameters
    ----------
    scheduler, host
        What to ask and where.
    environment
        Of the query command; nothing else is in it.
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
        """Why the last query failed; None if it did not."""
        self.queries = 0
        """How many queries there have been."""
        self._jobs: set[TrackedJob] = set()
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
        """Follow a job until it is final or :meth:`untrack` is called."""
        if submitted:
            job.fast_until = time.monotonic() + FAST_AFTER_SUBMIT
        self._jobs.add(job)
        self._wake.set()
        if self._task is None or self._task.done():
            # A task of an event loop that is no more may have waited for these.
            self._wake, self._answered = asyncio.Event(), asyncio.Event()
            self._task = tasks.start(self._run(), f"monitor of {self.scheduler.title}")

    def untrack(self, job: TrackedJob) -> None:
        """Forget a job."""
        self._jobs.discard(job)
        self._wake.set()

    def hurry(self) -> None:
        """Ask as soon as may be: something is about to change."""
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
            # Not before `least` is over; after that, when it is time or somebody calls.
            await asyncio.sleep(max(0.0, began + least - time.monotonic()))
            rest = began + max(least, self._interval()) - time.monotonic()
            if rest > 0 and self._jobs:
                await tasks.wait_for_event(self._wake, rest)

    def _interval(self) -> float:
        fast = any(job.fast for job in self._jobs)
        if fast and self._failures:
            return float(min(self.status_interval, FAST_INTERVAL * 2**self._failures))
        return FAST_INTERVAL if fast else self.status_interval

    async def _ask(self, began: float) -> None:
        try:
            answer = await self.query()
        except Exception as error:
            self._failures = min(self._failures + 1, 10)
            if self.problem is None:
                # Of what isn't ours, such as a bug in a parser, the place is of interest.
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
            If the scheduler does not answer, or not legibly.
        """
        self.queries += 1
        question = self.scheduler.query_tracked([job.job_id for job in self._jobs])
        return await hold_dialogue(question, self.host, self.environment)

    def _apply(self, answer: Mapping[str, JobInfo], began: float) -> None:
        missing = []
        for job in list(self._jobs):
            info = answer.get(job.job_id)
            told = info is not None and job.client.account.owns(info.owner)
            # An answer to a question asked before the job was submitted can't be of this job.
            if told and info is not None and job._since < began:
                job._hidden, job._shown = False, True
                self._seen(job, info, began)
            elif job._since < began:  # a job submitted after the question was asked isn't missing
                missing.append(job)
        self._missing(missing)
        self._jobs = {job for job in self._jobs if not job.final}

    def _seen(self, job: TrackedJob, info: JobInfo, began: float) -> None:
        """Take what an answer says of a job; of one that is stuck, ask why before that."""
        if info.stuck and not info.message:
            if not (job.info and job.info.stuck):
                if not job._asking:
                    what = f"asking why job {job.job_id} is stuck"
                    tasks.start(self._explain(job, info, began), what)
                return
            info = replace(info, message=job.info.message)
        job.update(info, began)

    async def _explain(self, job: TrackedJob, info: JobInfo, began: float) -> None:
        """Ask for the reason of a job that is stuck, where the list of all jobs has none."""
        job._asking, before = True, job.info
        try:
            told = (await job.client.status([job.job_id])).get(job.job_id)
        except UniSpawnerError as error:
            log.warning("Nothing learnt of job %s: %s", job.job_id, error)
            told = None
        finally:
            job._asking = False
        if job not in self._jobs or job.info is not before:
            return  # it was cancelled, or mended, meanwhile
        reason = told.message if told else ""
        job.update(replace(info, message=reason or "it gives no reason"), began)

    def _missing(self, missing: Collection[TrackedJob]) -> None:
        """Find out what became of jobs that an answer lacks.

        Absence alone is never "gone". One that two good answers lack is asked for by id, as its
        user, who is shown it even where PrivateData hides it from the Hub; only the scheduler's
        word that it has ended, or that it knows no such job, ends it. If over half of the jobs are
        missing at once, the answers are what is wrong (a scheduler that lost its memory, another
        cluster's): for a while, only its word that a job has ended counts, and a few are asked for.
        """
        now = time.monotonic()
        self._doubt([job for job in missing if not job._hidden and not job.stopping], now)
        due: list[TrackedJob] = []
        in_doubt: list[TrackedJob] = []
        asking = 0
        for job in missing:
            job._missed += 1
            wait = HIDDEN_INTERVAL if job.fast else max(HIDDEN_INTERVAL, self.status_interval)
            vanished = job.info is not None and not job._hidden and not job.stopping
            asking += vanished and job._asking
            if job._missed >= 2 and not job._asking and now - job._asked >= wait:
                (in_doubt if vanished and self._in_doubt else due).append(job)
        in_doubt.sort(key=lambda job: job._asked)
        by_user: dict[str, list[TrackedJob]] = {}
        for job in due + in_doubt[: max(0, SAMPLE - asking)]:
            by_user.setdefault(job.client.account.name, []).append(job)
        for name, jobs in by_user.items():
            tasks.start(self._confirm(jobs[0].client, jobs), f"asking as {name}")

    def _doubt(self, vanished: Collection[TrackedJob], now: float) -> None:
        """Begin or end to doubt the answers. One job alone is no evidence of anything."""
        visible = sum(not job._hidden and not job.stopping for job in self._jobs)
        if not (len(vanished) > 1 and 2 * len(vanished) > visible):
            self._doubted_since = None
        elif self._doubted_since is None:
            self._doubted_since = now
            log.error(
                "%d of %d jobs are missing from %s's answer at once: not believed.",
                len(vanished),
                visible,
                self.scheduler.title,
            )

    @property
    def _in_doubt(self) -> bool:
        since = self._doubted_since
        return since is not None and time.monotonic() - since < DOUBT_LASTS

    async def _nodes(self) -> frozenset[str]:
        """Return the cluster's hosts, by the Hub's own question."""
        return (await self.inventory.get(HOSTS_INTERVAL)).hosts

    async def _confirm(self, client: AgentClient, jobs: list[TrackedJob]) -> None:
        """Ask for jobs by id, as their user."""
        for job in jobs:
            job._asking = True
        asked = time.monotonic()
        try:
            answer = await client.status([job.job_id for job in jobs])
            for job_id, info in answer.items():
                if info.exec_host and info.exec_host not in await self._nodes():
                    answer[job_id] = replace(info, exec_host="")
        except UniSpawnerError as error:
            log.warning("Nothing learnt of %s's jobs: %s", client.account.name, error)
            return
        finally:
            for job in jobs:
                job._asking, job._asked = False, time.monotonic()
        for job in jobs:
            if job in self._jobs:
                self._confirmed(job, answer.get(job.job_id), asked)

    def _confirmed(self, job: TrackedJob, info: JobInfo | None, asked: float) -> None:
        owner = job.client.account.name
        young = job.info is None and asked - job._since < NEW_JOB_GRACE
        if info is None and not job.stopping and (self._in_doubt or young):
            return
        if info is None:
            info = JobInfo(
                owner=owner,
                state=JobState.COMPLETED,
                message=f"{self.scheduler.title} does not know the job any more",
            )
            # In case it is wrong: nobody would look after a job that the Hub has given up.
            tasks.start(job.client.cancel(job.job_id), f"cancelling job {job.job_id}, just in case")
        elif info.owner.isdigit() or info.owner == "nobody":
            return  # the directory service can't name a uid just now
        elif not job.client.account.owns(info.owner):
            # A forged reply of the user's own agent, or a cluster that began to count anew. A job
            # of theirs that should run all the same ends itself: the Hub refuses its report.
            log.error("Job %s is %r's, not %r's.", job.job_id, info.owner, owner)
            message = f"{self.scheduler.title} says that job {job.job_id} is somebody else's"
            info = JobInfo(owner=owner, state=JobState.FAILED, message=message)
        elif not info.state.final and (job._shown or not self.scheduler.may_hide_jobs):
            return  # the list of all jobs would have it: its user's own side says what it likes
        elif not job._hidden and not info.state.final:
            job._hidden = True
            log.warning(
                "%s shows job %s to %s but not to the Hub, so the Hub has to ask as each user. "
                "Give the Hub's account the right to see all jobs (docs/install.md).",
                self.scheduler.title,
                job.job_id,
                owner,
            )
        job.update(info, asked)
        if job.final:
            self._jobs.discard(job)


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


__all__ = ["Monitor", "TrackedJob", "get_monitor"]
