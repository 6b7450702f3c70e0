"""Replies of other processes."""

from __future__ import annotations

import pytest

from unispawner.submit_host.replies import MOST_VALUES, parse_reply


def test_a_reply() -> None:
    """A reply of this version is returned as it is."""
    assert {"version": 1, "result": [1]} == parse_reply(b'{"version": 1, "result": [1]}')


@pytest.mark.threat(
    who="user",
    tries="Their own agent writes something else than a reply: broken text, another version, deep"
    " nesting.",
    stopped_by="The Hub checks a reply's size, form and types, and treats everything else as an"
    " error of the agent.",
)
@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"\xff", b"{}", b'{"version": 2}', b"[" * 100_000, b"1" * 10_000]
)
def test_what_is_no_reply(raw: bytes) -> None:
    """What is not a reply of this version is None."""
    assert parse_reply(raw) is None


@pytest.mark.threat(
    who="user",
    tries="Their own agent replies with millions of tiny values, which take long to read.",
    stopped_by="The Hub counts the commas first, and does not read such a reply.",
)
def test_a_reply_of_very_many_values() -> None:
    """A reply that would hold up the Hub is not read."""
    values = b"[]," * MOST_VALUES
    assert parse_reply(b'{"version": 1, "result": [%s 1]}' % values) is None
