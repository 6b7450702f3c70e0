"""What the doctor takes of what the probe's job says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from unispawner.admin.doctor.probe.answers import Answers, read_finding
from unispawner.admin.doctor.probe.on_node import PREFIX


def line(**row: Any) -> str:
    return PREFIX + json.dumps(row)


def test_the_log_is_divided() -> None:
    """Lines before the shell's own one are of its start-up files; then comes the prologue."""
    answers = Answers()
    log = ["hello", line(name="shell", ok=True), "load", line(name="begun", ok=True), "later"]
    answers.take_log("\n".join(log))
    assert (["hello"], ["load"], ["later"]) == (answers.before, answers.between, answers.after)
    assert {"shell", "begun"} == set(answers.found)


def test_the_first_answer_of_a_name_counts() -> None:
    """A report and the log have the same findings; the second one changes nothing."""
    answers = Answers()
    answers.take_report({"event": "probe", "found": [{"name": "end", "ok": True}], "time": 5}, 7.0)
    answers.take_log(line(name="end", ok=False))
    assert (True, 5.0, 7.0) == (answers.found["end"].ok, answers.sent, answers.arrived)
    assert answers.complete


@pytest.mark.parametrize(
    "row",
    [
        None,
        [],
        "end",
        {},
        {"name": 5, "ok": True},
        {"name": "a b", "ok": True},
        {"name": "", "ok": True},
        {"name": "x" * 31},
    ],
)
def test_what_is_no_finding(row: Any) -> None:
    """Whatever does not have the form of a finding is dropped."""
    assert read_finding(row) is None


@pytest.mark.threat(
    who="job",
    tries="It answers the doctor's probe with escape sequences, endless text and numbers "
    "that are none.",
    stopped_by="Each value has a type and a length, and control characters are replaced.",
)
def test_values_of_a_wrong_form() -> None:
    """Texts lose control characters and are cut; numbers that are none are 0."""
    finding = read_finding(
        {
            "name": "port",
            "ok": "yes",
            "text": "\x1b[2J\r\nok      probe\n" + "x" * 10_000,
            "seconds": float("nan"),
            "time": 10**400,
            "port": True,
        }
    )
    assert finding is not None
    assert not set(finding.text) & set("\x1b\r\n")
    assert len(finding.text) <= 300
    assert (False, 0.0, 0.0, 0) == (finding.ok, finding.seconds, finding.time, finding.port)


@pytest.mark.parametrize(
    "body", [{}, {"event": "ready", "host": "n", "port": 1}, {"event": "probe"}]
)
def test_reports_of_others(body: dict[str, Any]) -> None:
    """A report of a launcher, or without findings, has nothing for the doctor."""
    answers = Answers()
    answers.take_report(body, 1.0)
    assert ({}, 0.0) == (answers.found, answers.arrived)


def test_a_log_that_never_ends() -> None:
    """Of a long log a few lines are kept, and a limited number of findings."""
    answers = Answers()
    names = [chr(97 + i) + chr(97 + j) for i in range(26) for j in range(26)]
    answers.take_log("\n".join(["noise"] * 1000 + [line(name=name, ok=True) for name in names]))
    assert (5, 100) == (len(answers.before), len(answers.found))
    answers.take_log(PREFIX + "[" * 100_000)
    assert [] == answers.before
