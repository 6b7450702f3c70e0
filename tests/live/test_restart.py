"""Nothing is lost when the Hub dies: SIGKILL at each stage of a server's life, on a real Slurm."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.clusters import Slurm, run
from support.folders import commands_folder
from support.hub import RunningHub, started, until, why_no_hub
from support.journey import HELD, browser_of, queued, state_of_run

from unispawner.admin.hub_client import HubClient, HubClientError

pytestmark = pytest.mark.slurm

# A scheduler's command that is slow, fails, or only says that it has done its work, while a file of
# that name lies beside it.
WRAPPER = """\
#!/bin/sh
here=$(dirname "$0")
if [ -e "$here/fail-{name}" ]; then echo "Unable to contact slurm controller" >&2; exit 1; fi
if [ -e "$here/pretend-{name}" ]; then exit 0; fi
{command} "$@"; status=$?
while [ -e "$here/hang-{name}" ]; do sleep 0.1; done
exit $status
"""
CONFIG = """\
import logging
c.JupyterHub.init_spawners_timeout = 1
c.EventLogger.handlers = [logging.FileHandler("events.jsonl")]
"""


@pytest.fixture(scope="module")
def commands() -> Iterator[Path]:
    """Give a folder with an sbatch and an scancel that can be made to fail or to hang."""
    scripts = {
        name: WRAPPER.format(name=name, command=shutil.which(name))
        for name in ("sbatch", "scancel")
    }
    with commands_folder(scripts) as folder:
        yield folder


@pytest.fixture(scope="module")
async def hub(slurm: Slurm, commands: Path) -> AsyncIterator[RunningHub]:
    """Give a Hub whose scheduler's commands are those of the fixture `commands`."""
    if reason := why_no_hub():
        pytest.skip(f"no Hub: {reason}")
    async with started(RunningHub(slurm, config=CONFIG, path=str(commands))) as running:
        yield running
        for flag in commands.glob("*-*"):  # else a failed test's would keep the Hub from its end
            flag.unlink()


@pytest.fixture
async def alice(hub: RunningHub) -> AsyncIterator[HubClient]:
    """Give alice's browser; at the end all her jobs are gone."""
    async with browser_of(hub, "alice") as client:
        yield client


async def restart(hub: RunningHub, slurm: Slurm | None = None, end: str = "") -> None:
    """Kill the Hub, cancel a job meanwhile if an id is given, and start the Hub again."""
    hub.kill()
    if end:
        run("scancel", end)
        await until(lambda: slurm and slurm.job(end)["JobState"] == "CANCELLED", "job cancelled")
    await hub.start()


async def pending(hub: RunningHub) -> None:
    async def is_pending() -> bool:
        return (await hub.server("alice")).get("pending") == "spawn"

    await until(is_pending, "the start is pending")


async def events(client: HubClient, enough: str, seconds: float = 30) -> list[dict[str, Any]]:
    """Return the progress events up to the first whose message contains ``enough``."""
    seen: list[dict[str, Any]] = []

    async def follow() -> None:
        async for event in client.progress():
            seen.append(event)
            if enough in str(event.get("message")):
                return

    await asyncio.wait_for(follow(), seconds)
    assert any(enough in str(event.get("message")) for event in seen), seen
    return seen


