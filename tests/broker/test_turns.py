"""Whose turn it is: fair between accounts, and bounded."""

from __future__ import annotations

import itertools

import pytest

from unispawner.broker.incoming import Request
from unispawner.broker.turns import (
    NAMES,
    OTHERS,
    PER_ACCOUNT,
    RUNNING,
    WAITING_BYTES,
    WAITING_PER_ACCOUNT,
    Turns,
)

HOLDS_UP = pytest.mark.threat(
    who="user",
    tries="They send many requests, or let them hang, to hold up everybody else.",
    stopped_by="Accounts take turns, few processes of one account run at a time, and each "
    "has a deadline.",
)

ids = itertools.count(1)


def request(account: str = "alice", kind: str = "agent", **values: float) -> Request:
    name = "" if kind == "question" else account
    length = int(values.get("length", 10))
    return Request(next(ids), kind, name, values.get("deadline", 100.0), length)


def put(turns: Turns, *requests: Request) -> None:
    for one in requests:
        assert "" == turns.refuse(one)
        turns.put(one)


@HOLDS_UP
def test_accounts_take_turns() -> None:
    """An account that has sent many requests does not delay another one's first."""
    turns = Turns(at_once=100)
    put(turns, *(request("alice") for _ in range(5)), request("bob"), request("carol"))
    order = []
    while one := turns.next(busy=0):
        order.append(one.account)
        turns.end(one)
    assert ["alice", "bob", "carol", "alice", "alice", "alice", "alice"] == order


@HOLDS_UP
def test_an_account_has_few_turns_at_a_time() -> None:
    """Of one account only so many run at a time, and the next one when one has ended."""
    turns = Turns(at_once=100)
    put(turns, *(request() for _ in range(5)))
    running = [turns.next(busy=0) for _ in range(PER_ACCOUNT)]
    assert None not in running
    assert turns.next(busy=0) is None
    first = running[0]
    assert first
    turns.end(first)
    assert turns.next(busy=0) is not None
    assert 5 - PER_ACCOUNT - 1 == len(turns)


def test_questions_do_not_wait_for_agents() -> None:
    """While as many agents as may are busy, questions and look-ups have their turns."""
    turns = Turns(at_once=1)
    put(turns, request("alice"), request("bob"), request(kind="question"))
    put(turns, request("carol", kind="account"))
    kinds = [turns.next(busy=0), turns.next(busy=1), turns.next(busy=1), turns.next(busy=1)]
    assert ["agent", "question", "account", None] == [one and one.kind for one in kinds]
    put(turns, *(request(kind="question") for _ in range(OTHERS)))
    assert OTHERS - 1 == sum(turns.next(busy=1) is not None for _ in range(OTHERS))


def test_names_have_few_turns_of_their_own() -> None:
    """Names that hang take only a few turns, and none of the questions' and look-ups'."""
    turns = Turns(at_once=1)
    put(turns, *(request("", kind="name") for _ in range(NAMES + 1)), request(kind="question"))
    kinds = [one.kind for one in (turns.next(busy=0) for _ in range(NAMES + 2)) if one]
    assert ["name"] * NAMES + ["question"] == sorted(kinds)


@pytest.mark.threat(
    who="Hub account",
    tries="It fills the broker's memory with requests.",
    stopped_by="The number of requests that wait, and their bytes, are bounded.",
)
def test_what_waits_is_bounded() -> None:
    """Too many requests of an account are refused, and so are too many bytes of all."""
    turns = Turns(at_once=1)
    put(turns, *(request() for _ in range(WAITING_PER_ACCOUNT)))
    assert "account alice" in turns.refuse(request())
    assert "" == turns.refuse(request("bob"))
    put(turns, request("bob", length=WAITING_BYTES - 10 * WAITING_PER_ACCOUNT))
    assert "bytes" in turns.refuse(request("carol"))
    assert turns.take_all()
    assert (0, "") == (len(turns), turns.refuse(request("carol", length=WAITING_BYTES)))


def test_many_that_hang() -> None:
    """While very many children hang, no more agents are started, but questions are answered."""
    turns = Turns(at_once=8)
    for number in range(RUNNING):
        put(turns, request(f"user{number}"))
        assert turns.next(busy=0)
    assert "hang" in turns.refuse(request("alice"))
    put(turns, request(kind="question"))
    assert turns.next(busy=0)


def test_late_requests() -> None:
    """Those whose deadline has passed are taken out, and only those."""
    turns = Turns(at_once=1)
    assert turns.first_deadline() is None
    late, soon = request(deadline=5), request("bob", deadline=7)
    put(turns, late, soon)
    assert 5 == turns.first_deadline()
    assert [late] == turns.take_late(6)
    assert 7 == turns.first_deadline()
