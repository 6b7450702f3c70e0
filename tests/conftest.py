"""What tests share: the schedulers there are, and a Hub on each."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

# With --import-mode=importlib, test modules don't find what lies beside them.
sys.path.append(str(Path(__file__).parent))

from hub import RunningHub, Slurm, why_no_hub, why_no_slurm

SCHEDULERS: dict[str, Callable[[], str]] = {"slurm": why_no_slurm}
"""For each real scheduler, what tells why it isn't here; empty if it is."""

_reasons: dict[str, str] = {}


def why_not(name: str) -> str:
    """Why a scheduler is left out, asked once; empty if it is there."""
    if name not in _reasons:
        _reasons[name] = SCHEDULERS[name]()
    return _reasons[name]


def pytest_report_header() -> list[str]:
    return [f"scheduler {name}: {_live_or_not(name)}" for name in SCHEDULERS]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name in SCHEDULERS:
        terminalreporter.write_line(f"scheduler {name}: {_live_or_not(name)}")


def _live_or_not(name: str) -> str:
    reason = why_not(name)
    return f"left out: {reason}" if reason else "live"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show the end of each Hub's log with a failure."""
    report = yield
    if report.failed:
        for hub in RunningHub.running:
            report.sections.append((f"the log of the Hub at {hub.url}", hub.log_tail()))
    return report


@pytest.fixture(scope="session")
def slurm() -> Slurm:
    """The real Slurm of ci/slurm."""
    if reason := why_not("slurm"):
        pytest.skip(f"no Slurm: {reason}")
    return Slurm()


@pytest.fixture(scope="module")
async def hub(request: pytest.FixtureRequest, slurm: Slurm) -> AsyncIterator[RunningHub]:
    """A Hub on Slurm, one for each module, with the module's HUB as its arguments."""
    if reason := why_no_hub():
        pytest.skip(f"no Hub: {reason}")
    arguments = dict(getattr(request.module, "HUB", {}))
    running = RunningHub(hub_ip=slurm.hub_ip, **arguments)
    try:
        await running.start()
        yield running
    finally:
        await running.close()
        slurm.cancel_named(running.job_name)