def event_log(hub: RunningHub) -> list[dict[str, Any]]:
    """Return what the Hub and those before it have written into the event log."""
    lines = (hub.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.hub
async def test_running_server_is_attached(hub: RunningHub, slurm: Slurm, alice: HubClient) -> None:
    """A running server outlives the Hub: it has the same job and URL, and a kernel answers."""
    await alice.start()
    await alice.wait_ready(timeout=60)
    before = await state_of_run(hub, "alice")

    await restart(hub)

    await alice.wait_ready(timeout=30)
    assert before == await hub.state("alice")
    assert before["job_id"] == (
        await alice.run_cell("import os; print(os.environ['SLURM_JOB_ID'])")
    )
    await alice.stop()
    assert set() == slurm.active(name=hub.job_name)


@pytest.mark.hub
async def test_queued_start_goes_on(hub: RunningHub, slurm: Slurm, alice: HubClient) -> None:
    """A queued start keeps its place: it is pending again with its progress, and the same job is
    served. The event log has each step once."""
    job_id = await queued(hub, alice)

    await restart(hub)

    await pending(hub)
    await events(alice, f"Job {job_id} is held")
    run("scontrol", "release", job_id)
    await alice.wait_ready(timeout=60)
    assert "42" == await alice.run_cell("print(6*7)")
    assert job_id == (await hub.state("alice"))["job_id"]
    await alice.stop()
    of_job = [one for one in event_log(hub) if one.get("job_id") == job_id]
    names = [one["event"] for one in of_job]
    assert 1 == names.count("resumed")  # before or after the first answer of the scheduler
    names.remove("resumed")
    assert ["submitted", "queued", "started", "ready", "ended"] == names
    assert {"alice"} == {one["user"] for one in of_job}
    assert ("stopped", 1) == (of_job[-1]["outcome"], len({one["mark"] for one in of_job}))


async def test_job_that_begins_while_the_hub_is_away(
    hub: RunningHub, slurm: Slurm, alice: HubClient
) -> None:
    """A job that begins while there is no Hub waits for the Hub, and is served then."""
    job_id = await queued(hub, alice)
    hub.kill()
    run("scontrol", "release", job_id)
    log = f"/home/alice/.unispawner/logs/{slurm.job(job_id)['Comment'].partition(':')[2]}.log"
    await until(
        lambda: "does not answer" in Path(log).read_text(), "the launcher looks for the Hub", 30
    )

    await hub.start()

    await alice.wait_ready(timeout=60)
    assert job_id == (await hub.state("alice"))["job_id"]
    await alice.stop()


@pytest.mark.hub
async def test_resumed_start_can_be_cancelled(
    hub: RunningHub, slurm: Slurm, alice: HubClient
) -> None:
    """DELETE of a start that a restart has interrupted ends its job; the next start is a new
    one."""
    job_id = await queued(hub, alice)
    await restart(hub)
    await pending(hub)
    watching = asyncio.ensure_future(events(alice, "cancelled"))
    await asyncio.sleep(0.5)

    await alice.stop()

    assert "Spawn cancelled" == (await watching)[-1]["message"]
    await until(lambda: job_id not in slurm.active(name=hub.job_name), "the job is gone")
    assert "Traceback" not in hub.log()
    hub.set("alice")
    await alice.start()
    await alice.wait_ready(timeout=60)
    assert job_id != (await hub.state("alice"))["job_id"]
    await alice.stop()


@pytest.mark.hub
async def test_queued_job_that_was_cancelled_meanwhile(
    hub: RunningHub, slurm: Slurm, alice: HubClient
) -> None:
    """If a queued job is cancelled while there is no Hub, the next Hub starts, and the job's user
    reads what happened."""
    job_id = await queued(hub, alice)

    await restart(hub, slurm, end=job_id)

    async def gone() -> bool:
        return not (await hub.server("alice")).get("pending")

    await until(gone, "the server is cleaned up")
    (event,) = await events(alice, f"The job {job_id} ended before its server was ready")
    assert "Slurm says CANCELLED" in event["message"]
    assert {} == await hub.state("alice")


@pytest.mark.threat(
    who="job",
    tries="It goes on to use its token after its server has ended.",
    stopped_by="The token is revoked when the server is forgotten, also after a restart of"
    " the Hub.",
)
@pytest.mark.hub
async def test_running_server_that_died_meanwhile(
    hub: RunningHub, slurm: Slurm, alice: HubClient
) -> None:
    """A server whose job ended while there was no Hub is gone, and its token is revoked."""
    await alice.start()
    await alice.wait_ready(timeout=60)
    state = await hub.state("alice")

    await restart(hub, slurm, end=state["job_id"])

    async def gone() -> bool:
        return not (await hub.server("alice")).get("ready")

    await until(gone, "the server is cleaned up")
    tokens = (await hub.api("GET", "users/alice/tokens"))["api_tokens"]
    assert [] == [token for token in tokens if token["id"] == f"a{state['token_id']}"]


async def test_killed_in_the_middle_of_a_submission(
    hub: RunningHub, slurm: Slurm, alice: HubClient, commands: Path
) -> None:
    """A job whose id never reached the Hub is found by its mark and served."""
    hang = commands / "hang-sbatch"
    hang.touch()
    starting = asyncio.ensure_future(alice.start())
    starting.add_done_callback(lambda task: task.cancelled() or task.exception())
    (job_id,) = await until(lambda: slurm.active(name=hub.job_name), "the job is submitted")
    assert "" == (await hub.state("alice"))["job_id"]
    hub.kill()
    hang.unlink()

    await hub.start()

    await alice.wait_ready(timeout=60)
    assert job_id == (await hub.state("alice"))["job_id"]
    assert {job_id} == slurm.active(name=hub.job_name)
    await alice.stop()


async def test_killed_before_the_submission(
    hub: RunningHub, slurm: Slurm, alice: HubClient, commands: Path
) -> None:
    """A start without a job is shown as failed as soon as no agent can be at work on it any
    more."""
    (commands / "fail-sbatch").touch()
    with pytest.raises(HubClientError, match="Unable to contact slurm controller"):
        await alice.start()
    (commands / "fail-sbatch").unlink()
    assert {} == await hub.state("alice")
    assert set() == slurm.active(name=hub.job_name)


@pytest.mark.parametrize("how", ["killed", pytest.param("shut down", marks=pytest.mark.hub)])
async def test_stop_outlasts_a_scheduler_that_is_down(
    hub: RunningHub, slurm: Slurm, alice: HubClient, commands: Path, how: str
) -> None:
    """A stop that the scheduler does not accept goes on, over a restart of the Hub, until it does.

    A Hub that is shut down cancels the stop, and JupyterHub then forgets the server.
    """
    await alice.start()
    await alice.wait_ready(timeout=60)
    job_id = (await hub.state("alice"))["job_id"]
    (commands / "fail-scancel").touch()
    try:
        stopping = asyncio.ensure_future(alice.api("DELETE", "users/alice/server"))
        stopping.add_done_callback(lambda task: task.cancelled() or task.exception())
        failed = f"Job {job_id} could not be cancelled yet"
        await until(lambda: failed in hub.log(), "a cancellation failed")
        assert (await hub.state("alice"))["stopping"]
        if how == "shut down":
            await hub.terminate()
            await hub.start()
        else:
            await restart(hub)
        assert {job_id} == slurm.active(name=hub.job_name)
    finally:
        (commands / "fail-scancel").unlink()

    await until(lambda: not slurm.active(name=hub.job_name), "the job is cancelled", 40)

    async def gone() -> bool:
        return not await hub.state("alice")

    await until(gone, "the Hub knows")


@pytest.mark.hub
async def test_shutdown_leaves_jobs_alone(hub: RunningHub, slurm: Slurm, alice: HubClient) -> None:
    """An ordinary shutdown with cleanup_servers off cancels start() but not the queued job."""
    job_id = await queued(hub, alice)

    await hub.terminate()

    assert {job_id} == slurm.active(name=hub.job_name)
    await hub.start()
    await pending(hub)
    run("scontrol", "release", job_id)
    await alice.wait_ready(timeout=60)
    await alice.stop()


@pytest.mark.hub
async def test_shutdown_that_ends_the_servers(slurm: Slurm) -> None:
    """With cleanup_servers, JupyterHub's default, the Hub ends soon and leaves no job and no file.
    It cancels what is under way; otherwise it would wait for ever."""
    if reason := why_no_hub():
        pytest.skip(f"no Hub: {reason}")
    hub = RunningHub(slurm, config="c.JupyterHub.cleanup_servers = True\n")
    try:
        await hub.start()
        alice = await hub.client("alice")
        await alice.start()
        await alice.wait_ready(timeout=60)
        files = Path("/home/alice/.unispawner/jobs", (await hub.state("alice"))["mark"])
        assert files.exists()
        await hub.terminate()
        assert set() == slurm.active(name=hub.job_name)
        assert not files.exists()
    finally:
        await hub.close()
        slurm.cancel_named(hub.job_name)


async def test_hub_is_not_killed_by_a_vanished_account(
    hub: RunningHub, slurm: Slurm, alice: HubClient
) -> None:
    """If a server's account no longer exists after a restart, the server stays as it is, and the
    Hub starts."""
    name = "unispawner-gone"
    run("useradd", "--create-home", "--groups", "hubusers", name, check=False)
    gone = await hub.client(name)
    hub.set(name, **HELD)
    starting = asyncio.ensure_future(gone.start())
    starting.add_done_callback(lambda task: task.cancelled() or task.exception())
    job_id = await hub.job_id(name)
    hub.kill()
    run("usermod", "--login", f"{name}-2", name)
    try:
        await hub.start()
        assert job_id == (await hub.state(name))["job_id"]
    finally:
        run("usermod", "--login", name, f"{name}-2")
    assert "PENDING" == slurm.job(job_id)["JobState"]
    await asyncio.wait_for(gone.stop(), 60)
    run("userdel", "--remove", name, check=False)


def recorded(hub: RunningHub) -> list[Any]:
    """Return the jobs whose end the Hub has still to be told of."""
    with sqlite3.connect(hub.folder / "hub.sqlite") as database:
        return database.execute("SELECT server_name, state FROM unispawner_endings").fetchall()


async def answer_of_route(alice: HubClient) -> int:
    return (await alice.request("GET", "user/alice/api")).code


@pytest.mark.hub
async def test_server_that_has_ended_while_its_job_goes_on(
    hub: RunningHub, slurm: Slurm, alice: HubClient, commands: Path
) -> None:
    """The job itself reports its server's end: the route leads nowhere at once, though Slurm says
    that the job runs. A stop then only needs Slurm's acceptance. It is kept for a Hub that is
    killed before Slurm has confirmed it: that Hub cancels the job, beside the user's next one.
    """
    hub.set("alice", epilogue="sleep 600")
    await alice.start()
    await alice.wait_ready(timeout=60)
    old = (await hub.state("alice"))["job_id"]
    os.kill(int(await alice.run_cell("import os; print(os.getppid())")), signal.SIGTERM)

    async def has_no_address() -> bool:
        return not (await hub.state("alice"))["port"]

    await until(has_no_address, "the Hub knows that the server has ended")
    assert 503 == await answer_of_route(alice)
    assert "so its route leads nowhere" in hub.log()
    assert "RUNNING" == slurm.job(old)["JobState"]

    (commands / "pretend-scancel").touch()
    await alice.stop()
    assert 1 == len(recorded(hub))
    assert "RUNNING" == slurm.job(old)["JobState"]
    hub.kill()
    hub.set("alice")
    await hub.start()
    await alice.start()
    await alice.wait_ready(timeout=60)
    new = (await hub.state("alice"))["job_id"]
    assert {old, new} == slurm.active(name=hub.job_name)
    (commands / "pretend-scancel").unlink()
    await until(lambda: not recorded(hub), "Slurm has confirmed the end", 90)
    assert {new} == slurm.active(name=hub.job_name)
    assert 200 == await answer_of_route(alice)
