"""The checker of docs/reliability.md finds each thing that the guarantee excludes, no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.guarantee import (
    Fault,
    HandOver,
    History,
    Job,
    Kind,
    Listener,
    Server,
    Sighting,
    Start,
    Stop,
    Token,
    Told,
    check,
    seconds_to_recover,
)

ALICE, OTHER, BOB = Server("alice"), Server("alice", "other"), Server("bob")
T = 10.0
RUNS = Job("1", "alice", "a")
WAITS = Job("1", "alice", "a", waits=True)
TOKEN = Token(5, ALICE, "a")
UP: dict[str, Any] = {
    "jobs": [RUNS],
    "routes": {ALICE: Listener(ALICE, "a")},
    "marks": {ALICE: "a"},
    "pending": [],
    "tokens": [TOKEN],
}
"""What is seen of a server that is up."""
NOTHING: dict[str, Any] = {"jobs": [], "routes": {}, "marks": {}, "pending": [], "tokens": []}


def see(at: float, **changes: Any) -> Sighting:
    """Return a sighting of a server that is up, with some changes."""
    return Sighting(at, **{**UP, **changes})


def see_nothing(at: float, **changes: Any) -> Sighting:
    """Return a sighting of no server at all, with some changes."""
    return Sighting(at, **{**NOTHING, **changes})


def started(*sightings: Sighting, **more: Any) -> History:
    """Return the history of a start of alice's that the Hub has accepted at 1 s."""
    return History(starts=[Start(0, ALICE, 1, 201)], sightings=list(sightings), **more)


def handed_over(
    jobs: list[Job], at: float = 2, over: float = float("inf"), seen: float = 3
) -> History:
    """Return the history of a server that alice continues, with some jobs seen for a moment."""
    sightings = [see(2), see(seen, jobs=jobs), see(seen + 1), see(40)]
    return started(*sightings, hand_overs=[HandOver(at, ALICE, over)])


def stopped_and_started(*sightings: Sighting) -> History:
    """Return the history of a stop without an answer, and of a start after it."""
    return History(
        starts=[Start(0, ALICE, 1, 201), Start(22, ALICE, 23, 202)],
        stops=[Stop(20, ALICE, 21, 0)],
        sightings=[see(2), *sightings],
    )


def kinds(history: History) -> list[Kind]:
    return [one.kind for one in check(history, T)]


