"""What one job may have in a queue, for each kind of inventory."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from support.inventories import NO_DEFAULT, NOTHING, ONE_HOST, POOL, QUEUES

from unispawner.schedulers.inventory import Inventory, Node, Queue


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
    """The limits are those of the named queue, the default queue or the whole cluster; nodes that
    are down count, because a job may wait for them."""
    assert limits == inventory.limits(queue)


def test_a_process_is_on_one_node() -> None:
    """The cores of a process are limited by the queue and by the largest node, where both are
    known."""
    nodes = (Node("a", cores=8, queues=frozenset({"q"})),)
    for allowed, expected in ((4, 4), (99, 8), (None, 8)):
        inventory = Inventory((Queue("q", max_cores=allowed),), nodes)
        assert expected == inventory.limits("q")["cpu_cores_per_process"]
        assert allowed == inventory.limits("q").get("process_count")
    unknown = Inventory((Queue("q", max_cores=4),))
    assert 4 == unknown.limits("q")["cpu_cores_per_process"]


def test_the_queue_without_a_name() -> None:
    """The queue without a name stands for the whole cluster with its jobs if no queue is the
    default and there are nodes."""
    assert Queue("", waiting=3, running=2) == POOL.find_queue("")
    assert QUEUES.queues[0] == QUEUES.find_queue("")
    assert None is NOTHING.find_queue("")
    assert None is POOL.find_queue("named")
