"""What tests share: what is printed of the schedulers there are, and how hypothesis runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from support.browser import find_browser, why_no_browser
from support.clusters import CLUSTERS, why_not
from support.hub import RunningHub

from unispawner.schedulers import NAMES


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


# Machines that run tests are noisy: how long an input takes to be thought of says nothing.
settings.register_profile(
    "unispawner", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.load_profile("unispawner")
