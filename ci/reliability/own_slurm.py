"""Faults of a scheduler itself, on a Slurm of the command's own: ``ci/slurm/up --of-two=alpha``."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

from support import CHECKOUT
from support.clusters import OneOfTwoSlurms, run

from .cell import Cell

OTHER_USER = "bob"
"""Whose job gets the id of ours when Slurm has lost its state."""


@contextlib.contextmanager
def own_slurm() -> Iterator[OneOfTwoSlurms]:
    """Give a Slurm that only this command uses; take it down if it was not up before."""
    cluster = OneOfTwoSlurms("alpha")
    was_up = not cluster.why_not_here()
    cluster.bring_up()
    try:
        yield cluster
    finally:
        if not was_up:
            run(str(CHECKOUT / "ci/slurm/down"), "--of-two=alpha")


def _slurm(cell: Cell) -> OneOfTwoSlurms:
    assert isinstance(cell.cluster, OneOfTwoSlurms)
    return cell.cluster


def _signal_controller(cell: Cell, number: int) -> None:
    pid = int(Path(_slurm(cell).folder, "pids/slurmctld").read_text())
    os.kill(pid, number)


async def freeze(cell: Cell) -> None:
    """Stop the controller, so that every command waits."""
    _signal_controller(cell, signal.SIGSTOP)


async def thaw(cell: Cell) -> None:
    _signal_controller(cell, signal.SIGCONT)


async def kill(cell: Cell) -> None:
    _slurm(cell).kill_controller()


async def bring_up(cell: Cell) -> None:
    await asyncio.to_thread(_slurm(cell).bring_up)


async def lose_state(cell: Cell) -> None:
    """Kill the controller and remove all that it knows: ids begin anew, and nodes end the jobs."""
    _slurm(cell).kill_controller()
    await asyncio.sleep(0.5)
    state = Path(_slurm(cell).folder, "spool/slurmctld")
    await asyncio.to_thread(shutil.rmtree, state)
    await asyncio.to_thread(state.mkdir)


async def bring_up_and_take_the_id(cell: Cell) -> None:
    """Start the controller; then another user's job has the id of ours."""
    ours = int((await cell.state()).get("job_id") or 0)
    await bring_up(cell)
    submit = ("sbatch", "-H", "-o/dev/null", "--parsable", "--wrap=sleep 600")
    for _ in range(ours):
        job_id = await asyncio.to_thread(_slurm(cell).run, *submit, user=OTHER_USER)
        if int(job_id.partition(";")[0]) >= ours:
            break
