"""What a run needs on the machine, and puts back at its end: accounts, and a partition of Slurm."""

from __future__ import annotations

import contextlib
import os
import platform
import pwd
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Collection, Iterator
from importlib.metadata import version
from pathlib import Path

from support.hub import USER_GROUP

from .candidates import PARTITION
from .load import BenchError, run, wait_no_jobs

SERVER_BYTES = 60 * 1024**2
"""What a stub server takes, with its shell, its launcher and Slurm's own process."""


def say(text: str) -> None:
    """Print what the run is at."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def check_memory(servers: int) -> None:
    """Raise BenchError if the memory of this machine, which is all nodes, is too small."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable" and int(value.split()[0]) * 1024 < servers * SERVER_BYTES:
            raise BenchError(
                f"--rounds: {servers} servers at once need {servers * SERVER_BYTES / 1e9:.0f} GB "
                "of memory, and this machine has less: choose fewer users"
            )


@contextlib.contextmanager
def accounts(names: Collection[str]) -> Iterator[None]:
    """Make the accounts that do not exist, and remove these at the end."""
    made: list[str] = []
    try:
        for name in names:
            try:
                pwd.getpwnam(name)
            except KeyError:
                made.append(name)
                command = ["useradd", "--create-home", "--groups", USER_GROUP, name]
                subprocess.run(command, check=True)
        yield
    finally:
        for name in made:
            _remove_account(name)


def _remove_account(name: str) -> None:
    no_such_account = 6
    for _ in range(20):  # it fails while a process of the user ends
        done = subprocess.run(["userdel", "--remove", name], capture_output=True, check=False)
        if done.returncode in (0, no_such_account):
            return
        time.sleep(0.2)
    say(f"the account {name} could not be removed: userdel -r {name}")


@contextlib.asynccontextmanager
async def partition(jobs: int) -> AsyncIterator[None]:
    """Make a partition in which so many jobs find room; at the end remove it and its jobs.

    Slurm may give a core of it to several jobs. The bench's servers do nothing most of the time.
    """
    nodes = ",".join((await run("sinfo", "-h", "-N", "-o", "%N", "-r")).split())
    _, _, _, cores = (await run("sinfo", "-h", "-o", "%C", "-n", nodes)).split("/")
    share = f"OverSubscribe=FORCE:{-(-jobs // int(cores))}"
    with contextlib.suppress(BenchError):
        await run("scontrol", "delete", f"PartitionName={PARTITION}")  # of a run that was killed
    await run("scontrol", "create", f"PartitionName={PARTITION}", f"Nodes={nodes}", share)
    try:
        yield
    finally:
        await run("scancel", "-p", PARTITION)
        await wait_no_jobs()
        await run("scontrol", "delete", f"PartitionName={PARTITION}")


async def close_partition() -> None:
    """Let new jobs wait for ever; those that run go on."""
    await run("scontrol", "update", f"PartitionName={PARTITION}", "State=DOWN")


async def describe() -> str:
    """Return what the figures depend on: the machine and the versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    names = ("unispawner", "jupyterhub", "batchspawner", "psij-python")
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}, "
        f"{await run('sbatch', '--version')}, Python {platform.python_version()}, {packages}"
    )
