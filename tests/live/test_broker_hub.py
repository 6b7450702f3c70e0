"""A Hub of a service account that acts as its users through the broker, on a real Slurm."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.clusters import Slurm
from support.folders import commands_folder
from support.hub import RunningHub, command_line, started, until, why_no_hub
from support.journey import browser_of

from unispawner.admin.hub_client import HubClient

pytestmark = pytest.mark.slurm

AGENT_TIMEOUT = 12
# An sbatch that waits before or after the submission while a file of that name lies beside it.
SBATCH = """\
#!/bin/sh
here=$(dirname "$0")
[ ! -e "$here/before" ] || : >"$here/waits"
while [ -e "$here/before" ]; do sleep 0.05; done
{command} "$@"; status=$?
while [ -e "$here/after" ]; do sleep 0.05; done
exit $status
"""


@pytest.fixture(scope="module")
def commands() -> Iterator[Path]:
    """Give a folder with an sbatch that can be made to wait."""
    scripts = {"sbatch": SBATCH.format(command=shutil.which("sbatch"))}
    with commands_folder(scripts, mode=0o1777) as folder:
        yield folder


@pytest.fixture(scope="module")
async def hub(slurm: Slurm, commands: Path) -> AsyncIterator[RunningHub]:
    """Give a Hub whose sbatch is that of the fixture ``commands``."""
    if reason := why_no_hub():
        pytest.skip(f"no Hub: {reason}")
    config = f"c.UniSpawner.agent_timeout = {AGENT_TIMEOUT}\n"
    async with started(RunningHub(slurm, config=config, path=str(commands))) as running:
        yield running
        for name in ("before", "after"):
            (commands / name).unlink(missing_ok=True)


@pytest.fixture
async def alice(hub: RunningHub, slurm: Slurm) -> AsyncIterator[HubClient]:
    """Give alice's browser; at the end her server is gone, and no job is left."""
    async with browser_of(hub, "alice") as client:
        yield client
        await client.stop()
    await until(lambda: not slurm.active(name=hub.job_name), "no job is left", 60)


async def kill_broker(hub: RunningHub) -> None:
    """Kill the broker's own process with SIGKILL; a child that serves a user goes on."""
    (broker,) = hub.brokers()
    os.kill(broker.pid, signal.SIGKILL)
    await until(lambda: not command_line(broker), "the broker has ended")


async def test_one_broker_serves_all_users(hub: RunningHub, slurm: Slurm, alice: HubClient) -> None:
    """With its line in sudoers, a Hub uses the broker by itself; one process serves all users."""
    assert "acts as its users through broker, because sudo permits its command" in hub.log()
    bob = await hub.client("bob")
    for client in (alice, bob):
        await client.start()
        await client.wait_ready(timeout=60)
    assert "42" == await alice.run_cell("6*7")
    owners = {slurm.job(await hub.job_id(name))["UserId"].partition("(")[0] for name in USERS}
    assert set(USERS) == owners
    assert 1 == len(hub.brokers())
    await bob.stop()


USERS = ("alice", "bob")


async def test_killed_between_submission_and_answer(
    hub: RunningHub, slurm: Slurm, alice: HubClient, commands: Path
) -> None:
    """A broker that is killed after the job was submitted loses nothing: a new one finds the
    job."""
    (commands / "after").touch()
    starting = asyncio.ensure_future(alice.start())
    (job_id,) = await until(lambda: slurm.active(name=hub.job_name), "the job is submitted")
    await kill_broker(hub)
    (commands / "after").unlink()
    await starting
    await alice.wait_ready(timeout=60)
    assert job_id == await hub.job_id("alice")
    assert {job_id} == slurm.active(name=hub.job_name)
    assert 1 == len(hub.brokers())


async def test_killed_before_the_submission(
    hub: RunningHub, slurm: Slurm, alice: HubClient, commands: Path
) -> None:
    """A child of the killed broker that submits later is found, too: absence says nothing yet."""
    (commands / "before").touch()
    starting = asyncio.ensure_future(alice.start())
    await until((commands / "waits").exists, "sbatch waits")
    (commands / "waits").unlink()
    await kill_broker(hub)

    async def follow() -> None:
        async for event in alice.progress():
            if "The submission has no answer" in str(event.get("message")):
                return

    await asyncio.wait_for(follow(), 20)
    assert (await hub.state("alice"))["mark"]
    (commands / "before").unlink()
    await starting
    await alice.wait_ready(timeout=60)
    assert {await hub.job_id("alice")} == slurm.active(name=hub.job_name)


async def test_killed_with_the_child_that_submits(
    hub: RunningHub, slurm: Slurm, alice: HubClient, commands: Path
) -> None:
    """If there is no job when the time of the request is over, the start fails and leaves
    nothing."""
    (commands / "before").touch()
    starting = asyncio.ensure_future(alice.start())
    starting.add_done_callback(lambda task: task.cancelled() or task.exception())
    await until((commands / "waits").exists, "sbatch waits")
    (commands / "waits").unlink()
    (broker,) = hub.brokers()
    for process in (*broker.children(recursive=True), broker):
        process.kill()

    async def failed() -> bool:
        return not (await hub.server("alice")).get("pending")

    await until(failed, "the start has failed", 4 * AGENT_TIMEOUT)
    (commands / "before").unlink()
    assert {} == await hub.state("alice")
    assert set() == slurm.active(name=hub.job_name)
    await asyncio.wait({starting})


async def test_the_broker_ends_with_the_hub(
    hub: RunningHub, slurm: Slurm, alice: HubClient
) -> None:
    """A Hub that is killed with SIGKILL leaves no broker, and the next Hub starts its own."""
    await alice.start()
    await alice.wait_ready(timeout=60)
    (broker,) = hub.brokers()
    hub.kill()
    await until(lambda: not command_line(broker), "the broker has ended")
    await hub.start()
    assert (await hub.server("alice"))["ready"]
    assert broker.pid != hub.brokers()[0].pid
