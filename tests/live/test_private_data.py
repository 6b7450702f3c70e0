"""A Slurm with accounting that hides users' jobs from the Hub (PrivateData=jobs)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.clusters import Slurm, run
from support.hub import RunningHub, running_hub, until, why_no_hub
from support.slurm_options import bring_up, its_usual_options_afterwards

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
async def hub(slurm: Slurm) -> AsyncIterator[RunningHub]:
    if reason := why_no_hub():
        pytest.skip(f"no Hub: {reason}")
    async with its_usual_options_afterwards():
        await bring_up("--accounting", "--private-data")
        async with running_hub(slurm) as running:
            yield running


async def test_a_hidden_job_is_served(hub: RunningHub, slurm: Slurm) -> None:
    """A hidden job's state and host come from its user's own side, and the log says once what to do
    about it. Account and quality of service reach Slurm. A job that is cancelled outside the Hub
    has ended."""
    hub.set("alice", account="physics", custom_attributes={"slurm.qos": "high"})
    alice = await hub.client("alice")
    await alice.start()
    await alice.wait_ready(timeout=60)
    assert "42" == await alice.run_cell("6*7")
    job_id = (await hub.state("alice"))["job_id"]
    hidden = await asyncio.to_thread(run, "squeue", "-h", "-a", user="jupyterhub", check=False)
    assert job_id not in hidden
    job = slurm.job(job_id)
    assert ("physics", "high") == (job["Account"], job["QOS"])
    assert 1 == hub.log().count("but not to the Hub, so the Hub has to ask as each user")

    await asyncio.to_thread(run, "scancel", job_id)

    async def gone() -> bool:
        return not await hub.state("alice")

    await until(gone, "the Hub has noticed", 40)


async def test_a_hidden_job_that_waits_and_is_cancelled(hub: RunningHub, slurm: Slurm) -> None:
    """Progress shows why a hidden job waits, and DELETE ends it."""
    hub.set("bob", custom_attributes={"slurm.hold": True})
    bob = await hub.client("bob")
    starting = asyncio.ensure_future(bob.start())
    job_id = await hub.job_id("bob")
    await starting

    async def is_shown() -> bool:
        async for event in bob.progress():
            if f"Job {job_id} is held" in event["message"]:
                return True
        return False

    assert await asyncio.wait_for(is_shown(), 60)
    await bob.stop()
    assert set() == slurm.active(name=hub.job_name)
