"""What another user can learn of a server on a real scheduler: none of its secrets."""

from __future__ import annotations

import asyncio
import os
import secrets
import shlex
from collections.abc import AsyncIterator

import pytest
from clusters import Cluster, run
from hub import RunningHub, running_hub

pytestmark = pytest.mark.hub

SECRET = secrets.token_hex(16)
LOOK_AROUND = r"""
import glob, os, sys
wanted = sys.stdin.read().split()
def has(path):
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError:
        return
    for word in wanted:
        if word.encode() in text:
            print(path)
for name in ("cmdline", "environ", "comm", "status"):
    for path in glob.glob(f"/proc/[0-9]*/{name}"):
        has(path)
for folder in sys.argv[1:]:
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            if os.path.isfile(path) and os.path.getsize(path) < 50_000_000:
                has(path)
"""
"""Prints the paths of processes and files in which one of the words on standard input is found."""


@pytest.fixture(scope="module")
async def hub(cluster: Cluster) -> AsyncIterator[RunningHub]:
    config = f'c.Spawner.environment = {{"UNISPAWNER_TEST": "a {SECRET} with = and \\" in it"}}\n'
    async with running_hub(cluster, config=config) as running:
        yield running


def look_around(user: str, words: list[str], folders: list[str]) -> list[str]:
    """Return the paths in which a user finds one of these words."""
    command = shlex.join(["/usr/bin/python3", "-I", "-c", LOOK_AROUND, *folders])
    return run("/bin/sh", "-c", command, user=user, stdin="\n".join(words)).splitlines()


async def test_another_user_sees_no_secret(hub: RunningHub, cluster: Cluster) -> None:
    """Neither the server's token nor a value of its environment: not in what the scheduler's
    commands list, not in any process's arguments or environment, not in any file of the nodes'
    spool folders, the users' homes or the usual temporary places. Its own user does find them."""
    alice = await hub.client("alice")
    await alice.start()
    await alice.wait_ready(timeout=60)
    token = await alice.run_cell('import os; print(os.environ["JUPYTERHUB_API_TOKEN"])')
    found = await alice.run_cell('import os; print(os.environ["UNISPAWNER_TEST"])')
    assert f'a {SECRET} with = and " in it' == found.strip()
    words = [token.strip(), SECRET]
    assert all(len(word) >= 32 for word in words)
    job_id = (await hub.state("alice"))["job_id"]

    listed = 0
    for command in cluster.listings(job_id):
        text = await asyncio.to_thread(run, *command, user="bob", check=False)
        assert [] == [word for word in words if word in text], command
        listed += job_id in text
    assert listed, "none of the listings was of this job"

    folders = [cluster.folder, "/home", "/tmp", "/var/tmp", "/var/spool", "/var/log", "/run"]
    folders = [folder for folder in folders if os.path.isdir(folder)]
    assert [] == await asyncio.to_thread(look_around, "bob", words, folders)
    # The same eyes do find them where alice may look.
    seen = await asyncio.to_thread(look_around, "alice", words, ["/home/alice/.unispawner"])
    mark = (await hub.state("alice"))["mark"]
    assert f"/home/alice/.unispawner/jobs/{mark}/environment" in seen
    assert any(path.startswith("/proc/") and path.endswith("/environ") for path in seen)
    assert not any(path.endswith("/cmdline") for path in seen)
    await alice.stop()
