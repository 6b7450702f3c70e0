"""Two Slurm clusters in one Hub, whose jobs have the same ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import support

from unispawner.errors import SchedulerUnavailable
from unispawner.job import JobState
from unispawner.monitor import monitor as module
from unispawner.monitor.monitor import get_monitor
from unispawner.monitor.tracked_job import TrackedJob
from unispawner.schedulers.slurm import Slurm
from unispawner.submit_host.host import Finished, SubmitHost
from unispawner.testing import FakeScheduler, fake_client, read_saved_reply

OUTPUTS = support.OUTPUTS / "slurm-clusters"
ANSWERS = {"alpha": "squeue-bulk-alpha", "beta": "squeue-bulk"}


class TwoClusters(SubmitHost):
    """A host whose squeue answers for the cluster that -M names, as two real ones did."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = dict(ANSWERS)

    async def run(self, command: Any, **_: Any) -> Finished:
        reply = read_saved_reply(OUTPUTS / self.answers[command[command.index("-M") + 1]])
        return Finished(reply.exit_status, reply.stdout.encode(), reply.stderr.encode())


@pytest.fixture(autouse=True)
def none_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the monitors of other tests."""
    monkeypatch.setattr(module, "_monitors", {})


async def test_two_jobs_of_one_id(tmp_path: Path) -> None:
    """Job 1 has ended on one cluster and runs on the other: each server has its own job's state."""
    host = TwoClusters()
    client = fake_client(FakeScheduler(tmp_path), "alice")
    jobs = {}
    for name in ANSWERS:
        monitor = get_monitor(Slurm(slurm_cluster=name), host, {}, 300.0)
        jobs[name] = TrackedJob("1", client)
        monitor.track(jobs[name])
    for job in jobs.values():
        while job.info is None:
            await job.wait_change(60)
    states = {name: job.info.state for name, job in jobs.items() if job.info}
    assert {"alpha": JobState.COMPLETED, "beta": JobState.RUNNING} == states


async def test_one_cluster_is_down(tmp_path: Path) -> None:
    """A cluster that does not answer leaves its own jobs as they are, and the other one's alone."""
    host = TwoClusters()
    client = fake_client(FakeScheduler(tmp_path), "alice")
    alpha, beta = (
        get_monitor(Slurm(slurm_cluster=name), host, {}, 300.0) for name in ("alpha", "beta")
    )
    job = TrackedJob("3", client)
    beta.track(job)
    while job.info is None:
        await job.wait_change(60)
    host.answers["beta"] = "squeue-ctld-down"
    await beta.refresh(60)
    assert isinstance(beta.problem, SchedulerUnavailable)
    assert job.info.state is JobState.RUNNING
    assert {job} == beta.jobs
    other = TrackedJob("3", client)
    alpha.track(other)
    while other.info is None:
        await other.wait_change(60)
    assert (None, JobState.COMPLETED) == (alpha.problem, other.info.state)
    beta.untrack(job)
