"""What one job may have in a queue, as far as the inventory tells."""

from __future__ import annotations

from datetime import timedelta

from .schedulers.inventory import Inventory, Queue


def find_queue(inventory: Inventory, name: str) -> Queue | None:
    """Return a queue by its name; without one, that where a job goes which names none.

    Where there are no queues, or no default, that is the whole cluster: a queue without a name,
    whose jobs are all those that no queue tells of.
    """
    for queue in inventory.queues:
        if queue.name == name or (not name and queue.default):
            return queue
    if name or not inventory.nodes:
        return None
    return Queue("", waiting=inventory.waiting, running=inventory.running)


def find_limits(inventory: Inventory, name: str) -> dict[str, int | timedelta]:
    """Return the most that one job can have in a queue, by field; what isn't told is left out.

    The cores of a process are of one node, whatever the queue says. A node that is down just now
    counts: a job may wait for it.
    """
    queue = find_queue(inventory, name)
    if queue is None:
        return {}
    nodes = [node for node in inventory.nodes if not queue.name or queue.name in node.queues]
    largest = max((node.cores for node in nodes), default=0)
    limits = {
        "duration": queue.max_duration,
        "node_count": _least(queue.max_nodes, len(nodes)),
        "process_count": queue.max_cores,
        "cpu_cores_per_process": _least(queue.max_cores, largest),
        "gpu_cores_per_process": queue.max_gpus,
        "memory": queue.max_memory,
    }
    return {field: limit for field, limit in limits.items() if limit is not None}


def _least(*limits: int | None) -> int | None:
    known = [limit for limit in limits if limit]
    return min(known) if known else None
