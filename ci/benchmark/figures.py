"""What is computed from the measurements: pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

ONE_JOB = ("-j", "--job", "--jobs", "-u", "--user", "--users")
"""The options of squeue with which it asks about some jobs only."""
OWN_JOBS = ("--me",)


def percentile(values: Iterable[float], percent: float) -> float:
    """Return a percentile, between the two nearest values in proportion; nan without values."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def is_listing(words: Sequence[str]) -> bool:
    """Return whether a command of Slurm asks about all jobs, and not about some by id or user.

    Parameters
    ----------
    words
        The name of the command, and its arguments.
    """
    if words[0] != "squeue":
        return False
    for word, following in zip(words[1:], [*words[2:], ""], strict=True):
        name, _, value = word.partition("=")
        if name in OWN_JOBS or (len(word) > 2 and word[:2] in ("-j", "-u") and word[2:] != "*"):
            return False
        if name in ONE_JOB and "," not in (value or following):
            return False
    return True


@dataclass
class Load:
    """The measurements of some users who start at once and stop at once, over all rounds.

    Attributes
    ----------
    api_ready, ready
        Seconds from each request until the API said "ready", and until the server answered, too.
    stopped
        Seconds from each request to stop until it was confirmed.
    start_cpu, stop_cpu
        Processor seconds of the Hub with all its children, for each round.
    api
        Seconds of each answer of the Hub's API meanwhile.
    stall
        The longest stall (seconds) of the Hub's event loop.
    """

    api_ready: list[float] = field(default_factory=list)
    ready: list[float] = field(default_factory=list)
    stopped: list[float] = field(default_factory=list)
    start_cpu: list[float] = field(default_factory=list)
    stop_cpu: list[float] = field(default_factory=list)
    api: list[float] = field(default_factory=list)
    stall: float = 0.0


@dataclass
class Minute:
    """What a Hub does in a minute without starts and stops.

    Attributes
    ----------
    listings, singles
        Questions about all jobs, and about some by id or by user.
    processes
        The processes that the Hub and its children have started; None if this is not known.
    cpu
        Processor seconds of the Hub with all its children.
    """

    listings: float
    singles: float
    processes: float | None = None
    cpu: float | None = None


@dataclass
class Results:
    """All measurements of a run.

    Attributes
    ----------
    loads
        By the number of users, then by candidate.
    starting, held, waiting
        By candidate: the minute from the request of 20 users on, with 20 servers, and with 50
        starts that wait in the queue.
    """

    loads: dict[int, dict[str, Load]] = field(default_factory=dict)
    starting: dict[str, Minute] = field(default_factory=dict)
    held: dict[str, Minute] = field(default_factory=dict)
    waiting: dict[str, Minute] = field(default_factory=dict)

    def load(self, size: int, candidate: str) -> Load:
        """Return the measurements of a candidate, to which a round may add."""
        return self.loads.setdefault(size, {}).setdefault(candidate, Load())


def median(values: Sequence[float]) -> float:
    """Return the median; nan without values."""
    return statistics.median(values) if values else math.nan


def ratio(value: float, floor: float) -> float:
    """Return how many times the floor a value is; nan if either is not known."""
    return value / floor if floor > 0 else math.nan
