"""Asks PBS or TORQUE what a user may use, and reads the access lists of queues and reservations.

Both record an account (qsub -A) and check none, so that accounts are not known. An entry of a list
is a user or a group, maybe with ``@host`` behind it, and with ``+`` or ``-`` before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from itertools import pairwise

from .base import Dialogue, Scheduler, ask_optionally
from .pbs_inventory import ask_for_queues, read_blocks
from .usable import Entry, Usable, make_usable

Blocks = Mapping[str, Mapping[str, str]]
_TRUE = ("true", "t", "1", "y")
_RESERVED = re.compile(r"[RSM][0-9]{1,12}")
"""A reservation's own queue, which PBS fills itself."""


def ask(
    pbs: Scheduler, owner: str, groups: Sequence[str], *, reservations: bool
) -> Dialogue[Usable]:
    """Ask for the queues and, of PBS, for the reservations.

    Raises
    ------
    SchedulerUnavailable
        If the scheduler does not answer, or its answer can't be read.
    """
    queues = yield from ask_for_queues(pbs)
    server = (yield from ask_optionally(["qstat", "-B", "-f"])) or ""
    rows = list(read_blocks(server, "Server: ").values())
    entries = {"queue_name": find_queues(queues, rows[0] if rows else {}, owner, groups)}
    if not reservations:
        return make_usable(entries)
    answer = yield from ask_optionally(["pbs_rstat", "-f"])
    if answer is not None:
        entries["reservation_id"] = read_reservations(answer, owner, groups)
    return make_usable(entries, partial=answer is None)


def find_queues(
    queues: Blocks, server: Mapping[str, str], owner: str, groups: Sequence[str]
) -> list[Entry]:
    """Return the queues whose access lists admit a user.

    A list of hosts is left out of account, and so are roots: the scheduler decides.
    """
    default = server.get("default_queue", "")
    return [
        Entry(name, name == default)
        for name, queue in queues.items()
        if not _RESERVED.fullmatch(name)
        and not _is_true(queue, "from_route_only")
        and _is_open(queue, owner, groups)
    ]


def _is_open(queue: Mapping[str, str], owner: str, groups: Sequence[str]) -> bool:
    checks = []
    if _is_true(queue, "acl_user_enable"):
        checks.append(is_listed(queue.get("acl_users", ""), [owner]))
    if _is_true(queue, "acl_group_enable"):
        checks.append(is_listed(queue.get("acl_groups", ""), groups))
    # TORQUE can be told to take whoever is on one of the two lists.
    return any(checks or [True]) if _is_true(queue, "acl_logic_or") else all(checks)


def is_listed(entries: str, names: Sequence[str]) -> bool:
    """Return whether a list admits one of some names; a name that it excludes it does not admit."""
    listed = [one.strip().partition("@")[0] for one in entries.split(",")]
    admitted = {one.lstrip("+") for one in listed if one and not one.startswith("-")}
    excluded = {one[1:] for one in listed if one.startswith("-")}
    return any((name in admitted or "*" in admitted) and name not in excluded for name in names)


def read_reservations(text: str, owner: str, groups: Sequence[str]) -> list[Entry]:
    """Read ``pbs_rstat -f``: the reservations that are confirmed and admit a user."""
    starts = [found.start() for found in re.finditer(r"^(?:Resv ID|Name): ", text, re.MULTILINE)]
    found = []
    for begin, end in pairwise([*starts, len(text)]):
        lines = text[begin:end].splitlines()
        name = lines[0].partition(": ")[2].strip()
        values = dict(line.strip().partition(" = ")[::2] for line in lines[1:])
        users, admitted = values.get("Authorized_Users", ""), values.get("Authorized_Groups", "")
        mine = is_listed(users, [owner]) or (bool(admitted) and is_listed(admitted, groups))
        if mine and values.get("reserve_state") in _USABLE_STATES:
            moments = (_moment(values.get(f"reserve_{which}", "")) for which in ("start", "end"))
            begins, ends = moments
            found.append(Entry(name, begins=begins, ends=ends))
    return found


_USABLE_STATES = ("RESV_CONFIRMED", "RESV_RUNNING", "RESV_TIME_TO_RUN", "RESV_DEGRADED")


def _moment(text: str) -> float | None:
    """Read a time like ``Fri Nov 27 15:00:00 2026``, which is UTC: see QUERY_ENVIRONMENT."""
    try:
        return (
            datetime.strptime(text, "%a %b %d %H:%M:%S %Y").replace(tzinfo=timezone.utc).timestamp()
        )
    except (ValueError, OverflowError):
        return None


def _is_true(row: Mapping[str, str], key: str) -> bool:
    return row.get(key, "").lower() in _TRUE


__all__ = ["ask", "find_queues", "is_listed", "read_reservations"]
