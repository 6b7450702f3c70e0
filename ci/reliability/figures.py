"""The rows of the table in docs/reliability.md, and how they are kept and merged: pure."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from benchmark.page import make_table
from support.guarantee import Kind, Violation

SHOWN = (Kind.LOST, Kind.ORPHANED, Kind.DOUBLED)
"""What has a column of its own; the other kinds share one."""
NAMES = {"ssh": "UniSpawner over ssh"}
"""What a spawner class of `candidates.SPAWNERS` is called in the table."""
WORDS = 160
"""The longest text (characters) of what a user read."""


@dataclass(frozen=True)
class Row:
    """What one fault did to one spawner class on one scheduler.

    Attributes
    ----------
    tried
        How many servers met the fault.
    violations
        How often each kind of violation was found, by the name of the kind.
    seconds
        The longest time from the end of the fault until all was in order; infinite if it never was.
    read
        What its user could read last; empty if the server went on.
    note
        What was measured besides.
    took, load
        How long (seconds) all of it took, and how many processes wanted to run at its end.
    """

    fault: str
    scheduler: str
    spawner: str
    tried: int
    violations: dict[str, int]
    seconds: float
    read: str
    note: str = ""
    took: float = 0.0
    load: float = 0.0

    @property
    def key(self) -> tuple[str, str, str]:
        return self.fault, self.scheduler, self.spawner


def broken_row(key: tuple[str, str, str], tried: int, reason: str) -> Row:
    """Return the row of a cell in which nothing could be tried."""
    return Row(*key, tried, {Kind.UNSEEN.name: 1}, math.inf, f"(no trial: {reason})")


def count(violations: Iterable[Violation]) -> dict[str, int]:
    """Return how often there is each kind of violation, by its name."""
    return dict(Counter(one.kind.name for one in violations))


def shorten(text: str) -> str:
    """Return a message for a cell of the table: one line without Markdown's bar, not too long.

    The end of the server's log, which follows some messages, is left out.
    """
    line = " ".join(text.partition("\n[")[0].split()).replace("|", "/").replace("<", "&lt;")
    return line if len(line) <= WORDS else f"{line[: WORDS - 2]} …"


def to_json(rows: Sequence[Row]) -> str:
    """Return rows as text that `from_json` reads."""
    return json.dumps([asdict(row) for row in rows], indent=1)


def from_json(text: str) -> list[Row]:
    return [Row(**row) for row in json.loads(text)]


def merge(old: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """Return the old rows with the new ones; a new row replaces the old one of the same cell."""
    rows = {row.key: row for row in old}
    rows.update({row.key: row for row in new})
    return list(rows.values())


def table(rows: Iterable[Row], titles: dict[str, str], notes: dict[str, str]) -> str:
    """Return the table in Markdown, with the rows of a fault together, in the order of `titles`.

    Parameters
    ----------
    titles
        The sentence for each fault, by its name.
    notes
        Why a row is not zero, by the name of its fault.
    """
    order = list(titles)
    known = sorted(
        (row for row in rows if row.fault in titles),
        key=lambda row: (order.index(row.fault), row.scheduler, row.spawner),
    )
    head = ["fault", "where", "tried", *(kind.name.lower() for kind in SHOWN), "other", "seconds"]
    lines = []
    for row in known:
        others = sum(row.violations.values()) - sum(_shown(row))
        seconds = "never" if math.isinf(row.seconds) else f"{row.seconds:.0f}"
        numbers = [str(number) for number in (row.tried, *_shown(row), others)]
        read = shorten(row.read) or ("(nothing)" if row.violations else "(the server goes on)")
        if row.note:
            read += f" ({row.note})"
        if row.violations and row.fault in notes:
            read += f" **Why not zero:** {notes[row.fault]}"
        where = f"{row.scheduler}, {NAMES.get(row.spawner, row.spawner)}"
        lines.append([titles[row.fault], where, *numbers, seconds, read])
    return make_table([*head, "what the user read"], lines)


def summary(rows: Iterable[Row]) -> str:
    """Return a sentence with the sums over all rows, and one on the load of the machine."""
    rows = list(rows)
    sums = [sum(_shown(row)[number] for row in rows) for number in range(len(SHOWN))]
    others = sum(sum(row.violations.values()) for row in rows) - sum(sums)
    names = [kind.name.lower() for kind in SHOWN]
    counts = ", ".join(f"{number} {name}" for name, number in zip(names, sums, strict=True))
    text = (
        f"**{len(rows)} rows, {sum(row.tried for row in rows)} trials: {counts}, {others} other.**"
    )
    loads = sorted(row.load for row in rows if row.load)
    if loads:
        text += (
            f" The load average of the machine was between {loads[0]:.0f} and {loads[-1]:.0f} "
            f"(median {loads[len(loads) // 2]:.0f}), so the seconds are upper bounds."
        )
    return text


def _shown(row: Row) -> list[int]:
    return [row.violations.get(kind.name, 0) for kind in SHOWN]
