"""Finds out what became of jobs that answers lack; never takes them for ended because of that."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace

from .. import tasks
from ..errors import UniSpawnerError
from ..job import JobInfo, JobState
from ..reasons import SOMEBODY_ELSES, UNKNOWN_JOB
from ..run_as.client import AgentClient
from ..schedulers import Scheduler
from ..texts import fill
from .followed import Followed
from .inventory_cache import InventoryCache
from .tracked_job import TrackedJob

log = logging.getLogger("JupyterHub.unispawner")  # with the Hub's own handlers

DOUBT_LASTS = 600.0
"""How long (seconds) jobs that vanished together are taken for running all the same."""
HOSTS_INTERVAL = 600.0
"""How long (seconds) the list of the cluster's nodes is reused for jobs that are hidden, and the
answer to the question whether the site hides jobs at all."""
HIDDEN_INTERVAL = 5.0
"""The shortest time (seconds) between two questions for a job that only its own user may see."""
NEW_JOB_GRACE = 30.0
"""How long (seconds) after its submission a job may be unknown to the scheduler.

LSF answers queries from a copy of its state that is some seconds old.
"""
SAMPLE = 5
"""How many of the jobs that vanished together are asked for by id at the same time."""


class MissingJobs:
    """Asks for missing jobs by id, as their users, and decides what the answers mean.

    That a job is missing never means that it has ended. If two good answers lack it, it is asked
    for by id as its user, who sees it even where PrivateData hides it from the Hub. It has ended
    only if the scheduler says so, or says that it knows no such job. If over half of the jobs are
    missing at once, the answers are probably wrong (a scheduler that lost its memory, or another
    cluster's). Then, for a while, a job has ended only if the scheduler says so, and only a few
    jobs are asked for at a time.

    Parameters
    ----------
    jobs
        All jobs that the monitor follows; a job that has ended is removed.
    ask_whether_hidden
        Asks the scheduler whether the site hides users' jobs from the Hub's account.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        inventory: InventoryCache,
        jobs: dict[TrackedJob, Followed],
        ask_whether_hidden: Callable[[], Awaitable[bool]],
    ) -> None:
        self._scheduler = scheduler
        self._inventory = inventory
        self._jobs = jobs
        self._doubted_since: float | None = None
        self._ask_whether_hidden = ask_whether_hidden
        self._hides, self._hides_until = False, float("-inf")

    @property
    def in_doubt(self) -> bool:
        """True for a while after over half of the jobs vanished together."""
        since = self._doubted_since
        return since is not None and time.monotonic() - since < DOUBT_LASTS

    def handle(self, missing: Collection[Followed], status_interval: float) -> None:
        """Take note of the jobs that an answer lacks, and ask for those whose turn it is.

        Parameters
        ----------
        status_interval
            Seconds between two questions for a job, unless somebody waits for it.
        """
        now = time.monotonic()
        self._update_doubt(missing, now)
        due: list[Followed] = []
        in_doubt: list[Followed] = []
        asking = 0
        for one in missing:
            one.missed += 1
            wait = HIDDEN_INTERVAL if one.urgent else max(HIDDEN_INTERVAL, status_interval)
            doubtful = one.expected and one.job.info is not None
            asking += doubtful and one.asking
            if one.missed >= 2 and not one.asking and now - one.asked_at >= wait:
                (in_doubt if doubtful and self.in_doubt else due).append(one)
        in_doubt.sort(key=lambda one: one.asked_at)
        by_user: dict[str, list[Followed]] = {}
        for one in due + in_doubt[: max(0, SAMPLE - asking)]:
            by_user.setdefault(one.job.client.account.name, []).append(one)
        for name, jobs in by_user.items():
            tasks.start(self._ask(jobs[0].job.client, jobs), f"asking for jobs as {name}")

    def ask_now(self, one: Followed) -> None:
        """Ask as its user for a job that an answer about it alone does not have, but not often."""
        rested = time.monotonic() - one.asked_at >= HIDDEN_INTERVAL
        if not one.asking and rested and (one.hidden or one.missed >= 2):
            name = one.job.client.account.name
            tasks.start(self._ask(one.job.client, [one]), f"asking for a job as {name}")

    def _update_doubt(self, missing: Collection[Followed], now: float) -> None:
        """Begin or cease to doubt the answers. One vanished job alone is no reason for doubt."""
        vanished = sum(one.expected for one in missing)
        # Hubs have thousands of jobs: they are counted only if it matters.
        expected = sum(one.expected for one in self._jobs.values()) if vanished > 1 else 0
        if not (vanished > 1 and 2 * vanished > expected):
            self._doubted_since = None
        elif self._doubted_since is None:
            self._doubted_since = now
            log.error(
                "%d of %d jobs are missing from one answer of %s. The answer may be wrong: the "
                "jobs keep their last known state, and some are asked for by id.",
                vanished,
                expected,
                self._scheduler.title,
            )

    async def _ask(self, client: AgentClient, jobs: Collection[Followed]) -> None:
        """Ask for jobs of one user by id, as this user."""
        for one in jobs:
            one.asking = True
        asked_at = time.monotonic()
        try:
            answer = await client.status([one.job.job_id for one in jobs])
            for job_id, info in answer.items():
                # The user's side may name any host: only the cluster's own nodes count.
                if info.exec_host and info.exec_host not in await self._nodes():
                    answer[job_id] = replace(info, exec_host="")
            hides = bool(answer) and await self._site_hides_jobs()
        except UniSpawnerError as error:
            title, name = self._scheduler.title, client.account.name
            log.warning("%s could not be asked about the jobs of %s: %s", title, name, error)
            return
        finally:
            for one in jobs:
                one.asking, one.asked_at = False, time.monotonic()
        for one in jobs:
            if one.job in self._jobs:
                self._take_answer(one, answer.get(one.job.job_id), asked_at, hides=hides)

    async def _nodes(self) -> frozenset[str]:
        return (await self._inventory.get(HOSTS_INTERVAL)).hosts

    async def _site_hides_jobs(self) -> bool:
        """Return whether the scheduler says that it hides jobs; False also if it does not say."""
        if self._scheduler.may_hide_jobs and time.monotonic() >= self._hides_until:
            try:
                self._hides = await self._ask_whether_hidden()
            except UniSpawnerError as error:
                self._hides = False
                log.warning(
                    "%s does not say whether it hides jobs from the Hub: %s",
                    self._scheduler.title,
                    error,
                )
            self._hides_until = time.monotonic() + HOSTS_INTERVAL
        return self._hides

    def _take_answer(
        self, one: Followed, info: JobInfo | None, asked_at: float, *, hides: bool
    ) -> None:
        """Take over what the user's side says of a job; None means that there is no such job.

        Where the scheduler does not say that it hides jobs, the host is only what the user claims.
        """
        meaning = self._conclude_end(one, asked_at) if info is None else self._check(one, info)
        if meaning is None:
            return
        if hides:
            one.update(meaning, asked_at)
        else:
            claimed = meaning.exec_host
            one.update(replace(meaning, exec_host=""), asked_at, claimed_host=claimed)
        if one.job.final:
            self._jobs.pop(one.job, None)

    def _conclude_end(self, one: Followed, asked_at: float) -> JobInfo | None:
        """Return the end of a job that the scheduler doesn't know; None if it is too early."""
        job = one.job
        young = job.info is None and asked_at - one.since < NEW_JOB_GRACE
        if not job.stopping and (self.in_doubt or young):
            return None
        # If this is wrong, nobody else would look after a job that the Hub has given up.
        tasks.start(job.client.cancel(job.job_id), f"cancelling job {job.job_id}, just in case")
        return JobInfo(
            owner=job.client.account.name,
            state=JobState.COMPLETED,
            message=fill(UNKNOWN_JOB, {"scheduler": self._scheduler.title}),
        )

    def _check(self, one: Followed, info: JobInfo) -> JobInfo | None:
        """Return what an answer of the user's side means; None if it does not count."""
        job, title = one.job, self._scheduler.title
        if info.owner.isdigit() or info.owner == "nobody":
            return None  # the directory service can't name a uid just now
        if not job.client.account.owns(info.owner):
            # A forged reply of the user's own agent, or a cluster that began to count anew. If a
            # job of theirs runs all the same, it ends itself: the Hub refuses its report.
            owner = job.client.account.name
            log.error(
                "Job %s belongs to %r instead of %r, so its server counts as failed.",
                job.job_id,
                info.owner,
                owner,
            )
            message = fill(SOMEBODY_ELSES, {"scheduler": title, "job": job.job_id})
            return JobInfo(owner=owner, state=JobState.FAILED, message=message)
        if info.state.final:
            return info
        if one.listed or not self._scheduler.may_hide_jobs:
            return None  # the list of all jobs would have it, and the user's side may say anything
        if not one.hidden:
            one.hidden = True
            log.warning(
                "%s shows job %s to %s but not to the Hub, so the Hub has to ask as each user. "
                "Give the Hub's account the right to see all jobs (docs/install.md).",
                title,
                job.job_id,
                job.client.account.name,
            )
        return info
