"""One odd row never costs the other rows of an answer, whatever is odd about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape

import pytest
from support.many_jobs import LISTINGS, first_id

from unispawner.job import JobInfo
from unispawner.schedulers import get_scheduler
from unispawner.schedulers.base import Reply, advance
from unispawner.schedulers.questions import converse

TEXTS = (
    *("", " ", "\u00b2", "\u0663", "9" * 400, "-9", "-", "nan", "inf", "1e999", "x y", "\u2028"),
    *("\x7f", "\x01", "\u00e9|:@,", "2026-99-99T99:99:99", "Feb 29 12:00 L", "\ufffd"),
)
XML_TEXTS = tuple(map(escape, TEXTS))
LITERALS = (
    *('""', '"\u00b2"', '"nan"', '"x y"', '"\\u0000"', '"\\ud800"', "-1", "1e999", "true", "null"),
    *("[]", "{}", "[[1]]", '{"a": {"b": 1}}', "9" * 400, "0.5"),
)
"""Odd values in JSON."""
VALUES: dict[str, tuple[str, tuple[str, ...]]] = {
    "slurm": (r"(?<=\|)[^|\n]*|^[^|\n]*", TEXTS),
    "gridengine": (r"(?<=>)[^<>\n]+(?=</)", XML_TEXTS),
    "torque": (r"(?<=>)[^<>\n]+(?=</)", XML_TEXTS),
    "pbs": (r'(?<=:\t)("[^"]*"|\d+)', LITERALS),
    "htcondor": (r'(?<=: )("[^"]*"|\d+)', LITERALS),
    "lsf": (r'(?<=: )"[^"]*"', LITERALS),
    "lsf columns": (r"\S+", TEXTS),
}
"""What matches a value in a row, and the odd values that are written in its place."""


def listings(name: str) -> Iterator[tuple[str, str]]:
    """Yield listings of three jobs, each with an odd value in the first one, and what is odd."""
    text = LISTINGS[name](3)
    pattern, values = VALUES[name]
    # From the first job's id to the next one's, without the beginning of its line or element.
    end = text.index("1001")
    end = max(text.rfind("\n", 0, end), text.rfind("</Job>", 0, end))
    for match in re.finditer(pattern, text[:end]):
        if match.start() >= text.index("1000") - 1:
            for value in values:
                odd = text[: match.start()] + value + text[match.end() :]
                yield f"{text[max(0, match.start() - 30) : match.start()]}[{value[:20]}]", odd


def ask(name: str, text: str, ids: list[str]) -> dict[str, JobInfo]:
    """Answer the monitor's question with a listing; a question about a job has a good answer."""
    dialogue = converse(get_scheduler(name.split()[0]), "query_tracked", ids)
    reply = None
    try:
        while True:
            command = advance(dialogue, reply)
            if name == "lsf columns" and "-json" in command:
                reply = Reply(tuple(command), 255, "", "bad option -json")
            elif command[0] == "condor_status":
                reply = Reply(tuple(command), 0, "[]")
            else:  # torque asks for one job after the other if a part can't be read
                by_id = command[-1] in ids
                reply = Reply(tuple(command), 0, LISTINGS[name](3) if by_id else text)
    except StopIteration as stop:
        found: dict[str, JobInfo] = stop.value.result.jobs
        return found


@pytest.mark.threat(
    who="user",
    tries="They write nonsense into their job, so that nobody's job can be read.",
    stopped_by="One odd row costs no other row of an answer.",
)
@pytest.mark.parametrize("name", sorted(VALUES))
def test_the_other_rows_count(name: str) -> None:
    """A value of any kind in one row leaves the other jobs as they are."""
    ids = [first_id(name).replace("1000", number) for number in ("1001", "1002")]
    expected = ask(name, LISTINGS[name](3), ids)
    assert ids == list(expected)
    lost = []
    for what, text in listings(name):
        try:
            if expected != ask(name, text, ids):
                lost.append((what, "another answer"))
        except Exception as error:  # no matter which: the whole answer is lost
            lost.append((what, repr(error)[:200]))
    assert [] == lost
