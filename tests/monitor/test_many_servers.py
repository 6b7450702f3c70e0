"""A Hub with thousands of servers: an answer costs work in proportion, and never holds the loop.

Operations are counted, not seconds.
"""

from __future__ import annotations

import asyncio
import cProfile
import time
from collections.abc import Collection
from functools import partial
from pathlib import Path

import pytest

from unispawner.job import JobInfo, JobState
from unispawner.monitor.followed import Followed
from unispawner.monitor.monitor import AT_A_TIME, Monitor
from unispawner.monitor.rhythm import Question
from unispawner.monitor.tracked_job import TrackedJob
from unispawner.schedulers.questions import Tracked
from unispawner.submit_host.host import SubmitHost
from unispawner.testing import FakeScheduler, fake_client


def running(owner: str, start_time: float | None = None) -> JobInfo:
    """Return what the scheduler says of a job that runs."""
    return JobInfo(
        owner, JobState.RUNNING, exec_host="node1", native_state="R", start_time=start_time
    )


def follow(folder: Path, count: int) -> tuple[Monitor, dict[str, JobInfo]]:
    """Return a monitor of so many running jobs that asks nobody, and the answer that has them."""
    scheduler = FakeScheduler(folder)
    monitor = Monitor(scheduler, SubmitHost(), {}, 15.0)
    answer = {str(number): running(f"user{number}") for number in range(count)}
    for job_id, info in answer.items():
        job = TrackedJob(job_id, fake_client(scheduler, info.owner), info=info, reported=True)
        monitor._jobs[job] = Followed(job, since=0.0)
    return monitor, answer


async def count_calls(monitor: Monitor, answer: dict[str, JobInfo]) -> int:
    """Return how many functions are called while an answer is taken over."""
    profile = cProfile.Profile()
    profile.enable()
    await monitor._apply(answer, time.monotonic())
    profile.disable()
    return sum(entry.callcount for entry in profile.getstats())


@pytest.mark.parametrize("missing", [0, 1, 100])
async def test_the_work_grows_as_the_number_of_jobs(tmp_path: Path, missing: int) -> None:
    """Ten times as many jobs are ten times as much work, also where a part of them is missing."""
    calls = []
    for count in (200, 2000):
        monitor, answer = follow(tmp_path, count)
        for number in range(missing * count // 2000):
            del answer[str(number)]
        calls.append(await count_calls(monitor, answer))
    few, many = calls
    assert many <= 11 * few
    assert many <= 40 * 2000


async def test_the_event_loop_has_turns_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two turns of the event loop no more than a few jobs are taken over."""
    monitor, answer = follow(tmp_path, 10 * AT_A_TIME)
    taken, turns, over = [0], [0], False
    update = TrackedJob.update

    def count(job: TrackedJob, info: JobInfo, asked_at: float) -> None:
        taken[-1] += 1
        update(job, info, asked_at)

    monkeypatch.setattr(TrackedJob, "update", count)
    loop = asyncio.get_running_loop()

    def turn() -> None:
        turns[0] += 1
        taken.append(0)
        if not over:
            loop.call_soon(turn)

    loop.call_soon(turn)
    await monitor._apply(answer, time.monotonic())
    over = True
    assert 10 * AT_A_TIME == sum(taken)
    assert max(taken) <= AT_A_TIME
    assert turns[0] >= 10


async def test_a_job_that_is_forgotten_meanwhile(tmp_path: Path) -> None:
    """A job that is forgotten while an answer is taken over is neither updated nor missing."""
    monitor, answer = follow(tmp_path, 2 * AT_A_TIME)
    last = list(monitor._jobs)[-1]
    answer[last.job_id] = running(last.client.account.name, start_time=1.0)
    taking = asyncio.ensure_future(monitor._apply(answer, time.monotonic()))
    await asyncio.sleep(0)
    assert not taking.done()
    monitor.untrack(last)
    await taking
    assert last.info is not None
    assert None is last.info.start_time
    assert 2 * AT_A_TIME - 1 == len(monitor.jobs)
    assert not monitor._missing.in_doubt


async def test_jobs_that_just_run_do_not_matter_for_the_next_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When to ask next depends on the jobs that start, stop or are asked about, and costs nothing
    for thousands that run."""
    monitor, answer = follow(tmp_path, 1000)
    await monitor._apply(answer, time.monotonic())
    seen: list[set[Followed]] = []

    def next_question(now: float, jobs: Collection[Followed]) -> Question:
        seen.append(set(jobs))
        return Question(now + 60)

    monkeypatch.setattr(monitor.rhythm, "next_question", next_question)
    wanted, ending, new, *_ = monitor._jobs.values()
    ending.job.stopping = True
    new.job.info = None
    running = asyncio.ensure_future(monitor._run())
    monitor._task = running
    for stir in (
        partial(monitor.want, wanted.job),
        partial(monitor.expect_end, ending.job),
        partial(monitor.track, new.job, submitted=True),
        partial(monitor.untrack, wanted.job),
    ):
        stir()
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait({running})
    assert {wanted} in seen
    assert {wanted, ending} in seen
    assert {wanted, ending, new} in seen
    assert {ending, new} == seen[-1]


async def test_only_the_schedulers_time_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long the scheduler took is noted, and not how long the answer has waited in a busy event
    loop: otherwise a Hub with many servers would ask a scheduler that is fast ever less often."""
    monitor, answer = follow(tmp_path, 10)
    order: list[object] = []

    async def query() -> Tracked:
        return Tracked(answer, seconds=0.25)

    async def apply(*_: object, **__: object) -> list[Followed]:
        order.append("taken over")
        return []

    monkeypatch.setattr(monitor, "query", query)
    monkeypatch.setattr(monitor, "_apply", apply)

    def note(began: float, ended: float, *, failed: bool) -> None:
        order.append(ended - began)

    monkeypatch.setattr(monitor.rhythm, "note_all", note)
    await monitor._ask(1000.0)
    assert [0.25, "taken over"] == order
