"""Reads what HTCondor's collector reports about machines, the hosts of jobs, and their number."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from ..units import MEMORY_UNITS
from .inventory import Node
from .reading import cut_json

NODE_FIELDS = (
    *("Machine", "State", "PartitionableSlot", "SlotType", "TotalSlotCpus", "Cpus"),
    *("TotalSlotMemory", "Memory", "TotalSlotGPUs", "GPUs", "Offline", "GPUs_DeviceName"),
)
SLOT_FIELDS = ("Machine", "JobId", "RemoteOwner")
"""Attributes of a slot in use, which the machine itself reports and no user can write."""
JOB_COUNTS = ("TotalIdleJobs", "TotalRunningJobs")
"""Attributes of a schedd, about all its users. Idle jobs could run; held jobs do not count."""

Slot = tuple[str, str, str]
"""A job's id, its owner, and its machine."""


def read_rows(text: str, passed_over: list[str] | None = None) -> list[dict[str, Any]] | None:
    """Return the ClassAds in JSON; no text means none. Return None if it is something else.

    Parameters
    ----------
    passed_over
        A list that gets the lines around the JSON.
    """
    if not text.strip():
        return []
    try:
        rows, around = cut_json(text, r"^(?=\[\s*[{\]])", json.JSONDecoder())
    except (ValueError, RecursionError):
        return None
    if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
        return None
    if passed_over is not None:
        passed_over += around
    return rows


def read_slots(rows: Collection[Mapping[str, Any]]) -> set[Slot]:
    """Return which job runs on which machine."""
    return {
        (
            str(row.get("JobId")).partition(".")[0],
            _account(str(row.get("RemoteOwner"))),
            str(row.get("Machine")),
        )
        for row in rows
        if str(row.get("JobId")).endswith(".0")
    }


def _account(text: str) -> str:
    """Return the account in ``alice@domain``; the account's own name may have an @ as well."""
    return text.rpartition("@")[0] or text


def count_jobs(text: str | None) -> list[int | None]:
    """Return how many jobs are idle and how many run in all schedds; None where it is unknown."""
    rows = read_rows(text or "") or ()
    counts = [[as_int(row.get(name)) for row in rows] for name in JOB_COUNTS]
    known = [[number for number in numbers if number is not None] for numbers in counts]
    return [sum(numbers) if numbers else None for numbers in known]


def read_nodes(rows: Collection[Mapping[str, Any]]) -> tuple[Node, ...]:
    """Return the machines, each with the sums of its slots.

    Dynamic slots, which jobs cut from a partitionable slot, are part of that slot.
    """
    nodes: dict[str, Node] = {}
    for row in rows:
        if row.get("SlotType") != "Dynamic" and isinstance(row.get("Machine"), str):
            node = _node(row)
            nodes[node.name] = _add_slots(nodes[node.name], node) if node.name in nodes else node
    return tuple(nodes.values())


def _node(row: Mapping[str, Any]) -> Node:
    partitionable = bool(row.get("PartitionableSlot"))
    state = row.get("State")
    available = state in ("Unclaimed", "Claimed", "Preempting", "Matched") and not row.get(
        "Offline"
    )
    free = available and (partitionable or state == "Unclaimed")
    cores, gpus = as_int(row.get("TotalSlotCpus")) or 0, as_int(row.get("TotalSlotGPUs")) or 0
    memory = as_int(row.get("TotalSlotMemory"))
    return Node(
        str(row["Machine"]),
        available=available,
        cores=cores,
        idle_cores=as_int(row.get("Cpus")) or 0 if free else 0,
        gpus=gpus,
        idle_gpus=as_int(row.get("GPUs")) or 0 if free else 0,
        memory=None if memory is None else memory * MEMORY_UNITS["M"],
        idle_memory=(as_int(row.get("Memory")) or 0) * MEMORY_UNITS["M"] if free else 0,
        gpu_types=_gpu_types(row, gpus, as_int(row.get("GPUs")) or 0 if free else 0),
    )


def _gpu_types(
    row: Mapping[str, Any], gpus: int, idle: int
) -> tuple[tuple[str, int, int | None], ...] | None:
    """Return the type of a slot's GPUs, which has this attribute only if all are of one type."""
    name = row.get("GPUs_DeviceName")
    if not gpus:
        return ()
    return ((name, gpus, idle),) if isinstance(name, str) else None


def _add_slots(one: Node, other: Node) -> Node:
    """Return the machine that has both slots."""
    return Node(
        one.name,
        available=one.available or other.available,
        cores=one.cores + other.cores,
        idle_cores=(one.idle_cores or 0) + (other.idle_cores or 0),
        gpus=one.gpus + other.gpus,
        idle_gpus=(one.idle_gpus or 0) + (other.idle_gpus or 0),
        memory=(one.memory or 0) + (other.memory or 0),
        idle_memory=(one.idle_memory or 0) + (other.idle_memory or 0),
        gpu_types=None
        if one.gpu_types is None or other.gpu_types is None
        else (*one.gpu_types, *other.gpu_types),
    )


def as_int(value: object) -> int | None:
    """Return a value of JSON that is a whole number; None for all others."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
