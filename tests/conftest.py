"""What tests share: the schedulers there are, and a Hub on each."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

# With --import-mode=importlib, test modules don't find what lies beside them.
sys.path.append(str(Path(__file__).parent))

from browser import find_browser, why_no_browser
from clusters import CLUSTERS, Cluster, Slurm
from hub import RunningHub, running_hub
from hypothesis import HealthCheck, settings

from unispawner.schedulers import NAMES

_reasons: dict[str, str] = {}


def why_not(name: str) -> str:
    """Why a scheduler is left out, asked once; empty if it is there."""
    if name not in _reasons:
        _reasons[name] = CLUSTERS[name].why_not()
    return _reasons[name]


def pytest_report_header() -> list[str]:
    return [*(f"scheduler {name}: {live_or_saved(name)}" for name in NAMES), _browser()]


def _browser() -> str:
    return f"browser: {why_no_browser() or find_browser()}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name in NAMES:
        terminalreporter.write_line(f"scheduler {name}: {live_or_saved(name)}")


def live_or_saved(name: str) -> str:
    """How a scheduler is tested: the real one, or what one has printed elsewhere."""
    if name == "local":
        return "live"
    if name == "template":
        live = [one for one in CLUSTERS if not why_not(one)]
        return f"live with the sets {', '.join(live)}; saved output" if live else "saved output"
    if name not in CLUSTERS:
        return "saved output"
    reason = why_not(name)
    return f"saved output only: {reason}" if reason else "live, and saved output"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show the end of each Hub's log with a failure."""
    report = yield
    if report.failed:
        for hub in RunningHub.running:
            report.sections.append((f"the log of the Hub at {hub.url}", hub.log_tail()))
    return report


def cluster_of(name: str) -> Cluster:
    """A real scheduler; the test is skipped if it isn't here."""
    if reason := why_not(name):
        pytest.skip(f"no {name}: {reason}")
    return CLUSTERS[name]()


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


# Machines that run tests are noisy: how long an input takes to be thought of says nothing.
settings.register_profile(
    "unispawner", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.load_profile("unispawner")
