"""batchspawner's classes on real schedulers: what a site has that has changed one word."""

from __future__ import annotations

import json
import os
import pwd
import socket
from collections.abc import AsyncIterator

import pytest
from clusters import VARIABLES, Cluster
from hub import HUB_ACCOUNT, USER_GROUP, RunningHub, find_program, running_hub, until

from unispawner.hub_client import HubClient

pytestmark = pytest.mark.hub
PATIENCE = 60

SUDOERS = f"{HUB_ACCOUNT} ALL=(%{USER_GROUP}) NOPASSWD:SETENV: ALL"
"""As batchspawner's sites have it, who let the Hub run their commands with `sudo -E`."""

COMMON = """
c.Spawner.cmd = [{singleuser!r}]
c.BatchSpawnerBase.startup_poll_interval = 0.2
c.Spawner.poll_interval = 2
import os
os.environ.update({environment!r})
"""
CONFIG = {
    "slurm": """
c.JupyterHub.spawner_class = "unispawner.SlurmSpawner"
c.SlurmSpawner.req_memory = "500"
c.SlurmSpawner.req_runtime = "30"
c.SlurmSpawner.req_options = "--job-name={job_name}"
""",
    "gridengine": """
c.JupyterHub.spawner_class = "unispawner.GridengineSpawner"
# The script is bash's; the queue's shell is not. (And -N twice makes qsub print a warning.)
c.GridengineSpawner.req_options = "-S /bin/bash -N {job_name}"
""",
    "htcondor": """
c.JupyterHub.spawner_class = "unispawner.CondorSpawner"
c.CondorSpawner.req_memory = "500"
c.CondorSpawner.req_nprocs = "1"
c.CondorSpawner.req_options = 'JobBatchName = "{job_name}"'
""",
}
COMMANDS = {
    "slurm": {},
    "gridengine": {},
    "htcondor": {
        "batch_submit_cmd": "{path}/condor_submit",
        "batch_query_cmd": '{path}/condor_q {{job_id}} -format "%s, " JobStatus '
        '-format "%s" RemoteHost -format "\\n" True',
        "batch_cancel_cmd": "{path}/condor_rm {{job_id}}",
    },
}


@pytest.fixture(scope="module")
async def hub(cluster: Cluster) -> AsyncIterator[RunningHub]:
    """A Hub with batchspawner's class of each scheduler, and its default script."""
    lines = COMMON.format(
        singleuser=find_program("jupyterhub-singleuser"),
        environment={name: os.environ[name] for name in VARIABLES if name in os.environ},
    )
    lines += CONFIG[cluster.name].replace("{job_name}", "legacy")
    for trait, text in COMMANDS[cluster.name].items():
        lines += f"c.BatchSpawnerBase.{trait} = {text.format(path=cluster.path)!r}\n"
    async with running_hub(cluster, config=lines, sudoers=SUDOERS) as running:
        yield running


@pytest.fixture(scope="module")
async def alice(hub: RunningHub) -> HubClient:
    return await hub.client("alice")


async def start(client: HubClient, server_name: str = "") -> None:
    await client.start(server_name)
    await client.wait_ready(server_name, timeout=PATIENCE)


async def test_a_kernel(hub: RunningHub, cluster: Cluster, alice: HubClient) -> None:
    """It runs on another host as its user; its state is batchspawner's and ours; a stop ends it."""
    await start(alice)
    state = await hub.state("alice")
    code = "import json, os, socket; print(json.dumps([socket.gethostname(), os.getuid()]))"
    host, uid = json.loads(await alice.run_cell(code))
    assert pwd.getpwnam("alice").pw_uid == uid
    assert ("alice", host) == cluster.owner_and_host(state["job_id"])
    assert socket.gethostname() != host
    assert {"job_id", "job_status", "unispawner"} == set(state)
    await alice.stop()
    await until(lambda: state["job_id"] not in cluster.active(), "the job is gone")
    assert {} == await hub.state("alice")
    assert {"/"} == set(await hub.routes())
