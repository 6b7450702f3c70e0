"""The real schedulers there are, and a Hub on each."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from support.clusters import CLUSTERS, Cluster, Slurm, cluster_of
from support.hub import RunningHub, running_hub

EVERY_CLUSTER = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in CLUSTERS]


@pytest.fixture(scope="module", params=EVERY_CLUSTER)
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Each of the real schedulers in turn."""
    return cluster_of(request.param)


@pytest.fixture(scope="session")
def slurm() -> Slurm:
    """The real Slurm of ci/slurm."""
    found = cluster_of("slurm")
    assert isinstance(found, Slurm)
    return found


@pytest.fixture(scope="module")
async def hub(request: pytest.FixtureRequest, slurm: Slurm) -> AsyncIterator[RunningHub]:
    """A Hub on Slurm, one for each module, with the module's HUB as its arguments."""
    async with running_hub(slurm, **getattr(request.module, "HUB", {})) as running:
        yield running
