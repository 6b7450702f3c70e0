"""A job that asks for everything, with values that a careless directive would trip over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from unispawner.job import JobSpec, ResourceSpec

MARK = "0123456789abcdef"
EVERYTHING = ResourceSpec(
    node_count=2,
    processes_per_node=4,
    cpu_cores_per_process=3,
    gpu_cores_per_process=1,
    memory=8 * 1024**3 + 1,
    exclusive_node_use=True,
)


def full_job(**fields: Any) -> JobSpec:
    """Return a job that asks for everything; ``fields`` are what a scheduler's test needs else."""
    values: dict[str, Any] = {
        "name": "my job",
        "executable": "python3",
        "arguments": ("-I", "-"),
        "directory": "/home/ada/my work",
        "environment": {"TOKEN": "topsecret"},
        "resources": EVERYTHING,
        "duration": timedelta(days=1, hours=12),
        "queue_name": "gpu",
        "account": "ml",
        "reservation_id": "class",
        "prologue": "module load python",
        "mark": MARK,
    }
    return JobSpec(**{**values, **fields})
