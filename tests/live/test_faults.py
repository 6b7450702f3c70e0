"""A few faults of ci/faults on a real Slurm, and the guarantee of docs/reliability.md over each.

`ci/faults` tries all of them, on every scheduler and with every class.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from reliability.cell import Cell
from reliability.faults import FAULTS
from reliability.run import try_moment_watched
from support.clusters import Slurm
from support.hub import why_no_hub

pytestmark = pytest.mark.slurm

SHORT = [("hub-kill", "start+0.9"), ("garbled", "starting"), ("server-kill", "running")]


@pytest.fixture(scope="module")
async def cell(slurm: Slurm) -> AsyncIterator[Cell]:
    """Give a Hub for faults, in which alice works."""
    if reason := why_no_hub():
        pytest.skip(f"no Hub: {reason}")
    async with Cell("UniSpawner", slurm, "alice") as found:
        yield found


@pytest.mark.parametrize(("fault", "moment"), SHORT)
async def test_the_guarantee(cell: Cell, fault: str, moment: str) -> None:
    """Whatever breaks, the server is reachable or its user reads why not, and no job is left."""
    trial = await try_moment_watched(cell, FAULTS[fault], moment)
    assert [] == trial.violations
