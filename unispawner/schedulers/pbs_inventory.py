"""Reads the queues and nodes of PBS and TORQUE, in texts that contain nothing of any user.

``qstat -Q -f`` and ``qstat -B -f`` print ``Queue: name``, and below it indented ``name = value``.
Lines longer than 78 columns are continued behind a tab. ``pbsnodes`` prints the same below the bare
name of each node, without breaking lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from .base import Dialogue, Scheduler
from .inventory import Node, Queue
from .pbs_family import PbsFamily
from .pbs_job import Row, read_duration, read_size

Blocks = Mapping[str, Row]

_AVAILABLE = {"free", "job-busy", "job-exclusive", "job-sharing", "resv-exclusive", "busy"}
"""The states of a node that works, whether it is in use or not."""
_FULL = {"job-busy", "job-exclusive", "resv-exclusive", "busy"}
"""Those of them in which no further job can start on the node."""


def ask_for_queues(pbs: Scheduler) -> Dialogue[Blocks]:
    """Ask for the queues.

    Raises
    ------
    SchedulerUnavailable
        If the scheduler does not answer, or its answer can't be read.
    """
    reply = yield ["qstat", "-Q", "-f"]
    pbs.check_answered(reply)
    queues = read_blocks(reply.stdout, "Queue: ", reply.passed_over)
    if not queues:
        raise pbs.unreadable_error(reply)
    return queues


def ask(pbs: PbsFamily, nodes_command: list[str]) -> Dialogue[tuple[Blocks, Row, Blocks]]:
    """Ask for the queues, the server and the nodes.

    Raises
    ------
    SchedulerUnavailable
        If the scheduler does not answer, or its answer can't be read.
    """
    queues = yield from ask_for_queues(pbs)
    reply = yield ["qstat", "-B", "-f"]
    pbs.check_answered(reply)
    servers = read_blocks(reply.stdout, "Server: ", reply.passed_over)
    if not servers:
        raise pbs.unreadable_error(reply)
    reply = yield nodes_command
    if "no node list" in reply.stderr:
        return queues, next(iter(servers.values())), {}
    pbs.check_answered(reply)
    nodes = read_blocks(reply.stdout, "", reply.passed_over)
    if not nodes:
        raise pbs.unreadable_error(reply)
    return queues, next(iter(servers.values())), nodes


def read_blocks(text: str, head: str, passed_over: list[str] | None = None) -> Blocks:
    """Return the attributes of each block, which begins with ``head``.

    Parameters
    ----------
    passed_over
        A list that gets the lines that begin otherwise, such as a site's notice.
    """
    blocks: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in re.sub(r"\n\t", "", text).split("\n"):
        if line[:1].isspace():
            name, equals, value = line.strip().partition(" = ")
            if equals:
                current[name] = value.strip()
        elif line.strip():
            if not line.startswith(head) or (not head and re.search(r"\s", line.strip())):
                current = {}  # what is indented below the line belongs to it
                if passed_over is not None:
                    passed_over.append(line)
                continue
            current = blocks.setdefault(line[len(head) :].strip(), {})
    return {name: row for name, row in blocks.items() if row}


def read_queues(queues: Blocks, server: Row, *, gpus: str) -> Iterator[Queue]:
    """Return the queues; where a queue has no limit, the server's own limit applies.

    Parameters
    ----------
    gpus
        The resource that counts GPUs.
    """
    for name, row in queues.items():
        limits = {
            key.partition(".")[2]: value
            for source in (server, row)
            for key, value in source.items()
            if key.startswith("resources_max.")
        }
        counts = dict(re.findall(r"\b(\w+):(\d{1,10})\b", row.get("state_count", ""), re.ASCII))
        yield Queue(
            name,
            default=server.get("default_queue", "").partition("@")[0] == name,
            available=row.get("enabled") == "True" and row.get("started") == "True",
            max_duration=read_duration(limits.get("walltime", "")),
            max_nodes=_count(limits.get("nodect", "")),
            max_cores=_count(limits.get("ncpus", limits.get("procct", ""))),
            max_gpus=_count(limits.get(gpus, "")),
            max_memory=read_size(limits.get("mem", "")),
            waiting=sum(int(counts.get(state, 0)) for state in ("Queued", "Held", "Waiting")),
            running=sum(int(counts.get(state, 0)) for state in ("Running", "Exiting")),
        )


def read_pbs_nodes(nodes: Blocks, queues: Blocks, gpus: str, gpu_type: str = "") -> Iterator[Node]:
    """Return the hosts, each with the sums of its vnodes (``host[0]``).

    A job's exec_host is the name of a host, not of a vnode.

    Parameters
    ----------
    gpus, gpu_type
        The resources that count GPUs, and name their type.
    """
    hosts: dict[str, list[Row]] = {}
    for name, row in nodes.items():
        hosts.setdefault(name.partition("[")[0], []).append(row)
    common = {name for name, row in queues.items() if row.get("hasnodes") != "True"}
    for name, vnodes in hosts.items():
        usable = [row for row in vnodes if _available(row)]
        idle = [row for row in usable if not _FULL & _states(row)]
        bound = {row["queue"] for row in vnodes if "queue" in row}
        yield Node(
            name,
            available=bool(usable),
            cores=_sum(vnodes, "resources_available.ncpus"),
            idle_cores=_left(idle, "ncpus"),
            gpus=_sum(vnodes, f"resources_available.{gpus}"),
            idle_gpus=_left(idle, gpus),
            memory=_sum(vnodes, "resources_available.mem") or None,
            idle_memory=_left(idle, "mem"),
            queues=frozenset(bound or common),
            gpu_types=_gpu_types(vnodes, idle, gpus, gpu_type),
            features=frozenset(one for row in vnodes for one in _features(row, gpu_type)),
        )


def _gpu_types(
    vnodes: list[Row], idle: list[Row], gpus: str, gpu_type: str
) -> tuple[tuple[str, int, int | None], ...] | None:
    """Return the types of a host's GPUs; None if some have none."""
    found = []
    for row in vnodes:
        if count := _sum([row], f"resources_available.{gpus}"):
            kind = row.get(f"resources_available.{gpu_type}", "")
            if not kind:
                return None
            found.append((kind, count, _left([row], gpus) if row in idle else 0))
    return tuple(found)


