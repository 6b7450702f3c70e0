"""Tries faults in cells, and puts everything back."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import AsyncIterator, Sequence

from support.clusters import CLUSTERS, Cluster
from support.guarantee import Kind, Violation
from support.watch import Watch

from unispawner.admin.hub_client import HubClientError

from .cell import Cell
from .figures import Row, count
from .moments import Fault, Trial, try_moment
from .own_slurm import own_slurm

Rows = AsyncIterator[Row]


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
        try:
            trial = await try_moment_watched(cell, fault, moment)
        except (
            AssertionError,
            HubClientError,
            OSError,
        ) as error:  # the others are tried all the same
            trial = Trial([Violation(Kind.UNSEEN, 0, cell.server, f"no trial: {error}")], math.inf)
        violations += trial.violations
        seconds = max(seconds, trial.seconds)
        told = [one.text for one in cell.watch.history.told]
        read = told[-1] if told else read
        found = "; ".join(map(str, trial.violations)) or "in order"
        say(f"{fault.name}, {moment}, {where}: {found} after {trial.seconds:.1f} s; {told}")
    counts, tried = count(violations), len(fault.moments)
    return Row(fault.name, cell.cluster.name, cell.spawner, tried, counts, seconds, read)


async def try_faults(cluster: Cluster, spawner: str, user: str, faults: Sequence[Fault]) -> Rows:
    """Try faults with one spawner class on one scheduler, in one Hub; yield the rows."""
    chosen = [one for one in faults if cluster.name in one.schedulers and spawner in one.spawners]
    if chosen:
        async with Cell(spawner, cluster, user) as cell:
            for fault in chosen:
                yield await try_fault(cell, fault)


async def try_on(
    scheduler: str, spawners: Sequence[str], user: str, faults: Sequence[Fault]
) -> Rows:
    """Try faults on a scheduler with each class; what breaks a scheduler needs one of our own."""
    shared = [one for one in faults if not one.own]
    own = [one for one in faults if one.own and scheduler in one.schedulers]
    for spawner in spawners:
        async for row in try_faults(CLUSTERS[scheduler](), spawner, user, shared):
            yield row
    if own:
        with own_slurm() as cluster:
            for spawner in spawners:
                async for row in try_faults(cluster, spawner, user, own):
                    yield row
