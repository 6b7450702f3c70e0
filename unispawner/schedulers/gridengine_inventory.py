"""Reads what Grid Engine's commands print about the cluster (Son of Grid Engine 8.1.9)."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from ..job import JobState
from ..units import MEMORY_UNITS
from .gridengine_jobs import find_text, parse_xml, read_number, read_pairs, read_state
from .inventory import Inventory, Node, Queue


def read_inventory(
    hosts: str,
    queues: str,
    jobs: str,
    gpu_resource: str,
    gpus_per_slot: bool,
    memory: list[str],
    gpu_type: str = "",
) -> Inventory | None:
    """Read ``qhost -xml -q -F …``, ``qconf -sq`` and ``qstat -xml -r``.

    qhost reports how much of a resource is free. How much a host has is that and what its jobs
    have. Return None if one of the texts is something else.

    Parameters
    ----------
    gpu_resource, gpus_per_slot
        The resource that counts GPUs, and whether a job's request counts for each of its slots.
    memory
        The resources that jobs ask for to get memory.
    gpu_type
        The resource whose value is the type of a host's GPUs.
    """
    root, running = parse_xml(hosts, "qhost"), parse_xml(jobs, "job_info")
    if root is None or running is None:
        return None
    taken: dict[str, int] = {}
    for job in running.iter("job_list"):
        slots = int(read_number(find_text(job, "slots"))) if gpus_per_slot else 1
        for request in job.findall("hard_request"):
            name = find_text(job, "queue_name").partition("@")[2]
            if name and request.get("name") == gpu_resource:
                taken[name] = taken.get(name, 0) + slots * int(read_number(request.text or ""))
    nodes, available = [], set()
    for host in root.iter("host"):
        if host.get("name") != "global":
            open_queues = _open_queues(host)
            available |= open_queues
            node = _node(host, gpu_resource, taken, memory, up=bool(open_queues))
            kind = _named_values(host, "resourcevalue").get(gpu_type, "")
            types = ((kind, node.gpus, node.idle_gpus),) if kind and node.gpus else ()
            nodes.append(replace(node, gpu_types=None if node.gpus and not kind else types))
    sections = [dict(read_pairs(text)) for text in re.split(r"\n\s*\n", queues)]
    return Inventory(
        tuple(_queue(values, available) for values in sections if "qname" in values), tuple(nodes)
    )


def count_waiting(text: str) -> int | None:
    """Count the jobs in ``qstat -xml -s p`` that could run; held and stuck jobs do not count.

    Each waiting task of an array counts. Return None if the text is something else.
    """
    root = parse_xml(text, "job_info")
    if root is None:
        return None
    return sum(
        _count_tasks(find_text(job, "tasks"))
        for job in root.iter("job_list")
        if read_state(find_text(job, "state")) is JobState.QUEUED
    )


def _count_tasks(text: str) -> int:
    """Return the number of tasks in ``25-40:3`` or ``7,9``; a job without tasks counts as 1."""
    ranges = re.findall(r"(\d{1,10})(?:-(\d{1,10}):([1-9]\d{0,9}))?", text, re.ASCII)
    return sum(len(range(int(a), int(b or a) + 1, int(step or 1))) for a, b, step in ranges) or 1


def _open_queues(host: ElementTree.Element) -> set[str]:
    """Return the queues that can start a job on a host: those without any state (qstat(1))."""
    values = _named_values(host, "hostvalue")
    if values.get("load_avg", "-") == "-":
        return set()
    queues = [_values(queue) for queue in host.findall("queue")]
    return {queue["name"] for queue in queues if not queue.get("state_string")}


def _node(
    host: ElementTree.Element,
    gpu_resource: str,
    taken: Mapping[str, int],
    memory_resources: list[str],
    *,
    up: bool,
) -> Node:
    name = host.get("name", "")
    values, left = _named_values(host, "hostvalue"), _named_values(host, "resourcevalue")
    queues = [_values(queue) for queue in host.findall("queue")]
    # Queues on one host share its slots, so that the queue with the most slots has the number.
    cores = max((int(read_number(queue.get("slots", "0"))) for queue in queues), default=0)
    used = sum(int(read_number(queue.get("slots_used", "0"))) for queue in queues)
    memory, in_use = read_size(values.get("mem_total", "")), read_size(values.get("mem_used", ""))
    idle_gpus = int(read_number(left.get(gpu_resource, "0")))
    idle_memory = 0
    if memory and up:
        sizes = [read_size(left.get(resource, "")) for resource in memory_resources]
        known = [size for size in sizes if size is not None]
        idle_memory = max(0, min([memory - (in_use or 0), *known]))
    return Node(
        name,
        available=up,
        cores=cores,
        idle_cores=max(0, cores - used) if up else 0,
        gpus=idle_gpus + taken.get(name, 0),
        idle_gpus=idle_gpus if up else 0,
        memory=memory,
        idle_memory=idle_memory,
        queues=frozenset(queue["name"] for queue in queues),
    )


def _values(queue: ElementTree.Element) -> dict[str, str]:
    return {**_named_values(queue, "queuevalue"), "name": queue.get("name", "")}


def _named_values(element: ElementTree.Element, tag: str) -> dict[str, str]:
    """Return the texts of the elements with this tag, by their attribute ``name``."""
    return {one.get("name", ""): (one.text or "").strip() for one in element.iter(tag)}


def _queue(values: Mapping[str, str], available: set[str]) -> Queue:
    return Queue(
        values["qname"],
        available=values["qname"] in available,
        max_duration=_longest(values.get("h_rt", "")),
        max_memory=read_size(values.get("h_vmem", "")),
    )


def read_size(text: str) -> int | None:
    """Return the bytes of ``7.7G`` or ``512.0M`` (sge_types(1)); None for ``-`` and INFINITY."""
    match = re.fullmatch(r"([\d.]+)([kKmMgGtT]?)", text.partition(",")[0])
    if match is None:
        return None
    factors = {"k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4, "": 1}
    return int(read_number(match[1]) * {**factors, **MEMORY_UNITS}[match[2]])


def _longest(text: str) -> timedelta | None:
    """Return the longest time in ``1:0:0,[node1=2:0:0]``; None if any is not limited.

    What follows a comma is of single hosts: a job may run on the host that allows the most.
    """
    limits = [_duration(one.rpartition("=")[2].rstrip("]")) for one in text.split(",")]
    known = [limit for limit in limits if limit is not None]
    return max(known) if known and len(known) == len(limits) else None


def _duration(text: str) -> timedelta | None:
    """Read ``HH:MM:SS`` or seconds; None for INFINITY."""
    match = re.fullmatch(r"(?:(\d{1,7}):(\d{1,7}):)?(\d{1,10})", text, re.ASCII)
    if match is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)
