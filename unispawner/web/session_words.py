"""What a user reads about earlier sessions: how they ended, and what they used of what they had.

Each text is one whole sentence or label, with places for amounts.
"""

from __future__ import annotations

from collections.abc import Mapping

from .summary import describe_memory

_ENDINGS = {
    "": "Waits or runs",
    "stopped": "Stopped",
    "ended": "Ended by itself",
    "failed": "Failed",
    "refused": "Refused",
    "unknown": "Ended while the Hub did not run",
}
_CAUSES = {
    "time_limit": "Reached its time limit",
    "memory": "Used more memory than it had",
    "preempted": "Had to make room for another job",
    "cancelled": "Cancelled on the cluster, not on the Hub",
    "node": "Its node failed",
}
_STOPPED_BY = {
    "service": "Stopped by a service of the Hub, most likely because nobody used it",
    "administrator": "Stopped by an administrator of the Hub",
}
_USED = {
    "memory": ("Memory: {used} of {requested}", "Memory: {used}"),
    "cores": ("Cores: {used} of {requested} on average", "Cores: {used} on average"),
    "gpus": ("GPUs: {used} of {requested} on average", "GPUs: {used} on average"),
    "gpu_memory": ("Memory of GPUs: {used} of {requested}", "Memory of GPUs: {used}"),
    "seconds": ("Time: {used} of {requested}", "Time: {used}"),
}
"""What a session used of each kind: with and without what it had asked for."""
_HINTS = {
    "memory": (
        "Your last session of this profile used {used} of {requested} of memory.",
        "Your last {count} sessions of this profile used at most {used} of {requested} of memory.",
    ),
    "cores": (
        "Your last session of this profile used {used} of {requested} cores on average.",
        "Your last {count} sessions of this profile used at most {used} of {requested} cores on "
        "average.",
    ),
    "gpus": (
        "Your last session of this profile used {used} of {requested} GPUs on average.",
        "Your last {count} sessions of this profile used at most {used} of {requested} GPUs on "
        "average.",
    ),
    "seconds": (
        "Your last session of this profile ran for {used} of {requested}.",
        "Your last {count} sessions of this profile ran for at most {used} of {requested}.",
    ),
}
"""The hint beside a field: about one session, and about several."""


def describe_ending(outcome: str, cause: str) -> str:
    """Return how a session ended, in a few words."""
    if outcome == "stopped":
        return _STOPPED_BY.get(cause, _ENDINGS[outcome])
    if outcome in ("failed", "unknown"):
        return _CAUSES.get(cause, _ENDINGS[outcome])
    return _ENDINGS[outcome]


def describe_used(requested: Mapping[str, float], used: Mapping[str, float]) -> list[str]:
    """Return what a session used of each kind; nothing where that is not known."""
    found = []
    for kind, (of, alone) in _USED.items():
        if kind in used:
            amount, whole = describe_part(kind, used[kind], requested.get(kind))
            found.append((of if whole else alone).format(used=amount, requested=whole))
    return found


def describe_hint(kind: str, used: float, requested: float, count: int) -> str:
    """Return what the last sessions used at most, for the field in which a user asks for it."""
    amount, whole = describe_part(kind, used, requested)
    one, several = _HINTS[kind]
    return (one if count == 1 else several).format(used=amount, requested=whole, count=count)


HINTS = frozenset(_HINTS)
"""The kinds of which there are hints."""


def describe_part(kind: str, used: float, requested: float | None) -> tuple[str, str]:
    """Return two amounts of a kind: "3.1" and "64 GiB". The second is empty if it is not known."""
    if kind == "seconds":
        return describe_time(used), "" if requested is None else describe_time(requested)
    if kind in ("memory", "gpu_memory"):
        amount = describe_memory(max(1, int(used)))
        if not requested:
            return amount, ""
        whole = describe_memory(max(1, int(requested)))
        number, _, unit = amount.partition(" ")
        return (number if whole.endswith(f" {unit}") else amount), whole
    return f"{round(used, 1):g}", "" if requested is None else f"{round(requested, 1):g}"


def describe_time(seconds: float) -> str:
    """Return a length of time: "45 s", "12 min", "1 h 10 min", "8 h"."""
    if seconds < 60:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {rest} min" if rest else f"{hours} h"
