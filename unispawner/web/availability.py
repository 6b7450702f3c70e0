"""What is free on a cluster, for a form and the API. Nobody waits for a scheduler here."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from ..errors import UniSpawnerError
from ..job import JobSpec
from ..schedulers import Scheduler
from ..schedulers.estimate import StartEstimate
from ..schedulers.fitting import Unfit, find_misfit
from ..schedulers.free_room import estimate_by_inventory, exceeds_limits
from ..schedulers.inventory import Inventory, Queue, Share, Totals
from ..texts import Text, join, say, say_count
from ..units import as_number, count_cores


@dataclass(frozen=True)
class Availability:
    """What is known of the cluster that a spawner's jobs go to.

    Attributes
    ----------
    cluster
        The cluster's name: ``c.UniSpawner.cluster``, its scheduler's own name of it, or else the
        name of the scheduler.
    source
        What is the same for two answers about one cluster, and different for two clusters.
    inventory
        Its queues and nodes; None if they are not known, or the last answer is too old.
    as_of
        When the scheduler was asked, in seconds since the epoch; None if it never was.
    stale
        True if that is longer ago than it should be: the scheduler does not answer, or nobody has
        looked for a while.
    queue
        The queue of jobs for which none is chosen; empty is the scheduler's default.
    refresh_in
        The seconds after which it is worth asking again.
    """

    cluster: str
    inventory: Inventory | None
    as_of: float | None
    stale: bool
    queue: str
    refresh_in: float
    source: Hashable = None

    def describe(self, queue: str) -> str:
        """Return a sentence with what is free in a queue; empty if that is not known."""
        found = self.inventory and self.inventory.find_queue(queue)
        return _describe(self.inventory, found) if self.inventory and found else ""

    def estimate_start(self, spec: JobSpec, scheduler: Scheduler) -> StartEstimate:
        """Return whether enough is free for a job to start now."""
        if self.inventory is None:
            return StartEstimate(by_inventory=True)
        return estimate_by_inventory(scheduler, spec, self.inventory, self.queue)

    def exceeds_limits(self, spec: JobSpec) -> bool:
        """Return whether a job asks for more than its queue allows."""
        return exceeds_limits(spec, self.inventory, self.queue)

    def to_dict(self) -> dict[str, Any]:
        """Return data for JSON: times in seconds, memory in bytes.

        If no queue is the default, the queue without a name stands for the whole cluster.
        """
        queues = list(self.inventory.queues) if self.inventory else []
        default = self.inventory.find_queue() if self.inventory else None
        if default is not None and default not in queues:
            queues.append(default)
        return {
            "as_of": self.as_of,
            "stale": self.stale,
            "refresh_in": self.refresh_in,
            "default_queue": default.name if default else "",
            "queues": {queue.name: self._queue(self.inventory, queue) for queue in queues},
        }

    def _queue(self, inventory: Inventory | None, queue: Queue) -> dict[str, Any]:
        assert inventory is not None  # it has this queue
        totals, limits = inventory.totals(queue.name), inventory.limits(queue.name)
        return {
            "words": _describe(inventory, queue),
            "available": queue.available,
            "waiting": queue.waiting,
            "running": queue.running,
            "nodes": {"total": totals.nodes, "idle": totals.idle_nodes},
            "cores": {"total": totals.cores, "idle": totals.idle_cores},
            "gpus": {"total": totals.gpus, "idle": totals.idle_gpus},
            "gpu_types": {
                name: _share(name, share) for name, share in inventory.gpu_types(queue.name).items()
            },
            "features": {
                name: _share(name, share, "cores")
                for name, share in inventory.features(queue.name).items()
            },
            "limits": {field: as_number(limit) for field, limit in limits.items()},
        }


def _share(name: str, share: Share, unit: str = "") -> dict[str, Any]:
    return {"total": share.total, "idle": share.idle, "words": share.describe(name, unit)}


def availability(spawner: Any) -> Availability | None:
    """Return what is known of the cluster of a spawner's jobs; None if it is not a UniSpawner.

    If that is older than ``inventory_interval``, it is refreshed in the background.
    """
    interval = getattr(spawner, "inventory_interval", None)
    if interval is None:
        return None
    try:
        cache, scheduler = spawner.monitor().inventory, spawner.get_scheduler()
    except UniSpawnerError:  # the scheduler is not detected yet
        return None
    inventory, as_of = cache.peek(interval), cache.as_of
    return Availability(
        cluster=spawner.cluster or scheduler.cluster_name or scheduler.name,
        inventory=inventory,
        as_of=as_of,
        stale=as_of is None or time.time() - as_of > 2 * interval,
        queue=spawner.queue_name or "",
        refresh_in=cache.refresh_in(interval),
        source=cache,
    )


def find_misfit_of(spawner: Any, spec: JobSpec) -> Unfit | None:
    """Return why no node of a UniSpawner's cluster can run a job; None if that is not known.

    Nobody is asked: only what a form has asked for lately counts.
    """
    if not spawner.check_nodes:
        return None
    inventory = spawner.monitor().inventory.recent(spawner.inventory_interval)
    return find_misfit(spawner.get_scheduler(), spec, inventory) if inventory else None


def name_apart(found: Iterable[Availability | None]) -> list[Availability | None]:
    """Return what is known of clusters, each cluster with a name that no other one here has.

    Clusters of one scheduler have the same name where nobody has given them names.
    """
    sources: dict[str, Hashable] = {}
    result: list[Availability | None] = []
    for one in found:
        name, number = one.cluster if one else "", 1
        while one and sources.setdefault(name, one.source) != one.source:
            number += 1
            name = f"{one.cluster} {number}"
        result.append(replace(one, cluster=name) if one else None)
    return result


def clusters_to_dict(found: Iterable[Availability | None]) -> dict[str, Any]:
    """Return data for JSON: what is known of each cluster, by its name."""
    return {"clusters": {one.cluster: one.to_dict() for one in name_apart(found) if one}}


def _describe(inventory: Inventory, queue: Queue) -> str:
    if not queue.available:
        return say("This queue takes no jobs at the moment.")
    totals = inventory.totals(queue.name)
    free = _describe_free(totals)
    if free:
        words = say("Free: {list}.", list=join(", ", free))
    elif totals.nodes:
        cores = count_cores(totals.cores)
        words = say("There are {cores}; how many are free is not known.", cores=cores)
    else:
        words = say("No node is up at the moment.")
    if not queue.waiting:  # 0 may mean that the scheduler hides others' jobs from the Hub
        return words
    waiting = say_count("{count} job waits.", "{count} jobs wait.", queue.waiting)
    return join(" ", [words, waiting])


def _describe_free(totals: Totals) -> list[Text]:
    """Return how many of each thing are free, as far as that is known."""
    cores, gpus, nodes = totals.idle_cores, totals.idle_gpus, totals.idle_nodes
    free: list[Text] = []
    if totals.cores and cores is not None:
        free.append(
            say_count("{free} of {count} core", "{free} of {count} cores", totals.cores, free=cores)
        )
    if totals.gpus and gpus is not None:
        free.append(
            say_count("{free} of {count} GPU", "{free} of {count} GPUs", totals.gpus, free=gpus)
        )
    if totals.nodes and nodes is not None:
        free.append(
            say_count(
                "{free} of {count} whole node",
                "{free} of {count} whole nodes",
                totals.nodes,
                free=nodes,
            )
        )
    return free
