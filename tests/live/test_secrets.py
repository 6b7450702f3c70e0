"""Another user learns none of a server's secrets on a real scheduler."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest
from support.clusters import Cluster
from support.eyes import assert_hidden, assert_seen_by_alice
from support.hub import RunningHub, running_hub

SECRET = secrets.token_hex(16)


@pytest.fixture(scope="module")
async def hub(cluster: Cluster) -> AsyncIterator[RunningHub]:
    config = f'c.Spawner.environment = {{"UNISPAWNER_TEST": "a {SECRET} with = and \\" in it"}}\n'
    async with running_hub(cluster, config=config) as running:
        yield running


async def test_another_user_sees_no_secret(hub: RunningHub, cluster: Cluster) -> None:
    """Another user finds neither the server's token nor a value of its environment: not in the
    listings of the scheduler's commands, not in the arguments or environment of a process, not in a
    file of the nodes' spool folders, the users' homes or the usual temporary folders. The same
    search finds them for the server's own user."""
    alice = await hub.client("alice")
    await alice.start()
    await alice.wait_ready(timeout=60)
    token = await alice.run_cell('import os; print(os.environ["JUPYTERHUB_API_TOKEN"])')
    found = await alice.run_cell('import os; print(os.environ["UNISPAWNER_TEST"])')
    assert f'a {SECRET} with = and " in it' == found.strip()
    words = [token.strip(), SECRET]
    assert all(len(word) >= 32 for word in words)
    job_id = (await hub.state("alice"))["job_id"]

    await assert_hidden(cluster, job_id, words)
    mark = (await hub.state("alice"))["mark"]
    await assert_seen_by_alice(f"/home/alice/.unispawner/jobs/{mark}/environment", words)
    await alice.stop()
