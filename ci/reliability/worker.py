"""What runs in a lane: it brings a scheduler up, and tries the rows that it is given."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import TextIO

from support import CHECKOUT
from support.clusters import CLUSTERS

from .cell import Cell
from .faults import FAULTS
from .plan import Task
from .run import say, try_fault
from .scheduler import UP_OPTIONS

USER = "alice"
"""The account that works in all cells; ci/*/up makes it."""


def bring_up(scheduler: str) -> None:
    """Bring a scheduler up, and set the variables that its commands need."""
    folder = CHECKOUT / "ci" / scheduler
    # The lane has a copy of what one on the machine itself has left.
    subprocess.run([str(folder / "down")], check=True, stdout=sys.stderr)
    script = 'settings=$("$@") && eval "$settings" && exec env -0'
    command = [str(folder / "up"), *UP_OPTIONS.get(scheduler, ())]
    done = subprocess.run(["bash", "-c", script, "bash", *command], check=True, capture_output=True)
    for entry in done.stdout.decode().split("\0"):
        name, _, value = entry.partition("=")
        if name:
            os.environ[name] = value


async def work(scheduler: str) -> None:
    """Answer each task of standard input with its row; each is a line of JSON."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing else may write to it
    await asyncio.to_thread(bring_up, scheduler)
    _write(answers, {"ready": True})
    cell: Cell | None = None
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            values = json.loads(line)
            task = Task(**{**values, "moments": tuple(values["moments"])})
            if cell is None or cell.spawner != task.spawner:
                if cell is not None:
                    await cell.close()
                cell = Cell(task.spawner, CLUSTERS[scheduler](), USER)
                await cell.start_hub()
            _write(answers, asdict(await try_fault(cell, FAULTS[task.fault], task.moments)))
    except Exception as error:
        say(f"the lane is given up: {error!r}")
        raise
    finally:
        if cell is not None:
            await cell.close()


def _write(answers: TextIO, value: dict[str, object]) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()
