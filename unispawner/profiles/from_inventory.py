"""Choices that are what the cluster has: ``"choices": "inventory"``. Pure."""

from __future__ import annotations

from ..schedulers.inventory import Inventory

INVENTORY = "inventory"
"""Instead of choices: those that the inventory has, with what is free of each."""

PATTERNS = {
    # A type's name may have blanks on HTCondor, and a colon if it is Slurm's "shard:a100".
    "gpu_type": r"(?:shard:)?[A-Za-z0-9][A-Za-z0-9_.+-]*(?: [A-Za-z0-9_.+-]+)*",
    # One feature: with the operators of a constraint a user could ask for more than is offered.
    "constraint": r"[A-Za-z0-9_][A-Za-z0-9_.+@/:-]*(?:=[A-Za-z0-9_.+@/:-]+)?",
    "queue_name": r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*",
}
"""The fields that can have such choices, each with the values that are allowed in any case."""


def find_choices(name: str, inventory: Inventory | None, queue: str) -> dict[str, str]:
    """Return what a field can be in a queue, each with the text that a form shows.

    Empty if that is not known.
    """
    if inventory is None:
        return {}
    if name == "queue_name":
        return {one.name: one.name for one in inventory.queues if one.available and one.name}
    found = inventory.find_queue(queue)
    where = found.name if found else queue
    shares = inventory.gpu_types(where) if name == "gpu_type" else inventory.features(where)
    unit = "" if name == "gpu_type" else "cores"
    return {value: share.describe(value, unit) for value, share in shares.items()}
