"""What one job may have in a queue, as far as the inventory tells."""

from __future__ import annotations

from datetime import timedelta

from .schedulers.inventory import Inventory, Queue


def find_queue(inventory: Inventory, name: str) -> Queue | None:
    """Return a queue by its name; without one, that where a job goes which names none."""
    for queue in inventory.queues:
        if queue.name == name or (not name and queue.default):
            return queue
    return None


def queue_limit(inventory: Inventory, name: str, field: str) -> int | timedelta | None:
    """Return the most of a field that one job can have; None for no limit, or none that is told.

    The cores of a process are of one node, whatever the queue says.
    """
    queue = find_queue(inventory, name)
    if queue is None:
        return None
    node = inventory.totals(queue.name)
    if field == "cpu_cores_per_process":
        return _least(queue.max_cores, node.largest_cores)
    return {
        "duration": queue.max_duration,
        "node_count": _least(queue.max_nodes, node.nodes),
        "process_count": queue.max_cores,
        "gpu_cores_per_process": queue.max_gpus,
        "memory": queue.max_memory,
    }.get(field)


def _least(*limits: int | None) -> int | None:
    known = [limit for limit in limits if limit]
    return min(known) if known else None
