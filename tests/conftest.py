"""What all tests share: how hypothesis runs, and what is printed of the contract."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, settings

# Machines that run tests are noisy: how long an input takes to be thought of says nothing.
settings.register_profile(
    "unispawner", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.load_profile("unispawner")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print for each scheduler how many tests of test_contract.py had something to check: a test
    that loops over nothing passes, too."""
    tests: Counter[object] = Counter()
    empty: Counter[object] = Counter()
    for report in terminalreporter.stats.get("passed", ()):
        for name, value in report.user_properties if report.when == "call" else ():
            tests[value] += name == "contract"
            empty[value] += name == "contract: nothing to check"
    for scheduler, count in sorted(tests.items(), key=str):
        terminalreporter.write_line(
            f"contract: {scheduler}: {count - empty[scheduler]} of {count} had something to check"
        )
