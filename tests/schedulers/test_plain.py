"""Values as plain JSON data: they come back as they were, and data of another kind is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from unispawner.job import JobInfo, JobState
from unispawner.schedulers import plain
from unispawner.schedulers.inventory import Inventory, Node, Queue


@dataclass(frozen=True)
class Sample:
    """A value with a field of each type."""

    text: str
    whole: int = 0
    number: float | None = None
    flag: bool = False
    length: timedelta | None = None
    names: frozenset[str] = frozenset()
    nodes: tuple[Node, ...] = ()
    state: JobState = JobState.UNKNOWN
    jobs: dict[str, JobInfo] = field(default_factory=dict)


FULL = Sample(
    "a", 1, 1.5, True, timedelta(days=2), frozenset({"b"}), (Node("n", memory=2**40),),
    JobState.HELD, {"7": JobInfo("alice", JobState.RUNNING, "why", 3, "node1", 2, 1.0, 2.0, 3.0)},
)  # fmt: skip


def travel(value: Any) -> Any:
    return plain.decode(type(value), json.loads(json.dumps(plain.encode(value))))


@pytest.mark.parametrize(
    "value",
    [
        FULL,
        Sample(""),
        Inventory((Queue("q", True, max_duration=timedelta(hours=1)),), (Node("n"),), 3, 4),
        Inventory(),
        Node("n", gpu_types=(("a100", 4, 2), ("h100", 2, None)), features=frozenset({"rome"})),
    ],
)
def test_a_value_comes_back_as_it_was(value: object) -> None:
    """A value that was encoded, written as JSON, read and decoded is equal to the first one."""
    assert value == travel(value)


@pytest.mark.parametrize("one", [["a100", 4], ["a100", 4, 2, 1], ["a100", "4", 2], "a100", [], 4])
def test_items_of_another_number_or_kind(one: Any) -> None:
    """A tuple whose items have kinds of their own must have all of them, in their order."""
    with pytest.raises(ValueError):
        plain.decode(Node, {"name": "n", "gpu_types": [one]})


def test_defaults_are_left_out() -> None:
    """A value takes little room: what has its default is not written."""
    assert {"owner": "a", "state": "QUEUED"} == plain.encode(JobInfo("a", JobState.QUEUED))


@pytest.mark.parametrize(
    ("names", "data"),
    [({"b", "a"}, "a\x1fb"), ({"a"}, "a"), ({""}, ""), (set(), []), ({"a\x1f", "b"}, None)],
)
def test_a_set_of_names_is_one_text(names: set[str], data: object) -> None:
    """Names are one text, which is read faster than a list; a name with the separator, which no
    scheduler has, makes it a list. A list of an older release is read as well."""
    found = json.loads(json.dumps(plain.encode(frozenset(names))))
    assert data is None or data == found
    assert frozenset(names) == plain.decode(frozenset[str], found)
    assert frozenset(names) == plain.decode(frozenset[str], list(names))


def test_many_nodes_are_lists_of_their_fields() -> None:
    """Many nodes come back as they were, whatever fields each of them has."""
    features = (frozenset({"a"}), None)
    nodes = tuple(
        Node(f"n{n}", cores=n % 3, idle_cores=None if n % 2 else 1, features=features[n % 2])
        for n in range(100)
    )
    data = json.loads(json.dumps(plain.encode(nodes)))
    assert ["columns"] == list(data)
    assert nodes == plain.decode(tuple[Node, ...], data)
    assert nodes[:3] == plain.decode(tuple[Node, ...], plain.encode(nodes[:3]))


@pytest.mark.parametrize(
    "data",
    [
        {"columns": {}},
        {"columns": []},
        {"columns": {"name": ["a", "b"], "cores": [1]}},
        {"columns": {"name": 7}},
        {"columns": {"name": [None]}},
        {"columns": {"name": ["a"]}, "more": 1},
    ],
)
def test_lists_that_do_not_fit_are_refused(data: object) -> None:
    """Lists of different lengths, and rows without a field that has no default, are errors."""
    with pytest.raises(ValueError, match="."):
        plain.decode(tuple[Node, ...], data)


def test_keys_of_a_newer_release_are_passed_over() -> None:
    """A field that this release does not know is ignored."""
    assert Sample("a") == plain.decode(Sample, {"text": "a", "colour": "red"})


def test_long_texts_are_cut_and_half_characters_are_replaced() -> None:
    """A text is cut where it is written and where it is read; it can always be shown."""
    longest = "x" * plain.TEXT_LIMIT
    assert longest == plain.encode(longest + "y")
    assert longest == plain.decode(str, longest + "y")
    assert "a?" == plain.decode(str, json.loads('"a\\ud800"'))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("text", None),
        ("text", 1),
        ("text", ["a"]),
        ("whole", "1"),
        ("whole", True),
        ("whole", 1.5),
        ("whole", 2**63),
        ("number", "1"),
        ("number", float("nan")),
        ("number", float("inf")),
        ("number", 10**400),
        ("number", False),
        ("flag", 1),
        ("flag", "yes"),
        ("length", 1e300),
        ("length", "1:00"),
        ("names", 7),
        ("names", {"a": 1}),
        ("names", [["a"]]),
        ("nodes", [{}]),
        ("nodes", [{"name": "n", "cores": None}]),
        ("state", "ASLEEP"),
        ("state", ["HELD"]),
        ("jobs", []),
        ("jobs", {"7": "RUNNING"}),
        ("jobs", {"7": {"owner": "alice"}}),
    ],
)
def test_data_of_another_kind_is_refused(key: str, value: object) -> None:
    """A value of a wrong type, a number that is too large, and a missing field are errors."""
    with pytest.raises(ValueError, match="."):
        plain.decode(Sample, {"text": "a", key: value})


@pytest.mark.parametrize("data", [None, [], "x", 3, {}])
def test_what_is_no_object_is_refused(data: object) -> None:
    """A dataclass is read from an object that has the fields without a default."""
    with pytest.raises(ValueError, match="."):
        plain.decode(Sample, data)
