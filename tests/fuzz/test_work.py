"""Long texts: reading twice as much takes about twice the time, also in regular expressions.

Most patterns that take quadratic time do so for a long run of one character or of a few. Each
answer gets such a run, in several places. A run of fifty kilobytes takes some milliseconds
where the time is linear; where it is quadratic, it takes many seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.fuzzing import TARGETS, check
from support.fuzzing.clusters import FOLDERS, QUESTIONS, SETTINGS, fitting, talk

from unispawner.schedulers import get_scheduler
from unispawner.schedulers.base import Reply

LENGTH = 50_000
RUNS = ("a", " ", "\n", "9", "a.", "/a", ": ", "(", "<", "{\n", "a b\n", ",gpu:", "=\n", "-1:")


def answers(scheduler: str, question: str) -> list[list[Any]]:
    """Return good answers to a question's commands, one after the other."""
    found: list[list[Any]] = []

    def answer(command: list[str]) -> list[Any]:
        known = fitting(scheduler, command)
        good = [one for one in known if one.exit_status == 0] or known
        one = good[0] if good else Reply(tuple(command), 1, "", "no answer")
        found.append([one.stdout, one.stderr, one.exit_status])
        return found[-1]

    try:
        talk(QUESTIONS[question](get_scheduler(scheduler, options(scheduler))), answer)
    except Exception:  # where there is no good answer, what there is will do
        pass
    return found


def options(scheduler: str) -> dict[str, Any]:
    return SETTINGS[scheduler][0] if scheduler == "template" else {}


def with_runs(text: str, number: int) -> Iterator[str]:
    """Yield the text with a long run in it: the place changes with the number."""
    for shift, run in enumerate(RUNS):
        at = (number * 7919 + shift * 104_729) % (len(text) + 1)
        yield text[:at] + run * (LENGTH // len(run)) + text[at:]


@pytest.mark.threat(
    who="user",
    tries="They write long runs of characters, which a pattern takes quadratic time to read.",
    stopped_by="Every reader gets such runs in every answer, and must stay fast.",
)
@pytest.mark.parametrize("scheduler", [*FOLDERS, "template"])
def test_long_runs_in_answers(scheduler: str) -> None:
    """No run of characters in an answer, or in its errors, takes ever longer to read."""
    tried = 0
    for number, question in enumerate(sorted(QUESTIONS)):
        good = answers(scheduler, question)
        for place, (stdout, stderr, _) in enumerate(good[:3]):
            for part, text in enumerate((stdout, stderr)):
                for odd in with_runs(text, number + place):
                    changed = json.loads(json.dumps(good))
                    changed[place][part] = odd
                    value = {
                        "scheduler": scheduler,
                        "options": options(scheduler),
                        "question": question,
                        "answers": changed,
                    }
                    check(TARGETS[scheduler], value)
                    tried += 1
    assert tried > 100
