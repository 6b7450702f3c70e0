"""Names of jobs, places of logs and jobs, accounts with odd names, and commands that print notices,
on real schedulers."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from handbook.scheduler_pages import config_text, without_settings
from support.cluster_agent import ClusterAgent
from support.clusters import Cluster, run
from support.hub import RunningHub, running_hub, until
from support.journey import start

from unispawner.job import JobState
from unispawner.run_as.accounts import find_account
from unispawner.schedulers import get_scheduler
from unispawner.submit_host.dialogue import hold_dialogue
from unispawner.submit_host.host import SubmitHost

ACCOUNTS = ("odd.a+b", "AD\\odd", "odd@ad.site", "odd one")
LOWEST_UID = 23_000
"""Each account has a uid of its own, because daemons remember the name of a uid for a while."""
REFUSED = {
    ("gridengine", "AD\\odd"): "not allowed in objectname",
    ("gridengine", "odd@ad.site"): "not allowed in objectname",
    ("htcondor", "odd@ad.site"): "is not a valid user account",
}
"""Accounts that a scheduler itself refuses, and its words. (Grid Engine never starts a job of an
account with a blank.)"""

OF_THE_SITE = {
    *("c.JupyterHub.hub_ip", "c.JupyterHub.authenticator_class", "c.UniSpawner.cmd"),
    *("c.UniSpawner.scheduler_path", "c.UniSpawner.sge_root", "c.UniSpawner.job_name"),
    *("c.UniSpawner.queue_name",),
}
"""What a page's configuration has of another site."""
QUEUES = {"slurm": "long", "gridengine": "all.q"}
"""Queues of ci/ that allow the time limit of the pages."""


@pytest.fixture(scope="module")
async def hub(cluster: Cluster) -> AsyncIterator[RunningHub]:
    """Give a Hub on each scheduler in turn, with the configuration of its page in the documents."""
    config = without_settings(config_text(cluster.name), OF_THE_SITE)
    if queue := QUEUES.get(cluster.name):
        config += f"c.UniSpawner.queue_name = {queue!r}\n"
    async with running_hub(cluster, config=config) as running:
        yield running


async def test_a_job_has_its_name_its_log_and_its_folder(hub: RunningHub, cluster: Cluster) -> None:
    """The scheduler shows the job's name with the user in it; the log is in log_dir, which was made
    for the user, and the server starts in directory."""
    alice = await hub.client("alice")
    home = Path(pwd.getpwnam("alice").pw_dir)
    work = home / "work here"
    run("mkdir", "-p", str(work), user="alice")
    name = f"{hub.job_name}-{{username}}-{{servername}}"
    hub.set("alice", "places", job_name=name, log_dir="~/job logs", directory="~/work here")
    try:
        await start(alice, "places")
        state = await hub.state("alice", "places")
        assert state["job_id"] in cluster.active(user="alice", name=f"{hub.job_name}-alice-places")
        assert repr(str(work)) == await alice.run_cell(
            "import os; print(repr(os.getcwd()))", "places"
        )
        log = home / "job logs" / f"{state['mark']}.log"
        assert log.read_text()
        assert (0o700, "alice") == (stat.S_IMODE(log.parent.stat().st_mode), log.parent.owner())
        await alice.stop("places")
        await until(lambda: state["job_id"] not in cluster.active(), "the job is gone")
        assert log.exists()
    finally:
        shutil.rmtree(home / "job logs", ignore_errors=True)
        shutil.rmtree(work, ignore_errors=True)


@pytest.fixture
def noisy_commands(cluster: Cluster) -> Iterator[str]:
    """Give a folder with scripts that print a notice and then run the scheduler's own commands."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        for name in get_scheduler(cluster.name).needed_commands():
            path = ":".join(filter(None, (cluster.path, os.environ["PATH"])))
            real = shutil.which(name, path=path)
            script = Path(folder, name)
            script.write_text(
                f'#!/bin/sh\necho "Notice: maintenance on Tuesday"\nexec {real} "$@"\n'
            )
            script.chmod(0o755)
        yield folder


async def test_commands_that_print_notices(
    hub: RunningHub, cluster: Cluster, noisy_commands: str
) -> None:
    """A server starts and stops where every command prints a notice, also if it has the only job;
    the Hub's log quotes the notice once for each command."""
    bob = await hub.client("bob")
    scheduler = get_scheduler(cluster.name)
    more = {"use_drmaa": False} if cluster.name == "gridengine" else {}
    hub.set("bob", "noisy", scheduler_path=noisy_commands, **more)
    await start(bob, "noisy")
    state = await hub.state("bob", "noisy")
    await bob.stop("noisy")
    await until(lambda: state["job_id"] not in cluster.active(), "the job is gone")
    listing = scheduler.status_command()[0]
    warning = f"{listing} printed lines that do not belong to its answer"
    assert 1 == hub.log().count(warning)
    assert "Notice: maintenance on Tuesday" in hub.log()


@pytest.fixture(params=ACCOUNTS)
def odd_account(request: pytest.FixtureRequest) -> Iterator[pwd.struct_passwd]:
    """Give an account of this name, as directory services have them."""
    name, home = request.param, f"/home/odd{ACCOUNTS.index(request.param)}"
    uid = str(LOWEST_UID + ACCOUNTS.index(name))
    made = subprocess.run(
        ["useradd", "--badname", "-u", uid, "-m", "-d", home, "-s", "/bin/bash", "-U", name],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        pytest.skip(f"this system's useradd makes no {name!r}: {made.stderr.strip()}")
    try:
        yield pwd.getpwnam(name)
    finally:
        # -f: processes of the job may still be ending.
        subprocess.run(["userdel", "-f", "-r", name], capture_output=True)


def test_an_account_with_an_odd_name(cluster: Cluster, odd_account: pwd.struct_passwd) -> None:
    """A job of such an account runs, is found as its own in the list of all jobs, and ends."""
    name = odd_account.pw_name
    account = asyncio.run(find_account(name, 1000))
    state_dir = Path(odd_account.pw_dir, ".unispawner")
    agent = ClusterAgent(cluster, state_dir, user=name)
    if words := REFUSED.get((cluster.name, name)):
        assert words in agent.error()["output"]
        return
    if " " in name and cluster.name == "gridengine":
        pytest.skip("Grid Engine never starts a job of an account with a blank")
    if " " in name and cluster.name == "htcondor":
        assert "has a blank" in agent.error()["message"]
        return
    job = agent.submit("id -un; sleep 300")
    environment = {"PATH": os.environ["PATH"], **cluster.environment}
    try:
        agent.wait_state(job, "RUNNING")
        question = get_scheduler(cluster.name).query()
        info = asyncio.run(hold_dialogue(question, SubmitHost(), environment))[job.job_id]
        assert (JobState.RUNNING, True) == (info.state, account.owns(info.owner)), info
        assert {"job_id": job.job_id} == agent.ask("find", mark=job.mark)
        (job.directory / "job_id").unlink()
        assert {"job_id": job.job_id} == agent.ask("find", mark=job.mark)
        assert [name] == job.text().splitlines()[:1]
    finally:
        agent.ask("cancel", job_id=job.job_id)
