"""What ``unispawner doctor`` has found, as lines and as JSON."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..._version import __version__


class Outcome(Enum):
    """How a check ended; the value is that of JSON."""

    OK = "ok"
    LOOK = "look"
    SKIPPED = "skipped"
    WRONG = "wrong"


_LABELS = {
    Outcome.OK: "ok     ",
    Outcome.LOOK: "look at",
    Outcome.SKIPPED: "skipped",
    Outcome.WRONG: "WRONG  ",
}
_VERBS = frozenset(
    (
        *("add", "allow", "ask", "change", "check", "choose", "compare", "correct", "create"),
        *("give", "install", "leave", "lower", "map", "mend", "move", "name", "open"),
        *("print", "put", "raise", "remove", "replace", "report", "run", "set", "start"),
        *("test", "update", "use", "write"),
    )
)
"""The words with which messages begin to say what to do."""


@dataclass(frozen=True)
class Result:
    """What a check has found.

    Attributes
    ----------
    id
        The name of the check for programs, which stays the same from release to release.
    name
        Its name for people, which may contain the name of a profile.
    text
        What was found: the setting first, then what is wrong.
    cure
        What to do; empty if nothing is wrong, or if the text alone says it.
    """

    id: str
    name: str
    outcome: Outcome
    text: str
    cure: str = ""

    def line(self) -> str:
        """Return the result for people."""
        gap = "\n        " if "\n" in self.text else ". "  # after what a command has printed
        end = f"{gap}{self.cure[:1].upper()}{self.cure[1:]}" if self.cure else ""
        return f"{_LABELS[self.outcome]} {self.name}: {self.text}{end}"

    def to_dict(self) -> dict[str, str]:
        """Return the result for programs; a cure at the end of the text is taken out of it."""
        text, cure = self.text, self.cure
        if not cure and self.outcome in (Outcome.LOOK, Outcome.WRONG):
            text, cure = split_cure(text)
        return {
            "id": self.id,
            "name": self.name,
            "outcome": self.outcome.value,
            "text": text,
            "cure": cure,
        }


def split_cure(message: str) -> tuple[str, str]:
    """Return a message without its last part that says what to do, and that part, if it has one."""
    for match in reversed(list(re.finditer(r"(?:; |\. |: )(?=([A-Za-z]+))", message))):
        if match[1].lower() in _VERBS:
            return message[: match.start()], message[match.end() :]
    return message, ""


class Results:
    """Collects the results; those for people are printed at once.

    Parameters
    ----------
    quiet
        True if nothing is printed until the end, because JSON is.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.all: list[Result] = []
        self._quiet = quiet

    def add(self, result: Result) -> None:
        """Take a result, and print its line."""
        self.all.append(result)
        self.note(result.line())

    def note(self, line: str) -> None:
        """Print a line that is no result."""
        if not self._quiet:
            print(line, flush=True)

    def unique_id(self, name: str) -> str:
        """Return an id for a check of this name; a second one of the name gets a number."""
        base = re.sub(r"[^\w.-]+", "_", name)
        taken = {one.id for one in self.all}
        numbered = (f"{base}.{number}" for number in range(2, len(taken) + 3))
        return next(one for one in (base, *numbered) if one not in taken)

    def status(self, *, strict: bool) -> int:
        """Return the exit status: 1 if something is wrong, 2 if strict and there are doubts."""
        outcomes = {one.outcome for one in self.all}
        if Outcome.WRONG in outcomes:
            return 1
        return 2 if strict and outcomes - {Outcome.OK} else 0

    def to_json(self, *, strict: bool) -> str:
        """Return everything as JSON."""
        return json.dumps(describe(self.all, self.status(strict=strict)), indent=2)


def describe(results: Iterable[Result], status: int) -> dict[str, Any]:
    """Return results as JSON-serialisable data."""
    checks = [one.to_dict() for one in results]
    return {"version": __version__, "exit_status": status, "checks": checks}


def describe_fault(error: Exception) -> str:
    """Return what an error says that nobody expected, and the line of the code."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})"
