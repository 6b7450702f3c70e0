"""What all tests share: how hypothesis runs, what is printed of the contract, and which tests that
hold a row of docs/threats.md have passed."""

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings

# Machines that run tests are noisy: how long an input takes to be thought of says nothing.
settings.register_profile(
    "unispawner", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.load_profile("unispawner")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Note in the report of a test whether it is listed in docs/threats.md."""
    if item.get_closest_marker("threat"):
        item.user_properties.append(("threat", True))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Append the listed tests that pass to a file, for ci/threats --passed."""
    file = os.environ.get("UNISPAWNER_TEST_THREATS")
    here = "PYTEST_XDIST_WORKER" not in os.environ
    passed = report.when == "call" and report.passed
    if file and here and passed and ("threat", True) in report.user_properties:
        with open(file, "a", encoding="utf-8") as stream:
            stream.write(f"{report.nodeid}\n")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print for each scheduler how many tests of test_contract.py had something to check: a test
    that loops over nothing passes, too."""
    tests: Counter[object] = Counter()
    empty: Counter[object] = Counter()
    for report in terminalreporter.stats.get("passed", ()):
        for name, value in report.user_properties if report.when == "call" else ():
            if not name.startswith("contract"):
                continue
            tests[value] += name == "contract"
            empty[value] += name == "contract: nothing to check"
    for scheduler, count in sorted(tests.items(), key=str):
        terminalreporter.write_line(
            f"contract: {scheduler}: {count - empty[scheduler]} of {count} had something to check"
        )
