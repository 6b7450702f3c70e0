"""Asks Grid Engine what a user may use, and reads the answers of qconf and qrstat (8.1.9).

Projects, queues and advance reservations have lists of users, which qconf calls access lists. An
entry of a list is an account, or a group behind ``@``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from .base import Dialogue, Scheduler, ask_optionally
from .gridengine_jobs import find_text, parse_xml, read_pairs
from .usable import MOST_ENTRIES, Entry, Row, Usable, make_usable

MOST_PROJECTS = 100
"""How many projects are asked for: each takes a command. With more they are not known."""
_WORD = re.compile(r"\w[\w.@+-]*")


@dataclass
class User:
    """A user: the account, its groups (the primary one first), and the members of access lists."""

    name: str
    groups: Sequence[str] = ()
    lists: Mapping[str, Collection[str]] = field(default_factory=dict)

    def is_admitted(self, to: Iterable[str], not_to: Iterable[str]) -> bool:
        """Return whether the user is on a list that admits, and on none that excludes.

        Without a list that admits, everybody is. Some releases know a user's primary group only,
        so that another group never excludes.
        """
        admitting = list(to)
        if any(self._is_on(one, self.groups[:1]) for one in not_to):
            return False
        return not admitting or any(self._is_on(one, self.groups) for one in admitting)

    def _is_on(self, name: str, groups: Sequence[str]) -> bool:
        return self.is_one_of(self.lists.get(name, ()), groups)

    def is_one_of(self, entries: Collection[str], groups: Sequence[str]) -> bool:
        """Return whether entries of a list have the user or one of these groups."""
        return self.name in entries or any(f"@{group}" in entries for group in groups)


def ask(gridengine: Scheduler, owner: str, groups: Sequence[str]) -> Dialogue[Usable]:
    """Ask for access lists, queues, projects and advance reservations.

    Raises
    ------
    SchedulerUnavailable
        If the scheduler does not answer.
    """
    reply = yield ["qconf", "-sq", "*"]
    gridengine.check_answered(reply)
    queues = read_sections(reply.stdout, "qname")
    if not queues:
        raise gridengine.unreadable_error(reply)
    names = (yield from ask_optionally(["qconf", "-sul"])) or ""
    known = [name for name in names.split() if _WORD.fullmatch(name)]
    lists = yield from ask_optionally(["qconf", "-su", ",".join(known)]) if known else _nothing()
    user = User(owner, groups, read_lists(lists or ""))
    projects = yield from _ask_projects()
    default = (yield from ask_optionally(["qconf", "-suser", owner])) or ""
    numbers = yield from ask_optionally(["qrstat", "-xml", "-u", "*"])
    ids = read_ids(numbers or "")
    details = (
        yield from ask_optionally(["qrstat", "-xml", "-ar", ",".join(ids)]) if ids else _nothing()
    )
    return combine(
        queues,
        projects,
        user,
        default_project=dict(read_pairs(default)).get("default_project", ""),
        reservations=None if numbers is None or details is None else details,
        partial=None in (lists, numbers, details),
    )


def _nothing() -> Dialogue[str | None]:
    yield from ()
    return ""


def _ask_projects() -> Dialogue[list[dict[str, str]] | None]:
    """Ask for all projects; None if they are not known, or are too many."""
    listed = yield from ask_optionally(["qconf", "-sprjl"])
    if listed is None:  # also if there is none
        return None
    names = [name for name in listed.split("\n") if _WORD.fullmatch(name)]
    if len(names) > MOST_PROJECTS:
        return None
    projects = []
    for name in names:
        answer = yield from ask_optionally(["qconf", "-sprj", name])
        projects += read_sections(answer or "", "name")
    return projects


def read_sections(text: str, key: str) -> list[dict[str, str]]:
    """Read ``qconf -sq`` or ``-sprj``: sections of names and values, with blank lines between."""
    joined = re.sub(r"\\\n\s*", "", text)
    sections = [dict(read_pairs(part.strip())) for part in re.split(r"\n\s*\n", joined)]
    return [one for one in sections if one.get(key)]


def read_lists(text: str) -> dict[str, frozenset[str]]:
    """Read ``qconf -su``: the entries of each access list."""
    return {
        one["name"]: frozenset(re.split(r"[\s,]+", one.get("entries", "")))
        for one in read_sections(text, "name")
    }


def read_ids(text: str) -> list[str]:
    """Read the ids of advance reservations in ``qrstat -xml``; not more than fit into a menu."""
    root = parse_xml(text, "qrstat")
    found = [] if root is None else [find_text(one, "id") for one in root.iter("ar_summary")]
    return [one for one in found if re.fullmatch(r"[0-9]{1,10}", one)][:MOST_ENTRIES]


def combine(
    queues: Iterable[Mapping[str, str]],
    projects: Sequence[Mapping[str, str]] | None,
    user: User,
    *,
    default_project: str = "",
    reservations: str | None = None,
    partial: bool = False,
) -> Usable:
    """Return what a user may use.

    Parameters
    ----------
    projects
        None if they are not known. A site without projects has no accounts to choose.
    reservations
        What ``qrstat -xml -ar`` prints; None if it is not known.
    """
    entries: dict[str, list[Entry]] = {"queue_name": []}
    own: list[str] | None = None
    if projects:
        own = [
            one["name"]
            for one in projects
            if user.is_admitted(_list(one.get("acl")), _list(one.get("xacl")))
        ]
        entries["account"] = [Entry(name, name == default_project) for name in own]
    rows: list[Row] = [{"queue_name": frozenset(("",))}]
    for queue in queues:
        row = _queue_row(queue, user, own)
        if row is not None:
            entries["queue_name"].append(Entry(queue["qname"]))
            rows.append(row)
    if reservations is not None:
        entries["reservation_id"] = list(_read_reservations(reservations, user))
    return make_usable(entries, [rows], partial=partial)


def _queue_row(queue: Mapping[str, str], user: User, own: Sequence[str] | None) -> Row | None:
    """Return what goes together with a queue; None if the user can't use it."""
    values = {
        key: _list(queue.get(key)) for key in ("user_lists", "xuser_lists", "projects", "xprojects")
    }
    if any(values[key] is _DIFFERS for key in values):
        values = {key: () if one is _DIFFERS else one for key, one in values.items()}
    if not user.is_admitted(values["user_lists"], values["xuser_lists"]):
        return None
    row: dict[str, frozenset[str]] = {"queue_name": frozenset((queue["qname"],))}
    if own is None or not (values["projects"] or values["xprojects"]):
        return row
    allowed = frozenset(values["projects"] or ("", *own)) & {"", *own}
    row["account"] = allowed - frozenset(values["xprojects"])
    return row if row["account"] else None


