"""The legacy classes on real schedulers, as at a site that has changed only the one word."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import secrets
import shutil
import socket
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.attacks import LISTED_SECRET
from support.clusters import VARIABLES, Cluster, Slurm, run
from support.eyes import assert_hidden, assert_seen_by_alice
from support.hub import HUB_ACCOUNT, USER_GROUP, RunningHub, find_program, running_hub, until
from support.journey import PATIENCE, refused_start, requeue, server_gone, start

from unispawner.admin.hub_client import HubClient

SECRET = secrets.token_hex(16)

SUDOERS = f"{HUB_ACCOUNT} ALL=(%{USER_GROUP}) NOPASSWD:SETENV: ALL"
"""As batchspawner's sites have it, who let the Hub run their commands with `sudo -E`."""

COMMON = """
c.Spawner.cmd = [{singleuser!r}]
c.BatchSpawnerBase.startup_poll_interval = 0.2
c.Spawner.poll_interval = 1
c.Spawner.environment = {{"UNISPAWNER_TEST": {secret!r}}}
c.JupyterHub.init_spawners_timeout = 1
import os
os.environ.update({environment!r})
"""
WHERE_AM_I = """
import json, os, socket
names = "JUPYTERHUB_API_TOKEN", "UNISPAWNER_TEST"
print(json.dumps([socket.gethostname(), os.getuid(), *map(os.environ.get, names)]))
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


REFUSED = {
    "slurm": ("--partition=nowhere", "Invalid partition name specified"),
    "gridengine": ("-S /bin/bash -q nowhere", '"nowhere"'),
    "htcondor": ("requirements = (((", "Parse error in expression"),
}


@pytest.fixture(scope="module")
async def hub(cluster: Cluster) -> AsyncIterator[RunningHub]:
    """Give a Hub with batchspawner's class for each scheduler, and its default script."""
    lines = COMMON.format(
        singleuser=find_program("jupyterhub-singleuser"),
        environment={name: os.environ[name] for name in VARIABLES if name in os.environ},
        secret=SECRET,
    )
    lines += CONFIG[cluster.name].replace("{job_name}", "legacy")
    for trait, text in COMMANDS[cluster.name].items():
        lines += f"c.BatchSpawnerBase.{trait} = {text.format(path=cluster.path)!r}\n"
    async with running_hub(cluster, config=lines, sudoers=SUDOERS) as running:
        yield running
    cluster.cancel_named("legacy")


def private_folder(state: dict[str, Any]) -> Path:
    return Path("/home/alice/.unispawner/legacy/jobs", state["unispawner"]["mark"])


@pytest.mark.threat(**LISTED_SECRET)
@pytest.mark.hub
async def test_a_kernel(hub: RunningHub, cluster: Cluster, alice: HubClient) -> None:
    """A kernel answers on another host as its user. The state has batchspawner's entries and ours,
    no other user sees a secret, and a stop ends the job and removes the private files."""
    await start(alice)
    state = await hub.state("alice")
    assert {"job_id", "job_status", "unispawner"} == set(state)
    host, uid, token, secret = json.loads(await alice.run_cell(WHERE_AM_I))
    assert pwd.getpwnam("alice").pw_uid == uid
    assert ("alice", host) == cluster.owner_and_host(state["job_id"])
    assert socket.gethostname() != host
    assert SECRET == secret

    await assert_hidden(cluster, state["job_id"], [token, SECRET])
    await assert_seen_by_alice(str(private_folder(state) / "environment"), [token, SECRET])

    await alice.stop()
    await until(lambda: state["job_id"] not in cluster.active(), "the job is gone")
    await until(lambda: not private_folder(state).exists(), "its private files are gone")
    assert {} == await hub.state("alice")
    assert {"/"} == set(await hub.routes())


def private_folders() -> list[str]:
    return os.listdir("/home/alice/.unispawner/legacy/jobs")


async def test_refused_submission(hub: RunningHub, cluster: Cluster, alice: HubClient) -> None:
    """If the scheduler refuses the job, its user reads its own words, and no file is left."""
    options, words = REFUSED[cluster.name]
    hub.set("alice", "refused", req_options=options)
    before = set(Path("/home/alice/.unispawner/legacy/jobs").iterdir())
    assert words in await refused_start(alice, "refused")
    assert before == set(Path("/home/alice/.unispawner/legacy/jobs").iterdir())


SUBMIT = {"slurm": "sbatch --parsable", "gridengine": "qsub", "htcondor": "{path}/condor_submit"}


@pytest.mark.parametrize("end", [">/dev/null; echo no id", "; echo lost >&2; exit 3"])
async def test_a_job_whose_id_is_not_known(
    hub: RunningHub, cluster: Cluster, alice: HubClient, end: str
) -> None:
    """If the submit command prints no id or fails, although the scheduler has the job, the job is
    found as its user and cancelled, and no file is left."""
    submit = SUBMIT[cluster.name].format(path=cluster.path)
    hub.set("alice", "lost", batch_submit_cmd=f"{submit} {end}")
    jobs, files = cluster.active(user="alice"), set(private_folders())
    shown = await refused_start(alice, "lost")
    assert ("lost" if "exit" in end else "printed: 'no id'") in shown
    # On a loaded machine the job may begin, and end without its private files, before it is found.
    endings = (
        "alice:lost: the start has failed, but",
        "alice:lost: no job of the failed submission",
    )
    await until(lambda: any(one in hub.log() for one in endings), "the job is found", 60)
    await until(lambda: cluster.active(user="alice") <= jobs, "no job is left")
    await until(lambda: files >= set(private_folders()), "no file is left")


