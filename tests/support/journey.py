"""What a user does with a server, and what must not be left of it; for tests with a real Hub."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
from collections.abc import AsyncIterator
from typing import Any

import pytest

from support.clusters import Cluster, Slurm, run
from support.hub import RunningHub, until
from unispawner.admin.hub_client import Event, HubClient, HubClientError, StartError

PATIENCE = 60
"""How long (seconds) a start or a stop may take: several times the usual."""


HELD: dict[str, Any] = {"custom_attributes": {"slurm.hold": True}}
"""The options of a server whose job waits in Slurm's queue."""


@contextlib.asynccontextmanager
async def browser_of(hub: RunningHub, name: str) -> AsyncIterator[HubClient]:
    """Give a user's browser; at the end all jobs of the Hub, and the user's server, are gone."""
    client = await hub.client(name)
    yield client
    hub.set(name)
    hub.cluster.cancel_named(hub.job_name)

    async def nothing_left() -> bool:
        server = await hub.server(name)
        return not server.get("ready") and not server.get("pending")

    await until(nothing_left, f"{name}'s server is gone", PATIENCE)


async def queued(hub: RunningHub, client: HubClient) -> str:
    """Start a server of alice's that waits in the queue; return the job's id."""
    hub.set("alice", **HELD)
    starting = asyncio.ensure_future(client.start())
    job_id = await hub.job_id("alice")
    starting.add_done_callback(lambda task: task.cancelled() or task.exception())
    return job_id


async def start(client: HubClient, server_name: str = "") -> None:
    await client.start(server_name)
    await client.wait_ready(server_name, timeout=PATIENCE)


async def failing_start(client: HubClient, server_name: str) -> Event:
    """Start a server that must fail; return the last event of its progress."""
    try:
        await client.start(server_name)
    except HubClientError as error:  # it failed within JupyterHub's slow_spawn_timeout
        assert error.status < 500, error
    return await failed_event(client, server_name)


async def refused_start(
    client: HubClient, server_name: str = "", options: dict[str, Any] | None = None
) -> str:
    """Start a server that must be refused; return the message.

    It is in the REST reply, with status 400 or 424, or on a loaded machine in the last event of the
    progress, because JupyterHub does not wait long for a start.
    """
    try:
        await client.start(server_name, options)
    except HubClientError as error:
        assert error.status in (400, 424), error
        return str(json.loads(error.body)["message"])
    return str((await failed_event(client, server_name))["message"])


async def failed_event(client: HubClient, server_name: str) -> Event:
    """Follow a start that must fail; return the last event of its progress."""
    with pytest.raises(StartError) as raised:
        await client.wait_ready(server_name, timeout=PATIENCE)
    assert raised.value.event.get("failed"), raised.value
    return raised.value.event


async def pending_page(client: HubClient, server_name: str) -> str:
    """Return the page that a user sees who waits for a server."""
    path = f"hub/spawn-pending/{client.user}/{server_name}".rstrip("/")
    page = await client.request("GET", path)
    return page.body.decode()


def private_files(state: dict[str, Any]) -> list[str]:
    """Return the names of a job's files in its user's `state_dir`, without the log."""
    jobs = os.path.join(pwd.getpwnam(state["account"]).pw_dir, ".unispawner/jobs", state["mark"])
    return sorted(os.listdir(jobs)) if os.path.isdir(jobs) else []


def log_of(state: dict[str, Any]) -> str:
    home = pwd.getpwnam(state["account"]).pw_dir
    return os.path.join(home, ".unispawner/logs", f"{state['mark']}.log")


async def state_of_run(hub: RunningHub, user: str) -> dict[str, Any]:
    """Return a ready server's saved state once it has the start time of the job's run, which comes
    with the scheduler's next answer, and the last event if the Hub writes events."""

    async def find() -> dict[str, Any] | None:
        state = await hub.state(user)
        known = state.get("run_start") is not None and state["last_event"] in ("", "ready")
        return state if known else None

    found: dict[str, Any] = await until(find, "the Hub knows when the job began to run", PATIENCE)
    return found


async def nothing_left(cluster: Cluster, state: dict[str, Any]) -> None:
    """Wait until a job neither waits nor runs and its private files are gone."""
    job = f"job {state['job_id']}"
    await until(lambda: state["job_id"] not in cluster.active(), f"{job} is gone", PATIENCE)
    await until(lambda: not private_files(state), f"the files of {job} are gone", PATIENCE)


def job_folders(user: str) -> set[str]:
    """Return the marks of a user's jobs that have private files."""
    jobs = os.path.join(pwd.getpwnam(user).pw_dir, ".unispawner/jobs")
    return set(os.listdir(jobs)) if os.path.isdir(jobs) else set()


async def nothing_new(hub: RunningHub, cluster: Cluster, user: str, before: set[str]) -> None:
    """Wait until no job of the user waits or runs, and only those of `before` have files."""
    await until(
        lambda: not cluster.active(user=user, name=hub.job_name), f"{user} has no jobs", PATIENCE
    )
    await until(lambda: job_folders(user) <= before, f"{user}'s jobs have no files", PATIENCE)


async def server_gone(client: HubClient, server_name: str, seconds: float = PATIENCE) -> None:
    """Wait until the Hub knows that a server is gone."""

    async def gone() -> bool:
        return server_name not in await client.servers()

    await until(gone, "the Hub knows that the server is gone", seconds)


async def requeue(
    hub: RunningHub, slurm: Slurm, client: HubClient, server_name: str, job_id: str
) -> None:
    """Requeue a job, and wait until its route is dead meanwhile and a kernel answers again."""
    await asyncio.to_thread(run, "scontrol", "requeue", job_id)

    async def route_is_dead() -> bool:
        path = f"/user/{client.user}/{server_name}".rstrip("/")
        return "//127.0.0.1:1" in (await hub.routes()).get(path, "")

    await until(route_is_dead, "the route goes nowhere", 30)
    await until(lambda: slurm.job(job_id)["JobState"] == "PENDING", "the job waits again")
    # Slurm lets a requeued job wait for two minutes. The end of its first run must not count as
    # the end of the second.
    steps = ("pgrep", "-f", rf"slurmstepd: \[{job_id}\.")
    await until(lambda: not run(*steps, check=False), "its first run is over")
    update = ("scontrol", "update", f"JobId={job_id}", "StartTime=now")
    await until(lambda: not run(*update, check=False), "the job may start again")

    async def answers() -> bool:
        try:
            return "42" == await client.run_cell("6*7", server_name)
        except (HubClientError, OSError):
            return False

    await until(answers, "a kernel answers again", PATIENCE, pause=0.5)
