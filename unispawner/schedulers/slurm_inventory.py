"""Reads what Slurm's sinfo and squeue print about partitions, nodes and the number of jobs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache

from ..units import MEMORY_UNITS
from .inventory import Inventory, Node, Queue
from .reading import split_rows

_WIDTHS = {
    "NodeList": 100,
    "Partition": 100,
    "Available": 20,
    "StateLong": 30,
    "Time": 20,
    "Size": 30,
    "CPUsState": 40,
    "Memory": 20,
    "AllocMem": 20,
    "Gres": 400,
    "GresUsed": 400,
    "Features": 130,
}
"""How many characters a column may have: sinfo cuts off the rest, and fills up with blanks.

An answer with fifty thousand nodes must be no larger than what is read of a command.
"""
_FIELDS = tuple(_WIDTHS)
_AVAILABLE = {"idle", "mixed", "allocated", "completing", "planned"}
_COLUMNS = ",".join(f"{name}:{width}|" for name, width in _WIDTHS.items())

_NUMBER = re.compile(r"[0-9]{1,15}")
ERROR = re.compile(r"slurm_load_\w+( error)?: |(squeue|sinfo): (error|fatal): ")
"""An error of Slurm's own, after which a part of the answer may be missing."""

NODES_COMMAND = ("sinfo", "-h", "-a", "-N", "-O", _COLUMNS)
"""Lists every node in every partition, the hidden partitions, too."""
JOBS_COMMAND = ("squeue", "-h", "-a", "-r", "-t", "PENDING,RUNNING", "-o", "%P|%T")
"""Lists partition and state of the jobs that wait or run, each task of an array by itself."""


def read_inventory(text: str, passed_over: list[str] | None = None) -> Inventory | None:
    """Read the answer to ``NODES_COMMAND``, a row for each node in each partition.

    Return None if the text has other lines only, or an error of Slurm's.

    Parameters
    ----------
    passed_over
        A list to which the lines that are not rows are added.
    """
    rows, others = split_rows(text, _is_row)
    if others and (not rows or any(map(ERROR.match, others))):
        return None
    if passed_over is not None:
        passed_over += others
    nodes: dict[str, Node] = {}
    queues: dict[str, Queue] = {}
    for line in rows:
        values = [value.strip() for value in line.split("|")]
        row = dict(zip(_FIELDS, values, strict=False))
        name, default = row["Partition"].removesuffix("*"), row["Partition"].endswith("*")
        queues[name] = Queue(
            name,
            default=default,
            available=row["Available"] == "up",
            max_duration=_limit(row["Time"]),
            max_nodes=_number(row["Size"].rpartition("-")[2]),
        )
        known = nodes.get(row["NodeList"])
        node = replace(known, queues=known.queues | {name}) if known else _node(row, name)
        nodes[node.name] = node
    return Inventory(tuple(queues.values()), tuple(nodes.values()))


def count_jobs(inventory: Inventory, text: str) -> Inventory:
    """Return the inventory with the number of jobs in each partition, from ``JOBS_COMMAND``.

    A job that waits may name several partitions, separated by commas, and waits in each.
    """
    waiting: Counter[str] = Counter()
    running: Counter[str] = Counter()
    for line in text.splitlines():
        partitions, _, state = line.partition("|")
        if state in ("PENDING", "RUNNING"):  # not a site's notice
            counter = waiting if state == "PENDING" else running
            counter.update(partitions.split(","))
    queues = [
        replace(queue, waiting=waiting[queue.name], running=running[queue.name])
        for queue in inventory.queues
    ]
    return Inventory(tuple(queues), inventory.nodes)


def _is_row(line: str) -> bool:
    """Return whether a line has all columns, and the numbers of cores in theirs."""
    values = line.split("|")
    return len(values) == len(_FIELDS) + 1 and values[6].count("/") == 3


def _node(row: Mapping[str, str], queue: str) -> Node:
    # StateLong may end with a flag, as in sinfo(1): * for no answer, ~ for powered off.
    available = re.sub(r"\W+$", "", row["StateLong"]) in _AVAILABLE and "*" not in row["StateLong"]
    _, idle, _, cores = (_number(text) or 0 for text in row["CPUsState"].split("/"))
    memory, used = _megabytes(row["Memory"]), _megabytes(row["AllocMem"])
    gpus = _gpus(row["Gres"])
    return Node(
        row["NodeList"],
        available=available,
        cores=cores,
        idle_cores=idle if available else 0,
        gpus=gpus,
        idle_gpus=gpus - _gpus(row["GresUsed"]) if available else 0,
        memory=memory,
        idle_memory=max(0, (memory or 0) - (used or 0)) if available else 0,
        queues=frozenset({queue}),
        gpu_types=_gpu_types(row["Gres"], row["GresUsed"], available=available),
        features=_features(row["Features"]),
    )


@lru_cache(maxsize=1024)
def _features(text: str) -> frozenset[str] | None:
    """Return a node's features; None if sinfo has cut them off. Nodes that are alike share them."""
    if len(text) >= _WIDTHS["Features"]:
        return None
    return frozenset(filter(None, map(str.strip, text.replace("(null)", "").split(","))))


@lru_cache(maxsize=1024)
def _gpu_types(gres: str, used: str, *, available: bool) -> tuple[tuple[str, int, int], ...]:
    """Return the types of GPU, and shards, in ``gpu:a100:2(S:0-1),shard:a100:8``.

    Shards have the name that a job gives as the type: ``shard:a100``, and ``shard`` for all.
    """
    there, taken = _count_types(gres), _count_types(used)
    return tuple(
        (kind, total, max(0, total - taken[kind]) if available else 0)
        for kind, total in there.items()
    )


def _count_types(gres: str) -> Counter[str]:
    found: Counter[str] = Counter()
    plain = re.sub(r"\([^()]*\)", "", gres)
    for name, kind, number in re.findall(
        r"(?:^|,)(gpu|shard)(?::([^:,]+))??:(\d{1,9})(?=,|$)", plain
    ):
        if name == "shard":
            found["shard"] += int(number)
            kind = kind and f"shard:{kind}"
        if kind:
            found[kind] += int(number)
    return found


def _gpus(gres: str) -> int:
    """Return the number of GPUs in ``gpu:a100:2(S:0-1),gpu:1,license:3``."""
    plain = re.sub(r"\([^()]*\)", "", gres)
    return sum(int(one) for one in re.findall(r"(?:^|,)gpu(?::[^:,]+)*?:(\d{1,9})(?=,|$)", plain))


def _number(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None


def _megabytes(text: str) -> int | None:
    number = _number(text)
    return None if number is None else number * MEMORY_UNITS["M"]


def _limit(text: str) -> timedelta | None:
    """Read ``7-00:00:00``, ``2:00:00`` or ``10:00``; return None for ``infinite`` and ``n/a``."""
    match = re.fullmatch(r"(?:(\d{1,6})-)?(?:(\d{1,6}):)?(\d{1,6}):(\d{1,6})", text, re.ASCII)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
