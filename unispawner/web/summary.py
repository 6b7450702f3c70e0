"""Puts a job's resources, and moments, into words: "4 cores, 16 GiB, 8 hours".

static/form.js does the same in a form. Our API has moments in the form of :func:`format_moment`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from ..job import JobSpec
from ..texts import Text, join, moment, number, say, say_count
from ..units import MEMORY_UNITS, WHOLE, count_cores, count_gpus, count_nodes

_UNITS: tuple[tuple[Callable[[Text], Text], int], ...] = (
    (lambda number: say("{number} TiB", number=number), MEMORY_UNITS["T"]),
    (lambda number: say("{number} GiB", number=number), MEMORY_UNITS["G"]),
    (lambda number: say("{number} MiB", number=number), MEMORY_UNITS["M"]),
    (lambda number: say("{number} KiB", number=number), MEMORY_UNITS["K"]),
    (lambda number: say("{number} bytes", number=number), 1),
)


def describe_job(spec: JobSpec) -> Text:
    """Return what a job requests; empty if it leaves all of it to the scheduler."""
    asked = spec.resources
    parts: list[Text] = []
    if asked.nodes > 1:
        parts.append(count_nodes(asked.nodes))
    if asked.cpu_cores_per_process:
        parts.append(count_cores(asked.cpu_cores_per_process * asked.processes))
    elif asked.processes > 1:
        parts.append(say_count("{count} process", "{count} processes", asked.processes))
    if asked.gpu_cores_per_process:
        gpus = count_gpus(asked.gpu_cores_per_process * asked.processes)
        typed = say("{gpus} ({type})", gpus=gpus, type=asked.gpu_type)
        parts.append(typed if asked.gpu_type else gpus)
    if asked.memory == WHOLE:
        parts.append(say("all memory"))
    elif asked.memory:
        parts.append(describe_memory(asked.memory))
    if asked.exclusive_node_use:
        parts.append(say("whole nodes"))
    if asked.constraint:
        parts.append(say("nodes with {features}", features=asked.constraint))
    if spec.duration:
        parts.append(describe_duration(spec.duration))
    return join(", ", parts)


def describe_memory(size: int) -> Text:
    """Return a number of bytes in the largest unit that fits into it, rounded to a tenth."""
    in_words, factor = next((one, factor) for one, factor in _UNITS if size >= factor)
    return in_words(number(round(size / factor, 1)))


def format_moment(seconds: float) -> str:
    """Return seconds since the epoch for JSON, as JupyterHub writes them: 2026-11-27T14:20:00Z."""
    then = datetime.fromtimestamp(seconds, timezone.utc)
    return then.isoformat(timespec="seconds").replace("+00:00", "Z")


describe_moment = moment


def describe_duration(length: timedelta) -> Text:
    """Return a length of time, rounded to minutes: "1 day 12 hours"."""
    minutes = max(1, round(length.total_seconds() / 60))
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = (
        say_count("{count} day", "{count} days", days) if days else None,
        say_count("{count} hour", "{count} hours", hours) if hours else None,
        say_count("{count} minute", "{count} minutes", minutes) if minutes else None,
    )
    return join(" ", [one for one in parts if one is not None])
