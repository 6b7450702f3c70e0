"""What is compared, and how the Hub of each is configured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support.clusters import Slurm
from support.hub import HUB_ACCOUNT, USER_GROUP, find_program

PARTITION = "bench"
MEMORY_MB = 100

COMMON = """
import os, sys
os.environ.update({environment!r})
sys.path.insert(0, {folder!r})
from benchmark import stalls
stalls.watch({stalls!r})
c.JupyterHub.log_level = "INFO"
# A start that takes longer than this is answered "pending"; a stop is answered when it is done.
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 2, "slow_stop_timeout": 600}}
c.Spawner.cmd = c.UniSpawner.cmd = ["python3", "-I", {server!r}]
c.Spawner.poll_interval = 30
"""


@dataclass(frozen=True)
class Place:
    """Where the files of a candidate are.

    Attributes
    ----------
    folder
        A folder that everybody can read, with a copy of ``ci/benchmark``.
    server
        The stub server, an executable program.
    commands
        The folder with the programs that note each question to Slurm.
    stalls
        The file with the stalls of the Hub's event loop.
    """

    folder: Path
    server: Path
    commands: Path
    stalls: Path


@dataclass(frozen=True)
class Candidate:
    """A way to run servers on Slurm in a Hub.

    Attributes
    ----------
    name, title
        Its name for options, and for people.
    config
        Returns the lines of its jupyterhub_config.py.
    account
        The account of the Hub.
    sudoers
        The line for sudo; empty for the one that UniSpawner needs.
    elsewhere
        Whether the Hub is in a container, and reaches Slurm by ssh.
    most_rounds
        How many rounds at most, for one that takes long.
    """

    name: str
    title: str
    config: Callable[[Place], str]
    account: str = HUB_ACCOUNT
    sudoers: str = ""
    elsewhere: bool = False
    most_rounds: int = 100

    def full_config(self, place: Place) -> str:
        """Return all lines that the Hub of this candidate has beside those of the tests' Hubs."""
        common = COMMON.format(
            environment=Slurm().environment,
            folder=str(place.folder),
            stalls=str(place.stalls),
            server=str(place.server),
        )
        return common + self.config(place)


def _floor(place: Place) -> str:
    return f"""
c.JupyterHub.spawner_class = "benchmark.floor.FloorSpawner"
c.FloorSpawner.sbatch = "sbatch --mem={MEMORY_MB} --partition={PARTITION}"
c.FloorSpawner.squeue = "{place.commands}/squeue --partition={PARTITION}"
"""


def _batchspawner(place: Place) -> str:
    """Return the default script and commands, with the stub server in place of the program."""
    variables = " ".join(f"{name}={value}" for name, value in Slurm().environment.items())
    return f"""
import batchspawner
c.JupyterHub.spawner_class = "batchspawner.SlurmSpawner"
c.SlurmSpawner.cmd = [{str(place.server)!r}]
c.SlurmSpawner.batchspawner_singleuser_cmd = {find_program("batchspawner-singleuser")!r}
c.SlurmSpawner.exec_prefix = "sudo -E -u {{username}} {variables}"
c.SlurmSpawner.batch_query_cmd = "{place.commands}/squeue -h -j {{job_id}} -o '%T %B'"
c.SlurmSpawner.req_memory = "{MEMORY_MB}"
c.SlurmSpawner.req_partition = "{PARTITION}"
c.SlurmSpawner.req_srun = ""
"""


def _unispawner(run_as: str) -> Callable[[Place], str]:
    def config(place: Place) -> str:
        return f"""
c.UniSpawner.run_as = {run_as!r}
c.UniSpawner.resources = {{"memory": "{MEMORY_MB}M"}}
c.UniSpawner.queue_name = {PARTITION!r}
c.UniSpawner.status_interval = 15
"""

    return config


class CountedSlurm(Slurm):
    """Slurm for a Hub whose questions are counted.

    Parameters
    ----------
    commands
        The folder with the programs that note each question.
    """

    def __init__(self, commands: Path) -> None:
        self._commands = commands

    @property
    def path(self) -> str:
        return str(self._commands)


BARE = "bare"
TITLES = {BARE: "bare sbatch"}
"""Without any Hub: what Slurm itself takes."""
HUBS = {
    one.name: one
    for one in (
        Candidate("floor", "floor", _floor, account="root"),
        Candidate(
            "batchspawner",
            "batchspawner 1.3",
            _batchspawner,
            sudoers=f"{HUB_ACCOUNT} ALL=(%{USER_GROUP}) NOPASSWD:SETENV: ALL",
            most_rounds=1,
        ),
        Candidate("broker", "UniSpawner, broker", _unispawner("broker"), account="root"),
        Candidate("sudo", "UniSpawner, sudo", _unispawner("sudo")),
        Candidate("ssh", "UniSpawner, ssh", _unispawner("auto"), elsewhere=True),
    )
}
TITLES |= {name: one.title for name, one in HUBS.items()}
