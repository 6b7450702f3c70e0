"""The Slurm of ci/slurm with other options, for the tests of one file."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from support import CHECKOUT

_UP = CHECKOUT / "ci" / "slurm" / "up"


async def bring_up(*options: str) -> None:
    """Restart the Slurm of ci/slurm with these options."""
    done = await asyncio.to_thread(
        lambda: subprocess.run([_UP, *options], capture_output=True, text=True, timeout=300)
    )
    assert 0 == done.returncode, done.stderr


@asynccontextmanager
async def its_usual_options_afterwards() -> AsyncIterator[None]:
    """Restart the Slurm of ci/slurm at the end as it was; skip the tests if it is another one."""
    if "UNISPAWNER_SLURM_HUB_IP" not in os.environ:
        pytest.skip('this Slurm is not known to be that of ci/slurm: eval "$(ci/slurm/up)"')
    try:
        yield
    finally:
        await bring_up()
