"""Estimates from the inventory whether a job could start now. Pure, without I/O.

It is for schedulers that can't be asked. It knows nothing of priorities, limits of users and
reservations.
"""

from __future__ import annotations

from ..errors import InvalidJobError
from ..job import JobSpec, ResourceSpec
from ..units import WHOLE
from . import constraints
from .base import Scheduler
from .estimate import Outlook, StartEstimate
from .fitting import is_as_asked
from .inventory import Inventory, Node


def estimate_by_inventory(
    scheduler: Scheduler, spec: JobSpec, inventory: Inventory, queue: str = ""
) -> StartEstimate:
    """Return whether the nodes of a queue have enough free for a job.

    Parameters
    ----------
    scheduler
        The scheduler: what a site's own options for it ask for is not known.
    queue
        The job's queue; without a name, the one that such a job goes to.
    """
    found = inventory.find_queue(spec.queue_name or queue)
    if found is None or spec.reservation_id or not is_as_asked(scheduler, spec):
        return StartEstimate(by_inventory=True)
    if not found.available:
        return StartEstimate(Outlook.NOT_NOW, by_inventory=True)
    nodes = [node for node in inventory.nodes_of(found.name) if node.available]
    fits = [_has_room(node, spec.resources) for node in nodes]
    wanted = spec.resources.nodes
    if fits.count(True) >= wanted:
        outlook = Outlook.PERHAPS if found.waiting else Outlook.NOW
    elif len(fits) - fits.count(False) >= wanted:  # as far as that is known
        outlook = Outlook.UNKNOWN
    else:
        outlook = Outlook.NOT_NOW
    return StartEstimate(outlook, by_inventory=True)


def exceeds_limits(spec: JobSpec, inventory: Inventory | None, queue: str = "") -> bool:
    """Return whether a job asks for more than its queue allows, so that it may never start.

    Slurm's own answer does not say that where the site accepts such jobs (EnforcePartLimits).
    """
    limits = inventory.limits(spec.queue_name or queue) if inventory else {}
    longest = limits.get("duration")
    return bool(longest and spec.duration and spec.duration > longest)  # type: ignore[operator] # times


def _has_room(node: Node, asked: ResourceSpec) -> bool | None:
    """Return whether a node has enough free for its part of a job; None if that is not known."""
    processes = asked.per_node
    cores = processes * (asked.cpu_cores_per_process or 1)
    gpus = processes * (asked.gpu_cores_per_process or 0)
    answers = [_enough(node.idle_cores, node.cores if asked.exclusive_node_use else cores)]
    answers += [node.cores >= cores]
    if gpus:
        answers += [_enough(_idle_gpus(node, asked.gpu_type), gpus)]
    if asked.constraint:
        answers += [_has_features(node, asked.constraint)]
    if asked.memory not in (None, WHOLE):
        assert asked.memory is not None
        answers += [_enough(node.idle_memory, asked.memory // asked.nodes)]
    if False in answers:
        return False
    return None if None in answers else True


def _idle_gpus(node: Node, kind: str) -> int | None:
    if not node.gpus:
        return 0
    if not kind:
        return node.idle_gpus
    if node.gpu_types is None:
        return None
    idle = [free for name, _, free in node.gpu_types if name.lower() == kind.lower()]
    return None if None in idle else sum(free for free in idle if free)


def _has_features(node: Node, constraint: str) -> bool | None:
    if node.features is None:
        return None
    try:
        return constraints.has(constraints.parse(constraint), node.features)
    except InvalidJobError:  # Slurm's own language has more
        return None


def _enough(free: int | None, needed: int) -> bool | None:
    return None if free is None else free >= needed
