"""Whether a queue allows what a job asks for, for each limit that a scheduler lists."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from unispawner.job import JobSpec, ResourceSpec
from unispawner.schedulers import get_scheduler
from unispawner.schedulers.fitting import find_misfit, option_of
from unispawner.schedulers.inventory import Inventory, Node, Queue
from unispawner.web.languages import read_languages

HOUR = timedelta(hours=1)
QUEUES = (
    Queue("short", default=True, max_duration=HOUR, max_nodes=2),
    Queue("long", max_duration=24 * HOUR, max_cores=8, max_gpus=1, max_memory=4 * 2**30),
    Queue("free"),
)
NODES = (Node("n1", cores=64, gpus=8, queues=frozenset({"short", "long", "free"})),) * 9


def unfit(
    scheduler: str = "slurm", queues: tuple[Queue, ...] = QUEUES, **fields: Any
) -> tuple[str, str]:
    resources = ResourceSpec.from_dict(fields.pop("resources", {}))
    spec = JobSpec(resources=resources, **fields)
    found = find_misfit(get_scheduler(scheduler), spec, Inventory(queues, NODES))
    return (found.field, found.message) if found else ("", "")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"duration": HOUR}, ("", "")),
        ({"duration": 24 * HOUR, "queue_name": "long"}, ("", "")),
        ({"duration": 9999 * HOUR, "queue_name": "free"}, ("", "")),
        ({"duration": 9999 * HOUR, "queue_name": "unknown"}, ("", "")),
        ({"duration": 9999 * HOUR, "queue_name": "short,long"}, ("", "")),
        (
            {"duration": 2 * HOUR},
            (
                "duration",
                "the queue short allows at most 01:00:00, and the job asks for 02:00:00",
            ),
        ),
        (
            {"duration": 25 * HOUR, "queue_name": "long"},
            (
                "duration",
                "the queue long allows at most 24:00:00, and the job asks for 25:00:00",
            ),
        ),
        (
            {"resources": {"node_count": 3}},
            ("node_count", "the queue short allows at most 2 nodes, and the job asks for 3 nodes"),
        ),
        (
            {"resources": {"cpu_cores_per_process": 9}, "queue_name": "long"},
            (
                "cpu_cores_per_process",
                "the queue long allows at most 8 cores, and the job asks for 9 cores",
            ),
        ),
        (
            {"resources": {"process_count": 9}, "queue_name": "long"},
            (
                "process_count",
                "the queue long allows at most 8 cores, and the job asks for 9 cores",
            ),
        ),
        (
            {"resources": {"gpu_cores_per_process": 2}, "queue_name": "long"},
            (
                "gpu_cores_per_process",
                "the queue long allows at most 1 GPU, and the job asks for 2 GPUs",
            ),
        ),
        (
            {"resources": {"memory": "5G"}, "queue_name": "long"},
            ("memory", "the queue long allows at most 4G, and the job asks for 5G"),
        ),
    ],
)
def test_a_job_against_its_queue(fields: dict[str, Any], expected: tuple[str, str]) -> None:
    """A job that is beyond a limit of its queue is found, and the message names the limit and what
    the job asks for."""
    assert expected == unfit(**fields)


@pytest.mark.parametrize(
    ("scheduler", "fields"),
    [
        ("slurm", {"qos": "long"}),
        ("slurm", {"reservation_id": "r"}),
        ("slurm", {"custom_attributes": {"slurm.time": "10"}}),
        ("slurm", {"custom_attributes": {"slurm.time-min": "10"}}),
        ("slurm", {"custom_attributes": {"slurm.qos": "long"}}),
        ("slurm", {"custom_attributes": {"slurm.time": False}}),
        ("slurm", {"custom_attributes": {"slurm.partition": "long"}}),
        ("gridengine", {"custom_attributes": {"gridengine.l": "h_rt=10"}}),
        ("gridengine", {"custom_attributes": {"gridengine.h_rt": False}}),
        ("lsf", {"custom_attributes": {"lsf.W": "10"}}),
        ("pbs", {"custom_attributes": {"pbs.walltime": "10"}}),
    ],
)
def test_what_may_lift_the_limit(scheduler: str, fields: dict[str, Any]) -> None:
    """Nothing is refused where a site's own option may replace the limit, or what is asked for."""
    assert ("", "") == unfit(scheduler, duration=9 * HOUR, **fields)
    assert "duration" == unfit(scheduler, duration=9 * HOUR)[0]


def test_a_job_that_may_go_to_several_queues() -> None:
    """Without a queue of its own and a default, a job may go to the queue that allows the most."""
    one, two = Queue("one", max_duration=HOUR), Queue("two", max_duration=2 * HOUR)
    message = "the queues allow at most 02:00:00, and the job asks for 03:00:00"
    assert ("duration", message) == unfit("gridengine", (one, two), duration=3 * HOUR)
    assert ("", "") == unfit("gridengine", (one, two), duration=2 * HOUR)
    assert ("", "") == unfit("gridengine", (one, two, Queue("free")), duration=3 * HOUR)
    assert ("", "") == unfit("gridengine", (), duration=3 * HOUR)


@pytest.mark.parametrize(
    ("queues", "expected"),
    [
        (
            QUEUES[1:2],
            "die Warteschlange long erlaubt höchstens 8 Kerne, und der Job verlangt 9 Kerne",
        ),
        (
            (Queue("one", max_cores=1), Queue("two", max_cores=1)),
            "die Warteschlangen erlauben höchstens 1 Kern, und der Job verlangt 9 Kerne",
        ),
    ],
)
def test_the_message_in_another_language(queues: tuple[Queue, ...], expected: str) -> None:
    """A user reads in their own language what a queue allows."""
    _, message = unfit("gridengine", queues, resources={"cpu_cores_per_process": 9})
    assert expected == read_languages()["de"].translate(message)


def test_memory_that_is_counted_otherwise() -> None:
    """Grid Engine's limit of memory is one of each slot, so that it is not compared."""
    asked = {"memory": "5G"}
    assert ("", "") == unfit("gridengine", resources=asked, queue_name="long")
    assert "memory" == unfit("pbs", resources=asked, queue_name="long")[0]


def test_the_option_beside_which_it_stands() -> None:
    """A profile without an option for the time shows the message beside the one for the queue."""
    assert "time" == option_of("duration", {"queue": {"queue_name"}, "time": {"duration"}})
    assert "queue" == option_of("duration", {"queue": {"queue_name"}, "cores": {"process_count"}})
    assert "duration" == option_of("duration", {})
