"""Python's text of plain data, as a person would write it."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unispawner.admin.migrate.literal import Expression, is_plain, literal

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.text(alphabet="a\n\t\\\"' \u2028\r", min_size=1)
    | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(), inner)
        | st.tuples(inner)
        | st.tuples(inner, inner)
    ),
)


@given(PLAIN, st.integers(0, 12), st.integers(0, 90))
def test_every_value_reads_back(value: Any, indent: int, taken: int) -> None:
    """Python reads the text as the value, wherever it stands in a line."""
    assert is_plain(value)
    assert value == ast.literal_eval(literal(value, indent, taken))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("4G", '"4G"'),
        ('"x"', "'\"x\"'"),
        ("a\\1", '"a\\\\1"'),
        (("a",), '("a",)'),
        ([1, None, True], "[1, None, True]"),
        ({"a": {"b": 1}}, '{"a": {"b": 1}}'),
        ("module load a\nmodule load b", '"""\\\nmodule load a\nmodule load b"""'),
        ("a\\b\nc", 'r"""a\\b\nc"""'),
        ('a\n"b"', '(\n    "a\\n"\n    \'"b"\'\n)'),
        ({"a": Expression("old[1]")}, '{"a": old[1]}'),
        (
            {"slurm.comment": "x" * 60, "slurm.mail-type": ["BEGIN", "END"]},
            '{\n    "slurm.comment": "' + "x" * 60 + '",\n'
            '    "slurm.mail-type": ["BEGIN", "END"],\n}',
        ),
    ],
)
def test_text(value: object, text: str) -> None:
    """Quotes are double unless the text has some; what would be long is on several lines."""
    assert text == literal(value)


@pytest.mark.parametrize("value", [print, {1, 2}.__iter__(), float("nan"), [object()]])
def test_what_cannot_be_written_down(value: object) -> None:
    """A function or an object has no text that gives the same value."""
    assert not is_plain(value)
