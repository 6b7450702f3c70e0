"""When a fault strikes: each moment is a trial, from a start to the end of its server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from support.guarantee import Violation

from .cell import Cell, T

Action = Callable[[Cell], Awaitable[None]]


async def nothing(cell: Cell) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Fault:
    """Something that breaks.

    Attributes
    ----------
    name
        One word or two, for the command line.
    title
        What breaks, for the table.
    inject, clear
        What breaks it, and what mends it. After `inject` it stays broken for `seconds`.
    moments
        When it strikes: names of `MOMENTS`.
    spares
        Whether a server that runs must survive.
    schedulers, spawners
        What it applies to.
    before
        What is done before the server starts.
    within
        T for this fault, in seconds.
    why
        Why the row isn't zero, if it isn't.
    """

    name: str
    title: str
    inject: Action
    clear: Action = nothing
    moments: tuple[str, ...] = ("running", "starting", "stopping")
    seconds: float = 5.0
    spares: bool = False
    schedulers: tuple[str, ...] = ("slurm", "gridengine", "htcondor")
    spawners: tuple[str, ...] = ("UniSpawner", "ProfilesSpawner", "legacy")
    before: Action = nothing
    within: float = T
    why: str = ""


@dataclass
class Trial:
    """What came of a fault at one moment: what was wrong, how long it took, what was measured."""

    violations: list[Violation] = field(default_factory=list)
    seconds: float = 0.0
    note: str = ""


async def strike(cell: Cell, fault: Fault, asked: Awaitable[int] | None = None) -> None:
    """Let the fault happen; `asked` is what the user asks for while it lasts."""
    task = None
    with cell.watch.fault(fault.name, spares=fault.spares):
        try:
            await fault.inject(cell)
            if asked is not None:
                task = asyncio.ensure_future(asked)
            await asyncio.sleep(fault.seconds)
        finally:
            await fault.clear(cell)
    if task is not None:
        await task


async def while_running(cell: Cell, fault: Fault) -> None:
    """The server runs."""
    await cell.start_and_wait()
    await asyncio.sleep(1)
    await strike(cell, fault)


async def while_starting(cell: Cell, fault: Fault) -> None:
    """The user asks for the server while it is broken."""
    await strike(cell, fault, cell.start())


async def when_submitted(cell: Cell, fault: Fault) -> None:
    """The scheduler has just got the job."""
    starting = asyncio.ensure_future(cell.start())
    await cell.job()
    await strike(cell, fault)
    await starting


async def while_stopping(cell: Cell, fault: Fault) -> None:
    """The user stops the server while it is broken."""
    await cell.start_and_wait()
    await strike(cell, fault, cell.stop())


def after_start(delay: float) -> Callable[[Cell, Fault], Awaitable[None]]:
    """Return a moment so many seconds after the request for a start."""

    async def moment(cell: Cell, fault: Fault) -> None:
        starting = asyncio.ensure_future(cell.start())
        await asyncio.sleep(delay)
        await strike(cell, fault)
        await starting

    return moment


def after_stop(delay: float) -> Callable[[Cell, Fault], Awaitable[None]]:
    """Return a moment so many seconds after the request for a stop."""

    async def moment(cell: Cell, fault: Fault) -> None:
        await cell.start_and_wait()
        stopping = asyncio.ensure_future(cell.stop())
        await asyncio.sleep(delay)
        await strike(cell, fault)
        await stopping

    return moment


def at_once(delay: float) -> Callable[[Cell, Fault], Awaitable[None]]:
    """Return a moment in which the user starts, stops and starts, twice, without waiting."""

    async def moment(cell: Cell, fault: Fault) -> None:
        asked: list[asyncio.Task[int]] = []
        with cell.watch.fault(fault.name):
            for ask in (cell.start, cell.stop, cell.start, cell.stop, cell.start):
                asked.append(asyncio.ensure_future(ask()))
                await asyncio.sleep(delay)
            await asyncio.gather(*asked)

    return moment


START_DELAYS = (0.1, 0.4, 0.9, 1.8, 3.0)
STOP_DELAYS = (0.1, 0.6)
MOMENTS: dict[str, Callable[[Cell, Fault], Awaitable[None]]] = {
    "running": while_running,
    "starting": while_starting,
    "submitted": when_submitted,
    "stopping": while_stopping,
    "at once": at_once(0.05),
    "at once, slower": at_once(1.0),
    **{f"start+{delay:g}": after_start(delay) for delay in START_DELAYS},
    **{f"stop+{delay:g}": after_stop(delay) for delay in STOP_DELAYS},
}
EACH_STEP = tuple(name for name in MOMENTS if "+" in name)
"""The moments that go through all steps of a start and a stop."""


async def try_moment(cell: Cell, fault: Fault, moment: str) -> Trial:
    """Let a fault strike at a moment, and look until all is in order; then stop the server."""
    trial = Trial()

    async def settle() -> None:
        found, seconds = await cell.watch.settle(fault.within)
        trial.violations += [one for one in found if one not in trial.violations]
        trial.seconds = max(trial.seconds, seconds)

    await fault.before(cell)
    await MOMENTS[moment](cell, fault)
    await settle()
    if not cell.watch.history.stops and await cell.jobs():
        recovered = trial.seconds
        await cell.stop()
        await settle()
        if trial.seconds != float("inf"):
            trial.seconds = recovered
    trial.note = cell.note
    return trial