GOOD: dict[str, Callable[[], History]] = {
    "a server that is up": lambda: started(see(2), see(20), see(40)),
    "a start that waits in the queue and is pending": lambda: started(
        see(20, jobs=[WAITS], routes={}, pending=[ALICE]), see(30), see(45)
    ),
    "two jobs while a hand-over is under way": lambda: handed_over(
        [RUNS, Job("2", "alice", "b")], seen=19
    ),
    "two jobs until T after a hand-over": lambda: handed_over(
        [RUNS, Job("2", "alice", "b")], over=5, seen=14
    ),
    "a failure that its user reads, with no job left": lambda: started(
        see(2), see_nothing(3), see_nothing(30), told=[Told(4, ALICE, "out of time")]
    ),
    "a stop, with the job gone in time": lambda: started(
        see(2), see(9), see_nothing(12), see_nothing(30), stops=[Stop(8, ALICE, 9, 204)]
    ),
    "a stop without an answer, and another one later": lambda: started(
        see(2),
        see_nothing(21),
        see_nothing(40),
        stops=[Stop(8, ALICE, 9, 500), Stop(50, ALICE, 51, 204)],
    ),
    "a job that is there until T after the fault": lambda: started(
        see(2),
        see(12, routes={}),
        see(39, routes={}),
        see(41),
        faults=[Fault("proxy", 5, 30)],
    ),
    "a hand-over: the user has stopped and started at once": lambda: History(
        starts=[Start(0, ALICE, 1, 201), Start(22, ALICE, 23, 201)],
        stops=[Stop(20, ALICE, 21, 202)],
        sightings=[
            see(2),
            see(24, jobs=[RUNS, Job("2", "alice", "b")], marks={ALICE: "b"}, routes={}),
            *(
                see(
                    at,
                    jobs=[Job("2", "alice", "b")],
                    routes={ALICE: Listener(ALICE, "b")},
                    tokens=[Token(6, ALICE, "b")],
                )
                for at in (26, 40)
            ),
        ],
    ),
    "a start that is refused while a stop has no answer": lambda: History(
        starts=[Start(0, ALICE, 1, 500), Start(3, ALICE, 4, 400)],
        stops=[Stop(2, ALICE, 5, 500)],
        sightings=[
            see(at, jobs=[WAITS], routes={}, pending=[ALICE], tokens=[TOKEN]) for at in (7, 30, 45)
        ],
    ),
    "a start without an answer that left nothing": lambda: History(
        starts=[Start(0, ALICE, 1, 0)], sightings=[see_nothing(2), see_nothing(12)]
    ),
    "a start that the Hub refused": lambda: History(
        starts=[Start(0, ALICE, 1, 400)], sightings=[see_nothing(2), see_nothing(12)]
    ),
    "a start that was answered with an error of the Hub's own, and went on": lambda: History(
        starts=[Start(0, ALICE, 1, 500)], sightings=[see(2), see(12)]
    ),
    "a stop and a start at once, of which the stop was heard last": lambda: History(
        starts=[Start(0, ALICE, 1, 201), Start(20.1, ALICE, 21, 202)],
        stops=[Stop(20, ALICE, 22, 204)],
        sightings=[see(2), see_nothing(23), see_nothing(40)],
    ),
    "a stop that came to nothing, and a start that found the server there": lambda: (
        stopped_and_started(see(24), see(40))
    ),
    "moments at which nobody could look": lambda: started(
        see(2), Sighting(20), see(21, jobs=None), see(30, routes=None), see(40)
    ),
}
BAD: dict[str, tuple[Kind, Callable[[], History]]] = {
    "a job runs and its server has no route": (
        Kind.LOST,
        lambda: started(see(2), see(20, routes={}), see(21)),
    ),
    "a job runs, and nobody listens at the route": (
        Kind.LOST,
        lambda: started(see(2), see(20, routes={ALICE: None})),
    ),
    "a job waits, and the Hub does not know that": (
        Kind.LOST,
        lambda: started(*(see(at, jobs=[WAITS], routes={}) for at in (2, 20))),
    ),
    "a server that a fault had to spare": (
        Kind.LOST,
        lambda: started(
            see(2),
            see_nothing(16),
            see_nothing(40),
            faults=[Fault("Hub killed", 10, 15, spares=True)],
            told=[Told(16, ALICE, "it has ended")],
        ),
    ),
    "no server and no word": (
        Kind.SILENT,
        lambda: started(see(2), see_nothing(5), see_nothing(20)),
    ),
    "a job is left of a start that failed": (
        Kind.ORPHANED,
        lambda: started(see(2, routes={}), see(20, routes={}), told=[Told(3, ALICE, "failed")]),
    ),
    "a server goes on though its user reads that it has ended": (
        Kind.ORPHANED,
        lambda: started(see(2), see(20), told=[Told(3, ALICE, "ended")]),
    ),
    "a job is left after a stop": (
        Kind.ORPHANED,
        lambda: started(see(2), see(20, routes={}), stops=[Stop(3, ALICE, 4, 204)]),
    ),
    "a job of a start that the Hub refused": (
        Kind.ORPHANED,
        lambda: History(
            starts=[Start(0, ALICE, 1, 424, "sbatch failed")],
            sightings=[see_nothing(2, jobs=[RUNS]), see_nothing(20, jobs=[RUNS])],
        ),
    ),
    "a job of nobody's": (
        Kind.ORPHANED,
        lambda: started(
            *(see(at, jobs=[RUNS, Job("9", "bob", "z")]) for at in (2, 20)),
        ),
    ),
    "two jobs, for a moment": (
        Kind.DOUBLED,
        lambda: started(see(2), see(3, jobs=[RUNS, Job("2", "alice", "b")]), see(4), see(20)),
    ),
    "three jobs in a hand-over": (
        Kind.DOUBLED,
        lambda: handed_over([RUNS, Job("2", "alice", "b"), Job("3", "alice", "c")]),
    ),
    "two jobs before the hand-over that a user asked for": (
        Kind.DOUBLED,
        lambda: handed_over([RUNS, Job("2", "alice", "b")], at=10),
    ),
    "two jobs long after a hand-over": (
        Kind.DOUBLED,
        lambda: handed_over([RUNS, Job("2", "alice", "b")], over=2.5, seen=19),
    ),
    "another user's server, for a moment": (
        Kind.FOREIGN,
        lambda: started(see(2), see(3, routes={ALICE: Listener(BOB, "c")}), see(4), see(20)),
    ),
    "another server of the same user": (
        Kind.FOREIGN,
        lambda: started(see(2), see(3, routes={ALICE: Listener(OTHER)}), see(4), see(20)),
    ),
    "a program that is not a server": (
        Kind.FOREIGN,
        lambda: started(see(2), see(3, routes={ALICE: Listener(None)}), see(4), see(20)),
    ),
    "a job without a route after a stop that came to nothing and another start": (
        Kind.LOST,
        lambda: stopped_and_started(see(24), see(40, routes={})),
    ),
    "no server after a stop without an answer and another start": (
        Kind.SILENT,
        lambda: stopped_and_started(see_nothing(24), see_nothing(40)),
    ),
    "a token without a job": (
        Kind.TOKEN,
        lambda: started(
            see(2),
            see_nothing(5, tokens=[TOKEN]),
            see_nothing(20, tokens=[TOKEN]),
            stops=[Stop(3, ALICE, 4, 204)],
        ),
    ),
    "a history that ends too early": (Kind.UNSEEN, lambda: started(see(2), see(5))),
    "a history whose fault never clears": (
        Kind.UNSEEN,
        lambda: started(see(2), see(50), faults=[Fault("hang", 1)]),
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_keeps_the_guarantee(name: str) -> None:
    """What the guarantee permits is not a violation."""
    assert [] == kinds(GOOD[name]())


def test_what_is_in_order_at_once() -> None:
    """With T = 0, what is in order at every moment that is judged is not a violation."""
    history = started(see(2), see(3, routes={}), see(4), faults=[Fault("proxy", 3, 3)])
    assert [] == check(history, 0, since=4)
    assert [Kind.LOST] == [one.kind for one in check(history, 0, since=3)]


@pytest.mark.parametrize("name", BAD)
def test_what_breaks_the_guarantee(name: str) -> None:
    """Each kind of violation is found, also if it is over when the history ends, and once."""
    kind, make = BAD[name]
    assert [kind] == kinds(make())


def test_time_does_not_excuse_what_is_wrong_later() -> None:
    """What breaks long after a fault, without another fault, is found as well."""
    history = started(see(2), see(30), see(50), see(70, routes={}), faults=[Fault("proxy", 3, 5)])
    assert [Kind.LOST] == kinds(history)


def test_the_time_to_recover() -> None:
    """It lasts from the end of the fault to the first moment from which all stays in order."""
    seen = [see(2), see(6, routes={}), see(7), see(8, routes={}), see(9.5), see(30)]
    history = started(*seen, faults=[Fault("proxy", 3, 5)])
    assert 4.5 == seconds_to_recover(history)
    history.sightings.append(see(40, routes={}))
    assert float("inf") == seconds_to_recover(history)
