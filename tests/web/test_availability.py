"""What is told to be free, and what one job may have, of each kind of inventory."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unispawner.errors import SchedulerUnavailable
from unispawner.limits import find_limits, find_queue
from unispawner.schedulers.inventory import Inventory, Node, Queue
from unispawner.testing import FakeScheduler
from unispawner.web.availability import Availability, availability, to_dict

GIGABYTE = 1024**3
QUEUES = Inventory(
    queues=(
        Queue("short", default=True, max_duration=timedelta(hours=1), waiting=0, running=2),
        Queue("gpu", max_gpus=2, max_nodes=1, max_memory=GIGABYTE, waiting=1),
        Queue("closed", available=False),
        Queue("down", waiting=3),
    ),
    nodes=(
        Node("a", True, 8, 3, queues=frozenset({"short"})),
        Node("b", True, 64, 64, 4, 4, queues=frozenset({"short", "gpu"})),
        Node("c", False, 128, 0, queues=frozenset({"short", "down"})),
    ),
)
"""As of Slurm, PBS, TORQUE and LSF: a job that names no queue goes to the default one."""
NO_DEFAULT = Inventory(
    queues=(Queue("all.q"), Queue("short.q", max_duration=timedelta(minutes=10))),
    nodes=(
        Node("a", True, 8, 3, queues=frozenset({"all.q", "short.q"})),
        Node("b", True, 4, 4, queues=frozenset({"all.q"})),
    ),
    waiting=6,
)
"""As of Grid Engine: any queue may take it."""
POOL = Inventory(nodes=(Node("a", True, 8, 3, 2, 1), Node("b", True, 4, 4)), waiting=3, running=2)
"""As of HTCondor, which has no queues."""
ONE_HOST = Inventory(nodes=(Node("localhost", cores=2, memory=GIGABYTE),))
"""As of the local scheduler, which knows nothing of what is idle."""
NOTHING = Inventory()
"""As of templates."""


def known(inventory: Inventory | None, queue: str = "") -> Availability:
    return Availability("cluster", inventory, 1000.0, False, queue, 60.0)


# -- in words -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inventory", "queue", "words"),
    [
        (QUEUES, "", "Free: 67 of 72 cores, 4 of 4 GPUs, 1 of 2 whole nodes."),
        (QUEUES, "gpu", "Free: 64 of 64 cores, 4 of 4 GPUs, 1 of 1 whole node. 1 job waits."),
        (QUEUES, "closed", "This queue takes no jobs just now."),
        (QUEUES, "down", "No node is up just now. 3 jobs wait."),
        (QUEUES, "unknown", ""),
        (NO_DEFAULT, "", "Free: 7 of 12 cores, 1 of 2 whole nodes. 6 jobs wait."),
        (NO_DEFAULT, "short.q", "Free: 3 of 8 cores, 0 of 1 whole node."),
        (POOL, "", "Free: 7 of 12 cores, 1 of 2 GPUs, 1 of 2 whole nodes. 3 jobs wait."),
        (ONE_HOST, "", "There are 2 cores; how many are free is not told."),
        (NOTHING, "", ""),
        (None, "", ""),
    ],
)
def test_in_words(inventory: Inventory | None, queue: str, words: str) -> None:
    """What is free in a queue, or in the whole cluster where a job may go anywhere; what isn't
    told is not made up. That nobody waits is not said: others' jobs may be hidden from the Hub."""
    assert words == known(inventory).words(queue)


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
    """Where there is no default queue, the cluster is the one without a name, and each has the
    words that the form shows."""
    told = known(inventory).to_dict()
    assert told == json.loads(json.dumps(told))
    assert (default, names) == (told["default_queue"], list(told["queues"]))
    for name, queue in told["queues"].items():
        assert known(inventory).words(name) == queue["words"]


