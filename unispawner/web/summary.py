"""Puts a job's resources, and moments, into words: "4 cores, 16 GiB, 8 hours".

static/form.js does the same in a form. Our API has moments in the form of :func:`format_moment`.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

from ..job import JobSpec
from ..units import MEMORY_UNITS, WHOLE

_UNITS = (*((f"{letter}iB", MEMORY_UNITS[letter]) for letter in "TGMK"), ("bytes", 1))


def describe_job(spec: JobSpec) -> str:
    """Return what a job requests; empty if it leaves all of it to the scheduler."""
    asked = spec.resources
    parts = []
    if asked.nodes > 1:
        parts.append(describe_count(asked.nodes, "node"))
    if asked.cpu_cores_per_process:
        parts.append(describe_count(asked.cpu_cores_per_process * asked.processes, "core"))
    elif asked.processes > 1:
        parts.append(describe_count(asked.processes, "process", "processes"))
    if asked.gpu_cores_per_process:
        gpus = describe_count(asked.gpu_cores_per_process * asked.processes, "GPU")
        parts.append(f"{gpus} ({asked.gpu_type})" if asked.gpu_type else gpus)
    if asked.memory == WHOLE:
        parts.append("all memory")
    elif asked.memory:
        parts.append(describe_memory(asked.memory))
    if asked.exclusive_node_use:
        parts.append("whole nodes")
    if asked.constraint:
        parts.append(f"nodes with {asked.constraint}")
    if spec.duration:
        parts.append(describe_duration(spec.duration))
    return ", ".join(parts)


def describe_count(number: int, singular: str, plural: str = "") -> str:
    """Return a number and what it counts."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def describe_memory(size: int) -> str:
    """Return a number of bytes in the largest unit that fits into it, rounded to a tenth."""
    unit, factor = next((unit, factor) for unit, factor in _UNITS if size >= factor)
    return f"{round(size / factor, 1):g} {unit}"


def format_moment(moment: float) -> str:
    """Return seconds since the epoch for JSON, as JupyterHub writes them: 2026-11-27T14:20:00Z."""
    then = datetime.fromtimestamp(moment, timezone.utc)
    return then.isoformat(timespec="seconds").replace("+00:00", "Z")


def describe_moment(moment: float) -> str:
    """Return seconds since the epoch as local time of the Hub's host, with the day if not today."""
    then, today = time.localtime(moment), time.localtime()
    same_day = then[:3] == today[:3]
    return time.strftime("%H:%M %Z" if same_day else "%a %d %b, %H:%M %Z", then)


def describe_duration(length: timedelta) -> str:
    """Return a length of time, rounded to minutes: "1 day 12 hours"."""
    minutes = max(1, round(length.total_seconds() / 60))
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [(days, "day"), (hours, "hour"), (minutes, "minute")]
    return " ".join(describe_count(number, unit) for number, unit in parts if number)
