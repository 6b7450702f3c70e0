"""What a cluster has: its queues and nodes, for forms and administrators."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from ..texts import say


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
    gpu_types
        For each type of GPU here: the scheduler's name, how many there are, and how many of them no
        job uses (None if unknown). None if the types are not known.
    features
        What a constraint may ask for, as ``name`` or ``name=value``; None if that is not known.
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
    gpu_types: tuple[tuple[str, int, int | None], ...] | None = None
    features: frozenset[str] | None = None


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
class Share:
    """How much of something the available nodes have, and how much is free; None if unknown."""

    total: int
    idle: int | None

    def describe(self, name: str, unit: str = "") -> str:
        """Return the text of a choice: "a100: 2 of 8 free"."""
        values = {"name": name, "total": self.total, "free": self.idle}
        if not self.total:
            return say("{name}: none is up at the moment", **values)
        if unit == "cores" and self.idle is not None:
            return say("{name}: {free} of {total} cores free", **values)
        if unit == "cores":
            return say("{name}: {total} cores", **values)
        if self.idle is not None:
            return say("{name}: {free} of {total} free", **values)
        return say("{name}: {total}", **values)

    def __add__(self, other: Share) -> Share:
        return Share(self.total + other.total, _add_known((self.idle, other.idle)))


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
    _found: dict[tuple[str, str], Any] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "hosts", frozenset(node.name for node in self.nodes))

    def totals(self, queue: str = "") -> Totals:
        """Return the sums over the nodes of one queue; without a name, over all nodes."""
        return _totals(
            node for node in self.nodes if node.available and (not queue or queue in node.queues)
        )

    def nodes_of(self, queue: str = "") -> list[Node]:
        """Return the nodes of one queue, also those that are down; without a name, all nodes."""
        return [node for node in self.nodes if not queue or queue in node.queues]

    def gpu_types(self, queue: str = "") -> Mapping[str, Share]:
        """Return each type of GPU in a queue: how many there are, and how many are free.

        A type whose nodes are all down is there, too, with 0 of 0.
        """
        found: Mapping[str, Share] = self._remember("gpu_types", queue, _share_gpus)
        return found

    def features(self, queue: str = "") -> Mapping[str, Share]:
        """Return each feature of a queue's nodes: how many cores these have, and how many are free.

        A feature whose nodes are all down is there, too, with 0 of 0.
        """
        found: Mapping[str, Share] = self._remember("features", queue, _share_cores)
        return found

    def kinds_of_nodes(self, queue: str = "") -> list[tuple[Node, int]]:
        """Return a node of each kind in a queue, and how many there are of this kind.

        Nodes of one kind have the same cores, memory, GPUs and features, in use or not.
        """
        found: list[tuple[Node, int]] = self._remember("kinds", queue, _find_kinds)
        return found

    def _remember(self, what: str, queue: str, find: Callable[[Iterable[Node]], Any]) -> Any:
        """Return what was found for a queue before: every page asks, and a cluster may be large."""
        if (what, queue) not in self._found:
            self._found[what, queue] = find(self.nodes_of(queue))
        return self._found[what, queue]

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
        nodes = self.nodes_of(found.name)
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


def _share_gpus(nodes: Iterable[Node]) -> dict[str, Share]:
    found: dict[str, Share] = {}
    for node in nodes:
        for kind, total, idle in node.gpu_types or ():
            here = Share(total, idle) if node.available else Share(0, 0)
            found[kind] = found[kind] + here if kind in found else here
    return dict(sorted(found.items()))


def _share_cores(nodes: Iterable[Node]) -> dict[str, Share]:
    # Many nodes have the same features, so that these are taken together first.
    alike: dict[frozenset[str], Share] = {}
    for node in nodes:
        if node.features:
            here = Share(node.cores, node.idle_cores) if node.available else Share(0, 0)
            before = alike.get(node.features)
            alike[node.features] = before + here if before else here
    found: dict[str, Share] = {}
    for features, share in alike.items():
        for feature in features:
            found[feature] = found[feature] + share if feature in found else share
    return dict(sorted(found.items()))


def _find_kinds(nodes: Iterable[Node]) -> list[tuple[Node, int]]:
    found: dict[Hashable, tuple[Node, int]] = {}
    for node in nodes:
        types: Hashable = node.gpu_types
        if node.gpu_types:
            types = tuple([(kind, total) for kind, total, _ in node.gpu_types])
        alike = (node.cores, node.memory, node.gpus, types, node.features)
        first, number = found.get(alike, (node, 0))
        found[alike] = first, number + 1
    return list(found.values())


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


__all__ = ["Inventory", "Node", "Queue", "Share", "Totals"]
