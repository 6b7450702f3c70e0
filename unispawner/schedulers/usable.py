"""What one user may use of a cluster: accounts, queues, qualities of service and reservations.

Each scheduler answers this question in :meth:`.base.Scheduler.usable`, and the user's own side asks
it. That something is not known never means that it is not allowed: then the scheduler decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

FIELDS = ("account", "queue_name", "qos", "reservation_id")
"""The fields of a job about which a scheduler may know what a user may use."""
MOST_ENTRIES = 500
"""How many names of one field are kept. If there are more, the field is not known: nobody could use
such a menu."""
MOST_RULES = 10
MOST_NAMES = 10_000
"""How many names all rows of one rule may have. A rule with more is left out: the scheduler decides
then."""
_NAME = re.compile(r"[^\s,|\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]{1,255}")
"""What a name may be. No scheduler has blanks, commas or bars in one."""

Row = Mapping[str, frozenset[str]]
"""Values that go together, by field. An empty name stands for a field that is not set, and a field
that is missing in the row may have any value, or none."""


@dataclass(frozen=True)
class Entry:
    """One account, queue, quality of service or reservation that a user may use.

    Attributes
    ----------
    name
        The scheduler's name of it.
    default
        True if a job that names none gets this one.
    begins, ends
        When a reservation begins and ends, in seconds since the epoch; None if there is no such
        moment, or it is not known.
    """

    name: str
    default: bool = False
    begins: float | None = None
    ends: float | None = None


@dataclass(frozen=True)
class Usable:
    """What a user may use of a cluster.

    Attributes
    ----------
    entries
        What may be chosen, by field. A field of ``FIELDS`` that is missing is not known. A field
        without entries is known: there is nothing for this user.
    rules
        What goes together. Each rule is a list of rows, and a job obeys it if its values fit one of
        them.
    partial
        True if a part of the question had no answer. It is worth asking again soon.
    """

    entries: dict[str, tuple[Entry, ...]] = field(default_factory=dict)
    rules: tuple[tuple[dict[str, frozenset[str]], ...], ...] = ()
    partial: bool = False

    def names(self, field: str) -> list[str] | None:
        """Return the names of a field that the user may use; None if they are not known."""
        found = self.entries.get(field)
        return None if found is None else [one.name for one in found]

    def default(self, field: str) -> str:
        """Return the name that a job without one gets; empty if that is not known."""
        return next((one.name for one in self.entries.get(field, ()) if one.default), "")

    def at(self, now: float) -> Usable:
        """Return this without the reservations that have ended."""
        return replace(
            self,
            entries={
                field: tuple(one for one in found if one.ends is None or one.ends > now)
                for field, found in self.entries.items()
            },
        )

    def fits(self, values: Mapping[str, str]) -> bool:
        """Return whether values can go together, as far as that is known.

        Parameters
        ----------
        values
            Names by field; an empty one stands for a field that is not set. A field that is missing
            may still get any value, or none.
        """
        given = {field: self._known(field, value) for field, value in values.items()}
        return all(any(_fits(row, given) for row in rule) for rule in self.rules)

    def choices(self, field: str, values: Mapping[str, str]) -> list[str]:
        """Return those names of a field that go together with the values of other fields.

        It is what :meth:`fits` says about each name, but a rule is read once for all names: users
        can forge long answers, and the Hub must not wait.
        """
        given = {one: self._known(one, value) for one, value in values.items() if one != field}
        found = self.names(field) or []
        for rule in self.rules:
            rows = [row for row in rule if _fits(row, given)]
            if all(field in row for row in rows):
                allowed = {name for row in rows for name in row[field]}
                found = [one for one in found if one in allowed]
        return found

    def _known(self, field: str, value: str) -> str | None:
        """Return a value as the rules have it; None if no rule says anything about it."""
        value = value or self.default(field)
        return value if not value or value in (self.names(field) or ()) else None


def _fits(row: Row, values: Mapping[str, str | None]) -> bool:
    return all(
        value is None or field not in row or value in row[field] for field, value in values.items()
    )


def make_usable(
    entries: Mapping[str, Iterable[Entry]],
    rules: Iterable[Iterable[Row]] = (),
    *,
    partial: bool = False,
) -> Usable:
    """Return what a user may use, without what no form and no message could show.

    Of two entries with the same name the first one counts. A field with too many entries is left
    out, and so is a rule with too many names.
    """
    kept: dict[str, tuple[Entry, ...]] = {}
    for name in entries.keys() & set(FIELDS):
        found: dict[str, Entry] = {}
        for one in entries[name]:
            if _NAME.fullmatch(one.name):
                shown = replace(one, begins=_moment(one.begins), ends=_moment(one.ends))
                found.setdefault(one.name, shown)
        if len(found) <= MOST_ENTRIES:
            kept[name] = tuple(found.values())
    tables = [tuple(dict(row) for row in rule) for rule in islice(rules, MOST_RULES)]
    kept_rules = tuple(table for table in tables if table and _count_names(table) <= MOST_NAMES)
    return Usable(kept, kept_rules, partial)


def _moment(seconds: float | None) -> float | None:
    """Return a moment that can be shown: below 2**33, which is the year 2242; else None."""
    return seconds if seconds is not None and 0 <= seconds < 2**33 else None


def _count_names(rule: Iterable[Row]) -> int:
    return sum(1 + sum(map(len, row.values())) for row in rule)


__all__ = ["FIELDS", "Entry", "Row", "Usable", "make_usable"]
