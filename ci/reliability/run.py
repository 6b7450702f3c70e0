"""Tries faults in cells, and puts everything back."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence

from support.clusters import CLUSTERS
from support.guarantee import Violation
from support.watch import Watch

from .cell import Cell
from .figures import Row, count
from .moments import Fault, Trial, try_moment


def say(text: str) -> None:
    """Print what the run is at."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


async def try_moment_watched(cell: Cell, fault: Fault, moment: str) -> Trial:
    """Let a fault strike at a moment while all is watched; at the end nothing is left of it."""
    try:
        async with Watch(cell.hub, cell.cluster) as cell.watch:
            return await try_moment(cell, fault, moment)
    finally:
        await cell.clean()


async def try_fault(cell: Cell, fault: Fault) -> Row:
    """Let a fault strike at each of its moments; return the row of the table."""
    violations: list[Violation] = []
    seconds, read = 0.0, ""
    where = f"{cell.cluster.name}, {cell.spawner}"
    for moment in fault.moments:
        trial = await try_moment_watched(cell, fault, moment)
        violations += trial.violations
        seconds = max(seconds, trial.seconds)
        told = [one.text for one in cell.watch.history.told]
        read = told[-1] if told else read
        found = "; ".join(map(str, trial.violations)) or "in order"
        say(f"{fault.name}, {moment}, {where}: {found} after {trial.seconds:.1f} s; {told}")
    counts, tried = count(violations), len(fault.moments)
    return Row(fault.name, cell.cluster.name, cell.spawner, tried, counts, seconds, read)


async def try_faults(scheduler: str, spawner: str, user: str, faults: Sequence[Fault]) -> list[Row]:
    """Try faults with one spawner class on one scheduler, in one Hub; return the rows."""
    chosen = [one for one in faults if scheduler in one.schedulers and spawner in one.spawners]
    rows: list[Row] = []
    if chosen:
        async with Cell(spawner, CLUSTERS[scheduler](), user) as cell:
            for fault in chosen:
                rows.append(await try_fault(cell, fault))
    return rows


async def try_all(
    schedulers: Sequence[str],
    spawners: Sequence[str],
    users: Sequence[str],
    faults: Sequence[Fault],
) -> list[Row]:
    """Try faults on each scheduler with each class; the schedulers are used at the same time."""

    async def on(scheduler: str, user: str) -> list[Row]:
        rows: list[Row] = []
        for spawner in spawners:
            rows += await try_faults(scheduler, spawner, user, faults)
        return rows

    found = await asyncio.gather(
        *(on(scheduler, user) for scheduler, user in zip(schedulers, users, strict=True))
    )
    return [row for rows in found for row in rows]
