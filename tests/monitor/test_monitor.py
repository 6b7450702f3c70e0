"""The monitor: one query for all jobs, by a real command, and what follows from its answers."""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.attacks import CLAIMED_HOST, FORGED_ROW

from unispawner.errors import AgentError, SchedulerUnavailable
from unispawner.job import JobInfo, JobState
from unispawner.monitor import missing, rhythm
from unispawner.monitor import monitor as module
from unispawner.monitor.followed import Followed
from unispawner.monitor.monitor import Monitor, get_monitor
from unispawner.monitor.tracked_job import TrackedJob
from unispawner.schedulers.base import AnswerTooLarge, Dialogue, Reply
from unispawner.submit_host import dialogue
from unispawner.submit_host.host import Finished, SubmitHost
from unispawner.testing import FakeScheduler, FakeUserSide, fake_client

PATIENCE = 60.0
IDLE = 300.0
"""Seconds between queries that nobody asks for: longer than any test takes."""


class Host(SubmitHost):
    """A real SubmitHost that counts commands; with a gate, each answer waits until it is let
    through.
    """

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[tuple[float, float]] = []
        self.at_work = 0
        self.most_at_work = 0
        self.gate: asyncio.Semaphore | None = None
        self.waiting = asyncio.Event()

    async def run(self, command: Any, **options: Any) -> Finished:
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        began = time.monotonic()
        try:
            done = await super().run(command, **options)
            if self.gate is not None:
                self.waiting.set()
                await self.gate.acquire()
                self.waiting.clear()
            return done
        finally:
            self.at_work -= 1
            self.spans.append((began, time.monotonic()))


