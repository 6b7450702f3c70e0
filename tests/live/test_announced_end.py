"""A real Jupyter server whose end Grid Engine announces with a signal to all of its processes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from support.clusters import GridEngine, cluster_of, run
from support.hub import RunningHub, running_hub, until

pytestmark = pytest.mark.gridengine
# The Hub does not ask meanwhile: it takes the route away when Grid Engine says that it deletes the
# job, although the server has time left.
CONFIG = """
c.UniSpawner.status_interval = 120
c.UniSpawner.signal_before_end = 60
c.UniSpawner.duration = "00:20:00"
"""
READ = """
import os, pathlib
print(pathlib.Path(os.environ["UNISPAWNER_ENDING"]).read_text())
"""


@pytest.fixture(scope="module")
async def hub() -> AsyncIterator[RunningHub]:
    cluster = cluster_of("gridengine")
    assert isinstance(cluster, GridEngine)
    async with running_hub(cluster, config=CONFIG) as running:
        yield running


async def test_the_server_survives_the_announcement(hub: RunningHub) -> None:
    """After -notify's signal the server and its kernels go on, and the server knows when it ends.
    They are given the time to save."""
    alice = await hub.client("alice")
    await alice.start()
    await alice.wait_ready(timeout=60)
    job = await hub.job_id("alice")
    assert "notify:                     TRUE" in run("qstat", "-j", job)
    before = time.time()
    run("qdel", job, user="alice")

    async def log() -> bool:
        mark = (await hub.state("alice"))["mark"]
        text = run("cat", f"/home/alice/.unispawner/logs/{mark}.log")
        return "the scheduler has announced that it will end this job" in text

    await until(log, "the announcement")
    end = float(await alice.run_cell(READ))
    assert 50 < end - before < 70
    shutdown = f"{alice.server_url()}api/shutdown"
    await alice.request("POST", shutdown, body="")
