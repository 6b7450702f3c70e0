"""Which jobs no server owns: a comparison without any Hub."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unispawner.admin.reap.judge import Judge, Kind
from unispawner.job import JobInfo, JobState
from unispawner.run_as.client import MarkedJob
from unispawner.servers.starts import KnownStart, KnownStarts

NOW = 1_800_000_000.0
DAY = 86400.0


def mark_of(hub_id: str, now: float) -> str:
    """Return a mark as make_mark does, without its random digits: each process that collects the
    tests must give them the same names."""
    start = f"{int(now):08x}0011aabb"
    return f"{hub_id}-{start}" if hub_id else start


OLD = mark_of("prod", NOW - 2 * DAY)


def job(mark: str, job_id: str = "7", owner: str = "alice") -> MarkedJob:
    return MarkedJob(mark, job_id, JobInfo(owner, JobState.RUNNING))


def judge(mark: str, *starts: KnownStart, job_id: str = "7", unreadable: str = "") -> Kind:
    """Return what a job of alice's is for the Hub prod, which knows these starts."""
    known = KnownStarts("prod", ["alice"], list(starts), [unreadable] if unreadable else [])
    return Judge(known, {"alice": {"alice-user"}}, NOW, DAY).judge("alice", job(mark, job_id))


def start(mark: str = OLD, account: str = "alice", job_id: str = "7") -> KnownStart:
    return KnownStart(mark, "alice", "", account, job_id)


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        (OLD, Kind.ORPHAN),
        (mark_of("prod", NOW - DAY - 2), Kind.ORPHAN),
        (mark_of("prod", NOW - DAY + 2), Kind.YOUNG),
        (mark_of("prod", NOW + 600), Kind.YOUNG),
        (mark_of("prod2", NOW - 2 * DAY), Kind.OTHER_HUB),
        (mark_of("", NOW - 2 * DAY), Kind.OLD_MARK),
        ("00000000ffffffff", Kind.OLD_MARK),
    ],
)
def test_jobs_that_no_start_has(mark: str, expected: Kind) -> None:
    """A job is an orphan only if it has this Hub's id and its start began before the deadline; a
    clock that was set back makes a start young."""
    assert expected is judge(mark)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (start(), Kind.OWNED),
        (start(job_id=""), Kind.OWNED),
        (start(account="", job_id=""), Kind.OWNED),
        (start(job_id="8"), Kind.COPY),
        (start(account="bob"), Kind.COPY),
        (start(account="bob", job_id=""), Kind.COPY),
    ],
)
def test_jobs_with_the_mark_of_a_start(known: KnownStart, expected: Kind) -> None:
    """A job with the mark of any start of the Hub is never an orphan, whoever has that start."""
    assert expected is judge(OLD, known)


def test_a_start_that_is_known_twice() -> None:
    """A start may be in memory with its job's id, and in the database without it."""
    assert Kind.OWNED is judge(OLD, start(job_id=""), start(job_id="9"))


def test_a_start_of_an_older_release() -> None:
    """The server of an older release, whose mark has no Hub's id, owns its job."""
    mark = "0123456789abcdef"
    assert Kind.OWNED is judge(mark, start(mark))


@pytest.mark.parametrize("user", ["alice", "alice-user"])
def test_a_user_whose_state_cannot_be_read(user: str) -> None:
    """If a saved state of a user can't be read, none of the account's jobs is an orphan."""
    assert Kind.UNCLEAR is judge(OLD, unreadable=user)
    assert Kind.ORPHAN is judge(OLD, unreadable="bob")


@given(
    st.lists(
        st.builds(
            start,
            st.sampled_from([OLD, mark_of("prod", NOW - 3 * DAY)]),
            st.sampled_from(["", "alice", "bob"]),
            st.sampled_from(["", "7", "8"]),
        )
    )
)
def test_no_orphan_has_a_known_mark(starts: list[KnownStart]) -> None:
    """Whatever the starts are, a job whose mark is among them is not ended."""
    orphan = judge(OLD, *starts) is Kind.ORPHAN
    assert orphan == (OLD not in {one.mark for one in starts})


# -- what a Hub has saved -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"mark": OLD, "account": "alice", "job_id": "7"}, [start()]),
        (
            {"child_class": "x", "child_state": {"mark": OLD, "account": "alice"}},
            [start(job_id="")],
        ),
        ({"mark": "0123456789abcdef", "version": 0}, [start("0123456789abcdef", "", "")]),
        ({"mark": ""}, []),
        ({"mark": "../x"}, []),
        ({}, []),
        ([], []),
        (7, []),
    ],
)
def test_saved_states(state: object, expected: list[KnownStart]) -> None:
    """The mark of a saved state is found in a wrapper's state, too, and in one of another
    version."""
    known = KnownStarts()
    known.add_saved("alice", "", json.dumps(state))
    assert (expected, []) == (known.starts, known.unreadable)


@pytest.mark.parametrize("text", [f'{{"mark": "{OLD}", "job_id": "7', f"\0{OLD}\0", "[" * 100_000])
def test_damaged_states(text: str) -> None:
    """The marks in a damaged state are those of servers, and its user is one whose jobs are left
    alone."""
    known = KnownStarts()
    known.add_saved("alice", "", text)
    assert ["alice"] == known.unreadable
    assert [OLD] * (OLD in text) == [one.mark for one in known.starts]


def test_a_damaged_ending() -> None:
    """The table of jobs that are being ended has the mark in a column of its own."""
    known = KnownStarts()
    known.add_saved("alice", "", "{damaged", OLD)
    assert ([start(account="", job_id="")], []) == (known.starts, known.unreadable)


def test_the_answer_of_the_api_is_read_back() -> None:
    """What the Hub's API sends is what the command reads; anything else is an error."""
    known = KnownStarts("prod", ["alice", "bob"], [start()], ["bob"])
    assert known == KnownStarts.from_dict(json.loads(json.dumps(known.to_dict())))
    others: list[Any] = [None, [], {}, {"starts": []}, {**known.to_dict(), "starts": [{"x": 1}]}]
    for wrong in others:
        with pytest.raises(ValueError, match="not the starts of a Hub"):
            KnownStarts.from_dict(wrong)
