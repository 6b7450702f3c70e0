"""When a job would start that is not submitted yet: what a scheduler says, or what nodes have free.

Pure, without I/O. Only Slurm is asked (``sbatch --test-only``); for other schedulers there is the
estimate from the inventory, which knows nothing of priorities and limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..job import JobSpec, ResourceSpec
from ..units import WHOLE
from .inventory import Inventory, Node

SOON = 60.0
"""A job that starts within so many seconds starts "now": schedulers act at intervals."""
LONG_WAIT = 300.0
"""How long (seconds) a wait must be until it is worth asking how the job would start sooner."""


class Outlook(str, Enum):
    """What is known about the start of a job.

    ``PERHAPS``: enough is free, but other jobs wait. ``NOT_NOW``: not enough is free, and nobody
    knows until when. ``REFUSED``: the scheduler says that it can't start such a job now.
    """

    NOW = "now"
    LATER = "later"
    PERHAPS = "perhaps"
    NOT_NOW = "not_now"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class StartEstimate:
    """When a job would start if it was submitted now.

    Attributes
    ----------
    outlook
        What is known.
    start
        The moment in seconds since the epoch, if the outlook is ``NOW`` or ``LATER`` and the
        scheduler named it.
    reason
        The scheduler's words, if the outlook is ``REFUSED``.
    by_inventory
        True if the scheduler was not asked about the job: this is our own estimate.
    """

    outlook: Outlook = Outlook.UNKNOWN
    start: float | None = None
    reason: str = ""
    by_inventory: bool = False

    @classmethod
    def at(cls, start: float, now: float) -> StartEstimate:
        """Return the estimate for a start at a moment."""
        return cls(Outlook.NOW if start - now <= SOON else Outlook.LATER, start)

    def wait(self, now: float) -> float | None:
        """Return how many seconds the job would wait; None if nobody knows.

        A job that can't start now waits without end as far as anybody knows.
        """
        if self.outlook is Outlook.NOW:
            return 0.0
        if self.outlook is Outlook.LATER and self.start is not None:
            return max(0.0, self.start - now)
        if self.outlook in (Outlook.NOT_NOW, Outlook.REFUSED):
            return float("inf")
        return None

    def waits_long(self, now: float) -> bool:
        """Return whether it is worth asking how the job would start sooner."""
        wait = self.wait(now)
        return wait is not None and wait > LONG_WAIT

    def is_much_sooner(self, other: StartEstimate, now: float) -> bool:
        """Return whether this start is so much earlier than another that a user wants to know."""
        mine, others = self.wait(now), other.wait(now)
        return mine is not None and others is not None and others - mine > LONG_WAIT


def estimate_by_inventory(spec: JobSpec, inventory: Inventory, queue: str = "") -> StartEstimate:
    """Return whether the nodes of a queue have enough free for a job.

    Parameters
    ----------
    queue
        The job's queue; without a name, the one that such a job goes to.
    """
    found = inventory.find_queue(spec.queue_name or queue)
    if found is None or _asks_for_more(spec):
        return StartEstimate(by_inventory=True)
    if not found.available:
        return StartEstimate(Outlook.NOT_NOW, by_inventory=True)
    nodes = [node for node in inventory.nodes if not found.name or found.name in node.queues]
    fits = [_has_room(node, spec.resources) for node in nodes if node.available]
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


def _asks_for_more(spec: JobSpec) -> bool:
    """Return whether a job depends on what the list of nodes does not show."""
    return bool(spec.reservation_id or spec.resources.constraint or spec.resources.gpu_type)


def _has_room(node: Node, asked: ResourceSpec) -> bool | None:
    """Return whether a node has enough free for its part of a job; None if that is not known."""
    processes = asked.per_node
    cores = processes * (asked.cpu_cores_per_process or 1)
    gpus = processes * (asked.gpu_cores_per_process or 0)
    answers = [_enough(node.idle_cores, node.cores if asked.exclusive_node_use else cores)]
    answers += [node.cores >= cores]
    if gpus:
        answers += [_enough(node.idle_gpus if node.gpus else 0, gpus)]
    if asked.memory not in (None, WHOLE):
        assert asked.memory is not None
        answers += [_enough(node.idle_memory, asked.memory // asked.nodes)]
    if False in answers:
        return False
    return None if None in answers else True


def _enough(free: int | None, needed: int) -> bool | None:
    return None if free is None else free >= needed
