"""Finds out whether the nodes of a cluster can run a job at all. Pure.

A scheduler accepts many a job that no node can ever run, and the job waits for ever. Here a job is
compared with the limits of its queue, and with each node, whether it is up, down or full: a node
that is down comes back. What the inventory does not know, every node can do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from ..errors import InvalidJobError
from ..job import JobSpec, ResourceSpec
from ..texts import join, say, say_count
from ..units import WHOLE, count_gpus, divide_up, format_memory
from . import constraints
from .base import Scheduler
from .inventory import Inventory, Node
from .queue_limits import find_excess

_HARMLESS = frozenset(
    (
        *("job-name", "chdir", "open-mode", "propagate", "time", "account", "qos", "reservation"),
        *("N", "m", "A", "walltime", "h_rt", "P", "W", "J", "w", "notification", "batch_name"),
        *("should_transfer_files", "accounting_group", "M"),
    )
)
"""Directives that a site may leave out without that its jobs fit on other nodes."""


_Kinds = Sequence[tuple[Node, int]]
"""A node of each kind, and how many there are of it."""


@dataclass(frozen=True)
class Unfit:
    """Why no node can run a job.

    Attributes
    ----------
    field
        The field of the job that makes it impossible.
    message
        What no node has, and what the field could be; without the name of the field.
    """

    field: str
    message: str


@dataclass(frozen=True)
class _Need:
    """What one node of a job must have.

    Attributes
    ----------
    field, words
        The field that asks for it, and what it asks for.
    fits
        Returns whether a node has it.
    most
        Returns in words the most that these nodes have; empty if there is no such number.
    """

    field: str
    words: str
    fits: Callable[[Node], bool]
    most: Callable[[Sequence[Node]], str]


def find_misfit(scheduler: Scheduler, spec: JobSpec, inventory: Inventory) -> Unfit | None:
    """Return why a job can never run; None if it can, or if that is not known."""
    if spec.reservation_id or not is_as_asked(scheduler, spec):
        return None
    if excess := find_excess(scheduler, spec, inventory):
        return Unfit(excess.field, excess.message)
    queue = inventory.find_queue(spec.queue_name)
    if queue is None:
        return None
    kinds, wanted = inventory.kinds_of_nodes(queue.name), spec.resources.nodes
    needs = _needs(scheduler, spec.resources, inventory)
    if not kinds or not needs or _count(kinds, needs) >= wanted:
        return None
    where = say("the queue {queue}", queue=queue.name) if queue.name else say("the cluster")
    # A need that no node meets says more than one that is too much together with the others.
    alone = [need for need in needs if not _count(kinds, [need])]
    for need in alone or needs:
        others = [] if need in alone else [one for one in needs if one is not need]
        if _count(kinds, others) >= wanted:
            break
    else:  # several together are too much: the first is named, with what the nodes have
        need, others = needs[0], needs[1:]
    left = [node for node, _ in kinds if all(one.fits(node) for one in others)]
    return Unfit(need.field, _explain(where, wanted, kinds, [*others, need], left))


def _explain(
    where: str,
    wanted: int,
    kinds: _Kinds,
    needs: Sequence[_Need],
    left: Sequence[Node],
) -> str:
    values = {
        "where": where,
        "needs": _join([one.words for one in needs]),
        "number": _count(kinds, needs),
        "wanted": wanted,
    }
    several = len(needs) > 1
    if values["number"] and several:
        return say(
            "only {number} of the nodes of {where} can have {needs} together, and the job asks for "
            "{wanted} nodes",
            **values,
        )
    if values["number"]:
        return say(
            "only {number} of the nodes of {where} can have {needs}, and the job asks for {wanted} "
            "nodes",
            **values,
        )
    if several:
        message = say("no node of {where} has {needs} together", **values)
    else:
        message = say("no node of {where} has {needs}", **values)
    most = needs[-1].most(left or [node for node, _ in kinds])
    if not most:
        return message
    if left and several:
        return say("{problem}; of the nodes with the rest, {most}", problem=message, most=most)
    return say("{problem}; {most}", problem=message, most=most)


def is_as_asked(scheduler: Scheduler, spec: JobSpec) -> bool:
    """Return whether the job's fields are all that its directives say about nodes."""
    if spec.left_out(scheduler.name) - _HARMLESS:
        return False
    own = {key.lower() for key, _ in spec.attributes_for(scheduler.name)}
    return not own & {one.lower() for one in scheduler.replaces_needs}


