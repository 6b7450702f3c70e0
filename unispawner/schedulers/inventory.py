"""What a cluster has: its queues and nodes, for forms and administrators."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True)
class Node:
    """One host that runs jobs.

    Attributes
    ----------
    name
        The name that the scheduler gives the node in a job's ``exec_host``.
    available
        False if the node is down, drained or closed, so that no job can start there now.
    cores, gpus
        How many the node has, in use or not.
    idle_cores, idle_gpus
        How many no job uses; 0 on a node that is not available, None if unknown.
    memory, idle_memory
        Bytes that the node has, and bytes that no job has asked for; None if unknown.
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
    """A queue (Slurm: partition), with the limits of one job in it.

    A limit of None means that there is no limit, or that it is unknown.

    Attributes
    ----------
    name
        The name; empty if this stands for the whole cluster: see :meth:`Inventory.find_queue`.
    default
        True if a job that names no queue goes here.
    available
        False if the queue accepts no jobs, or starts none.
    max_duration
        How long a job may run.
    max_nodes, max_cores, max_gpus
        How many one job may have.
    max_memory
        How many bytes one job may have.
    waiting, running
        How many jobs there are; None if unknown.
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
    """Sums over the available nodes.

    A sum of idle resources counts the nodes where they are known; it is None if none is known.

    Attributes
    ----------
    idle_nodes
        How many nodes have no job at all.
    """

    nodes: int = 0
    idle_nodes: int | None = 0
    cores: int = 0
    idle_cores: int | None = 0
    gpus: int = 0
    idle_gpus: int | None = 0


@dataclass(frozen=True)
class Inventory:
    """A cluster's queues and nodes at the moment of the question.

    Attributes
    ----------
    queues, nodes
        All of them.
    waiting, running
        How many jobs the cluster has, where the scheduler does not count them by queue; None if
        unknown.
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
        """Return the sums over the nodes of one queue; without a name, over all nodes."""
        return _totals(
            node for node in self.nodes if node.available and (not queue or queue in node.queues)
        )

    def find_queue(self, name: str = "") -> Queue | None:
        """Return a queue by its name; without a name, the queue that such a job goes to.

        Where no queue is the default, that is the whole cluster: a queue without a name. Its jobs
        are those that the scheduler does not count queue by queue.
        """
        for queue in self.queues:
            if queue.name == name or (not name and queue.default):
                return queue
        if name or not self.nodes:
            return None
        return Queue("", waiting=self.waiting, running=self.running)

    def limits(self, queue: str = "") -> dict[str, int | timedelta]:
        """Return the most that one job can have in a queue, by field, where that is known.

        All cores of a process are on one node, whatever the queue allows. A node that is down
        counts: a job may wait for it.
        """
        found = self.find_queue(queue)
        if found is None:
            return {}
        nodes = [node for node in self.nodes if not found.name or found.name in node.queues]
        most_cores = max((node.cores for node in nodes), default=0)
        limits = {
            "duration": found.max_duration,
            "node_count": _least(found.max_nodes, len(nodes)),
            "process_count": found.max_cores,
            "cpu_cores_per_process": _least(found.max_cores, most_cores),
            "gpu_cores_per_process": found.max_gpus,
            "memory": found.max_memory,
        }
        return {field: limit for field, limit in limits.items() if limit is not None}


def _totals(nodes: Iterable[Node]) -> Totals:
    chosen = list(nodes)
    return Totals(
        nodes=len(chosen),
        idle_nodes=_add_known(_is_idle(node) for node in chosen),
        cores=sum(node.cores for node in chosen),
        idle_cores=_add_known(node.idle_cores for node in chosen),
        gpus=sum(node.gpus for node in chosen),
        idle_gpus=_add_known(node.idle_gpus if node.gpus else 0 for node in chosen),
    )


def _add_known(numbers: Iterable[int | None]) -> int | None:
    all_numbers = list(numbers)
    known = [number for number in all_numbers if number is not None]
    return sum(known) if known or not all_numbers else None


def _least(*limits: int | None) -> int | None:
    known = [limit for limit in limits if limit]
    return min(known) if known else None


def _is_idle(node: Node) -> bool | None:
    if node.idle_cores is None:
        return None
    return node.idle_cores == node.cores > 0 and node.idle_gpus in (None, node.gpus)


__all__ = ["Inventory", "Node", "Queue", "Totals"]
