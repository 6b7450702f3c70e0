"""What a user reads about earlier sessions: how they ended, and what they used of what they had.

Each text is one whole sentence or label, with places for amounts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..texts import Text, number, say, say_count
from .summary import describe_memory

_ENDINGS = {
    "": say("Waits or runs"),
    "stopped": say("Stopped"),
    "ended": say("Ended by itself"),
    "failed": say("Failed"),
    "refused": say("Refused"),
    "unknown": say("Ended while the Hub did not run"),
}
_CAUSES = {
    "time_limit": say("Reached its time limit"),
    "memory": say("Used more memory than it had"),
    "preempted": say("Had to make room for another job"),
    "cancelled": say("Cancelled on the cluster, not on the Hub"),
    "node": say("Its node failed"),
}
_STOPPED_BY = {
    "service": say("Stopped by a service of the Hub, most likely because nobody used it"),
    "administrator": say("Stopped by an administrator of the Hub"),
}
_Used = Callable[[str, str], Text]
_USED: dict[str, tuple[_Used, _Used]] = {
    "memory": (
        lambda used, whole: say("Memory: {used} of {requested}", used=used, requested=whole),
        lambda used, _: say("Memory: {used}", used=used),
    ),
    "cores": (
        lambda used, whole: say(
            "Cores: {used} of {requested} on average", used=used, requested=whole
        ),
        lambda used, _: say("Cores: {used} on average", used=used),
    ),
    "gpus": (
        lambda used, whole: say(
            "GPUs: {used} of {requested} on average", used=used, requested=whole
        ),
        lambda used, _: say("GPUs: {used} on average", used=used),
    ),
    "gpu_memory": (
        lambda used, whole: say(
            "Memory of GPUs: {used} of {requested}", used=used, requested=whole
        ),
        lambda used, _: say("Memory of GPUs: {used}", used=used),
    ),
    "seconds": (
        lambda used, whole: say("Time: {used} of {requested}", used=used, requested=whole),
        lambda used, _: say("Time: {used}", used=used),
    ),
}
"""What a session used of each kind: with and without what it had asked for."""
_HINTS: dict[str, Callable[[int, dict[str, str]], Text]] = {
    "memory": lambda count, amounts: say_count(
        "Your last session of this profile used {used} of {requested} of memory.",
        "Your last {count} sessions of this profile used at most {used} of {requested} of memory.",
        count,
        **amounts,
    ),
    "cores": lambda count, amounts: say_count(
        "Your last session of this profile used {used} of {requested} cores on average.",
        "Your last {count} sessions of this profile used at most {used} of {requested} cores on "
        "average.",
        count,
        **amounts,
    ),
    "gpus": lambda count, amounts: say_count(
        "Your last session of this profile used {used} of {requested} GPUs on average.",
        "Your last {count} sessions of this profile used at most {used} of {requested} GPUs on "
        "average.",
        count,
        **amounts,
    ),
    "seconds": lambda count, amounts: say_count(
        "Your last session of this profile ran for {used} of {requested}.",
        "Your last {count} sessions of this profile ran for at most {used} of {requested}.",
        count,
        **amounts,
    ),
}
"""The hint beside a field, about one session or several."""


def describe_ending(outcome: str, cause: str) -> str:
    """Return how a session ended, in a few words."""
    if outcome == "stopped":
        return _STOPPED_BY.get(cause, _ENDINGS[outcome])
    if outcome in ("failed", "unknown"):
        return _CAUSES.get(cause, _ENDINGS[outcome])
    return _ENDINGS[outcome]


def describe_used(requested: Mapping[str, float], used: Mapping[str, float]) -> list[Text]:
    """Return what a session used of each kind; nothing where that is not known."""
    found: list[Text] = []
    for kind, (of, alone) in _USED.items():
        if kind in used:
            amount, whole = describe_part(kind, used[kind], requested.get(kind))
            found.append((of if whole else alone)(amount, whole))
    return found


def describe_hint(kind: str, used: float, requested: float, count: int) -> str:
    """Return what the last sessions used at most, for the field in which a user asks for it."""
    amount, whole = describe_part(kind, used, requested)
    return _HINTS[kind](count, {"used": amount, "requested": whole})


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
        same_unit = amount.message == whole.message
        return (amount.values["number"] if same_unit else amount), whole
    return number(round(used, 1)), "" if requested is None else number(round(requested, 1))


def describe_time(seconds: float) -> str:
    """Return a length of time: "45 s", "12 min", "1 h 10 min", "8 h"."""
    if round(seconds) < 60:
        return say("{seconds} s", seconds=round(seconds))
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    if not hours:
        return say("{minutes} min", minutes=minutes)
    if not rest:
        return say("{hours} h", hours=hours)
    return say("{hours} h {minutes} min", hours=hours, minutes=rest)
