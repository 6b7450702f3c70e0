"""Asks LSF what a user may use, and reads the answers of bqueues, bugroup and brsvs (10.1).

A project (bsub -P) is only recorded, so that accounts are not known.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Sequence
from datetime import datetime, timezone

from . import lsf_inventory
from .base import Dialogue, Scheduler, ask_optionally
from .usable import Entry, Usable, make_usable

_WINDOW = re.compile(
    r"(\d{1,2})/(\d{1,2})/(\d{1,2})/(\d{1,2})-(\d{1,2})/(\d{1,2})/(\d{1,2})/(\d{1,2})"
)
_TYPES = ("user", "group", "open")
_LONG_AGO = 30 * 86400.0
"""How long ago (seconds) the end of a reservation may be that LSF still lists."""


def ask(lsf: Scheduler, owner: str, groups: Sequence[str]) -> Dialogue[Usable]:
    """Ask for the queues that LSF opens to the user, and for advance reservations.

    Raises
    ------
    SchedulerUnavailable
        If the scheduler does not answer, or its answer can't be read.
    """
    reply = yield ["bqueues", "-l", "-u", owner]
    lsf.check_answered(reply)
    queues = [queue for queue, _ in lsf_inventory.read_queues(reply.stdout)]
    if not queues:
        raise lsf.unreadable_error(reply)
    entries = {"queue_name": [Entry(queue.name, queue.default) for queue in queues]}
    reply = yield ["brsvs"]
    if not reply.exit_status or re.search("no reservation", reply.text, re.IGNORECASE):
        members = (yield from ask_optionally(["bugroup", "-w"])) or ""
        own = {*groups, *find_groups(members, owner)}
        entries["reservation_id"] = read_reservations(reply.stdout, owner, own, time.time())
    return make_usable(entries)


def find_groups(text: str, owner: str) -> set[str]:
    """Read ``bugroup -w``: the user groups that a user is in, also within another group."""
    groups = {}
    for line in text.splitlines():
        name, *members = line.split()[:2000] or [""]
        groups[name] = {member.rstrip("/") for member in members}
    own = {name for name, members in groups.items() if owner in members or "all" in members}
    while more := {name for name, members in groups.items() if members & own} - own:
        own |= more
    return own


def read_reservations(text: str, owner: str, groups: Collection[str], now: float) -> list[Entry]:
    """Read ``brsvs``: the reservations of a user, and of the groups the user is in.

    The end of one that comes again every week is not known.
    """
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 6 or words[1] not in _TYPES:  # a heading, or further hosts
            continue
        name, _, user = words[:3]
        if user.rstrip("/") == owner or user.rstrip("/") in groups:
            begins, ends = _window(words[-1], now)
            found.append(Entry(name, begins=begins, ends=ends))
    return found


def _window(text: str, now: float) -> tuple[float | None, float | None]:
    """Read ``month/day/hour/minute-month/day/hour/minute`` in UTC: see QUERY_ENVIRONMENT.

    It has no year. The end is the next one that is not long ago.
    """
    match = _WINDOW.fullmatch(text)
    if match is None:
        return None, None
    numbers = [int(part) for part in match.groups()]
    recent = datetime.fromtimestamp(now - _LONG_AGO, timezone.utc)
    try:
        ends = _in_year(recent.year, numbers[4:])
        if ends < recent:
            ends = _in_year(recent.year + 1, numbers[4:])
        begins = _in_year(ends.year, numbers[:4])
        if begins > ends:
            begins = _in_year(ends.year - 1, numbers[:4])
    except ValueError:
        return None, None
    return begins.timestamp(), ends.timestamp()


def _in_year(year: int, numbers: Sequence[int]) -> datetime:
    month, day, hour, minute = numbers
    return datetime(year, month, day, hour, minute, tzinfo=timezone.utc)


__all__ = ["ask", "find_groups", "read_reservations"]
