"""Whether any node of a cluster can run a job, for each of the things that a job asks for."""

from __future__ import annotations

from typing import Any

import pytest

from unispawner.job import JobSpec, ResourceSpec
from unispawner.schedulers import get_scheduler
from unispawner.schedulers.fitting import find_misfit, option_of
from unispawner.schedulers.inventory import Inventory, Node, Queue

GIB = 2**30
GPU, CPU, BOTH = frozenset({"gpu"}), frozenset({"cpu"}), frozenset({"gpu", "cpu"})
CLUSTER = Inventory(
    (Queue("cpu", default=True), Queue("gpu")),
    (
        Node(
            *("g1", True, 32, 0, 4, 0, 256 * GIB, 0, GPU),
            gpu_types=(("a100", 4, 0),),
            features=frozenset({"rome", "ib"}),
        ),
        Node(
            *("g2", False, 16, 0, 8, 0, 128 * GIB, 0, GPU),
            gpu_types=(("v100", 8, 0),),
            features=frozenset({"milan"}),
        ),
        Node(
            *("c1", True, 64, 64, 0, 0, 512 * GIB, 0, CPU),
            gpu_types=(),
            features=frozenset({"milan", "ib"}),
        ),
        Node(
            *("c2", True, 64, 64, 0, 0, 512 * GIB, 0, CPU),
            gpu_types=(),
            features=frozenset({"milan"}),
        ),
    ),
)


def unfit(
    resources: dict[str, Any], queue: str = "gpu", scheduler: str = "slurm", **fields: Any
) -> str:
    spec = JobSpec(resources=ResourceSpec.from_dict(resources), queue_name=queue, **fields)
    found = find_misfit(get_scheduler(scheduler), spec, CLUSTER)
    return f"{found.field}: {found.message}" if found else ""


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, ""),
        ({"cpu_cores_per_process": 32, "gpu_cores_per_process": 4, "gpu_type": "a100"}, ""),
        ({"gpu_cores_per_process": 8}, ""),  # of a node that is down: it comes back
        ({"cpu_cores_per_process": 32, "constraint": "rome&ib"}, ""),
        ({"constraint": "rome|milan", "memory": "256G"}, ""),
        ({"gpu_cores_per_process": 1, "gpu_type": "A100"}, ""),
        ({"node_count": 2, "cpu_cores_per_process": 16}, ""),
        ({"memory": "all", "exclusive_node_use": True}, ""),
        (
            {"cpu_cores_per_process": 64},
            "cpu_cores_per_process: no node of the queue gpu has 64 cores; "
            "the largest has 32 cores",
        ),
        (
            {"cpu_cores_per_process": 32, "gpu_cores_per_process": 8},
            "cpu_cores_per_process: no node of the queue gpu has 8 GPUs and 32 cores together; "
            "of the nodes with the rest, the largest has 16 cores",
        ),
        (
            {"cpu_cores_per_process": 20, "gpu_cores_per_process": 2, "gpu_type": "v100"},
            "cpu_cores_per_process: no node of the queue gpu has 2 GPUs of v100 and 20 cores "
            "together; of the nodes with the rest, the largest has 16 cores",
        ),
        (
            {"gpu_cores_per_process": 5, "gpu_type": "a100"},
            "gpu_type: no node of the queue gpu has 5 GPUs of a100; "
            "the most that one of them has is 4",
        ),
        (
            {"gpu_cores_per_process": 1, "gpu_type": "h100"},
            "gpu_type: no node of the queue gpu has 1 GPU of h100; "
            "their types of GPU are a100, v100",
        ),
        (
            {"memory": "200G", "constraint": "milan"},
            "memory: no node of the queue gpu has the feature milan and 200G of memory together; "
            "of the nodes with the rest, the largest has 128G",
        ),
        (
            {"memory_per_core": "10G", "cpu_cores_per_process": 32},
            "memory: no node of the queue gpu has 320G of memory; the largest has 256G",
        ),
        (
            {"constraint": "milan&ib"},
            "constraint: no node of the queue gpu has the features milan&ib; "
            "their features are ib, milan, rome",
        ),
        (
            {"node_count": 2, "cpu_cores_per_process": 32},
            "cpu_cores_per_process: only 1 of the nodes of the queue gpu can have 32 cores, and "
            "the job asks for 2 nodes",
        ),
        ({"constraint": "avx1024"}, ""),  # the scheduler may know it
        ({"constraint": "rome*2&milan"}, ""),  # Slurm's own language
    ],
)
def test_a_whole_job_against_the_nodes(resources: dict[str, Any], expected: str) -> None:
    """What a job asks for together must be on one node; the message names the field to change."""
    assert expected == unfit(resources)


def test_the_queue_counts() -> None:
    """The nodes are those of the job's queue, or of the default queue."""
    assert "" == unfit({"cpu_cores_per_process": 64}, queue="")
    gpu = {"gpu_cores_per_process": 1}
    assert unfit(gpu, queue="").endswith("no node of the queue cpu has 1 GPU; none has a GPU")
    assert "" == unfit({"cpu_cores_per_process": 999}, queue="unknown")
    assert "" == unfit({"cpu_cores_per_process": 999}, queue="gpu,cpu")


@pytest.mark.parametrize(
    ("scheduler", "resources", "fields"),
    [
        ("slurm", {"cpu_cores_per_process": 99}, {"reservation_id": "r"}),
        ("slurm", {"cpu_cores_per_process": 99}, {"custom_attributes": {"slurm.p": "big"}}),
        ("slurm", {"cpu_cores_per_process": 99}, {"custom_attributes": {"slurm.ntasks": False}}),
        ("gridengine", {"memory": "999G"}, {}),
        ("torque", {"memory": "999G"}, {}),
        ("lsf", {"memory": "999G"}, {}),
    ],
)
def test_what_is_not_known_is_not_refused(
    scheduler: str, resources: dict[str, Any], fields: dict[str, Any]
) -> None:
    """Nothing is refused where other nodes, or other numbers, may count than those listed."""
    assert "" == unfit(resources, scheduler=scheduler, **fields)


def test_nodes_without_numbers() -> None:
    """A node whose numbers the scheduler does not report can run everything."""
    asked = ResourceSpec.from_dict(
        {
            "cpu_cores_per_process": 99,
            "memory": "999G",
            "gpu_cores_per_process": 2,
            "gpu_type": "a",
            "constraint": "b",
        }
    )
    nodes = (Node("n", gpus=2), Node("m", features=frozenset({"b"})))
    for inventory in (Inventory(), Inventory(nodes=nodes)):
        spec = JobSpec(resources=asked)
        assert None is find_misfit(get_scheduler("slurm"), spec, inventory)


def test_which_option_is_named() -> None:
    """The message stands beside the option that sets the field, also in an override."""
    options = {"size": {"cpu_cores_per_process", "memory"}, "card": {"gpu_type"}}
    assert "size" == option_of("memory", options)
    assert "card" == option_of("gpu_cores_per_process", options)
    assert "constraint" == option_of("constraint", options)
