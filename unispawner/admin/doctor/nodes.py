"""Compares the jobs of a configuration with the nodes that the scheduler lists."""

from __future__ import annotations

from ...schedulers.fitting import find_misfit
from ...schedulers.inventory import Inventory
from ...servers.spawner import UniSpawner
from . import queues


def compare(spawner: UniSpawner, inventory: Inventory) -> list[str]:
    """Return why no node can ever run a spawner's job; nothing if some can, or nobody knows.

    What :mod:`.queues` finds is left out.
    """
    spec = spawner.job_spec("0" * 16, environment={})
    unfit = find_misfit(spawner.get_scheduler(), spec, inventory)
    if unfit is None:
        return []
    known = queues.compare(spec, inventory)
    if any(message.startswith(f"{unfit.field}: ") for message in known):
        return []
    refused = "a start is refused" if spawner.check_nodes else "the job waits for ever"
    return [f"{unfit.field}: {unfit.message}, so {refused}; offer less, or another queue"]