async def test_cancelled_at_the_command_line(
    hub: RunningHub, cluster: Cluster, alice: HubClient
) -> None:
    """If the job is cancelled at the command line, the Hub notices at its next poll, its user is
    told, and nothing is left."""
    await start(alice, "cancelled")
    state = await hub.state("alice", "cancelled")
    cluster.cancel(state["job_id"], "alice")
    await server_gone(alice, "cancelled", 30)
    status = await hub.api("GET", "unispawner/servers/alice/cancelled")
    assert ("failed", True) == (
        status["state"],
        "Someone may have cancelled it" in status["message"],
    )
    await until(lambda: not private_folder(state).exists(), "its private files are gone")


ON_SLURM = pytest.mark.parametrize(
    "cluster", [pytest.param("slurm", marks=pytest.mark.slurm)], indirect=True, scope="module"
)


@pytest.mark.hub
@ON_SLURM
async def test_batchspawners_own_wrapper(
    hub: RunningHub, cluster: Cluster, alice: HubClient
) -> None:
    """On nodes that have batchspawner, its batchspawner-singleuser still works."""
    wrapper = find_program("batchspawner-singleuser")
    assert wrapper
    hub.set("alice", "wrapper", batchspawner_singleuser_cmd=wrapper)
    await start(alice, "wrapper")
    assert "42" == await alice.run_cell("6*7", "wrapper")
    assert "/hub/api/batchspawner" in hub.log()
    await alice.stop("wrapper")


@pytest.mark.hub
@ON_SLURM
async def test_a_running_server_outlives_the_hub(
    hub: RunningHub, cluster: Cluster, alice: HubClient
) -> None:
    """After a SIGKILL of the Hub a running server is there as before and can be stopped; so is a
    server whose state batchspawner itself has written."""
    names = ("ours", "theirs")
    await asyncio.gather(*(start(alice, name) for name in names))
    jobs = {await hub.job_id("alice", name) for name in names}
    hub.kill()
    _leave_what_batchspawner_saves(hub, "theirs")
    await hub.start()
    for name in names:
        assert "42" == await alice.run_cell("6*7", name)
        await alice.stop(name)
    await until(lambda: not jobs & cluster.active(), "the jobs are gone")


def _leave_what_batchspawner_saves(hub: RunningHub, name: str) -> None:
    with sqlite3.connect(hub.folder / "hub.sqlite") as database:
        ((text,),) = database.execute("select state from spawners where name = ?", (name,))
        state = {key: value for key, value in json.loads(text).items() if key != "unispawner"}
        values = (json.dumps(state), name)
        database.execute("update spawners set state = ? where name = ?", values)
    database.close()


@pytest.mark.hub
@ON_SLURM
async def test_a_queued_start_outlives_the_hub(
    hub: RunningHub, cluster: Cluster, alice: HubClient
) -> None:
    """A queued start keeps its place over a restart, and is ready when its job runs; batchspawner
    would lose it."""
    assert isinstance(cluster, Slurm)
    hub.set("alice", "queued", req_options="--job-name=legacy --hold")
    starting = asyncio.ensure_future(alice.start("queued"))
    job_id = await hub.job_id("alice", "queued")
    await starting
    hub.kill()
    await hub.start()
    assert job_id in cluster.active(user="alice")
    run("scontrol", "release", job_id)
    await alice.wait_ready("queued", timeout=PATIENCE)
    assert "42" == await alice.run_cell("6*7", "queued")
    assert job_id == await hub.job_id("alice", "queued")
    await alice.stop("queued")
    await until(lambda: job_id not in cluster.active(), "the job is gone")


@ON_SLURM
async def test_a_job_that_nobody_finds(hub: RunningHub, cluster: Cluster, alice: HubClient) -> None:
    """A job of a command that hides its scheduler is not found. It ends by itself when it runs, and
    the log has what the command printed."""
    site = Path("/home/alice/site-submit")
    site.symlink_to(str(shutil.which("sbatch")))
    hub.set("alice", "hidden", batch_submit_cmd=f"{site} >/dev/null; echo hi", scheduler_name="")
    jobs = cluster.active(user="alice")
    try:
        await refused_start(alice, "hidden")
    finally:
        site.unlink()
    await until(lambda: "was found (its scheduler is not known)" in hub.log(), "it is logged")
    assert "The submit command printed: 'hi'" in hub.log()
    await until(lambda: cluster.active(user="alice") <= jobs, "the job has ended by itself", 60)


@pytest.mark.hub
@ON_SLURM
async def test_a_hub_that_dies_before_it_has_the_id(
    hub: RunningHub, cluster: Cluster, alice: HubClient
) -> None:
    """The next Hub finds the job, of which it has no id, and cancels it."""
    jobs = cluster.active(user="alice")
    hub.set("alice", "killed", batch_submit_cmd="sbatch --hold --parsable && sleep 60")
    starting = asyncio.ensure_future(alice.start("killed"))
    await until(lambda: cluster.active(user="alice") - jobs, "the job is submitted")
    hub.kill()
    await asyncio.wait({starting})
    starting.exception()
    await hub.start()
    await until(lambda: cluster.active(user="alice") <= jobs, "no job is left")
    await server_gone(alice, "killed", 30)


@ON_SLURM
async def test_a_requeued_job_is_followed(
    hub: RunningHub, cluster: Cluster, alice: HubClient
) -> None:
    """While a requeued job waits, its route goes to the dead address; when it runs again, a kernel
    answers. This also works after a restart of the Hub."""
    assert isinstance(cluster, Slurm)
    hub.set("alice", "again", req_options="--job-name=legacy --requeue")
    await start(alice, "again")
    job_id = await hub.job_id("alice", "again")
    hub.kill()
    await hub.start()
    assert "42" == await alice.run_cell("6*7", "again")
    await requeue(hub, cluster, alice, "again", job_id)
    assert job_id == await hub.job_id("alice", "again")
    await alice.stop("again")
