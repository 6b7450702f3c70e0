"""``unispawner doctor --probe`` on a real Slurm: a healthy site, broken ones, and signals."""

from __future__ import annotations

import asyncio
import json
import pwd
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from support.clusters import Slurm, run
from support.hub import free_ports, until

pytestmark = pytest.mark.slurm

BIN = Path(sys.executable).parent
CONFIG = """
c.JupyterHub.spawner_class = "unispawner"
c.JupyterHub.hub_ip = {ip!r}
c.JupyterHub.hub_port = {port}
c.UniSpawner.scheduler = "slurm"
c.UniSpawner.scheduler_environment = {environment!r}
c.UniSpawner.duration = "00:05:00"
c.UniSpawner.job_name = "doctors-probe"
c.UniSpawner.cmd = [{singleuser!r}]
"""


class Doctor:
    """Runs the command for alice."""

    def __init__(self, slurm: Slurm, folder: Path) -> None:
        self.file = folder / "jupyterhub_config.py"
        (port,) = free_ports(slurm.hub_ip, 1)
        self.config = CONFIG.format(
            ip=slurm.hub_ip,
            port=port,
            environment=slurm.environment,
            singleuser=str(BIN / "jupyterhub-singleuser"),
        )

    async def begin(self, config: str, *arguments: str) -> Process:
        self.file.write_text(f"{self.config}\n{config}\n")
        return await asyncio.create_subprocess_exec(
            *(str(BIN / "unispawner"), "doctor", "-f", str(self.file), "--probe", "alice"),
            *arguments,
            stdout=PIPE,
            stderr=PIPE,
        )

    async def __call__(self, config: str, *arguments: str) -> tuple[int | None, dict[str, Any]]:
        """Return its exit status, and its results by their ids."""
        process = await self.begin(config, "--json", *arguments)
        out, err = await asyncio.wait_for(process.communicate(), 150)
        found = json.loads(out or err)
        return process.returncode, {one["id"]: one for one in found["checks"]}


@pytest.fixture
def doctor(slurm: Slurm, tmp_path: Path) -> Doctor:
    """Give the command, with the configuration of a healthy site."""
    return Doctor(slurm, tmp_path)


def jobs() -> str:
    return run("squeue", "-h", "-n", "doctors-probe", "-t", "PD,R,CF", "-o", "%i")


def wrong(results: dict[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in results.items() if one["outcome"] == "wrong"}


@pytest.fixture
def state_dir() -> Iterator[str]:
    """Give a folder of alice's outside of her home, which all nodes see."""
    with TemporaryDirectory(dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        shutil.chown(folder, "alice")
        yield folder


async def test_a_healthy_site(doctor: Doctor, state_dir: str) -> None:
    """Everything is right in a job of a real account; no job is left, and no file in the home."""
    home = Path(pwd.getpwnam("alice").pw_dir)
    before = set(home.iterdir())
    status, results = await doctor(f"c.UniSpawner.state_dir = {state_dir!r}")
    assert set() == {one for one in set(home.iterdir()) - before if "probe" in one.name}
    assert (0, {}) == (status, wrong(results))
    of_job = ("submit", "queue", "state_dir", "home", "shell", "singleuser")
    names = (*of_job, "hub", "port", "clock", "time", "removed")
    assert {f"probe.{name}" for name in names} <= set(results)
    assert "" == jobs()


async def test_a_broken_site(doctor: Doctor) -> None:
    """Faults of one site are all found at once, and each has a cause and a cure."""
    status, results = await doctor(
        "c.UniSpawner.cmd = ['/none/jupyterhub-singleuser']\n"
        "c.JupyterHub.hub_connect_ip = '192.0.2.10'\n"
        "c.UniSpawner.job_shell = '/bin/sh'\n"
        "c.UniSpawner.prologue = 'module load python'\n"
    )
    found = wrong(results)
    assert (1, {"probe.singleuser", "probe.hub", "probe.module"}) == (status, set(found))
    assert all(one["cure"] for one in found.values())
    assert "" == jobs()


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.long),
        pytest.param(signal.SIGHUP, marks=pytest.mark.long),
    ],
)
async def test_a_signal(doctor: Doctor, number: signal.Signals) -> None:
    """A doctor that a signal ends removes its job, also one that still waits."""
    process = await doctor.begin("c.UniSpawner.custom_attributes = {'slurm.hold': True}")
    await until(jobs, "the job is there", 60)
    process.send_signal(number)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert (130, "") == (process.returncode, jobs()), (out, err)


@pytest.mark.long
async def test_a_job_that_waits_for_ever(doctor: Doctor) -> None:
    """The time of a probe is limited; why its job waits is said, and the job is removed."""
    config = "c.UniSpawner.custom_attributes = {'slurm.hold': True}"
    status, results = await doctor(config, "--timeout", "4")
    assert (1, True) == (status, "probe.queue" in wrong(results))
    assert "still waits 4 s" in results["probe.queue"]["text"]
    assert "" == jobs()