def _features(row: Row, gpu_type: str) -> Iterator[str]:
    """Yield the resources of a vnode that are true, or have a text."""
    for key, value in row.items():
        name = key.removeprefix("resources_available.")
        if name == key or name in ("host", "vnode", gpu_type) or read_size(value) is not None:
            continue
        if value == "True":
            yield name
        elif value != "False":
            yield from (f"{name}={one.strip()}" for one in value.split(","))


def read_torque_nodes(nodes: Blocks, queues: Blocks) -> Iterator[Node]:
    """Return the nodes; a queue may be bound to a property (resources_default.neednodes)."""
    properties = {
        name: {name, *re.findall(r"[^,\s]+", row.get("properties", ""))}
        for name, row in nodes.items()
    }
    needed = {name: row.get("resources_default.neednodes", "") for name, row in queues.items()}
    known = {one for some in properties.values() for one in some}
    for name, row in nodes.items():
        available = _available(row)
        full = not available or bool(_FULL & _states(row))
        cores = _count(row.get("np", "")) or 0
        memory = re.search(r"(?:^|,)physmem=(\w+)", row.get("status", ""), re.ASCII)
        count = _count(row.get("gpus", "")) or 0
        own = sorted(properties[name] - {name})
        yield Node(
            name,
            available=available,
            cores=cores,
            idle_cores=0 if full else max(0, cores - _slots(row.get("jobs", ""))),
            gpus=count,
            idle_gpus=0 if full or not count else None,
            memory=read_size(memory[1]) if memory else None,
            idle_memory=0 if not available else None,
            queues=frozenset(
                queue
                for queue, need in needed.items()
                if need not in known or need in properties[name]
            ),
            # A type of GPU is a property, as any other.
            gpu_types=tuple((one, count, None) for one in own) if count else (),
            features=frozenset(own),
        )


def _states(row: Row) -> set[str]:
    return {word.strip() for word in row.get("state", "").split(",")}


def _available(row: Row) -> bool:
    return _states(row) <= _AVAILABLE


def _slots(jobs: str) -> int:
    """Count the slots of ``0/7.server, 1/7.server`` (4.2) or ``0-3/7.server,5/8.server`` (5.0)."""
    slots = re.findall(r"(\d{1,9})(?:-(\d{1,9}))?", re.sub(r"/[^,\s]*", "", jobs), re.ASCII)
    return sum(int(last or first) - int(first) + 1 for first, last in slots)


def _left(rows: list[Row], resource: str) -> int:
    """Return how much of a resource is free on these vnodes."""
    there = _sum(rows, f"resources_available.{resource}")
    return max(0, there - _sum(rows, f"resources_assigned.{resource}"))


def _sum(rows: list[Row], name: str) -> int:
    return sum(read_size(row.get(name, "")) or 0 for row in rows)


def _count(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else None
