"""Sets of templates in UniSpawner: a real Hub, and each real scheduler by its commands alone.

Each test uses its own server names, so that no test meets what another has left.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.attacks import LISTED_SECRET
from support.clusters import Cluster, Slurm
from support.eyes import assert_hidden, assert_seen_by_alice
from support.hub import RunningHub, running_hub, until
from support.journey import PATIENCE, log_of, nothing_left, pending_page, server_gone, start

from unispawner.admin.hub_client import HubClient, HubClientError
from unispawner.schedulers.template_dialect import read_dialect

SECRET = secrets.token_hex(16)
CONFIG = """\
c.UniSpawner.scheduler = "template"
c.UniSpawner.template = {template!r}
c.UniSpawner.job_name = "jupyter"  # these scripts have a name of their own
c.Spawner.environment = {{"UNISPAWNER_TEST": "a {secret} with = and \\" in it"}}
"""
ASKS: dict[str, dict[str, Any]] = {
    "gridengine": {"custom_attributes": {"template.options": "-l h_vmem=2G"}},
    "htcondor": {"resources": {"memory": "512M", "cpu_cores_per_process": 2}},
    "slurm": {"resources": {"memory": "512M", "cpu_cores_per_process": 2}, "duration": "0:30:00"},
}
"""What a job asks for on each, where its script has a field for that."""


@pytest.fixture(scope="module")
async def hub(cluster: Cluster) -> AsyncIterator[RunningHub]:
    """Give a Hub that uses each scheduler by its set of templates."""
    config = CONFIG.format(template=cluster.name, secret=SECRET)
    async with running_hub(cluster, config=config) as running:
        yield running


async def answers(hub: RunningHub, cluster: Cluster, alice: HubClient, name: str) -> dict[str, Any]:
    """Start a server, wait for its kernel's answer, and return the server's state."""
    await start(alice, name)
    state = await hub.state("alice", name)
    where = "import os, socket; print(os.getuid(), socket.gethostname(), os.getcwd())"
    uid, host, directory = (await alice.run_cell(where, name)).split()
    entry = pwd.getpwnam("alice")
    assert (entry.pw_uid, entry.pw_dir) == (int(uid), directory)
    assert ("alice", host) == cluster.owner_and_host(state["job_id"])
    return state


async def stops(cluster: Cluster, alice: HubClient, name: str, state: dict[str, Any]) -> None:
    await alice.stop(name)
    await nothing_left(cluster, state)
    assert os.path.exists(log_of(state))


@pytest.mark.threat(**LISTED_SECRET)
async def test_a_kernel_answers(hub: RunningHub, cluster: Cluster, alice: HubClient) -> None:
    """A kernel answers from a job on another host under the user's own account, and the launcher
    writes to the log. Another user finds the server's secrets neither in listings nor in processes
    nor in files, although these scripts are read from standard input and their options name
    variables. If the job is cancelled at the command line, the Hub notices soon, and nothing is
    left but the log."""
    hub.set("alice", "asks", **ASKS[cluster.name])
    state = await answers(hub, cluster, alice, "asks")
    assert "unispawner: reported" in Path(log_of(state)).read_text()
    if isinstance(cluster, Slurm):
        job = cluster.job(state["job_id"])
        assert ("2", "512M", "00:30:00") == (job["NumCPUs"], job["MinMemoryNode"], job["TimeLimit"])
    await _bob_finds_no_secret(cluster, alice, state)

    cluster.cancel(state["job_id"], "alice")
    await server_gone(alice, "asks")
    await nothing_left(cluster, state)
    assert os.path.exists(log_of(state))


async def _bob_finds_no_secret(cluster: Cluster, alice: HubClient, state: dict[str, Any]) -> None:
    names = "JUPYTERHUB_API_TOKEN", "UNISPAWNER_TEST"
    code = f"import json, os; print(json.dumps([os.environ[name] for name in {names}]))"
    token, found = json.loads(await alice.run_cell(code, "asks"))
    assert f'a {SECRET} with = and " in it' == found
    await assert_hidden(cluster, state["job_id"], [token, SECRET])
    environment = f"/home/alice/.unispawner/jobs/{state['mark']}/environment"
    await assert_seen_by_alice(environment, [token, SECRET])


@pytest.mark.parametrize("cluster", [pytest.param("slurm", marks=pytest.mark.slurm)], indirect=True)
async def test_in_a_job_step(hub: RunningHub, cluster: Cluster, alice: HubClient) -> None:
    """With srun before the command, as in batchspawner's default script, the server's environment
    still comes from its file, and a stop reaches the server."""
    hub.set("alice", "step", custom_attributes={"template.srun": "srun"})
    state = await answers(hub, cluster, alice, "step")
    step = await alice.run_cell("import os; print(os.environ['SLURM_STEP_ID'])", "step")
    assert "0" == step.strip()
    await stops(cluster, alice, "step", state)


async def test_a_server_that_can_not_be_started(
    hub: RunningHub, cluster: Cluster, alice: HubClient
) -> None:
    """The user sees the launcher's error, although the template sends the output elsewhere."""
    hub.set("alice", "dies", cmd=["no-such-server"])
    before = cluster.active(user="alice")
    with suppress(HubClientError):  # it may fail before or after the answer
        await alice.start("dies")

    async def is_shown() -> bool:
        return "cannot start no-such-server" in await pending_page(alice, "dies")

    await until(is_shown, "the page shows the launcher's words", PATIENCE)
    await until(lambda: cluster.active(user="alice") <= before, "alice has no new jobs")


# -- a site's own -------------------------------------------------------------------------------

OWN = """\
[script]
file = job.sh
directive = #SBATCH

[commands]
submit = sbatch --parsable --partition={partition} {script}
query = ./status {job_id}
cancel = scancel {job_id}

[patterns]
owner = ^(\\S+)
pending = ^\\S+ PENDING
running = ^\\S+ RUNNING
exec_host = (\\S+)$
not_found = Invalid job id specified
"""
OWN_SCRIPT = """\
#!/bin/bash -l
#SBATCH --job-name={name}
#SBATCH --output={log}
#SBATCH --mem={memory}
{prologue}
{cmd}
{epilogue}
"""
STATUS = """\
#!/bin/sh
squeue -h -j "$1" -o '%u %T %B'
"""


@pytest.fixture(scope="module")
def own_set() -> Iterator[Path]:
    """Give a folder with a set of templates as an administrator makes it; a test's own folder can't
    be read by others."""
    folder = Path(tempfile.mkdtemp(prefix="unispawner-set-"))
    try:
        (folder / "dialect.ini").write_text(OWN + "\n[fields]\nmemory = {mebibytes}M\n")
        (folder / "job.sh").write_text(OWN_SCRIPT)
        (folder / "status").write_text(STATUS)
        for path in (folder, folder / "status"):
            path.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder)


async def test_a_site_of_its_own_kind(slurm: Slurm, own_set: Path) -> None:
    """A set without a command for all users' jobs works. Each job is queried by its id, by a
    program of the set, which reports the job's user; the script is submitted as a file, has a name,
    and writes our log itself."""
    config = CONFIG.format(template=str(own_set), secret=SECRET)
    async with running_hub(slurm, config=config) as hub:
        alice = await hub.client("alice")
        hub.set(
            "alice",
            job_name=hub.job_name,
            resources={"memory": "256M"},
            prologue="echo the prologue knows $JUPYTERHUB_USER",
        )
        state = await answers(hub, slurm, alice, "")
        assert {state["job_id"]} == slurm.active(user="alice", name=hub.job_name)
        assert "the prologue knows alice" in Path(log_of(state)).read_text()
        assert "256M" == slurm.job(state["job_id"])["MinMemoryNode"]
        await stops(slurm, alice, "", state)
        assert {"/"} == set(await hub.routes())
    assert [] == list(read_dialect(str(own_set)).all_jobs)