def _needs(scheduler: Scheduler, asked: ResourceSpec, inventory: Inventory) -> list[_Need]:
    """Return what one node must have. Of a job with several nodes, at least one process."""
    several = asked.nodes > 1 and not asked.processes_per_node
    processes = 1 if several else asked.per_node
    needs = []
    cores = processes * (asked.cpu_cores_per_process or 1)
    if cores > 1:
        needs.append(
            _Need(
                "cpu_cores_per_process",
                say("{number} cores", number=cores),
                _has_cores(cores),
                _cores,
            )
        )
    if asked.memory not in (None, WHOLE) and scheduler.node_memory_counts and not several:
        share = divide_up(asked.memory or 0, asked.nodes)
        words = say("{amount} of memory", amount=_show_memory(share))
        needs.append(_Need("memory", words, _has_memory(share), _memory))
    gpus, kind = processes * (asked.gpu_cores_per_process or 0), asked.gpu_type
    if gpus and any(node.gpus or node.gpu_types for node, _ in inventory.kinds_of_nodes()):
        words = count_gpus(gpus)
        if kind:
            words = say_count("{count} GPU of {type}", "{count} GPUs of {type}", gpus, type=kind)
        needs.append(_gpu_need(gpus, kind, words))
    if asked.constraint:
        needs += _feature_needs(asked.constraint, inventory)
    return needs


def _gpu_need(gpus: int, kind: str, words: str) -> _Need:
    def count(node: Node) -> int | None:
        if not kind:
            return node.gpus
        if node.gpu_types is None:
            return None if node.gpus else 0
        return sum(total for one, total, _ in node.gpu_types if one.lower() == kind.lower())

    def fits(node: Node) -> bool:
        here = count(node)
        return here is None or here >= gpus

    def most(nodes: Sequence[Node]) -> str:
        number = max((count(node) or 0 for node in nodes), default=0)
        if number:
            return say("the most that one of them has is {number}", number=number)
        kinds = sorted({one for node in nodes for one, _, _ in node.gpu_types or ()})
        if kind and kinds:
            return say("their types of GPU are {types}", types=", ".join(kinds))
        return say("none has a GPU")

    return _Need("gpu_type" if kind else "gpu_cores_per_process", words, fits, most)


def _feature_needs(constraint: str, inventory: Inventory) -> list[_Need]:
    known = {one for node, _ in inventory.kinds_of_nodes() for one in node.features or ()}
    try:
        expression = constraints.parse(constraint)
    except InvalidJobError:  # Slurm's own language has more
        return []
    if not constraints.features_of(expression) <= known:
        return []  # the scheduler may know of a feature that no list shows

    def fits(node: Node) -> bool:
        return node.features is None or constraints.has(expression, node.features)

    def most(nodes: Sequence[Node]) -> str:
        here = sorted({one for node in nodes for one in node.features or ()})
        if here:
            return say("their features are {features}", features=", ".join(here[:20]))
        return say("they have no features")

    words = say("the features {features}", features=constraint)
    if constraint in known:
        words = say("the feature {feature}", feature=constraint)
    return [_Need("constraint", words, fits, most)]


def _has_cores(cores: int) -> Callable[[Node], bool]:
    return lambda node: not node.cores or node.cores >= cores


def _cores(nodes: Sequence[Node]) -> str:
    most = max((node.cores for node in nodes), default=0)
    return say("the largest has {number} cores", number=most)


def _has_memory(size: int) -> Callable[[Node], bool]:
    return lambda node: not node.memory or node.memory >= size


def _memory(nodes: Sequence[Node]) -> str:
    most = max((node.memory or 0 for node in nodes), default=0)
    return say("the largest has {amount}", amount=_show_memory(most))


def _show_memory(size: int) -> str:
    return format_memory(size - size % 1024**2 if size > 1024**2 else size)


def _count(kinds: _Kinds, needs: Sequence[_Need]) -> int:
    return sum(number for node, number in kinds if all(need.fits(node) for need in needs))


def _join(words: Sequence[str]) -> str:
    if len(words) == 1:
        return words[0]
    return say("{first} and {second}", first=join(", ", words[:-1]), second=words[-1])


def option_of(field: str, fields_by_option: Mapping[str, Collection[str]]) -> str:
    """Return the option that sets a field of a job, or another one of its kind; else the field.

    Parameters
    ----------
    fields_by_option
        For each option, the fields that it sets, those of resources among them.
    """
    same = {
        "gpu_type": ("gpu_type", "gpu_cores_per_process"),
        "gpu_cores_per_process": ("gpu_cores_per_process", "gpu_type"),
        "memory": ("memory", "memory_per_core"),
        "duration": ("duration", "queue_name"),
        "node_count": ("node_count", "process_count", "queue_name"),
        "process_count": ("process_count", "node_count", "cpu_cores_per_process", "queue_name"),
    }
    for name in same.get(field, (field,)):
        for option, fields in reversed(list(fields_by_option.items())):
            if name in fields:
                return option
    return field