@dataclass
class Lab:
    """A fake scheduler, its monitor, and jobs by their owners."""

    scheduler: FakeScheduler
    side: FakeUserSide
    host: Host
    monitor: Monitor
    changes: list[tuple[str, JobInfo | None]] = field(default_factory=list)

    def track(self, owner: str = "alice", *, submitted: bool = False) -> TrackedJob:
        """Submit a job and follow it."""
        job = self.job(owner)
        self.monitor.track(job, submitted=submitted)
        return job

    def track_hidden(self, owner: str = "alice") -> TrackedJob:
        """Submit a job that only its own user can see, and follow it."""
        job = self.job(owner)
        self.scheduler.hide(job.job_id)
        self.monitor.track(job)
        return job

    def job(self, owner: str = "alice") -> TrackedJob:
        def changed(job: TrackedJob, before: JobInfo | None) -> None:
            self.changes.append((job.job_id, before))

        client = fake_client(self.scheduler, owner, self.side)
        return TrackedJob(self.scheduler.submit(owner), client, on_change=changed)

    async def answers(self, count: int = 1) -> None:
        """Wait for that many answers to questions that are asked from now on, or until nobody
        asks.
        """
        until = self.monitor.queries + count + (1 if self.host.at_work else 0)
        while self.monitor.queries < until and self.monitor.jobs:
            await self.monitor.refresh(PATIENCE)

    async def eventually(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "it did not come about"
            await asyncio.sleep(0.01)

    @property
    def asked_for(self) -> list[tuple[str, list[str]]]:
        """Return who was asked for which jobs by id."""
        return [(one["account"], one["job_ids"]) for one in self.side.asked("status")]


@pytest.fixture
async def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    monkeypatch.setattr(rhythm, "FAST_INTERVAL", 0.02)
    monkeypatch.setattr(rhythm, "LARGEST_SHARE", 1.0)
    monkeypatch.setattr(missing, "HIDDEN_INTERVAL", 0.0)
    scheduler = FakeScheduler(tmp_path)
    host = Host()
    found = Lab(scheduler, FakeUserSide(scheduler), host, Monitor(scheduler, host, {}, IDLE, 0.0))
    yield found
    await close(found.monitor)


async def close(monitor: Monitor) -> None:
    for job in monitor.jobs:
        monitor.untrack(job)
    if monitor._task is not None:
        # It should end by itself: if a task is cancelled while a command starts, Python 3.11 leaves
        # the command's pipes open.
        await asyncio.wait({monitor._task}, timeout=0.5)
        monitor._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await monitor._task


def messages(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if "unispawner" in record.name and record.levelno >= level
    ]


# -- the ordinary way ---------------------------------------------------------------------------


async def test_a_job_is_followed_to_its_end(lab: Lab) -> None:
    """Each change is reported once with the state before it; an ended job is not followed any
    more.
    """
    job = lab.track()
    await lab.answers()
    assert (JobState.QUEUED, None) == (job.info and job.info.state, lab.changes[0][1])
    await lab.answers(2)
    assert 1 == len(lab.changes)
    lab.scheduler.change(job.job_id, JobState.RUNNING, exec_host="node1")
    await lab.answers()
    assert job.info
    assert "node1" == job.info.exec_host
    lab.scheduler.change(job.job_id, JobState.FAILED, exit_code=3)
    await lab.answers()
    assert (True, 3) == (job.final, job.info.exit_code)
    assert frozenset() == lab.monitor.jobs
    befores = [before and before.state for _, before in lab.changes]
    assert [None, JobState.QUEUED, JobState.RUNNING] == befores


async def test_a_change_wakes_who_waits_for_it(lab: Lab) -> None:
    """Only a change wakes those who wait for one."""
    job = lab.track()
    await lab.answers()
    waiter = asyncio.create_task(job.wait_change(PATIENCE))
    await lab.answers(2)
    assert not waiter.done()
    lab.scheduler.change(job.job_id, JobState.RUNNING)
    await lab.answers()
    await waiter
    assert job.info
    assert JobState.RUNNING is job.info.state


async def test_a_thousand_jobs_are_one_query(lab: Lab) -> None:
    """One command asks for all jobs of all users, and no user is asked."""
    client = fake_client(lab.scheduler, "alice", lab.side)
    lab.scheduler.jobs = {
        str(i): JobInfo("alice", JobState.RUNNING, exec_host=f"node{i}") for i in range(1000)
    }
    lab.scheduler.submit("alice")
    jobs = [TrackedJob(str(i), client, reported=True) for i in range(1000)]
    for job in jobs:
        lab.monitor.track(job)
    await lab.monitor.refresh(PATIENCE)
    assert 1 == lab.monitor.queries
    assert [f"node{i}" for i in range(1000)] == [job.info and job.info.exec_host for job in jobs]
    assert [] == lab.asked_for


async def test_never_two_queries_at_once(lab: Lab) -> None:
    """There is one query at a time, however many callers hurry the monitor."""
    for _ in range(5):
        lab.track(submitted=True)

    async def nag() -> None:
        for _ in range(20):
            lab.monitor.hurry()
            lab.track()
            await asyncio.sleep(0.002)

    await asyncio.gather(*(nag() for _ in range(5)), lab.answers(5))
    assert 1 == lab.host.most_at_work


async def test_the_task_ends_when_nothing_is_followed(lab: Lab) -> None:
    """The monitor's task ends when no job is followed, and starts again with the next job."""
    job = lab.track()
    await lab.answers()
    task = lab.monitor._task
    assert task
    lab.monitor.untrack(job)
    await asyncio.wait_for(task, PATIENCE)
    queries = lab.monitor.queries
    again = lab.track()
    await lab.answers()
    assert again.info is not None
    assert lab.monitor.queries > queries


@pytest.mark.threat(
    who="user",
    tries="Their agent claims the job of another account.",
    stopped_by="A job counts as this user's only if the owner in the scheduler's own list says so.",
)
async def test_another_owners_row_does_not_count(lab: Lab) -> None:
    """A row with another owner does not count: the user's side may have made up the id."""
    theirs = lab.scheduler.submit("bob")
    lab.scheduler.change(theirs, JobState.RUNNING, exec_host="node9")
    job = TrackedJob(theirs, fake_client(lab.scheduler, "alice", lab.side))
    lab.monitor.track(job)
    await lab.answers()
    assert None is job.info


# -- unknown is not gone ------------------------------------------------------------------------

TROUBLE: dict[str, Callable[[FakeScheduler], None]] = {
    "error": lambda scheduler: scheduler.answer(stderr="does not answer", exit_status=1),
    "garbage": lambda scheduler: scheduler.answer("<html>"),
    "cut off": lambda scheduler: scheduler.answer('{"1": {"owner": "al'),
    "silence": lambda scheduler: scheduler.hang(),
    "nothing": lambda scheduler: scheduler.answer(""),
    "missing command": lambda scheduler: (scheduler.directory / "status").unlink(),
}


@pytest.mark.parametrize("trouble", TROUBLE)
async def test_a_query_that_fails_changes_nothing(
    lab: Lab,
    trouble: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A failing query keeps the last state; the log says so once, and once when it is over."""
    monkeypatch.setattr(dialogue, "QUERY_TIMEOUT", 0.3 if trouble == "silence" else PATIENCE)
    caplog.set_level(logging.INFO)
    job = lab.track()
    lab.scheduler.change(job.job_id, JobState.RUNNING, exec_host="node1")
    await lab.answers()
    before = job.info
    TROUBLE[trouble](lab.scheduler)
    await lab.answers(3)
    assert before is job.info
    assert {job} == lab.monitor.jobs
    noticed = lab.monitor.problem is not None
    assert noticed
    assert [] == lab.asked_for
    assert 1 == len(messages(caplog, logging.WARNING))
    lab.scheduler.recover()
    await lab.answers(2)
    assert None is lab.monitor.problem
    assert before == job.info
    expected = ["The fake scheduler gave no answer", "The fake scheduler answers again."]
    got = messages(caplog, logging.WARNING)
    assert 2 == len(got)
    assert all(line.startswith(text) for line, text in zip(got, expected, strict=True))


async def test_a_failed_query_wakes_who_waits(lab: Lab) -> None:
    """A failed query wakes those who wait, so that the user learns of it."""
    job = lab.track()
    await lab.answers()
    lab.scheduler.answer(stderr="does not answer", exit_status=1)
    waiter = asyncio.create_task(job.wait_change(PATIENCE))
    await lab.answers(2)
    await waiter
    assert isinstance(lab.monitor.problem, SchedulerUnavailable)


async def test_missing_once_is_nothing(lab: Lab) -> None:
    """A job that one answer lacks is not asked for, and the count starts again when it is back."""
    job, other = lab.track(), lab.track()
    await lab.answers()
    for _ in range(3):
        lab.scheduler.hide(job.job_id)
        await lab.answers()
        lab.scheduler.show(job.job_id)
        await lab.answers()
    assert [] == lab.asked_for
    assert {job, other} == lab.monitor.jobs


async def test_failed_queries_between_do_not_count(lab: Lab) -> None:
    """Failed queries do not count as answers that lack a job."""
    job = lab.track()
    lab.track()
    await lab.answers()
    lab.scheduler.hide(job.job_id)
    lab.scheduler.answer(stderr="does not answer", exit_status=1)
    await lab.answers(4)
    assert [] == lab.asked_for


async def test_missing_twice_is_asked_for_as_its_user(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    """A job that two answers lack is asked for as its user; if it is hidden from the Hub, it is
    kept, and the log says so once.
    """
    job = lab.track_hidden()
    other = lab.track("bob")
    await lab.answers()
    lab.scheduler.change(job.job_id, JobState.RUNNING, exec_host="node1")
    await lab.answers(2)
    await lab.eventually(lambda: lab.asked_for)
    assert ("alice", [job.job_id]) == lab.asked_for[0]
    await lab.eventually(lambda: job.info and job.info.state is JobState.RUNNING)
    await lab.answers(3)
    assert {job, other} == lab.monitor.jobs
    assert {("alice", (job.job_id,))} == {(who, tuple(ids)) for who, ids in lab.asked_for}
    assert 1 == len([line for line in messages(caplog, logging.WARNING) if "to the Hub" in line])


async def test_a_hidden_job_is_followed_as_its_user(lab: Lab) -> None:
    """A hidden job is followed to its end as its user, at the ordinary interval."""
    lab.monitor.rhythm.status_interval = 0.05
    job = lab.track()
    await lab.answers()
    lab.scheduler.hide(job.job_id)
    await lab.answers(2)
    await lab.eventually(lambda: lab.asked_for)
    lab.scheduler.change(job.job_id, JobState.COMPLETED)
    while lab.monitor.jobs:
        await lab.answers()
    assert job.info
    assert JobState.COMPLETED is job.info.state
    assert "COMPLETED" == job.info.native_state


@pytest.mark.threat(
    who="job",
    tries="Its scheduler hides it from the Hub, and it names a host that is not a node.",
    stopped_by="A hidden job's node must be one of the cluster's nodes.",
)
@pytest.mark.parametrize(("host", "expected"), [("node2", "node2"), ("db.internal", "")])
async def test_a_hidden_jobs_host_is_one_of_the_clusters(
    lab: Lab, host: str, expected: str
) -> None:
    """The host of a hidden job counts only if it is one of the cluster's nodes."""
    job = lab.track_hidden()
    await lab.answers()
    lab.scheduler.change(job.job_id, JobState.RUNNING, exec_host=host)
    await lab.answers(2)
    await lab.eventually(lambda: job.info and job.info.state is JobState.RUNNING)
    assert job.info
    assert expected == job.info.exec_host


@pytest.mark.parametrize("listed", [True, False])
async def test_its_users_word_counts_only_for_a_job_that_may_be_hidden(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    """The user's side, which may lie, counts only for jobs that may be hidden.

    A job that was in the list of all, or any job of a scheduler that hides none, is followed there.
    Otherwise a route could lead to a node where the job is not.
    """
    monkeypatch.setattr(FakeScheduler, "may_hide_jobs", listed)
    lab.monitor.rhythm.status_interval = 0.05
    job = lab.track() if listed else lab.track_hidden()
    lab.track("bob")
    await lab.answers()
    before = job.info
    lab.scheduler.hide(job.job_id)
    lab.scheduler.change(job.job_id, JobState.RUNNING, exec_host="node2")
    await lab.eventually(lambda: lab.asked_for)
    await lab.answers(3)
    assert before is job.info
    assert not lab.monitor._jobs[job].hidden


async def test_an_answer_to_an_older_question_does_not_count(lab: Lab) -> None:
    """An answer to a question older than the job does not count: the id may have been another's."""
    job = lab.job()
    began = time.monotonic()
    lab.monitor._jobs[job] = Followed(job, since=began + 1)
    ended = JobInfo("alice", JobState.FAILED)
    await lab.monitor._apply({job.job_id: ended}, began)
    assert None is job.info
    assert {job} == lab.monitor.jobs
    lab.monitor.untrack(job)


async def test_one_that_its_user_does_not_see_has_ended(lab: Lab) -> None:
    """A missing job has ended if the scheduler says to its user that it knows no such job."""
    job, other = lab.track(), lab.track("bob")
    await lab.answers()
    lab.scheduler.forget(job.job_id)
    await lab.answers(2)
    await lab.eventually(lambda: job.final)
    assert {other} == lab.monitor.jobs
    assert job.info
    assert "does not know the job any more" in job.info.message
    assert [("alice", [job.job_id])] == lab.asked_for


@pytest.mark.parametrize("error", [AgentError("sudo"), SchedulerUnavailable("down")])
async def test_no_answer_from_its_user_is_not_gone_either(lab: Lab, error: AgentError) -> None:
    """If the user's side fails, a missing job is kept and asked for again."""
    lab.monitor.rhythm.status_interval = 0.05
    job = lab.track()
    lab.track("bob")
    await lab.answers()
    before = job.info
    lab.scheduler.forget(job.job_id)
    lab.side.error = error
    while len(lab.asked_for) < 3:
        await lab.answers()
    assert before == job.info
    lab.side.error = None
    while not job.final:
        await lab.answers()


async def test_another_owners_job_is_a_failure(lab: Lab) -> None:
    """A job that belongs to somebody else is a failure, and its host does not count."""
    job = lab.track()
    lab.track("bob")
    await lab.answers()

    class Forger(FakeUserSide):
        def _status(self, owner: str, request: Any) -> dict[str, dict[str, Any]]:
            info = JobInfo("bob", JobState.RUNNING, exec_host="node9")
            return {job_id: info.to_dict() for job_id in request["job_ids"]}

    forger = Forger(lab.scheduler)
    object.__setattr__(job.client, "run_as", forger)
    lab.scheduler.hide(job.job_id)
    while not forger.asked("status"):
        await lab.answers()
    await lab.eventually(lambda: job.final)
    assert job.info
    assert (JobState.FAILED, "") == (job.info.state, job.info.exec_host)
    assert "somebody else's" in job.info.message


async def test_the_jobs_of_one_user_are_one_question(lab: Lab) -> None:
    """Missing jobs of one user are asked for together, and each user's separately."""
    jobs = [lab.track(owner) for owner in ("alice", "alice", "bob")]
    for _ in range(6):
        lab.track("carol")
    await lab.answers()
    lab.scheduler.forget(*(job.job_id for job in jobs))
    while not all(job.final for job in jobs):
        await lab.answers()
    asked = sorted((who, sorted(ids)) for who, ids in lab.asked_for)
    assert [("alice", ["1", "2"]), ("bob", ["3"])] == asked


async def test_over_half_vanishing_is_not_believed(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    """If over half of the jobs vanish at once, they are kept.

    That the scheduler does not know them by id either does not count: it may have lost its memory,
    or be another cluster's.
    """
    lab.monitor.rhythm.status_interval = 0.05
    jobs = [lab.track(owner) for owner in ("alice", "bob", "carol", "dora")]
    await lab.answers()
    before = [job.info for job in jobs]
    lab.scheduler.forget(*(job.job_id for job in jobs[:3]))
    await lab.eventually(lambda: len(lab.asked_for) > 6)
    await lab.answers()
    assert before == [job.info for job in jobs]
    assert set(jobs) == lab.monitor.jobs
    assert [] == lab.side.asked("cancel")
    assert 1 == len(messages(caplog, logging.ERROR))
    assert "3 of 4 jobs are missing" in messages(caplog, logging.ERROR)[0]


async def test_in_doubt_the_word_that_a_job_has_ended_counts(lab: Lab) -> None:
    """If jobs vanish together, the scheduler's word that one has ended still counts."""
    lab.monitor.rhythm.status_interval = 0.05
    jobs = [lab.track(owner) for owner in ("alice", "bob", "carol", "dora")]
    await lab.answers()
    ends = [JobState.COMPLETED, JobState.FAILED, JobState.CANCELED]
    for job, state in zip(jobs, ends, strict=False):
        lab.scheduler.change(job.job_id, state)
        lab.scheduler.hide(job.job_id)
    await lab.eventually(lambda: all(job.final for job in jobs[:3]))
    assert ends == [job.info.state for job in jobs[:3] if job.info]
    assert {jobs[3]} == lab.monitor.jobs
    assert [] == lab.side.asked("cancel"), "they have ended: there is nothing to make sure of"


async def test_in_doubt_a_few_are_asked_for_at_a_time(lab: Lab) -> None:
    """If jobs vanish together, only a few are asked for at a time, since each costs a process."""
    lab.monitor.rhythm.status_interval = 0.05
    jobs = [lab.track(f"user{i}") for i in range(4 * missing.SAMPLE)]
    await lab.answers()
    lab.scheduler.forget(*(job.job_id for job in jobs))
    queries = lab.monitor.queries
    for _ in range(12):
        await lab.answers()
        # On a loaded machine there may be several answers between two looks.
        assert len(lab.asked_for) <= missing.SAMPLE * (lab.monitor.queries - queries)
    await lab.eventually(lambda: len({who for who, _ in lab.asked_for}) == len(jobs))
    turns = [who for who, _ in lab.asked_for[: len(jobs)]]
    assert len(jobs) == len(set(turns)), "each has its turn before one is asked for again"
    assert not any(job.final for job in jobs)


class Slow(FakeUserSide):
    """A user's side whose answers about jobs are held back until its gate is opened."""

    def __init__(self, scheduler: FakeScheduler) -> None:
        super().__init__(scheduler)
        self.gate = asyncio.Event()
        self.at_work = self.most_at_work = 0

    async def call(self, host: Any, account: Any, request: Any, seconds: float) -> Any:
        """Serve one request when the gate is open."""
        if request["action"] == "status":
            self.at_work += 1
            self.most_at_work = max(self.most_at_work, self.at_work)
            await self.gate.wait()
            self.at_work -= 1
        return await super().call(host, account, request, seconds)


async def test_in_doubt_slow_answers_do_not_pile_up(lab: Lab) -> None:
    """Questions that are not answered yet count among those few."""
    lab.monitor.rhythm.status_interval = 0.05
    lab.side = slow = Slow(lab.scheduler)
    jobs = [lab.track(f"user{i}") for i in range(4 * missing.SAMPLE)]
    await lab.answers()
    lab.scheduler.forget(*(job.job_id for job in jobs))
    await lab.answers(8)
    slow.gate.set()
    assert missing.SAMPLE == slow.most_at_work


async def test_in_doubt_a_job_that_is_stopping_is_asked_for(lab: Lab) -> None:
    """A job that somebody stops has ended if the scheduler does not know it, even in doubt."""
    jobs = [lab.track(owner) for owner in ("alice", "bob", "carol", "dora")]
    await lab.answers()
    jobs[0].stopping = True
    lab.scheduler.forget(*(job.job_id for job in jobs))
    while not jobs[0].final:
        await lab.answers()
    assert lab.monitor._missing.in_doubt
    assert set(jobs[1:]) == lab.monitor.jobs


async def test_the_others_are_followed_meanwhile(lab: Lab) -> None:
    """In doubt, the jobs that an answer has are followed as usual."""
    jobs = [lab.track() for _ in range(4)]
    await lab.answers()
    lab.scheduler.forget(*(job.job_id for job in jobs[:3]))
    lab.scheduler.change(jobs[3].job_id, JobState.RUNNING)
    await lab.answers(2)
    assert jobs[3].info
    assert JobState.RUNNING is jobs[3].info.state


async def test_doubt_ends_when_they_are_back(lab: Lab) -> None:
    """The doubt ends when the jobs are back, and their missed answers count from the start."""
    jobs = [lab.track() for _ in range(4)]
    await lab.answers()
    for _ in range(3):
        lab.scheduler.hide(*(job.job_id for job in jobs))
        await lab.answers(1)
        assert lab.monitor._missing.in_doubt
        lab.scheduler.show(*(job.job_id for job in jobs))
        await lab.answers(1)
        assert not lab.monitor._missing.in_doubt
    assert [] == lab.asked_for
    assert None is lab.monitor._missing._doubted_since


async def test_doubt_does_not_last_for_ever(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while jobs that vanished together are asked for as usual."""
    lab.monitor.rhythm.status_interval = 0.05
    jobs = [lab.track() for _ in range(4)]
    await lab.answers()
    lab.scheduler.forget(*(job.job_id for job in jobs))
    await lab.answers(2)
    monkeypatch.setattr(missing, "DOUBT_LASTS", 0.0)
    while lab.monitor.jobs:
        await lab.answers()
    assert all(job.final for job in jobs)


async def test_a_wrong_view_right_after_a_restart_is_not_believed(lab: Lab) -> None:
    """A Hub that sees none of its jobs after a restart, because of a wrong SLURM_CONF, keeps
    them.
    """
    jobs = [lab.job(owner) for owner in ("alice", "bob", "carol", "dora")]
    lab.scheduler.forget(*(job.job_id for job in jobs))
    for job in jobs:
        lab.monitor.track(job)
    await lab.answers(4)
    await asyncio.sleep(0.1)
    assert not any(job.final for job in jobs)


async def test_a_job_submitted_during_a_query_is_not_missing(lab: Lab) -> None:
    """A job that was submitted during a query is not missing from its answer."""
    lab.host.gate = asyncio.Semaphore(0)
    lab.track("bob")
    await lab.host.waiting.wait()  # the first answer is there, and held back
    job = lab.job()
    lab.scheduler.hide(job.job_id)
    lab.monitor.track(job)
    for expected in (0, 0, 1):  # older than the job; missing once; missing twice
        lab.host.gate.release()
        await lab.monitor.refresh(PATIENCE)
        await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        assert expected == len(lab.asked_for)
        if not expected:
            await asyncio.wait_for(lab.host.waiting.wait(), PATIENCE)
    lab.host.gate = None


# -- new jobs -----------------------------------------------------------------------------------


async def test_a_new_job_that_was_never_seen_is_not_gone(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new job may be unknown for a while: LSF answers from a copy that is some seconds old."""
    other, job = lab.track("bob"), lab.job()
    lab.scheduler.forget(job.job_id)
    lab.monitor.track(job, submitted=True)
    await lab.eventually(lambda: len(lab.asked_for) > 5)
    assert None is job.info
    assert {job, other} == lab.monitor.jobs
    assert [] == lab.side.asked("cancel")
    monkeypatch.setattr(missing, "NEW_JOB_GRACE", 0.0)
    await lab.eventually(lambda: job.final)
    assert {other} == lab.monitor.jobs


async def test_a_new_job_is_followed_once_it_is_seen(lab: Lab) -> None:
    """A new job is followed as soon as an answer has it."""
    lab.track("bob")
    job = lab.job()
    lab.scheduler.hide(job.job_id)
    lab.scheduler.answer("{}")
    lab.monitor.track(job, submitted=True)
    await lab.answers(3)
    lab.scheduler.recover()
    lab.scheduler.show(job.job_id)
    await lab.eventually(lambda: job.info and job.info.state is JobState.QUEUED)


async def test_a_new_job_that_has_ended_is_over_at_once(lab: Lab) -> None:
    """A new job has ended at once if the scheduler says so."""
    lab.track("bob")
    job = lab.job()
    lab.scheduler.change(job.job_id, JobState.FAILED, exit_code=127)
    lab.scheduler.hide(job.job_id)
    lab.monitor.track(job, submitted=True)
    await lab.eventually(lambda: job.final)
    assert job.info
    assert (JobState.FAILED, 127) == (job.info.state, job.info.exit_code)


async def test_a_new_job_that_was_seen_has_no_grace(lab: Lab) -> None:
    """A new job that an answer had, and that the scheduler does not know any more, has ended."""
    lab.track("bob")
    lab.track("carol")
    job = lab.track(submitted=True)
    await lab.answers()
    assert job.info
    lab.scheduler.forget(job.job_id)
    await lab.eventually(lambda: job.final)


async def test_a_new_job_that_is_stopping_has_no_grace(lab: Lab) -> None:
    """A new job that somebody stops has ended as soon as the scheduler does not know it."""
    lab.track("bob")
    job = lab.job()
    job.stopping = True
    lab.scheduler.forget(job.job_id)
    lab.monitor.track(job, submitted=True)
    await lab.eventually(lambda: job.final)


# -- gone by absence ----------------------------------------------------------------------------


async def test_a_job_that_is_gone_by_absence_is_cancelled_all_the_same(lab: Lab) -> None:
    """A job that the scheduler does not know is cancelled once, in case that was wrong."""
    lab.monitor.rhythm.status_interval = 0.05
    job, other = lab.track(), lab.track("bob")
    await lab.answers()
    lab.scheduler.forget(job.job_id)
    await lab.eventually(lambda: job.final)
    await lab.eventually(lambda: lab.side.asked("cancel"))
    await lab.answers(3)
    cancelled = [(one["account"], one["job_id"]) for one in lab.side.asked("cancel")]
    assert [("alice", job.job_id)] == cancelled
    assert {other} == lab.monitor.jobs


async def test_that_this_fails_is_no_harm(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """If that cancellation fails, the job is ended all the same, and the others are followed."""

    class Refusing(FakeUserSide):
        def _cancel(self, owner: str, request: Any) -> dict[str, str]:
            raise AgentError("no cancelling today")

    lab.monitor.rhythm.status_interval = 0.05
    lab.side = Refusing(lab.scheduler)
    job, other = lab.track(), lab.track("bob")
    await lab.answers()
    lab.scheduler.forget(job.job_id)
    await lab.eventually(lambda: job.final)
    await lab.eventually(lambda: "no cancelling today" in caplog.text)
    lab.scheduler.change(other.job_id, JobState.RUNNING)
    await lab.eventually(lambda: other.info and other.info.state is JobState.RUNNING)
    assert job.final


async def test_a_job_whose_end_was_reported_is_not_cancelled(lab: Lab) -> None:
    """A job whose end the scheduler has reported is not cancelled."""
    lab.monitor.rhythm.status_interval = 0.05
    job, _ = lab.track(), lab.track("bob")
    await lab.answers()
    lab.scheduler.change(job.job_id, JobState.COMPLETED)
    await lab.eventually(lambda: job.final)
    await lab.answers()
    assert [] == lab.side.asked("cancel")


# -- stuck --------------------------------------------------------------------------------------


class Reasons(FakeUserSide):
    """A user's side that knows why a job is stuck, which the list of all jobs does not say."""

    why = "can't chdir to /home/alice: No such file or directory"

    def _status(self, owner: str, request: Any) -> dict[str, dict[str, Any]]:
        return {
            job_id: {**info, "message": self.why}
            for job_id, info in super()._status(owner, request).items()
        }


async def test_a_stuck_job_is_asked_for_its_reason_first(lab: Lab) -> None:
    """A stuck job is asked for its reason, once and as its user, before it counts as stuck."""
    lab.side = Reasons(lab.scheduler)
    job = lab.track(submitted=True)
    await lab.answers()
    lab.scheduler.change(job.job_id, JobState.HELD, stuck=True, native_state="Eqw")
    await lab.eventually(lambda: job.info and job.info.stuck)
    assert job.info
    assert (Reasons.why, "Eqw", JobState.HELD) == (
        *(job.info.message, job.info.native_state),
        job.info.state,
    )
    before = job.info
    await lab.answers(4)
    assert before is job.info or before == job.info
    assert Reasons.why == job.info.message, "later answers have none: it is kept"
    assert [("alice", [job.job_id])] == lab.asked_for
    assert [None, JobState.QUEUED] == [info and info.state for _, info in lab.changes]


async def test_a_stuck_job_with_a_reason_is_not_asked_for_it(lab: Lab) -> None:
    """A stuck job whose reason is in the list is not asked for."""
    job = lab.track()
    await lab.answers()
    lab.scheduler.change(job.job_id, JobState.HELD, stuck=True, message="no such file")
    await lab.answers(2)
    assert job.info
    assert (True, "no such file") == (job.info.stuck, job.info.message)
    assert [] == lab.asked_for


@pytest.mark.parametrize("error", [AgentError("sudo"), SchedulerUnavailable("down")])
async def test_a_stuck_job_without_a_reason(lab: Lab, error: AgentError) -> None:
    """If the reason can't be found out, the job counts as stuck without one."""
    lab.side.error = error
    job = lab.track(submitted=True)
    await lab.answers()
    lab.scheduler.change(job.job_id, JobState.HELD, stuck=True)
    await lab.eventually(lambda: job.info and job.info.stuck)
    await lab.answers(3)
    assert job.info
    assert "the scheduler gives no reason" == job.info.message
    assert 1 == len(lab.asked_for)


async def test_a_stuck_job_that_is_mended_is_followed(lab: Lab) -> None:
    """A stuck job that an administrator corrects is followed, and asked for if it is stuck
    again.
    """
    lab.side = Reasons(lab.scheduler)
    lab.monitor.rhythm.status_interval = 0.05
    job = lab.track(submitted=True)
    for expected in (1, 2):
        lab.scheduler.change(job.job_id, JobState.HELD, stuck=True)
        await lab.eventually(lambda: job.info and job.info.stuck)
        assert expected == len(lab.asked_for)
        lab.scheduler.change(job.job_id, JobState.RUNNING, stuck=False)
        await lab.eventually(lambda: job.info and job.info.state is JobState.RUNNING)
        assert job.info
        assert "" == job.info.message


@pytest.mark.parametrize("state", [JobState.CANCELED, JobState.RUNNING])
async def test_a_late_reason_does_not_undo_what_came_after(lab: Lab, state: JobState) -> None:
    """A late reason does not change a job that was cancelled or corrected meanwhile."""
    lab.side = slow = Slow(lab.scheduler)
    job = lab.track(submitted=True)
    lab.track("bob")
    await lab.answers()
    lab.scheduler.change(job.job_id, JobState.HELD, stuck=True)
    await lab.eventually(lambda: slow.at_work)
    lab.scheduler.change(job.job_id, state, stuck=False)
    await lab.eventually(lambda: job.info and job.info.state is state)
    slow.gate.set()
    await lab.eventually(lambda: slow.at_work == 0)
    await lab.answers(2)
    assert job.info
    assert (state, False) == (job.info.state, job.info.stuck)
    assert [] == [info for _, info in lab.changes if info and info.stuck], "not even for a moment"
    lab.monitor.untrack(job)


# -- when it asks -------------------------------------------------------------------------------


async def test_a_submission_is_followed_closely(lab: Lab) -> None:
    """A job that has just been submitted is urgent; one that a restart found is not."""
    before = time.monotonic()
    job, old = lab.track(submitted=True), lab.track()
    assert [True, False] == [lab.monitor._jobs[one].urgent for one in (job, old)]
    assert lab.monitor._jobs[job].starting_until >= before + module.FAST_AFTER_SUBMIT


async def test_it_asks_by_itself_while_a_job_waits(lab: Lab) -> None:
    """After a submission the monitor asks by itself, and stops that when the job runs: its server
    reports."""
    job = lab.track(submitted=True)
    await lab.eventually(lambda: lab.monitor.queries >= 4)
    lab.scheduler.change(job.job_id, JobState.RUNNING)
    await lab.eventually(lambda: job.info and job.info.state is JobState.RUNNING)
    await lab.eventually(lambda: lab.host.at_work == 0)
    queries = lab.monitor.queries
    await asyncio.sleep(0.3)
    assert queries == lab.monitor.queries


# -- a single job -------------------------------------------------------------------------------


async def answered_alone(lab: Lab) -> TrackedJob:
    """Return a job that waits, as the list of all jobs has shown once."""
    lab.monitor.rhythm.min_query_interval = IDLE
    job = lab.track()
    await lab.monitor.refresh(PATIENCE)
    return job


async def test_a_job_that_has_reported_is_asked_for_alone(lab: Lab) -> None:
    """It need not wait for the next list of all jobs. Its place in the queue stays the list's."""
    job = await answered_alone(lab)
    lab.scheduler.change(job.job_id, JobState.RUNNING, exec_host="node2", queue_position=1)
    await lab.monitor.ask_about(job, PATIENCE)
    assert job.info
    assert ("node2", None) == (job.info.exec_host, job.info.queue_position)
    assert (1, 1) == (lab.monitor.queries, lab.monitor.single_queries)


async def test_an_end_that_is_found_alone(lab: Lab) -> None:
    """A job that a single question finds ended is not followed any more."""
    job, other = await answered_alone(lab), lab.track()
    lab.scheduler.change(job.job_id, JobState.COMPLETED)
    await lab.monitor.ask_about(job, PATIENCE)
    assert job.final
    assert frozenset((other,)) == lab.monitor.jobs


async def test_another_owners_row_does_not_count_alone(lab: Lab) -> None:
    """A single question believes no row of another owner, as a list does not."""
    theirs = lab.scheduler.submit("bob")
    lab.scheduler.change(theirs, JobState.RUNNING, exec_host="node9")
    job = TrackedJob(theirs, fake_client(lab.scheduler, "alice", lab.side))
    lab.monitor.rhythm.min_query_interval = IDLE
    lab.monitor.track(job)
    await lab.monitor.refresh(PATIENCE)
    await lab.monitor.ask_about(job, PATIENCE)
    assert (None, 1) == (job.info, lab.monitor.single_queries)


async def test_a_hidden_job_that_has_reported_is_asked_for_as_its_user(lab: Lab) -> None:
    """A job that the Hub can't see is not asked for in vain."""
    job = lab.track_hidden()
    await lab.answers(3)
    await lab.eventually(lambda: job.info is not None)
    lab.monitor.rhythm.min_query_interval = IDLE
    lab.scheduler.change(job.job_id, JobState.RUNNING, exec_host="node3")
    singles = lab.monitor.single_queries
    await lab.eventually(lambda: lab.host.at_work == 0)
    await lab.monitor.ask_about(job, PATIENCE)
    await lab.eventually(lambda: job.info and job.info.exec_host == "node3")
    assert singles == lab.monitor.single_queries


async def test_a_single_question_that_fails_changes_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job keeps its state, and the list of all jobs is asked for in its place."""
    job = await answered_alone(lab)

    def refuse(*_: object) -> Any:
        raise SchedulerUnavailable("no such question here")

    monkeypatch.setattr(FakeScheduler, "query_few", refuse)
    lab.scheduler.change(job.job_id, JobState.RUNNING)
    await lab.monitor.ask_about(job, PATIENCE)
    assert job.info
    assert (JobState.QUEUED, None) == (job.info.state, lab.monitor.problem)
    lab.monitor.rhythm._all.next_at = 0.0  # the time has come
    lab.monitor.hurry()
    await lab.eventually(lambda: job.info and job.info.state is JobState.RUNNING)


async def test_ask_about_comes_back(lab: Lab) -> None:
    """It returns in time if there is no answer, and at once for a job that nobody follows."""
    lab.scheduler.hang()
    job = lab.track()
    await asyncio.wait_for(lab.monitor.ask_about(job, 0.1), PATIENCE)
    await asyncio.wait_for(lab.monitor.ask_about(lab.job(), PATIENCE), PATIENCE)


# -- when it asks for all -----------------------------------------------------------------------


async def test_a_new_job_is_asked_for_at_once(lab: Lab) -> None:
    """A new job is asked for at once, even during the long interval."""
    lab.track()
    await lab.answers()
    job = lab.track()
    await lab.eventually(lambda: job.info is not None)


async def test_a_slow_scheduler_is_asked_less(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries take a tenth of the time at most, however many callers hurry the monitor."""
    monkeypatch.setattr(rhythm, "LARGEST_SHARE", 0.1)
    lab.scheduler._write_answer(f"sleep 0.05; cat {lab.scheduler.directory}/queue")
    lab.track(submitted=True)
    while len(lab.host.spans) < 3:
        lab.monitor.hurry()
        await asyncio.sleep(0.01)
    for (began, ended), (following, _) in itertools.pairwise(lab.host.spans):
        # The monitor's clock begins a little earlier than the host's.
        assert following - began >= 9 * (ended - began)


async def test_a_query_that_ran_out_of_time_is_not_taken_for_a_slow_scheduler(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a query that ran out of time, the next one comes soon."""
    monkeypatch.setattr(rhythm, "LARGEST_SHARE", 0.01)
    monkeypatch.setattr(dialogue, "QUERY_TIMEOUT", 0.5)
    lab.scheduler.hang()
    lab.track(submitted=True)
    await lab.eventually(lambda: len(lab.host.spans) >= 1)
    lab.scheduler.recover()
    await lab.eventually(lambda: len(lab.host.spans) >= 2)
    (began, ended), (following, _) = lab.host.spans[:2]
    assert 2 * (ended - began) <= following - began < 20 * (ended - began)


async def test_a_question_that_does_not_reach_the_scheduler(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question that waited in vain for a connection to the submit host says nothing about the
    scheduler's pace. Who waits for a job has the connection tried again soon."""
    times: list[float] = []
    hurries: list[Host] = []

    async def fail(*_: object, **__: object) -> Any:
        times.append(time.monotonic())
        if len(times) == 1:
            await asyncio.sleep(0.5)
        error = SchedulerUnavailable("no connection")
        error.unsent = True
        raise error

    monkeypatch.setattr(Host, "ask", fail)
    monkeypatch.setattr(Host, "hurry", lambda host: hurries.append(host))
    monkeypatch.setattr(rhythm, "LARGEST_SHARE_OF_FAILURES", 0.001)
    job = lab.track(submitted=True)
    lab.monitor.want(job)
    await lab.eventually(lambda: len(times) == 1)
    lab.monitor.want(job)
    await lab.eventually(lambda: len(times) >= 2)
    assert [lab.host] * 2 == hurries


async def test_a_failing_scheduler_is_asked_less_and_less(lab: Lab) -> None:
    """A failing scheduler is asked at growing intervals, and often again once it answers."""
    lab.monitor.rhythm.status_interval = 0.15
    lab.scheduler.answer(stderr="does not answer", exit_status=1)
    job = lab.track(submitted=True)
    await lab.eventually(lambda: len(lab.host.spans) >= 5)
    starts = [began for began, _ in lab.host.spans]
    gaps = [after - before for before, after in itertools.pairwise(starts)]
    for failures, gap in enumerate(gaps[:4], start=1):
        # The monitor's clock begins a little earlier than the host's.
        assert gap >= 0.8 * min(0.15, rhythm.FAST_INTERVAL * 2**failures)
    lab.scheduler.recover()
    await lab.eventually(lambda: job.info is not None)
    assert 0 == lab.monitor.rhythm.failures


async def test_refresh_comes_back_though_there_is_no_answer(lab: Lab) -> None:
    """refresh returns in time even if the scheduler does not answer."""
    lab.scheduler.hang()
    lab.track()
    await asyncio.wait_for(lab.monitor.refresh(0.1), PATIENCE)


# -- what could break it ------------------------------------------------------------------------


async def test_an_error_in_a_callback_does_not_end_it(lab: Lab) -> None:
    """An error in one job's callback, such as a locked database, does not stop the monitor."""

    def broken(job: TrackedJob, before: JobInfo | None) -> None:
        raise RuntimeError("database is locked")

    bad, good = lab.job(), lab.track()
    bad.on_change = broken
    lab.monitor.track(bad)
    await lab.monitor.refresh(1.0)
    lab.scheduler.change(good.job_id, JobState.RUNNING)
    for _ in range(3):
        await lab.monitor.refresh(1.0)
    assert good.info
    assert JobState.RUNNING is good.info.state


@pytest.mark.parametrize(
    "first",
    [
        "answered",
        "asking",
        "waiting",
    ],
)
def test_a_monitor_works_in_one_loop_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """A monitor works in a new event loop after its first one was closed at any moment."""
    monkeypatch.setattr(rhythm, "FAST_INTERVAL", 0.02)
    scheduler = FakeScheduler(tmp_path)
    monitor = Monitor(scheduler, SubmitHost(), {}, IDLE, 0.0)

    def job() -> TrackedJob:
        return TrackedJob(scheduler.submit("alice"), fake_client(scheduler, "alice"))

    async def before() -> None:
        if first != "answered":
            scheduler.hang()
        monitor.track(job())
        if first == "asking":
            await asyncio.sleep(0.3)
        else:
            await monitor.refresh(0.3)
        assert monitor._task
        monitor._task.cancel()  # as JupyterHub does with every task when it ends
        await asyncio.sleep(0.5)

    async def after() -> None:
        found = job()
        monitor.track(found)
        try:
            deadline = time.monotonic() + PATIENCE
            while found.info is None:
                assert time.monotonic() < deadline
                await monitor.refresh(1.0)
        finally:
            await asyncio.sleep(0.3)  # a query that has begun, let it end
            await close(monitor)

    asyncio.run(before())
    scheduler.recover()
    asyncio.run(after())


def test_one_monitor_for_all_that_ask_alike(tmp_path: Path) -> None:
    """Spawners that ask in the same way share a monitor; others have their own."""
    scheduler, host = FakeScheduler(tmp_path), SubmitHost()
    first = get_monitor(scheduler, host, {"A": "1", "B": "2"}, 15.0)
    assert first is get_monitor(scheduler, host, {"B": "2", "A": "1"}, 20.0)
    assert 20.0 == first.rhythm.status_interval
    for given, longest in ((3.0, 3.0), (5.0, 5.0), (2.0, 5.0)):
        assert first is get_monitor(scheduler, host, {"A": "1", "B": "2"}, 15.0, given)
        assert longest == first.rhythm.min_query_interval
    assert first is not get_monitor(scheduler, host, {"A": "2"}, 15.0)
    assert first is not get_monitor(scheduler, SubmitHost(), {"A": "1", "B": "2"}, 15.0)


async def test_foreign_words_are_one_short_line(lab: Lab) -> None:
    """A reason, which users may write, becomes one short line."""
    job = lab.track(submitted=True)
    await lab.answers()
    reason = "first\nWARNING forged " + "x" * 5000
    lab.scheduler.change(job.job_id, JobState.RUNNING, message=reason, native_state="a\nb")
    await lab.eventually(lambda: job.info and job.info.state is JobState.RUNNING)
    assert job.info
    assert ("a b", 1000) == (job.info.native_state, len(job.info.message))
    assert job.info.message.startswith("first WARNING forged xxx")


# -- rows that can't be read ----------------------------------------------------------------------


async def test_a_job_in_a_row_that_cannot_be_read_is_not_missing(
    lab: Lab, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs in odd rows keep their state and raise no doubt about the answer; the others count."""
    fake, read = lab.scheduler, lab.scheduler.read_status

    def read_with_odd_rows(reply: Reply) -> dict[str, JobInfo]:
        reply.passed_over.extend(f"{job_id}|odd" for job_id in fake._hidden)
        return read(reply)

    monkeypatch.setattr(fake, "read_status", read_with_odd_rows)
    jobs = [lab.track(), lab.track("bob"), lab.track("carol")]
    await lab.answers(2)
    lab.side.error = SchedulerUnavailable("its lines can't be read")
    fake.hide(*(job.job_id for job in jobs[:2]))
    fake.change(jobs[2].job_id, JobState.RUNNING)
    await lab.answers(4)
    assert [JobState.QUEUED, JobState.QUEUED, JobState.RUNNING] == [
        job.info and job.info.state for job in jobs
    ]
    assert set(jobs) == lab.monitor.jobs
    assert [] == messages(caplog, logging.ERROR)
    warnings = messages(caplog, logging.WARNING)
    assert 1 == sum("do not belong to its answer" in text for text in warnings)


# -- a list of all jobs that is too large ---------------------------------------------------------


async def test_our_own_jobs_are_asked_for_where_all_jobs_are_too_many(
    lab: Lab, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jobs of servers go on being followed, which is logged once, until all jobs fit again."""
    query, asked = lab.scheduler.query, []

    def query_too_large(job_ids: Collection[str] | None = None) -> Dialogue[dict[str, JobInfo]]:
        asked.append(job_ids)
        if job_ids is None:
            raise AnswerTooLarge("it printed more than 67108864 bytes")
        return query(job_ids)

    monkeypatch.setattr(lab.scheduler, "query", query_too_large)
    job = lab.track()
    await lab.answers(3)
    lab.scheduler.change(job.job_id, JobState.RUNNING)
    await lab.answers(2)
    assert job.info
    assert JobState.RUNNING is job.info.state
    assert 1 == asked.count(None)
    (warning,) = messages(caplog, logging.WARNING)
    assert "more than 64 MiB, which is too large to be read" in warning

    monkeypatch.setattr(lab.scheduler, "query", query)
    monkeypatch.setattr(lab.monitor, "_by_id_until", 0.0)
    await lab.answers(2)
    assert messages(caplog, logging.WARNING)[1:] == [
        "The fake scheduler's list of all jobs can be read again."
    ]


async def test_one_job_can_be_asked_for_alone(lab: Lab) -> None:
    """A question about one job has an answer about this job only."""
    job, other = lab.job(), lab.job("bob")
    found = await lab.monitor.query_one(job.job_id)
    assert other.job_id not in found.jobs
    assert JobState.QUEUED is found.jobs[job.job_id].state


# -- what users may have forged -----------------------------------------------------------------


class ForgedList(FakeScheduler):
    """A scheduler in whose list of all jobs users can write rows, and not where one is asked for.

    ``forged`` has such rows.
    """

    forged: dict[str, JobInfo]

    def is_forgeable(self, reply: Reply) -> bool:
        return True

    def query(self, job_ids: Collection[str] | None = None) -> Dialogue[dict[str, JobInfo]]:
        jobs = yield from super().query(job_ids)
        return jobs if job_ids is not None else {**self.forged, **jobs}


@pytest.fixture
async def forged(lab: Lab, tmp_path: Path) -> AsyncIterator[Lab]:
    """A lab whose scheduler's list can be forged."""
    scheduler = ForgedList(tmp_path)
    scheduler.forged = {}
    side, monitor = FakeUserSide(scheduler), Monitor(scheduler, lab.host, {}, IDLE, 0.0)
    yield Lab(scheduler, side, lab.host, monitor)
    await close(monitor)


@pytest.mark.threat(**FORGED_ROW)
async def test_a_forged_row_of_a_job_that_never_existed_names_no_host(forged: Lab) -> None:
    """A row that a user has written leads no report to a host: the job alone is unknown."""
    assert isinstance(forged.scheduler, ForgedList)
    forged.scheduler.forged["999"] = JobInfo("alice", JobState.RUNNING, exec_host="db.internal")
    job = TrackedJob("999", fake_client(forged.scheduler, "alice", forged.side))
    forged.monitor.track(job)
    for _ in range(3):
        await forged.answers()
        assert None is job.info or "" == job.info.exec_host
    assert 0 < forged.monitor.single_queries


@pytest.mark.threat(**FORGED_ROW)
async def test_a_forged_end_ends_no_job(forged: Lab) -> None:
    """A row that says that a job has ended counts only if an answer about the job alone agrees."""
    assert isinstance(forged.scheduler, ForgedList)
    job = forged.track()
    other = forged.track("bob")
    await forged.answers()
    forged.scheduler.hide(job.job_id)  # its own row is not in the list yet
    forged.scheduler.forged[job.job_id] = JobInfo("alice", JobState.FAILED, exit_code=1)
    await forged.answers(2)
    assert {job, other} == forged.monitor.jobs
    assert job.info
    assert JobState.QUEUED is job.info.state


@pytest.mark.threat(**FORGED_ROW)
@pytest.mark.parametrize(
    "row",
    [
        JobInfo("alice", JobState.QUEUED),
        JobInfo("alice", JobState.HELD, "too many failed attempts", stuck=True),
        JobInfo("alice", JobState.RUNNING, exec_host="node1", ending=True),
        JobInfo("alice", JobState.RUNNING, exec_host="node1", start_time=2000.0),
    ],
)
async def test_a_forged_row_takes_no_route_from_a_server(forged: Lab, row: JobInfo) -> None:
    """A row that says that a running job waits again, is given up, is being ended, or is another
    run, counts only if an answer about the job alone agrees: else its server would lose its route,
    or be ended."""
    assert isinstance(forged.scheduler, ForgedList)
    job = forged.track()
    forged.scheduler.change(job.job_id, JobState.RUNNING, exec_host="node1", start_time=1000.0)
    await forged.answers()
    before = job.info
    forged.scheduler.hide(job.job_id)  # its own row is not in the list
    forged.scheduler.forged[job.job_id] = row
    changes: list[JobInfo | None] = []
    job.on_change = lambda job, _: changes.append(job.info)
    await forged.answers(2)
    assert before
    assert ("node1", before) == (before.exec_host, job.info)
    assert [] == changes


async def test_a_job_that_waits_again_is_confirmed_once(forged: Lab) -> None:
    """A job that is really put back into the queue is asked for alone, once."""
    job = forged.track()
    forged.scheduler.change(job.job_id, JobState.RUNNING, exec_host="node1")
    await forged.answers()
    asked = forged.monitor.single_queries
    forged.scheduler.change(job.job_id, JobState.QUEUED)
    await forged.answers(3)
    assert job.info
    assert JobState.QUEUED is job.info.state
    assert asked + 1 == forged.monitor.single_queries


async def test_a_host_of_a_list_that_may_be_forged_is_confirmed_once(forged: Lab) -> None:
    """A job's host counts once an answer about it alone names it, and is not asked for again."""
    job, other = forged.track(), forged.track("bob")
    forged.scheduler.change(job.job_id, JobState.RUNNING, exec_host="node1")
    await forged.answers()
    assert job.info
    assert "node1" == job.info.exec_host
    assert 1 == forged.monitor.single_queries
    await forged.answers(2)
    assert 1 == forged.monitor.single_queries
    forged.scheduler.change(job.job_id, JobState.RUNNING, exec_host="node2")
    await forged.answers()
    assert "node2" == job.info.exec_host
    forged.scheduler.change(job.job_id, JobState.COMPLETED, exit_code=0)
    await forged.answers()
    assert job.final
    assert {other} == forged.monitor.jobs


async def test_few_jobs_are_confirmed_after_each_list(
    forged: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If there is no time to confirm all hosts that are new, the others come with the next list."""
    monkeypatch.setattr(module, "CONFIRM_SECONDS", -1.0)
    jobs = [forged.job() for _ in range(5)]
    for job in jobs:
        job.reported = True
        forged.scheduler.change(job.job_id, JobState.RUNNING, exec_host="node1")
        forged.monitor.track(job)
    await forged.answers()
    assert 0 == forged.monitor.single_queries
    monkeypatch.setattr(module, "CONFIRM_SECONDS", PATIENCE)
    await forged.answers()
    assert 5 == forged.monitor.single_queries
    assert {"node1"} == {job.info.exec_host for job in jobs if job.info}


@pytest.mark.threat(**CLAIMED_HOST)
async def test_a_hidden_job_of_a_site_that_hides_none_has_only_a_claimed_host(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the scheduler does not say that it hides jobs, the host is only what the user claims."""

    async def hides_none(self: Monitor) -> bool:
        return False

    monkeypatch.setattr(Monitor, "hides_jobs", hides_none)
    lab.monitor = Monitor(lab.scheduler, lab.host, {}, IDLE, 0.0)
    job = lab.track_hidden()
    lab.scheduler.change(job.job_id, JobState.RUNNING, exec_host="node2")
    await lab.answers(2)
    await lab.eventually(lambda: job.info and job.info.state is JobState.RUNNING)
    assert job.info
    assert ("", "node2") == (job.info.exec_host, job.claimed_host)
    await close(lab.monitor)


async def test_a_scheduler_that_does_not_say_whether_it_hides_jobs(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If the question fails, the host is only what the user claims, and the log says why."""

    async def fails(self: Monitor) -> bool:
        raise SchedulerUnavailable("no such command")

    monkeypatch.setattr(Monitor, "hides_jobs", fails)
    lab.monitor = Monitor(lab.scheduler, lab.host, {}, IDLE, 0.0)
    job = lab.track_hidden()
    lab.scheduler.change(job.job_id, JobState.RUNNING, exec_host="node2")
    await lab.answers(2)
    await lab.eventually(lambda: job.claimed_host)
    assert "does not say whether it hides jobs from the Hub: no such command" in caplog.text
    await close(lab.monitor)
