"""The marker ``threat``: which rows of docs/threats.md it makes, and which markers are refused."""

from __future__ import annotations

import pytest
from support.threats import Markers, Row, make_page, not_passed

pytest_plugins = ["pytester"]

RIGHT = 'who="job", tries="It lies.", stopped_by="The Hub asks."'


def collect(pytester: pytest.Pytester, text: str) -> Markers:
    """Return what the markers of a module say."""
    scope = "asyncio_default_fixture_loop_scope = function"
    pytester.makeini(f"[pytest]\n{scope}\nmarkers =\n    threat: a row\n    long: takes minutes\n")
    markers = Markers()
    items, _ = pytester.inline_genitems(pytester.makepyfile(f"import pytest\n{text}"))
    markers.pytest_collection_modifyitems(items)
    return markers


def test_one_row_for_several_tests(pytester: pytest.Pytester) -> None:
    """Tests with the same three texts, and the values of a parameter, are one row."""
    mark = f"@pytest.mark.threat({RIGHT})\n"
    markers = collect(
        pytester,
        f"{mark}def test_a(): pass\n"
        f"{mark}@pytest.mark.parametrize('x', [1, 2])\ndef test_b(x): pass\n",
    )
    (row,) = markers.rows.values()
    assert ("It lies.", ["test_a", "test_b"]) == (row.tries, [name for _, name in row.tests])
    assert [] == markers.wrong


@pytest.mark.parametrize(
    ("marks", "reason"),
    [
        ('threat(who="job", tries="It lies.")', "by name, and nothing else"),
        ('threat("job", "It lies.", "The Hub asks.")', "by name, and nothing else"),
        (f"threat({RIGHT.replace('job', 'nobody')})", "who: it must be one of"),
        (f"threat({RIGHT.replace('It lies.', 'lies')})", "tries: write a full sentence"),
        (f"threat({RIGHT})\n@pytest.mark.skip", "skip holds nothing"),
        (f"threat({RIGHT})\n@pytest.mark.xfail", "xfail holds nothing"),
        (f"threat({RIGHT})\n@pytest.mark.long", "long holds nothing"),
    ],
)
def test_wrong_markers(pytester: pytest.Pytester, marks: str, reason: str) -> None:
    """A marker that is not right, or on a test that is not run, makes no row and is an error."""
    markers = collect(pytester, f"@pytest.mark.{marks}\ndef test_a(): pass\n")
    assert {} == markers.rows
    assert [True] == [reason in one for one in markers.wrong]


def test_the_page() -> None:
    """Each row is under who could try it, with a link to the file of its test."""
    row = Row("job", "It lies.", "The Hub asks.", [("tests/test_x.py", "test_a")])
    section = make_page([row]).partition("## Job\n")[2].partition("\n## ")[0]
    line = "| It lies. | The Hub asks. | [test_a](../tests/test_x.py) |"
    assert [line] == [one for one in section.splitlines() if "test_a" in one]


def test_a_listed_test_that_did_not_pass() -> None:
    """A listed test counts if it has passed with at least one value of its parameters."""
    tests = [("tests/test_x.py", "test_a"), ("tests/test_x.py", "test_b")]
    rows = [Row("job", "It lies.", "The Hub asks.", tests)]
    assert ["tests/test_x.py::test_b"] == not_passed(rows, ["tests/test_x.py::test_a[1]"])
