"""The marker ``threat`` on tests, and docs/threats.md, which ci/threats makes of it.

A test that holds a promise of docs/security.md says which attack it tries::

    @pytest.mark.threat(
        who="job",
        tries="It reports the address of another user's server as its own.",
        stopped_by="The Hub accepts only the host on which the scheduler says that the job runs.",
    )

Several tests may hold one row: they have the same three texts, best as a constant of the module.
A test may have several markers. Texts are full sentences on one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pytest

WHO = {
    "user": "somebody with an account of the Hub, through its forms, links and API, and through "
    "the files and processes of their own account",
    "other user": "another account of the cluster, which attacks somebody else's server, files or "
    "token",
    "job": "what runs inside a job, as its user",
    "node": "a node of the cluster, or what answers in its place on the network",
    "Hub account": "whoever controls the account under which the Hub runs",
    "root": "what runs as root for the Hub, where others could lead it astray",
    "stranger": "somebody without an account, such as the author of a link that a user opens",
}
"""Who could attack: the values of ``who``."""

HEAD = """\
# Threats, and what stops them

`ci/threats` makes this page from the markers on the tests. Each row is an attack that at least one
test tries: the test passes only if the attack fails. `ci/test` fails if the page differs from the
markers, and, where it runs as root with all schedulers, if a test that is listed here did not pass.
[Security](security.md) explains the reasons.

The *agent* does a request of the Hub's as the user, and the *broker* becomes that user. The
*launcher* starts the server inside the job and reports to the Hub. The *legacy classes* are those
with batchspawner's names. [How it works](how-it-works.md#words-that-mean-one-thing) has the other
words.
"""
SENTENCE = re.compile(r"[A-Z`][^\n|]*\.")
KEYS = ("who", "tries", "stopped_by")


@dataclass
class Row:
    """An attack, what stops it, and the tests that try it: files with names of functions."""

    who: str
    tries: str
    stopped_by: str
    tests: list[tuple[str, str]] = field(default_factory=list)


class Markers:
    """Collects the rows: a plugin of pytest's."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, ...], Row] = {}
        self.wrong: list[str] = []

    def pytest_collection_modifyitems(self, items: Sequence[pytest.Item]) -> None:
        """Read the markers of what was collected, and then leave everything out."""
        for item in items:
            for mark in item.iter_markers("threat"):
                if problem := find_problem(item, mark):
                    self.wrong.append(f"{item.nodeid}: {problem}")
                    continue
                who, tries, stopped_by = (str(mark.kwargs[key]) for key in KEYS)
                new = Row(who, tries, stopped_by)
                row = self.rows.setdefault((who, tries, stopped_by), new)
                if (test := test_of(item)) not in row.tests:
                    row.tests.append(test)


def test_of(item: pytest.Item) -> tuple[str, str]:
    """Return a test's file and its name, without the values of its parameters."""
    file, _, name = item.nodeid.partition("::")
    return file, name.partition("[")[0]


test_of.__test__ = False  # type: ignore[attr-defined]  # pytest would take it to be a test


def find_problem(item: pytest.Item, mark: pytest.Mark) -> str:
    """Return what is wrong with a marker; empty if nothing is."""
    if mark.args or set(mark.kwargs) != set(KEYS):
        return f"threat: it has {', '.join(KEYS)}, each by name, and nothing else"
    if mark.kwargs["who"] not in WHO:
        return f"threat: who: it must be one of {', '.join(WHO)}"
    for key in KEYS[1:]:
        if not SENTENCE.fullmatch(str(mark.kwargs[key])):
            return f"threat: {key}: write a full sentence on one line, without '|'"
    for other in ("skip", "xfail", "long"):
        if item.get_closest_marker(other):
            return f"threat: a test that is marked {other} holds nothing"
    return ""


def make_page(rows: Iterable[Row]) -> str:
    """Return docs/threats.md."""
    found = sorted(rows, key=lambda row: (row.tests[0], row.tries))
    parts = [HEAD]
    for who, meaning in WHO.items():
        parts.append(f"## {capitalise(who)}\n\n{capitalise(meaning)}.\n")
        parts.append("| tries | what stops it | test |\n|---|---|---|")
        for row in found:
            if row.who == who:
                links = ", ".join(f"[{name}](../{file})" for file, name in row.tests)
                parts.append(f"| {row.tries} | {row.stopped_by} | {links} |")
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def capitalise(text: str) -> str:
    """Return a text with a capital letter at its beginning; the rest stays as it is."""
    return text[:1].upper() + text[1:]


def not_passed(rows: Iterable[Row], passed: Iterable[str]) -> list[str]:
    """Return the tests of rows that are not among those that passed, as ``file::name``."""
    held = {name.partition("[")[0] for name in passed}
    listed = {f"{file}::{name}" for row in rows for file, name in row.tests}
    return sorted(listed - held)
