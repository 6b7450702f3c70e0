"""What a user reads about earlier sessions: ends, amounts and hints, as whole texts."""

from __future__ import annotations

import pytest

from unispawner.web.session_words import (
    describe_ending,
    describe_hint,
    describe_part,
    describe_used,
)

GIB = 1024**3


@pytest.mark.parametrize(
    ("outcome", "cause", "expected"),
    [
        ("failed", "time_limit", "Reached its time limit"),
        ("failed", "memory", "Used more memory than it had"),
        ("failed", "preempted", "Had to make room for another job"),
        ("failed", "cancelled", "Cancelled on the cluster, not on the Hub"),
        ("failed", "node", "Its node failed"),
        ("failed", "", "Failed"),
        ("failed", "of a later version", "Failed"),
        ("stopped", "", "Stopped"),
        ("stopped", "time_limit", "Stopped"),
        ("stopped", "administrator", "Stopped by an administrator of the Hub"),
        ("ended", "", "Ended by itself"),
        ("refused", "", "Refused"),
        ("unknown", "", "Ended while the Hub did not run"),
        ("", "", "Waits or runs"),
    ],
)
def test_how_a_session_ended(outcome: str, cause: str, expected: str) -> None:
    """A time limit is no failure, and each other reason has its own words."""
    assert expected == describe_ending(outcome, cause)


def test_what_a_session_used() -> None:
    """Each amount is beside what was asked for; what is not known is left out."""
    asked = {"memory": 64 * GIB, "cores": 8, "seconds": 8 * 3600, "gpus": 1}
    used = {"memory": 3.1 * GIB, "cores": 1.234, "seconds": 4200, "gpus": 0.63}
    assert [
        "Memory: 3.1 of 64 GiB",
        "Cores: 1.2 of 8 on average",
        "GPUs: 0.6 of 1 on average",
        "Time: 1 h 10 min of 8 h",
    ] == describe_used(asked, used)
    assert ["Memory: 3.1 GiB"] == describe_used({}, {"memory": 3.1 * GIB})
    assert [] == describe_used(asked, {})


@pytest.mark.parametrize(
    ("kind", "used", "requested", "expected"),
    [
        ("memory", 300 * 1024**2, 64.0 * GIB, ("300 MiB", "64 GiB")),
        ("memory", 0.0, 64.0 * GIB, ("1 bytes", "64 GiB")),
        ("seconds", 45.0, 600.0, ("45 s", "10 min")),
        ("seconds", 59.7, 3599.0, ("1 min", "1 h")),
        ("seconds", 3900.0, None, ("1 h 5 min", "")),
        ("seconds", 7200.0, None, ("2 h", "")),
    ],
)
def test_two_amounts(
    kind: str, used: float, requested: float | None, expected: tuple[str, str]
) -> None:
    """A unit that both amounts have is written once."""
    assert expected == describe_part(kind, used, requested)


def test_a_hint() -> None:
    """A hint is one sentence, about one session or about several."""
    assert (
        "Your last 5 sessions of this profile used at most 3 of 64 GiB of memory."
        == describe_hint("memory", 3 * GIB, 64 * GIB, 5)
    )
    assert "Your last session of this profile ran for 45 min of 8 h." == describe_hint(
        "seconds", 2700, 8 * 3600, 1
    )
