"""What breaks a scheduler itself, and its nodes: only in a lane, where nobody else uses it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from support import CHECKOUT
from support.clusters import run
from support.hub import until
from support.watch import processes_with_mark

from .cell import OTHER_USER, Cell

UP_OPTIONS = {"slurm": ("--preempt",)}
"""The options of ci/*/up."""
CONTROLLERS = {"slurm": "slurmctld", "gridengine": "sge_qmaster", "htcondor": "condor_schedd"}
"""The daemon that knows the jobs, as ci/*/up names it."""
SUBMIT_HELD = {
    "slurm": (("sbatch", "-H", "-o/dev/null", "--parsable", "--wrap=sleep 600"), ""),
    "gridengine": (("qsub", "-h", "-terse", "-o", "/dev/null", "-b", "y", "sleep", "600"), ""),
    "htcondor": (
        ("condor_submit", "-terse", "-"),
        "executable = /bin/sleep\narguments = 600\nhold = True\nqueue\n",
    ),
}
"""What submits a job that never runs, and its standard input; it prints the id first."""


def _folder(cell: Cell) -> Path:
    return Path(cell.cluster.folder)


def _controller(cell: Cell) -> int:
    return int((_folder(cell) / "pids" / CONTROLLERS[cell.cluster.name]).read_text())


async def freeze(cell: Cell) -> None:
    """Stop the controller, so that every command waits."""
    os.kill(_controller(cell), signal.SIGSTOP)


async def thaw(cell: Cell) -> None:
    os.kill(_controller(cell), signal.SIGCONT)


async def kill(cell: Cell) -> None:
    """Kill the controller, and wait until its ports are free."""
    pid = _controller(cell)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not Path(f"/proc/{pid}/exe").exists(), "the controller has ended")


async def bring_up(cell: Cell) -> None:
    """Start what has died; jobs stay."""
    name = cell.cluster.name
    command = (str(CHECKOUT / "ci" / name / "up"), *UP_OPTIONS.get(name, ()))
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=150)


# -- state that is lost -------------------------------------------------------------------------


async def keep_empty_state(cell: Cell) -> None:
    """Keep what Grid Engine knows before there is any job: its hosts and queues are there, too."""
    if cell.cluster.name == "gridengine":
        await kill(cell)
        spool, kept = _folder(cell) / "spool", _folder(cell) / "kept"
        shutil.rmtree(kept, ignore_errors=True)
        await asyncio.to_thread(run, "cp", "-a", str(spool / "spooldb"), str(kept))
        await bring_up(cell)


async def lose_state(cell: Cell) -> None:
    """Kill the controller and remove all that it knows of jobs: ids begin anew."""
    await kill(cell)
    await asyncio.sleep(0.5)
    await asyncio.to_thread(LOSE[cell.cluster.name], _folder(cell))


def _lose_of_slurm(folder: Path) -> None:
    state = folder / "spool/slurmctld"
    shutil.rmtree(state)
    state.mkdir()


def _lose_of_gridengine(folder: Path) -> None:
    shutil.rmtree(folder / "spool/spooldb")
    run("cp", "-a", str(folder / "kept"), str(folder / "spool/spooldb"))
    (folder / "spool/qmaster/jobseqnum").write_text("0\n")


def _lose_of_htcondor(folder: Path) -> None:
    for path in (folder / "hosts/condorhub/spool").glob("job_queue.log*"):
        path.unlink()


LOSE: dict[str, Callable[[Path], None]] = {
    "slurm": _lose_of_slurm,
    "gridengine": _lose_of_gridengine,
    "htcondor": _lose_of_htcondor,
}


async def bring_up_and_take_the_id(cell: Cell) -> None:
    """Start the controller; then another user's job has the id of ours."""
    ours = int((await cell.state()).get("job_id") or 0)
    await bring_up(cell)
    command, stdin = SUBMIT_HELD[cell.cluster.name]
    for _ in range(ours):
        text = await asyncio.to_thread(run, *command, user=OTHER_USER, stdin=stdin)
        job_id = "".join(text.replace(".", " ").replace(";", " ").split()[:1])
        cell.at_end(functools.partial(cell.cluster.cancel, job_id, OTHER_USER))
        if int(job_id) >= ours:
            break


# -- nodes --------------------------------------------------------------------------------------


LEASE = 60
"""How long (seconds) HTCondor looks for a job whose node has gone, for `power_off`."""


async def shorten_lease(cell: Cell) -> None:
    """Let HTCondor give a job on a dead node up after a minute; by default it takes 40 minutes."""
    if cell.cluster.name == "htcondor":
        cell.hub.set(cell.user, custom_attributes={"htcondor.job_lease_duration": str(LEASE)})
        cell.at_end(functools.partial(cell.hub.set, cell.user))


async def power_off(cell: Cell) -> None:
    """Kill all that runs on the node of the job, the scheduler's daemon first."""
    (job,) = await cell.jobs()
    pids = await asyncio.to_thread(processes_with_mark, job.mark)
    assert pids, "no process of the job was found"
    namespace = os.readlink(f"/proc/{pids[0]}/ns/net")
    assert namespace != os.readlink("/proc/self/ns/net")
    for pid in sorted(_processes_in(namespace)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _processes_in(namespace: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and os.readlink(entry / "ns/net") == namespace:
                found.append(int(entry.name))
    return found


async def power_on(cell: Cell) -> None:
    """Start the node's daemon again, as when a node boots."""
    await bring_up(cell)


# -- pre-emption --------------------------------------------------------------------------------


async def preempt(cell: Cell) -> None:
    """Submit another user's job that needs all nodes, in a partition that pre-empts ours."""
    nodes = len((await asyncio.to_thread(run, "sinfo", "-hN", "-p", "urgent")).splitlines())
    command = ("sbatch", "-p", "urgent", f"-N{nodes}", "--exclusive", "-o/dev/null", "--parsable")
    text = await asyncio.to_thread(run, *command, "--wrap=sleep 600", user=OTHER_USER)
    job_id = text.partition(";")[0]
    cell.at_end(lambda: cell.cluster.cancel(job_id, OTHER_USER))
    cell.preempting = job_id


async def end_preempting(cell: Cell) -> None:
    await asyncio.to_thread(cell.cluster.cancel, cell.preempting, OTHER_USER)
