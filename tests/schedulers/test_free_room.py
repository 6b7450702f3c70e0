"""The estimate from an inventory: whether a job could start now."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from support.inventories import GIGABYTE, NO_DEFAULT, ONE_HOST, POOL, QUEUES

from unispawner.job import JobSpec, ResourceSpec
from unispawner.schedulers import get_scheduler
from unispawner.schedulers.estimate import Outlook
from unispawner.schedulers.free_room import estimate_by_inventory, exceeds_limits
from unispawner.schedulers.inventory import Inventory, Node, Queue

PBS = get_scheduler("pbs")


def job(**resources: object) -> JobSpec:
    fields = {name: resources.pop(name) for name in ("queue_name", "duration") if name in resources}
    return JobSpec(resources=ResourceSpec.from_dict(resources), **fields)  # type: ignore[arg-type] # as a test says


MEMORY = Inventory(
    nodes=(
        Node("a", True, 8, 8, memory=8 * GIGABYTE, idle_memory=GIGABYTE),
        Node("b", True, 8, 1, memory=8 * GIGABYTE, idle_memory=8 * GIGABYTE),
    )
)
FREE = replace(POOL, waiting=0)
TYPES = Inventory(
    nodes=(
        Node(
            "a",
            True,
            8,
            8,
            4,
            2,
            gpu_types=(("a100", 2, 2), ("h100", 2, None)),
            features=frozenset({"rome"}),
        ),
    )
)
UNKNOWN_GPUS = Inventory(nodes=(Node("a", True, 8, 8, 2, None),))


@pytest.mark.parametrize(
    ("spec", "inventory", "expected"),
    [
        (job(cpu_cores_per_process=4), QUEUES, Outlook.NOW),
        (job(cpu_cores_per_process=64), QUEUES, Outlook.NOW),
        (job(cpu_cores_per_process=65), QUEUES, Outlook.NOT_NOW),
        (job(node_count=2, cpu_cores_per_process=3), QUEUES, Outlook.NOW),
        (job(node_count=2, cpu_cores_per_process=4), QUEUES, Outlook.NOT_NOW),
        (job(queue_name="gpu", gpu_cores_per_process=4), QUEUES, Outlook.PERHAPS),
        (job(queue_name="gpu", gpu_cores_per_process=5), QUEUES, Outlook.NOT_NOW),
        (job(queue_name="closed"), QUEUES, Outlook.NOT_NOW),
        (job(queue_name="down"), QUEUES, Outlook.NOT_NOW),
        (job(queue_name="other"), QUEUES, Outlook.UNKNOWN),
        (job(exclusive_node_use=True), QUEUES, Outlook.NOW),
        (job(exclusive_node_use=True, node_count=2), QUEUES, Outlook.NOT_NOW),
        (job(cpu_cores_per_process=4), NO_DEFAULT, Outlook.PERHAPS),
        (job(cpu_cores_per_process=5), NO_DEFAULT, Outlook.NOT_NOW),
        (job(cpu_cores_per_process=2, process_count=2), FREE, Outlook.NOW),
        (job(cpu_cores_per_process=2, process_count=3), FREE, Outlook.NOT_NOW),
        (job(gpu_cores_per_process=1), FREE, Outlook.NOW),
        (job(gpu_cores_per_process=2), FREE, Outlook.NOT_NOW),
        (job(memory="1G"), FREE, Outlook.UNKNOWN),
        (job(memory="1G", cpu_cores_per_process=5), FREE, Outlook.NOT_NOW),
        (job(memory="4G", cpu_cores_per_process=2), MEMORY, Outlook.NOT_NOW),
        (job(memory="4G"), MEMORY, Outlook.NOW),
        (job(gpu_cores_per_process=1), UNKNOWN_GPUS, Outlook.UNKNOWN),
        (job(gpu_cores_per_process=1, gpu_type="a100"), FREE, Outlook.UNKNOWN),
        (job(gpu_cores_per_process=2, gpu_type="A100"), TYPES, Outlook.NOW),
        (job(gpu_cores_per_process=3, gpu_type="a100"), TYPES, Outlook.NOT_NOW),
        (job(gpu_cores_per_process=1, gpu_type="h100"), TYPES, Outlook.UNKNOWN),
        (job(gpu_cores_per_process=1, gpu_type="l40"), TYPES, Outlook.NOT_NOW),
        (job(constraint="rome"), TYPES, Outlook.NOW),
        (job(constraint="milan"), TYPES, Outlook.NOT_NOW),
        (job(constraint="rome*2"), TYPES, Outlook.UNKNOWN),
        (job(constraint="milan"), FREE, Outlook.UNKNOWN),
        (JobSpec(custom_attributes={"pbs.l": "select=8"}), FREE, Outlook.UNKNOWN),
        (JobSpec(custom_attributes={"pbs.M": "ada@example.org"}), FREE, Outlook.NOW),
        (JobSpec(reservation_id="class"), FREE, Outlook.UNKNOWN),
        (job(), ONE_HOST, Outlook.UNKNOWN),
        (job(), Inventory(), Outlook.UNKNOWN),
    ],
)
def test_the_estimate_from_an_inventory(
    spec: JobSpec, inventory: Inventory, expected: Outlook
) -> None:
    """Enough must be free on one node, or on as many as the job asks for; what is not known stays
    unknown, and jobs that wait leave it open who comes first."""
    found = estimate_by_inventory(PBS, spec, inventory)
    assert (expected, True, None) == (found.outlook, found.by_inventory, found.start)


def test_the_queue_of_the_configuration_counts() -> None:
    """A job that names no queue is judged by the queue that the configuration names."""
    assert Outlook.NOT_NOW is estimate_by_inventory(PBS, JobSpec(), QUEUES, "closed").outlook
    assert (
        Outlook.NOW is estimate_by_inventory(PBS, job(queue_name="short"), QUEUES, "closed").outlook
    )


def test_more_time_than_the_queue_allows() -> None:
    """A job that asks for more time than its queue allows may wait for ever, whatever is free."""
    hour, two = timedelta(hours=1), timedelta(hours=2)
    assert exceeds_limits(JobSpec(duration=two), QUEUES)
    assert not exceeds_limits(JobSpec(duration=hour), QUEUES)
    assert not exceeds_limits(JobSpec(duration=two, queue_name="gpu"), QUEUES)
    assert not exceeds_limits(JobSpec(duration=two), None)
    no_limit = Inventory(queues=(Queue("q", default=True),))
    assert not exceeds_limits(JobSpec(duration=two), no_limit)
