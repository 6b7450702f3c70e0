"""Finds out whether a queue allows what a job asks for. Pure.

Some schedulers accept a job that is beyond its queue's limits, and the job waits for ever: Slurm
with ``EnforcePartLimits=NO``, and Grid Engine. What the inventory does not know is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ..job import JobSpec, ResourceSpec
from ..texts import say
from ..units import (
    WHOLE,
    count_cores,
    count_gpus,
    count_nodes,
    format_duration,
    format_memory,
)
from .base import Scheduler
from .inventory import Inventory, Queue


@dataclass(frozen=True)
class Excess:
    """What is more than every queue allows to which a job can go.

    Attributes
    ----------
    field
        The field of the job that asks for too much.
    message
        What the queue allows and what the job asks for; without the name of the field.
    """

    field: str
    message: str


@dataclass(frozen=True)
class _Amount:
    """Something that a queue limits: what a job asks for, and what a queue allows."""

    field: str
    asked: Any
    limit: Callable[[Queue], Any]
    write: Callable[[Any], str]


def find_excess(scheduler: Scheduler, spec: JobSpec, inventory: Inventory) -> Excess | None:
    """Return what is more than the job's queue allows; None if nothing is, or if nobody knows.

    The site's own options must not replace what the fields say about nodes and queues: see
    :func:`.fitting.is_as_asked`.
    """
    queues = _possible_queues(spec, inventory)
    if not queues or spec.qos:  # Slurm: a QOS may lift the limits of its partition
        return None
    for amount in _amounts(scheduler, spec):
        limits = [amount.limit(queue) for queue in queues]
        if amount.asked is None or None in limits:
            continue
        most = max(limits)
        if amount.asked > most:
            return Excess(amount.field, _explain(queues, amount, most))
    return None


def _explain(queues: Sequence[Queue], amount: _Amount, most: Any) -> str:
    values = {"most": amount.write(most), "asked": amount.write(amount.asked)}
    if len(queues) > 1:
        return say("the queues allow at most {most}, and the job asks for {asked}", **values)
    return say(
        "the queue {queue} allows at most {most}, and the job asks for {asked}",
        queue=queues[0].name,
        **values,
    )


def _possible_queues(spec: JobSpec, inventory: Inventory) -> Sequence[Queue]:
    """Return the queues that a job may go to: its own, a default queue, or else any queue."""
    if spec.queue_name:
        return [queue for queue in inventory.queues if queue.name == spec.queue_name]
    return [queue for queue in inventory.queues if queue.default] or inventory.queues


def _amounts(scheduler: Scheduler, spec: JobSpec) -> list[_Amount]:
    asked = spec.resources
    gpus = asked.processes * (asked.gpu_cores_per_process or 0)
    memory = None if asked.memory in (None, WHOLE) else asked.memory
    amounts = [
        _Amount("node_count", asked.nodes, lambda one: one.max_nodes, count_nodes),
        _Amount(_field_of_cores(asked), asked.cores, lambda one: one.max_cores, count_cores),
        _Amount("gpu_cores_per_process", gpus, lambda one: one.max_gpus, count_gpus),
    ]
    if scheduler.node_memory_counts:
        amounts.append(_Amount("memory", memory, lambda one: one.max_memory, format_memory))
    if _has_own_duration(scheduler, spec):
        amounts.insert(0, _Amount("duration", spec.duration, _longest, format_duration))
    return amounts


def _longest(queue: Queue) -> timedelta | None:
    return queue.max_duration


def _has_own_duration(scheduler: Scheduler, spec: JobSpec) -> bool:
    """Return whether the job's time limit is its duration: a site's own option may replace it."""
    own = {key for key, _ in spec.attributes_for(scheduler.name)} | spec.left_out(scheduler.name)
    return not {one.lower() for one in own} & scheduler.replaces_duration


def _field_of_cores(asked: ResourceSpec) -> str:
    """Return the field to which a job owes most of its cores."""
    most = (asked.cpu_cores_per_process or 1) >= asked.processes
    return "cpu_cores_per_process" if most else "process_count"
