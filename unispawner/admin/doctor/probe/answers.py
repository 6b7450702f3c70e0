"""What the probe's job says, as far as it has the right form.

The job is the user's: its log and its reports may contain anything. So each value has a type and a
length, and no text has control characters.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ....errors import clean_output
from .on_node import LONGEST_TEXT, PREFIX

MOST = 100
"""How many findings count."""
NOISE_LINES = 5
"""How many lines of other output are kept."""
SHELL = "shell"
"""The finding of the job's shell, between its start-up files and the prologue."""


@dataclass(frozen=True)
class Finding:
    """One thing that the job has found: see :mod:`.on_node`."""

    name: str
    ok: bool
    text: str = ""
    kind: str = ""
    seconds: float = 0.0
    time: float = 0.0
    port: int = 0


@dataclass
class Answers:
    """Everything that a job has said.

    Attributes
    ----------
    found
        The findings by name.
    before, between, after
        Other lines of the log: of the shell's start-up files, of the prologue, and later ones.
    arrived
        When the job's report came (Unix time), and ``sent``, the node's time then; 0 if none came.
    """

    found: dict[str, Finding] = field(default_factory=dict)
    before: list[str] = field(default_factory=list)
    between: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    arrived: float = 0.0
    sent: float = 0.0

    @property
    def complete(self) -> bool:
        return "end" in self.found

    def get(self, name: str) -> Finding | None:
        return self.found.get(name)

    def take_report(self, body: Mapping[str, Any], arrived: float) -> None:
        """Take what came over the network; reports of a launcher have nothing new."""
        if body.get("event") != "probe" or not isinstance(body.get("found"), list):
            return
        self._take(body["found"])
        self.arrived, self.sent = arrived, _number(body.get("time"))

    def take_log(self, tail: str) -> None:
        """Take the job's log."""
        rows = []
        self.before, self.between, self.after = [], [], []
        others = self.before
        for line in tail.splitlines():
            if not line.startswith(PREFIX):
                if line.strip() and len(others) < NOISE_LINES:
                    others.append(clean_line(line))
                continue
            try:
                row = json.loads(line[len(PREFIX) :])
            except (ValueError, RecursionError):
                continue
            rows.append(row)
            name = row.get("name") if isinstance(row, dict) else ""
            others = self.between if name == SHELL else self.after
        self._take(rows)

    def _take(self, rows: Iterable[Any]) -> None:
        for row in rows:
            finding = read_finding(row)
            if finding is not None and len(self.found) < MOST:
                self.found.setdefault(finding.name, finding)


def read_finding(row: Any) -> Finding | None:
    """Return a finding; None if it is none."""
    if not isinstance(row, Mapping):
        return None
    name, ok = row.get("name"), row.get("ok")
    if not isinstance(name, str) or not name.replace("-", "").isalpha() or len(name) > 30:
        return None
    port = row.get("port")
    return Finding(
        name,
        ok is True,
        _text(row.get("text")),
        _text(row.get("kind")),
        _number(row.get("seconds")),
        _number(row.get("time")),
        port if type(port) is int and 0 < port < 65536 else 0,
    )


def clean_line(text: str) -> str:
    """Return foreign text as one line without control characters, and not too long."""
    return clean_output(" ".join(text.split())[:LONGEST_TEXT])


def _text(value: Any) -> str:
    return clean_line(value) if isinstance(value, str) else ""


def _number(value: Any) -> float:
    try:
        number = float(value) if isinstance(value, int | float) else 0.0
    except OverflowError:
        return 0.0
    return number if math.isfinite(number) and abs(number) < 1e12 else 0.0
