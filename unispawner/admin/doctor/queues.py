"""What a configuration asks for is held against what the scheduler tells of its queues.

What it tells need not be all: a reservation or the like may allow more. So this is for ``unispawner
doctor`` to point at, and ends no Hub's start.
"""

from __future__ import annotations

import re

from ...job import JobSpec
from ...profiles.fields import FIELDS, show
from ...schedulers.inventory import Inventory

_PLAIN = re.compile(r"[\w.+-]+")
"""One queue's name, and no list of them, nor one with a server's or a host's name."""


def doubts(spec: JobSpec, inventory: Inventory) -> list[str]:
    """Return why a job might not start, in words; nothing if nothing is known."""
    name = spec.queue_name
    if name and inventory.find_queue(name) is None:
        names = ", ".join(queue.name for queue in inventory.queues)
        told = names and _PLAIN.fullmatch(name)
        return [f"the scheduler tells of no queue {name!r}; there are {names}"] if told else []
    where = f"the queue {name}" if name else "the default queue"
    result = []
    for field, limit in inventory.limits(name).items():
        asked = spec.duration if field == "duration" else getattr(spec.resources, field)
        if asked is not None and asked > limit:  # type: ignore[operator] # both are of one kind
            kind = FIELDS[field].kind
            result.append(
                f"{field}: {show(kind, asked)} is more than {where} allows, {show(kind, limit)}"
            )
    return result