_DIFFERS: tuple[str, ...] = ("",)
"""Stands for a list that is another one on some hosts: ``NONE,[@gpus=staff]``."""


def _list(value: str | None) -> tuple[str, ...]:
    if value is None or value.upper() == "NONE":
        return ()
    return _DIFFERS if "[" in value else tuple(re.split(r"[\s,]+", value.strip()))


def _read_reservations(text: str, user: User) -> Iterable[Entry]:
    """Read ``qrstat -xml -ar``: those that the user owns, or is admitted to."""
    root = parse_xml(text, "qrstat")
    for one in () if root is None else root.iter("ar_summary"):
        users = {acl.get("user", "") for acl in one.iter("acl")}
        refused = {acl.get("user", "") for acl in one.iter("xacl")}
        owns = find_text(one, "owner") == user.name and not users
        if (owns or user.is_one_of(users, user.groups)) and not user.is_one_of(
            refused, user.groups[:1]
        ):
            begins, ends = (_moment(find_text(one, f"{which}_time")) for which in ("start", "end"))
            yield Entry(find_text(one, "id"), begins=begins, ends=ends)


def _moment(text: str) -> float | None:
    """Read a time of qrstat's, which is UTC: see QUERY_ENVIRONMENT."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()
    except (ValueError, OverflowError):
        return None


__all__ = ["User", "ask", "combine", "read_ids", "read_lists", "read_sections"]
