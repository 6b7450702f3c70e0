"""When a broker is started again, in a time that the test decides."""

from __future__ import annotations

import time

import pytest

from unispawner.submit_host.restarts import LONGEST_HURRY, LONGEST_PAUSE, Restarts


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(time, "monotonic", found.monotonic)
    return found


def attempts(clock: Clock, seconds: float, *, hurry: bool) -> int:
    """Return how often a broker that fails at once is started; with users who wait all the time."""
    restarts, until = Restarts(), clock.now + seconds
    while clock.now < until:
        if hurry:
            restarts.hurry()
        if clock.now >= restarts.next_start:
            restarts.note_start()
            restarts.note_failure()
        clock.now += 0.1
    return restarts.starts


@pytest.mark.threat(
    who="user",
    tries="They start servers again and again while the connection to the submit host is refused.",
    stopped_by="The pause between two attempts doubles, for all users together.",
)
def test_many_users_who_wait(clock: Clock) -> None:
    """Users who wait make the pauses shorter, but all together no more than four a minute in the
    long run: an account that is refused too often may be locked."""
    alone = attempts(clock, 3600.0, hurry=False)
    hurried = attempts(clock, 3600.0, hurry=True)
    assert alone < hurried <= 3600.0 / LONGEST_HURRY + 8


def test_a_user_who_waits_after_a_long_time(clock: Clock) -> None:
    """After some time without an attempt the pauses begin with the shortest one again."""
    restarts = Restarts()
    for _ in range(20):
        restarts.hurry()
        restarts.note_start()
        restarts.note_failure()
    restarts.hurry()
    assert clock.now + LONGEST_HURRY == restarts.next_start
    clock.now += LONGEST_PAUSE + 1
    restarts.note_start()
    restarts.note_failure()
    restarts.hurry()
    assert clock.now + 2.0 == restarts.next_start
