"""Texts are English strings that remember their message and its values."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from typing import Any

import pytest

from unispawner.errors import InvalidJobError
from unispawner.texts import (
    Text,
    all_as_read,
    as_read,
    fill,
    from_data,
    join,
    number,
    of_field,
    say,
    say_count,
    set_reader,
    to_data,
    without_field,
)


def shout(text: str) -> str:
    """Show a text as a reader of a language in capital letters would see it."""
    if not isinstance(text, Text):
        return str(text)
    values = {
        name: shout(one) if isinstance(one, str) else one for name, one in text.values.items()
    }
    if text.kind == "join":
        return text.message.join(values.values())
    return fill(text.message.upper().replace("{JOB}", "{job}"), values)


def test_a_text_is_its_english() -> None:
    """A text is a string of its English form, also in JSON, in a copy and pickled."""
    text = say("Job {job} is queued", job=7)
    assert "Job 7 is queued" == text
    assert '"Job 7 is queued"' == json.dumps(text)
    for one in (copy.deepcopy(text), pickle.loads(pickle.dumps(text))):
        assert (text, text.message, text.values) == (one, one.message, one.values)


def test_a_value_is_never_read_as_a_message() -> None:
    """Braces in what a scheduler or a user has written stay as they are."""
    assert "a {b} {c}" == say("{a} {c}", a="a {b}", b="no")


@pytest.mark.parametrize(("count", "words"), [(0, "0 jobs"), (1, "1 job"), (2, "2 jobs")])
def test_one_and_several(count: int, words: str) -> None:
    """English has a form for one thing and another for any other number."""
    assert words == say_count("{count} job", "{count} jobs", count)


async def test_a_reader_is_of_one_task() -> None:
    """Data for a reader is in their language, in depth, and other tasks still get English."""
    data = {"a": [say("Job {job}", job=say("one"))], "b": 1, "c": "as it is", "d": None}
    assert data == all_as_read(data)

    async def read() -> Any:
        set_reader(shout)
        return all_as_read(data)

    assert {"a": ["JOB ONE"], "b": 1, "c": "as it is", "d": None} == await asyncio.create_task(
        read()
    )
    assert data == all_as_read(data)
    assert "Job" == as_read(say("Job"))


def test_html_is_escaped() -> None:
    """A text in a page is escaped, with all its values."""
    assert "&lt;b&gt; &amp;" == say("{what} &", what="<b>").__html__()


def test_an_error_keeps_its_text() -> None:
    """The message of an error is still a text, and what is said of its field, too."""
    problem = say("{value} must be a whole number", value="'x'")
    error = InvalidJobError(of_field("memory", problem), output="more")
    assert "memory: 'x' must be a whole number" == error.message
    assert isinstance(error.message, Text)
    assert problem.message == getattr(without_field("memory", error.message), "message", "")
    assert "must be 3" == without_field("memory", "memory: must be 3")
    assert "memory: 'x' must be a whole number\nmore" == error.message_and_output() == str(error)
    assert str is type(InvalidJobError("a\x00b").message)


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        say("Job {job} is {state}", job=7, state=say("queued")),
        say_count("{count} job", "{count} jobs", 3),
        join(", ", ["a", say("b"), number(1.5)]),
    ],
)
def test_the_database_keeps_texts(text: str) -> None:
    """A text comes back from JSON with its message and its values, in depth."""
    found = from_data(json.loads(json.dumps(to_data(text))))
    assert text == found
    assert to_data(text) == to_data(found)


@pytest.mark.parametrize(
    "data",
    [
        {"text": "a", "kind": "say"},
        {"text": "a", "kind": "other", "message": "m"},
        {"text": "a", "kind": "say", "message": 1},
        {"text": "a", "kind": "count", "message": "m", "values": {"count": "many"}},
        {"text": "a", "kind": "moment", "message": "", "values": {}},
        {"text": "a", "kind": "say", "message": "m", "values": [1]},
    ],
)
def test_what_is_not_a_text_is_its_english(data: Any) -> None:
    """Data of another form, such as a later version's, is shown in English."""
    assert "a" == from_data(data)
    assert str is type(from_data(data))
