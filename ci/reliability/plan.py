"""Which faults are tried where, in which order, and how long that takes: pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from .figures import Row
from .moments import Fault

FEW = ("running", "submitted", "starting", "stopping", "at once", "at once, slower")
"""The moments for other classes than UniSpawner, which shows all steps of a start and a stop."""
AT_MOST = {"ProfilesSpawner": 1, "legacy": 2}
"""At how many of these moments they are tried: ProfilesSpawner is UniSpawner with choices."""
TRIAL = 30.0
"""How long (seconds) a trial takes besides the fault: a start, a look, a stop."""
LIMIT = 400.0
"""How long (seconds) a trial may take besides the fault and T, until its lane is given up."""


@dataclass(frozen=True)
class Task:
    """A row to be tried: one fault, at some moments, with one class on one scheduler.

    Attributes
    ----------
    estimate
        How long it will take, in seconds.
    limit
        After how many seconds it is given up.
    """

    fault: str
    scheduler: str
    spawner: str
    moments: tuple[str, ...]
    estimate: float
    limit: float

    @property
    def key(self) -> tuple[str, str, str]:
        return self.fault, self.scheduler, self.spawner


def make_tasks(
    faults: Iterable[Fault],
    schedulers: Collection[str],
    spawners: Collection[str],
    *,
    moments: Collection[str] = (),
    took: Mapping[tuple[str, str, str], Row] | None = None,
) -> list[Task]:
    """Return all rows to be tried, the longest first.

    Parameters
    ----------
    moments
        Only these moments of a fault that has any of them; default: all for UniSpawner, some for
        other classes.
    took
        Rows of an earlier run, which say how long each took.
    """
    tasks = []
    for fault in faults:
        for scheduler in (one for one in schedulers if one in fault.schedulers):
            for spawner in (one for one in spawners if one in fault.spawners):
                chosen = _choose(fault.moments, spawner, moments)
                tasks.append(_make_task(fault, scheduler, spawner, chosen, took or {}))
    return sorted(tasks, key=lambda task: -task.estimate)


def _make_task(
    fault: Fault,
    scheduler: str,
    spawner: str,
    moments: tuple[str, ...],
    took: Mapping[tuple[str, str, str], Row],
) -> Task:
    before = took.get((fault.name, scheduler, spawner))
    if before and before.took and before.tried == len(moments):
        estimate = before.took
    else:
        estimate = len(moments) * (TRIAL + fault.seconds)
    limit = len(moments) * (fault.seconds + 3 * fault.within + LIMIT)
    return Task(fault.name, scheduler, spawner, moments, estimate, limit)


def _choose(moments: tuple[str, ...], spawner: str, wanted: Collection[str]) -> tuple[str, ...]:
    if chosen := tuple(one for one in moments if one in wanted):
        return chosen
    if spawner not in AT_MOST:
        return moments
    few = tuple(one for one in moments if one in FEW)
    return few[: AT_MOST[spawner]] or moments


def share_lanes(tasks: Sequence[Task], lanes: int) -> dict[str, int]:
    """Return how many lanes each scheduler gets, by how much there is to do; at least one each."""
    work: dict[str, float] = {}
    count: dict[str, int] = {}
    for task in tasks:
        work[task.scheduler] = work.get(task.scheduler, 0.0) + task.estimate
        count[task.scheduler] = count.get(task.scheduler, 0) + 1
    shares = dict.fromkeys(work, 1)
    while sum(shares.values()) < lanes:
        open_ones = [name for name in work if shares[name] < count[name]]
        if not open_ones:
            break
        shares[max(open_ones, key=lambda name: work[name] / shares[name])] += 1
    return shares


def estimate(tasks: Sequence[Task], shares: Mapping[str, int]) -> float:
    """Return how many seconds all tasks take, if the longest in each scheduler's queue go first."""
    longest = 0.0
    for scheduler, lanes in shares.items():
        free_at = [0.0] * lanes
        for task in sorted(tasks, key=lambda task: -task.estimate):
            if task.scheduler == scheduler:
                first = min(range(lanes), key=free_at.__getitem__)
                free_at[first] += task.estimate
        longest = max(longest, *free_at)
    return longest


def minutes(seconds: float) -> str:
    return f"{math.ceil(seconds / 60)} min"
