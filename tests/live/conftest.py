"""Fixtures for tests with real schedulers and a Hub on each; it prints which were used.

`ci/test` runs them on several lanes, which are copies of this machine: see support/lanes.py.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import pytest
from support.agent import Agent, agent_of_a_user
from support.browser import find_browser, why_no_browser
from support.clusters import (
    CLUSTERS,
    Cluster,
    OneHostSlurm,
    OneOfTwoSlurms,
    Slurm,
    cluster_of,
    why_not,
)
from support.hub import RunningHub, running_hub
from support.lanes import Lanes, rank_of
from support.sites import STARTED
from xdist.workermanage import WorkerController

from unispawner.admin.hub_client import HubClient
from unispawner.schedulers import NAMES, scheduler_class

EVERY_CLUSTER = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in CLUSTERS]


SEEN_BY_WORKERS: dict[str, Any] = {}
"""What the workers of pytest-xdist say at their ends, each in a lane of its own."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    return Lanes(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder for the workers' temporary folders, which pytest-xdist's controller has made
    in its own /tmp."""
    if folder := config.option.basetemp:
        os.makedirs(os.path.dirname(os.path.abspath(folder)), mode=0o700, exist_ok=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: rank_of(item.path.name))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell pytest-xdist's controller what only a worker knows."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["live"] = what_was_live()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController) -> None:
    seen = getattr(node, "workeroutput", {}).get("live", {})
    SEEN_BY_WORKERS.update(seen.get("schedulers", {}))
    for where, names in seen.get("sites", {}).items():
        STARTED.setdefault(where, []).extend(names)


def what_was_live() -> dict[str, Any]:
    return {"schedulers": {name: live_or_saved(name) for name in NAMES}, "sites": STARTED}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name in NAMES:
        words = SEEN_BY_WORKERS.get(name) or live_or_saved(name)
        terminalreporter.write_line(f"scheduler {name}: {words}")
    for where, names in STARTED.items():
        listed = ", ".join(sorted(names))
        terminalreporter.write_line(f"sites, {where}: {len(names)} started: {listed}")
    terminalreporter.write_line(f"browser: {why_no_browser() or find_browser()}")


def live_or_saved(name: str) -> str:
    """Return how a scheduler is tested: with the real one, or with output that was saved
    elsewhere."""
    if name == "local":
        return "live"
    if name == "template":
        live = [one for one in CLUSTERS if not why_not(one)]
        return f"live with the sets {', '.join(live)}; saved output" if live else "saved output"
    if name not in CLUSTERS:
        return "saved output" if scheduler_class(name).tried else "never run: its manual only"
    reason = why_not(name)
    return f"saved output only: {reason}" if reason else "live, and saved output"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of each Hub's log with a failure."""
    report = yield
    if report.failed:
        for hub in RunningHub.running:
            report.sections.append((f"the log of the Hub at {hub.url}", hub.log_tail()))
    return report


@pytest.fixture
def agent() -> Iterator[Agent]:
    """Give an agent of an ordinary account, with a directory of its own."""
    with agent_of_a_user() as found:
        yield found


@pytest.fixture(scope="module", params=EVERY_CLUSTER)
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Give each of the real schedulers in turn."""
    return cluster_of(request.param)


@pytest.fixture(scope="session")
def slurm() -> Slurm:
    """Give the real Slurm of ci/slurm."""
    found = cluster_of("slurm")
    assert isinstance(found, Slurm)
    return found


@pytest.fixture(scope="module")
def one_host() -> Iterator[OneHostSlurm]:
    """Give the real Slurm whose only node is this host; its commands reach no other meanwhile."""
    if reason := OneHostSlurm.why_not():
        pytest.skip(f"no Slurm of one host: {reason}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", OneHostSlurm.conf())
        yield OneHostSlurm()


@pytest.fixture(scope="session")
def two_slurms() -> tuple[OneOfTwoSlurms, OneOfTwoSlurms]:
    """Give two real Slurms that one slurmdbd knows: alpha and beta."""
    alpha, beta = OneOfTwoSlurms("alpha"), OneOfTwoSlurms("beta")
    if reason := alpha.why_not_here() or beta.why_not_here():
        pytest.skip(f"not two Slurms: {reason}")
    return alpha, beta


@pytest.fixture(scope="module")
async def hub(request: pytest.FixtureRequest, slurm: Slurm) -> AsyncIterator[RunningHub]:
    """Give a Hub on Slurm, once for each module, with the module's HUB as its arguments."""
    async with running_hub(slurm, **getattr(request.module, "HUB", {})) as running:
        yield running


@pytest.fixture(scope="module")
async def alice(hub: RunningHub) -> HubClient:
    """Give alice's browser, once for each module and its Hub."""
    return await hub.client("alice")
