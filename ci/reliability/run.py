"""Tries a fault in a cell, and puts everything back."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Sequence

from support.guarantee import Kind, Violation
from support.watch import Watch

from unispawner.admin.hub_client import HubClientError

from .cell import Cell
from .figures import Row, count
from .moments import Fault, Trial, try_moment

LINES = 400
"""How many lines of the Hub's log are printed after a trial that was not in order."""


def say(text: str) -> None:
    """Print what the run is at."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def say_log(log: str) -> None:
    """Print the Hub's log of a trial that was not in order: nothing else is left of its lane."""
    lines = [line for line in log.splitlines() if not line.startswith("[D ")]
    for line in lines[-LINES:]:
        print(f"    {line[:1000]}", file=sys.stderr)
    sys.stderr.flush()


async def try_moment_watched(cell: Cell, fault: Fault, moment: str) -> Trial:
    """Let a fault strike at a moment while all is watched; at the end nothing is left of it."""
    try:
        async with Watch(cell.hub, cell.cluster) as cell.watch:
            return await try_moment(cell, fault, moment)
    finally:
        await cell.clean()


async def try_fault(cell: Cell, fault: Fault, moments: Sequence[str] = ()) -> Row:
    """Let a fault strike at moments, by default at all of its own; return the row of the table."""
    moments = moments or fault.moments
    violations: list[Violation] = []
    seconds, read, note = 0.0, "", ""
    where = f"{cell.cluster.name}, {cell.spawner}"
    began = time.monotonic()
    for moment in moments:
        seen = len(cell.hub.log())
        try:
            trial = await try_moment_watched(cell, fault, moment)
        except (AssertionError, HubClientError, OSError) as error:  # the others are tried as well
            trial = Trial([Violation(Kind.UNSEEN, 0, cell.server, f"no trial: {error}")], math.inf)
        violations += trial.violations
        seconds, note = max(seconds, trial.seconds), trial.note or note
        told = [one.text for one in cell.watch.history.told if one.server == cell.server]
        read = told[-1] if told else read
        found = "; ".join(map(str, trial.violations)) or "in order"
        say(f"{fault.name}, {moment}, {where}: {found} after {trial.seconds:.1f} s; {told}")
        if trial.violations:
            say_log(cell.hub.log()[seen:])
    return Row(
        fault.name,
        cell.cluster.name,
        cell.spawner,
        len(moments),
        count(violations),
        seconds,
        read,
        note,
        time.monotonic() - began,
        os.getloadavg()[0],
    )
