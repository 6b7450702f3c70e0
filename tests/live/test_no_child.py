"""Servers that are no child of the launcher, on a real Slurm without cgroups."""

from __future__ import annotations

import pytest
from support.clusters import Slurm
from support.hub import RunningHub, find_program
from support.journey import nothing_left, start

pytestmark = pytest.mark.slurm

SERVER = str(find_program("jupyterhub-singleuser"))


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("step", ["srun", "--overlap", "--mem=100M", "--export=ALL", SERVER]),
        ("daemon", ["setsid", "--fork", SERVER]),
    ],
)
async def test_a_server_that_is_no_child(
    hub: RunningHub, slurm: Slurm, name: str, command: list[str]
) -> None:
    """A server that a job step runs, or that goes into the background, gets ready; a kernel
    answers; nothing is left after a stop."""
    alice = await hub.client("alice")
    hub.set("alice", name, cmd=command)
    await start(alice, name)
    assert "42" == await alice.run_cell("6*7", name)
    state = await hub.state("alice", name)
    await alice.stop(name)
    await nothing_left(slurm, state)
