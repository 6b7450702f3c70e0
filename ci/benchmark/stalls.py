"""Notes in a file when the Hub's event loop stood still: its configuration calls watch()."""

from __future__ import annotations

import asyncio
import time

TICK = 0.02
SHORTEST = 0.02
"""Stalls below this many seconds are not noted."""
_tasks: list[asyncio.Task[None]] = []


def watch(path: str) -> None:
    """Append a line to the file for each stall: when it ended, and its seconds.

    Moments are of time.time: a Hub in a container may have a monotonic clock of its own.
    """
    _tasks.append(asyncio.get_running_loop().create_task(_watch(path)))


async def _watch(path: str) -> None:
    while True:
        due = time.time() + TICK
        await asyncio.sleep(TICK)
        now = time.time()
        if now - due > SHORTEST:
            with open(path, "a") as file:  # noqa: ASYNC230 - a line in a file of /tmp, and rarely
                file.write(f"{now:.3f} {now - due:.3f}\n")


def longest(path: str, since: float) -> float:
    """Return the longest stall since a moment; 0.0 if there was none."""
    try:
        with open(path) as file:
            noted = [[float(word) for word in line.split()] for line in file]
    except FileNotFoundError:
        return 0.0
    return max((lag for moment, lag in noted if moment >= since), default=0.0)
