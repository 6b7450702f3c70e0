"""An inventory for each kind of cluster."""

from __future__ import annotations

from datetime import timedelta

from unispawner.schedulers.inventory import Inventory, Node, Queue

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
"""Like Slurm, PBS, TORQUE and LSF: a job that names no queue goes to the default queue."""
NO_DEFAULT = Inventory(
    queues=(Queue("all.q"), Queue("short.q", max_duration=timedelta(minutes=10))),
    nodes=(
        Node("a", True, 8, 3, queues=frozenset({"all.q", "short.q"})),
        Node("b", True, 4, 4, queues=frozenset({"all.q"})),
    ),
    waiting=6,
)
"""Like Grid Engine: a job that names no queue may go to any queue."""
POOL = Inventory(nodes=(Node("a", True, 8, 3, 2, 1), Node("b", True, 4, 4)), waiting=3, running=2)
"""Like HTCondor, which has no queues."""
ONE_HOST = Inventory(nodes=(Node("localhost", cores=2, memory=GIGABYTE),))
"""Like the local scheduler, which does not know what is idle."""
NOTHING = Inventory()
"""Like templates, which report no inventory."""
