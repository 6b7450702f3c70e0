"""``unispawner reap`` on real schedulers ends a job without a server, and no other."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.clusters import Cluster
from support.hub import RunningHub, running_hub

WAITS: dict[str, dict[str, Any]] = {
    "slurm": {"slurm.hold": True},
    "gridengine": {"gridengine.h": True},
    "htcondor": {"htcondor.requirements": "false"},
}
"""What keeps a job in the queue of each scheduler."""
LATER = """\
import sys, time
clock, later = time.time, float(sys.argv.pop(1))
time.time = lambda: clock() + later
from unispawner.admin.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""The command as it runs some seconds later: no test can wait until a start is old."""
DAYS = 2 * 86400.0


@pytest.fixture(scope="module")
async def hub(cluster: Cluster) -> AsyncIterator[RunningHub]:
    """Give a Hub on each scheduler in turn."""
    async with running_hub(cluster) as running:
        yield running


async def reap(
    hub: RunningHub, *options: str, later: float = DAYS, status: int
) -> list[dict[str, Any]]:
    """Run the command as the Hub's account; return the jobs that it lists."""
    words = ["reap", "-f", str(hub.folder / "jupyterhub_config.py"), "--json", *options]
    command = [sys.executable, "-c", LATER, str(later), *words]
    (hub.folder / "token").write_text(hub.api_token)
    (hub.folder / "token").chmod(0o600)
    shutil.chown(hub.folder / "token", hub.account)
    done = await asyncio.to_thread(
        subprocess.run,
        ["setpriv", f"--reuid={hub.account}", "--clear-groups", f"--regid={hub.account}", *command],
        cwd=hub.folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(hub.folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert status == done.returncode, (done.stdout, done.stderr)
    report = json.loads(done.stdout)
    assert [] == report["errors"]
    return list(report["jobs"])


def forget(hub: RunningHub, *servers: str) -> None:
    """Delete the rows of servers while no Hub runs, as a damaged database has lost them."""
    with sqlite3.connect(hub.folder / "hub.sqlite") as database:
        for name in servers:
            database.execute("DELETE FROM spawners WHERE name = ?", (name,))


async def test_only_jobs_without_a_server_are_ended(hub: RunningHub, cluster: Cluster) -> None:
    """A running job whose server's row is lost is listed, and ended as its owner once its start is
    old. The jobs of a running server, of a start in the queue and of another Hub go on."""
    alice, bob = await hub.client("alice"), await hub.client("bob")
    hub.set("alice", "waits", custom_attributes=WAITS[cluster.name])
    hub.set("bob", "other", hub_id="otherhub")
    starts = [alice.start("lost"), alice.start("waits"), bob.start("kept"), bob.start("other")]
    tasks = [asyncio.ensure_future(one) for one in starts]
    names = {"alice": ["lost", "waits"], "bob": ["kept", "other"]}
    await asyncio.gather(tasks[0], tasks[2], tasks[3])
    for owner, servers in names.items():
        for server in servers:
            await hub.job_id(owner, server)
    state = {name: await hub.state(user, name) for user in names for name in names[user]}

    assert [] == await reap(hub, "--token-file", "token", status=0)
    hub.kill()
    tasks[1].cancel()
    forget(hub, "lost", "other")
    found = await reap(hub, "--no-hub", status=3)
    assert [(state["lost"]["job_id"], "orphan")] == [(one["job_id"], one["kind"]) for one in found]
    await hub.start()

    (young,) = await reap(hub, "--token-file", "token", "--cancel", "--yes", later=0, status=0)
    assert ("young", "") == (young["kind"], young["result"])
    (ended,) = await reap(hub, "--token-file", "token", "--cancel", "--yes", status=0)
    assert ("alice", state["lost"]["mark"]) == (ended["account"], ended["mark"])
    assert ("orphan", "ended") == (ended["kind"], ended["result"])
    assert {state["waits"]["job_id"]} == cluster.active(user="alice", name=hub.job_name)
    theirs = {state["kept"]["job_id"], state["other"]["job_id"]}
    assert theirs == cluster.active(user="bob", name=hub.job_name)
    cluster.cancel(state["other"]["job_id"], "bob")
    assert [] == await reap(hub, "--token-file", "token", status=0)