def test_numbers() -> None:
    """Of the queue's own nodes that are up; limits in seconds and bytes; null is not told."""
    queues = known(QUEUES).to_dict()["queues"]
    expected: dict[str, Any] = {
        "words": known(QUEUES).words("gpu"),
        "available": True,
        "waiting": 1,
        "running": None,
        "nodes": {"total": 1, "idle": 1},
        "cores": {"total": 64, "idle": 64},
        "gpus": {"total": 4, "idle": 4},
        "limits": {
            "node_count": 1,
            "cpu_cores_per_process": 64,
            "gpu_cores_per_process": 2,
            "memory": GIGABYTE,
        },
    }
    assert expected == queues["gpu"]
    assert 3600.0 == queues["short"]["limits"]["duration"]
    pool = known(POOL).to_dict()["queues"][""]
    assert (3, 2) == (pool["waiting"], pool["running"])
    host = known(ONE_HOST).to_dict()["queues"][""]
    assert {"total": 2, "idle": None} == host["cores"]
    assert {"total": 0, "idle": 0} == host["gpus"]


def test_several_clusters() -> None:
    """Each has its name; what is of no cluster of ours is left out, and there may be none."""
    assert ["cluster"] == list(to_dict([None, known(POOL)])["clusters"])
    assert {"clusters": {}} == to_dict([None])


# -- limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inventory", "queue", "limits"),
    [
        (
            QUEUES,
            "",
            {"duration": timedelta(hours=1), "node_count": 3, "cpu_cores_per_process": 128},
        ),
        (NO_DEFAULT, "", {"node_count": 2, "cpu_cores_per_process": 8}),
        (
            NO_DEFAULT,
            "short.q",
            {"duration": timedelta(minutes=10), "node_count": 1, "cpu_cores_per_process": 8},
        ),
        (POOL, "", {"node_count": 2, "cpu_cores_per_process": 8}),
        (ONE_HOST, "", {"node_count": 1, "cpu_cores_per_process": 2}),
        (QUEUES, "closed", {}),
        (QUEUES, "unknown", {}),
        (NOTHING, "", {}),
    ],
)
def test_limits_of_one_job(inventory: Inventory, queue: str, limits: dict[str, Any]) -> None:
    """Of the queue, the default one or the whole cluster; nodes that are down count, for a job
    may wait for them."""
    assert limits == find_limits(inventory, queue)


def test_a_process_is_on_one_node() -> None:
    """The smaller of what the queue allows and what the largest node has, where both are told."""
    nodes = (Node("a", cores=8, queues=frozenset({"q"})),)
    for allowed, expected in ((4, 4), (99, 8), (None, 8)):
        inventory = Inventory((Queue("q", max_cores=allowed),), nodes)
        assert expected == find_limits(inventory, "q")["cpu_cores_per_process"]
        assert allowed == find_limits(inventory, "q").get("process_count")
    unknown = Inventory((Queue("q", max_cores=4),))
    assert 4 == find_limits(unknown, "q")["cpu_cores_per_process"]


def test_the_queue_without_a_name() -> None:
    """It is the whole cluster with its jobs, only where no queue is the default, and only if
    there is anything to tell."""
    assert Queue("", waiting=3, running=2) == find_queue(POOL, "")
    assert QUEUES.queues[0] == find_queue(QUEUES, "")
    assert None is find_queue(NOTHING, "")
    assert None is find_queue(POOL, "named")


# -- of a spawner -------------------------------------------------------------------------------


class Cache:
    """What is known, asked for so many seconds ago."""

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
    """What is older than two intervals: a look, or a scheduler's answer, has failed to come."""
    cache = Cache(POOL, age)
    found = availability(spawner(cache, tmp_path))
    assert found is not None
    assert (stale, cache.as_of, 5.0) == (found.stale, found.as_of, found.refresh_in)
    assert [10.0] == cache.asked, "it is asked for in the background, if need be"


def test_which_cluster_and_queue(tmp_path: Path) -> None:
    """The spawner's settings, or else the scheduler's name, and its default queue."""
    cache = Cache(POOL, 0.0)
    found = availability(spawner(cache, tmp_path))
    assert found is not None
    assert ("fake", "") == (found.cluster, found.queue)
    found = availability(spawner(cache, tmp_path, cluster="big", queue_name="gpu"))
    assert found is not None
    assert ("big", "gpu") == (found.cluster, found.queue)


def test_spawners_of_which_nothing_is_known(tmp_path: Path) -> None:
    """One of another kind, and one that has not found its scheduler yet."""

    def fail() -> None:
        raise SchedulerUnavailable("It is not known yet which scheduler there is.")

    assert availability(SimpleNamespace()) is None
    undecided = spawner(Cache(POOL, 0.0), tmp_path)
    undecided.get_scheduler = fail
    assert availability(undecided) is None
