"""What a cluster has: its queues and nodes, as a form or an administrator wants to know them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any


@dataclass(frozen=True)
class Node:
    """One host that runs jobs.

    Attributes
    ----------
    name
        As the scheduler calls it in a job's ``exec_host``.
    available
        False if it is down, drained or closed: nothing can start there now.
    cores, gpus
        In all.
    idle_cores, idle_gpus
        Those that no job has; 0 on a node that is not available, None if not told.
    memory, idle_memory
        Bytes in all, and bytes that no job has asked for; None if not told.
    queues
        The names of the queues whose jobs may run here; empty where there are no queues.
    """

    name: str
    available: bool = True
    cores: int = 0
    idle_cores: int | None = None
    gpus: int = 0
    idle_gpus: int | None = None
    memory: int | None = None
    idle_memory: int | None = None
    queues: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Queue:
    """A queue (Slurm: partition), with the limits of one job in it; None is no limit, or not told.

    Attributes
    ----------
    default
        True if a job that names no queue goes here.
    available
        False if it takes no jobs, or starts none.
    max_duration
        The longest a job may run.
    max_nodes, max_cores, max_gpus
        Of one job.
    max_memory
        Bytes of one job.
    waiting, running
        How many jobs there are.
    """

    name: str
    default: bool = False
    available: bool = True
    max_duration: timedelta | None = None
    max_nodes: int | None = None
    max_cores: int | None = None
    max_gpus: int | None = None
    max_memory: int | None = None
    waiting: int | None = None
    running: int | None = None


@dataclass(frozen=True)
class Totals:
    """Sums over nodes that are available; of what isn't told, what is known."""

    nodes: int = 0
    cores: int = 0
    idle_cores: int = 0
    gpus: int = 0
    idle_gpus: int = 0
    largest_cores: int = 0
    largest_memory: int = 0
    """Of one node: what a job on a single node can have at most; memory in bytes."""
    idle_nodes: int = 0
    """Those that no job has a part of."""


@dataclass(frozen=True)
class Inventory:
    """A cluster, as it was when it was asked.

    Attributes
    ----------
    queues, nodes
        What it has.
    waiting, running
        How many jobs there are in all, where no queue tells of its own; None if not told.
    hosts
        The names of the nodes.
    """

    queues: tuple[Queue, ...] = ()
    nodes: tuple[Node, ...] = ()
    waiting: int | None = None
    running: int | None = None
    hosts: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hosts", frozenset(node.name for node in self.nodes))

    def totals(self, queue: str = "") -> Totals:
        """Return the sums over one queue's nodes, or over all."""
        return _totals(
            node for node in self.nodes if node.available and (not queue or queue in node.queues)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-serialisable data: times in seconds, memory in bytes, totals included."""
        queues = [
            {
                **asdict(queue),
                "max_duration": queue.max_duration and queue.max_duration.total_seconds(),
                "totals": asdict(self.totals(queue.name)),
            }
            for queue in self.queues
        ]
        nodes = [{**asdict(node), "queues": sorted(node.queues)} for node in self.nodes]
        return {"queues": queues, "nodes": nodes, "totals": asdict(self.totals())}


def _totals(nodes: Iterable[Node]) -> Totals:
    chosen = list(nodes)
    return Totals(
        nodes=len(chosen),
        cores=sum(node.cores for node in chosen),
        idle_cores=sum(node.idle_cores or 0 for node in chosen),
        gpus=sum(node.gpus for node in chosen),
        idle_gpus=sum(node.idle_gpus or 0 for node in chosen),
        largest_cores=max((node.cores for node in chosen), default=0),
        largest_memory=max((node.memory or 0 for node in chosen), default=0),
        idle_nodes=sum(_is_idle(node) for node in chosen),
    )


def _is_idle(node: Node) -> bool:
    return node.idle_cores == node.cores > 0 and node.idle_gpus in (None, node.gpus)


__all__ = ["Inventory", "Node", "Queue", "Totals"]
