"""Sets of templates in the new spawner: a real Hub, and each real scheduler by its commands alone.

Each test has servers of its own name, so that none meets what another left.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from clusters import Cluster, run
from hub import RunningHub, running_hub, until
from test_end_to_end import PATIENCE, failed_event, nothing_left, start
from test_secrets import look_around

from unispawner.hub_client import HubClientError
from unispawner.schedulers import dialect

pytestmark = pytest.mark.hub

CONFIG = """\
c.UniSpawner.scheduler = "template"
c.UniSpawner.template = {template!r}
c.UniSpawner.job_name = "jupyter"  # these scripts have a name of their own
c.UniSpawner.status_interval = 2
"""
SECRET = "f0e1d2c3b4a5968778695a4b3c2d1e0f"
LISTED_AS = {"slurm": "spawner-jupyterhub", "gridengine": "spawner-jupyterhub"}


@pytest.fixture(scope="module")
async def hub(cluster: Cluster) -> AsyncIterator[RunningHub]:
    """A Hub that knows each scheduler by the set of its name."""
    config = CONFIG.format(template=cluster.name)
    config += f'c.Spawner.environment = {{"UNISPAWNER_TEST": "a {SECRET} with = and \\" in it"}}\n'
    async with running_hub(cluster, config=config) as running:
        yield running


async def test_a_kernel_answers(hub: RunningHub, cluster: Cluster) -> None:
    """From inside a job on another host, under the user's own uid; a stop leaves nothing but the
    log, in which the launcher and the server have written."""
    alice = await hub.client("alice")
    hub.set("alice", resources={"memory": "512M", "cpu_cores_per_process": 1})
    await start(alice)
    state = await hub.state("alice")
    here = "import os, socket; print(os.getuid(), socket.gethostname())"
    uid, host = (await alice.run_cell(here)).split()
    assert pwd.getpwnam("alice").pw_uid == int(uid)
    assert ("alice", host) == cluster.owner_and_host(state["job_id"])
    log = Path(pwd.getpwnam("alice").pw_dir, f".unispawner/logs/{state['mark']}.log")
    assert "to the Hub" in log.read_text()
    await alice.stop()
    await nothing_left(cluster, state)
    assert log.exists()
