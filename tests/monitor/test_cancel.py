"""Cancelling a job until the scheduler confirms its end, on a scheduler that is asked seldom."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.hub import until

from unispawner.errors import CancelError
from unispawner.job import JobState
from unispawner.monitor import cancel, rhythm
from unispawner.monitor.monitor import Monitor
from unispawner.monitor.tracked_job import TrackedJob
from unispawner.submit_host.host import SubmitHost
from unispawner.testing import FakeScheduler, FakeUserSide, fake_client

PATIENCE = 60.0
NEVER = 1000.0


class Lazy(FakeUserSide):
    """A user's side whose cancellations are accepted and change nothing."""

    def _cancel(self, owner: str, request: object) -> dict[str, str]:
        return {}


@pytest.fixture
async def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TrackedJob]:
    monkeypatch.setattr(rhythm, "FAST_INTERVAL", 0.02)
    monkeypatch.setattr(rhythm, "LARGEST_SHARE", 1.0)
    monkeypatch.setattr(cancel, "FIRST_PAUSE", 0.05)
    scheduler = FakeScheduler(tmp_path)
    found = TrackedJob(scheduler.submit("alice"), fake_client(scheduler, side=Lazy(scheduler)))
    yield found
    fake = found.client.scheduler
    fake.change(found.job_id, JobState.CANCELED)  # type: ignore[attr-defined] # a FakeScheduler


def cancels(job: TrackedJob) -> int:
    assert isinstance(job.client.run_as, FakeUserSide)
    return len(job.client.run_as.asked("cancel"))


async def test_a_job_is_not_cancelled_again_before_the_scheduler_was_asked(
    job: TrackedJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job is cancelled once as long as the scheduler has not been asked about it since."""
    monitor = Monitor(job.client.scheduler, SubmitHost(), {}, NEVER, NEVER)
    monitor.track(job)
    await monitor.refresh(PATIENCE)
    monkeypatch.setattr(rhythm, "SINGLE_INTERVAL", NEVER)
    monitor.rhythm.note_single(*[asyncio.get_running_loop().time()] * 2)
    ending = asyncio.ensure_future(cancel.cancel_until_ended(job, monitor))
    await until(lambda: job.cancelled, "the scheduler has accepted it", PATIENCE)
    await asyncio.wait({ending}, timeout=0.5)
    assert 1 == cancels(job)
    ending.cancel()
    monitor.untrack(job)


async def test_a_job_that_goes_on_is_cancelled_again(job: TrackedJob) -> None:
    """When an answer after the cancellation has the job, it is cancelled once more."""
    monitor = Monitor(job.client.scheduler, SubmitHost(), {}, NEVER, 0.0)
    monitor.track(job)
    ending = asyncio.ensure_future(cancel.cancel_until_ended(job, monitor))
    await until(lambda: cancels(job) >= 3, "it is cancelled again", PATIENCE)
    scheduler = job.client.scheduler
    assert isinstance(scheduler, FakeScheduler)
    scheduler.change(job.job_id, JobState.CANCELED)
    await asyncio.wait_for(ending, PATIENCE)


async def test_a_cancellation_that_fails_is_tried_again(
    job: TrackedJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs no answer about the job. Each time a connection that is broken is tried again soon,
    because the user waits."""
    hurries: list[SubmitHost] = []
    monkeypatch.setattr(SubmitHost, "hurry", lambda host: hurries.append(host))
    monitor = Monitor(job.client.scheduler, SubmitHost(), {}, NEVER, NEVER)
    assert isinstance(job.client.run_as, FakeUserSide)
    job.client.run_as.error = CancelError("the scheduler is down")
    monitor.track(job)
    ending = asyncio.ensure_future(cancel.cancel_until_ended(job, monitor))
    await until(lambda: cancels(job) >= 3, "it is tried again", PATIENCE)
    assert len(hurries) >= 3
    ending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await ending
    monitor.untrack(job)
