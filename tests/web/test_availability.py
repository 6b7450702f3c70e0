"""What the API and the form report to be free, for each kind of inventory."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.inventories import GIGABYTE, NO_DEFAULT, NOTHING, ONE_HOST, POOL, QUEUES

from unispawner.errors import SchedulerUnavailable
from unispawner.schedulers.inventory import Inventory, Node
from unispawner.testing import FakeScheduler
from unispawner.web.availability import (
    Availability,
    availability,
    clusters_to_dict,
    name_apart,
)
from unispawner.web.languages import read_languages


def availability_of(inventory: Inventory | None, queue: str = "") -> Availability:
    return Availability("cluster", inventory, 1000.0, False, queue, 60.0)


# -- in words -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inventory", "queue", "words"),
    [
        (QUEUES, "", "Free: 67 of 72 cores, 4 of 4 GPUs, 1 of 2 whole nodes."),
        (QUEUES, "gpu", "Free: 64 of 64 cores, 4 of 4 GPUs, 1 of 1 whole node. 1 job waits."),
        (QUEUES, "closed", "This queue takes no jobs at the moment."),
        (QUEUES, "down", "No node is up at the moment. 3 jobs wait."),
        (QUEUES, "unknown", ""),
        (NO_DEFAULT, "", "Free: 7 of 12 cores, 1 of 2 whole nodes. 6 jobs wait."),
        (NO_DEFAULT, "short.q", "Free: 3 of 8 cores, 0 of 1 whole node."),
        (POOL, "", "Free: 7 of 12 cores, 1 of 2 GPUs, 1 of 2 whole nodes. 3 jobs wait."),
        (ONE_HOST, "", "There are 2 cores; how many are free is not known."),
        (NOTHING, "", ""),
        (None, "", ""),
    ],
)
def test_in_words(inventory: Inventory | None, queue: str, words: str) -> None:
    """The sentence has what is free in a queue, or in the whole cluster if there is no default
    queue, and invents nothing that is not known. It does not say that no job waits, because the
    scheduler may hide others' jobs."""
    assert words == availability_of(inventory).describe(queue)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("de", "Frei: 67 von 72 Kernen, 4 von 4 GPUs, 1 von 2 ganzen Knoten."),
        (
            "fr",
            "Disponibles\N{NO-BREAK SPACE}: 67 sur 72 cœurs, 4 sur 4 GPU, 1 sur 2 nœuds entiers.",
        ),
    ],
)
def test_what_is_free_in_other_languages(language: str, words: str) -> None:
    """Each number of things is a phrase of its own, so that a language can put it into its case."""
    assert words == read_languages()[language].translate(availability_of(QUEUES).describe(""))


# -- as JSON ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inventory", "default", "names"),
    [
        (QUEUES, "short", ["short", "gpu", "closed", "down"]),
        (NO_DEFAULT, "", ["all.q", "short.q", ""]),
        (POOL, "", [""]),
        (ONE_HOST, "", [""]),
        (NOTHING, "", []),
        (None, "", []),
    ],
)
def test_queues_by_name(inventory: Inventory | None, default: str, names: list[str]) -> None:
    """Without a default queue the cluster is the queue without a name; each queue has the sentence
    that the form shows."""
    result = availability_of(inventory).to_dict()
    assert result == json.loads(json.dumps(result))
    assert (default, names) == (result["default_queue"], list(result["queues"]))
    for name, queue in result["queues"].items():
        assert availability_of(inventory).describe(name) == queue["words"]


def test_numbers() -> None:
    """The numbers are those of the queue's own nodes that are up; limits are in seconds and bytes;
    null means not known."""
    queues = availability_of(QUEUES).to_dict()["queues"]
    expected: dict[str, Any] = {
        "words": availability_of(QUEUES).describe("gpu"),
        "available": True,
        "waiting": 1,
        "running": None,
        "nodes": {"total": 1, "idle": 1},
        "cores": {"total": 64, "idle": 64},
        "gpus": {"total": 4, "idle": 4},
        "gpu_types": {},
        "features": {},
        "limits": {
            "node_count": 1,
            "cpu_cores_per_process": 64,
            "gpu_cores_per_process": 2,
            "memory": GIGABYTE,
        },
    }
    assert expected == queues["gpu"]
    assert 3600.0 == queues["short"]["limits"]["duration"]
    pool = availability_of(POOL).to_dict()["queues"][""]
    assert (3, 2) == (pool["waiting"], pool["running"])
    host = availability_of(ONE_HOST).to_dict()["queues"][""]
    assert {"total": 2, "idle": None} == host["cores"]
    assert {"total": 0, "idle": 0} == host["gpus"]


