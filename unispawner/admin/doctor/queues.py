"""Compares the jobs of a configuration with the limits that the scheduler reports for its queues.

A scheduler need not report all that it allows, such as a reservation. So ``unispawner doctor`` only
points at what it finds, and a Hub starts all the same.
"""

from __future__ import annotations

import re

from ...job import JobSpec
from ...profiles.fields import FIELDS, format_value
from ...schedulers.inventory import Inventory
from ...units import format_memory

LEAST_MEMORY = 16 * 1024**2
"""Whoever requests less memory (bytes) than this has meant another unit."""
_ONE_QUEUE = re.compile(r"[\w.+-]+")
"""The name of one queue, and neither a list nor a name with a server's or a host's."""


def compare(spec: JobSpec, inventory: Inventory) -> list[str]:
    """Return messages that say why a job might not start; none if nothing is known."""
    name = spec.queue_name
    if name and inventory.find_queue(name) is None:
        names = ", ".join(sorted(queue.name for queue in inventory.queues))
        if not (names and _ONE_QUEUE.fullmatch(name)):
            return []
        return [f"queue_name: the scheduler has no queue {name!r}; its queues: {names}"]
    queue = f"queue {name}" if name else "the default queue"
    if not any(one.name for one in inventory.queues):  # as with HTCondor
        queue = "the cluster"
    messages = []
    memory = spec.resources.memory
    if memory and memory < LEAST_MEMORY:
        messages.append(
            f"memory: {format_memory(memory)} is too little for a server; check the unit"
        )
    for field, limit in inventory.limits(name).items():
        asked = spec.duration if field == "duration" else getattr(spec.resources, field)
        if asked is not None and asked > limit:  # type: ignore[operator] # both are of one kind
            value, most = (format_value(FIELDS[field].kind, one) for one in (asked, limit))
            messages.append(f"{field}: {value} is more than the limit of {queue}, {most}")
    return messages