def test_types_and_features() -> None:
    """What is free of each type of GPU, and the free cores of each feature's nodes, with words."""
    node = Node(
        *("n", True, 8, 3, 2, 1),
        gpu_types=(("a100", 2, 1),),
        features=frozenset({"rome"}),
    )
    found = availability_of(Inventory(nodes=(node,))).to_dict()["queues"][""]
    assert {"a100": {"total": 2, "idle": 1, "words": "a100: 1 of 2 free"}} == found["gpu_types"]
    assert {"rome": {"total": 8, "idle": 3, "words": "rome: 3 of 8 cores free"}} == found[
        "features"
    ]


def test_several_clusters() -> None:
    """Each cluster has its name; spawners without a cluster are left out."""
    assert ["cluster"] == list(clusters_to_dict([None, availability_of(POOL)])["clusters"])
    assert {"clusters": {}} == clusters_to_dict([None])


# -- of a spawner -------------------------------------------------------------------------------


class Cache:
    """An inventory that was asked for so many seconds ago."""

    def __init__(self, inventory: Inventory | None, age: float | None) -> None:
        self.inventory = inventory
        self.as_of = None if age is None else time.time() - age
        self.asked: list[float] = []

    def peek(self, lifetime: float) -> Inventory | None:
        self.asked.append(lifetime)
        return self.inventory

    def refresh_in(self, lifetime: float) -> float:
        return lifetime / 2


def spawner(cache: Cache, tmp_path: Path, **settings: Any) -> Any:
    return SimpleNamespace(
        **{"inventory_interval": 10.0, "cluster": "", "queue_name": None, **settings},
        monitor=lambda: SimpleNamespace(inventory=cache),
        get_scheduler=lambda: FakeScheduler(tmp_path),
    )


@pytest.mark.parametrize(
    ("age", "stale"), [(None, True), (0.0, False), (15.0, False), (25.0, True)]
)
def test_what_is_stale(tmp_path: Path, age: float | None, stale: bool) -> None:
    """An inventory is stale when it is older than two intervals."""
    cache = Cache(POOL, age)
    found = availability(spawner(cache, tmp_path))
    assert found is not None
    assert (stale, cache.as_of, 5.0) == (found.stale, found.as_of, found.refresh_in)
    assert [10.0] == cache.asked, "it is asked for in the background, if need be"


def test_which_cluster_and_queue(tmp_path: Path) -> None:
    """Cluster and queue are the spawner's settings, or else the scheduler's name and its default
    queue."""
    cache = Cache(POOL, 0.0)
    found = availability(spawner(cache, tmp_path))
    assert found is not None
    assert ("fake", "") == (found.cluster, found.queue)
    found = availability(spawner(cache, tmp_path, cluster="big", queue_name="gpu"))
    assert found is not None
    assert ("big", "gpu") == (found.cluster, found.queue)


def test_spawners_of_which_nothing_is_known(tmp_path: Path) -> None:
    """There is no availability for another kind of spawner, or while the scheduler is not
    detected."""

    def fail() -> None:
        raise SchedulerUnavailable("It is not known yet which scheduler there is.")

    assert availability(SimpleNamespace()) is None
    undecided = spawner(Cache(POOL, 0.0), tmp_path)
    undecided.get_scheduler = fail
    assert availability(undecided) is None


def test_two_clusters_of_one_name() -> None:
    """Two clusters of one scheduler that nobody has given names are both reported; what two
    profiles say of one cluster is reported once."""

    def of(source: str, name: str = "slurm") -> Availability:
        return Availability(name, QUEUES, 1000.0, False, "", 60.0, source)

    found = [of("a"), None, of("b"), of("a"), of("c", "big"), of("d")]
    names = [one.cluster if one else None for one in name_apart(found)]
    assert ["slurm", None, "slurm 2", "slurm", "big", "slurm 3"] == names
    assert {"slurm", "slurm 2", "slurm 3", "big"} == set(clusters_to_dict(found)["clusters"])
