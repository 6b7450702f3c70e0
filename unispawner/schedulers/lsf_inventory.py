"""What bqueues, bhosts, lshosts and bmgroup print: LSF's queues and hosts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from ..units import MEMORY_UNITS
from .inventory import Node, Queue

_FACTORS = {**MEMORY_UNITS, "E": 1024**6}
_WORKING = {"ok", "closed_Full", "closed_Excl", "closed_Busy", "closed_cu_Excl"}
"""Of a host that does what it is there for, be it that nothing more fits on it now."""
_HEADING = re.compile(r"\s*(?:[A-Z]+LIMIT\s*)+")
_VALUES = {
    "CPULIMIT": r"\s*[\d.]+ min(?: of \S+)?",
    "RUNLIMIT": r"\s*([\d.]+) min(?: of \S+)?",
    "PROCLIMIT": r"\s*(?:\d+\s+){0,2}(\d+)(?!\S)",
    "TASKLIMIT": r"\s*(?:\d+\s+){0,2}(\d+)(?!\S)",
    "PROCESSLIMIT": r"\s*\d+",
    "THREADLIMIT": r"\s*\d+",
}
"""How the value of each limit is written; of the others, ``512 M``."""
_AMOUNT = r"\s*([\d.]+ ?[KMGTPE]?)(?=\s|$)"

HostTerms = tuple[str, ...]
"""The words behind ``HOSTS:``; none is every host."""


def read_queues(text: str) -> list[tuple[Queue, HostTerms]]:
    """Read ``bqueues -l``: each queue, and which hosts it may use."""
    parts = re.split(r"^QUEUE:\s*", text, flags=re.MULTILINE)[1:]
    return [_queue(part) for part in parts]


def _queue(part: str) -> tuple[Queue, HostTerms]:
    lines = part.splitlines()
    limits = _limits(lines)
    row = _statistics(lines)
    head = part.partition("\nPARAMETERS")[0]
    queue = Queue(
        lines[0].strip(),
        # The administrator's description comes before this on the same line.
        default=bool(re.search(r"This is (the|one of the) default queues?\.$", head, re.MULTILINE)),
        available=row.get("STATUS") == "Open:Active",
        max_duration=_minutes(limits.get("RUNLIMIT")),
        max_cores=_count(limits.get("PROCLIMIT", limits.get("TASKLIMIT"))),
        max_memory=read_amount(limits.get("MEMLIMIT", "")),
        # Only newer releases count jobs that wait (PJOBS); else it is the slots that they ask for.
        waiting=_count(row.get("PJOBS", row.get("PEND"))),
        running=_count(row.get("RUN")),
    )
    hosts = re.search(r"^HOSTS:[ \t]*(.*)$", part, re.MULTILINE)
    terms = hosts[1].split() if hosts else []
    return queue, () if terms[:1] == ["all"] and not _excluded(terms) else tuple(terms)


def _statistics(lines: Sequence[str]) -> dict[str, str]:
    """Return the row below ``PRIO NICE STATUS …``, by column; that with the status if it is odd."""
    for number, line in enumerate(lines[:-1]):
        names, values = line.split(), lines[number + 1].split()
        if names[:1] == ["PRIO"] and "STATUS" in names:
            if len(names) == len(values):
                return dict(zip(names, values, strict=True))
            status = re.search(r"\b(?:Open|Closed):\w+", lines[number + 1])
            return {"STATUS": status[0]} if status else {}
    return {}


def _limits(lines: Sequence[str]) -> dict[str, str]:
    """Return the limits that a job may not exceed, as they are written; not the defaults."""
    result: dict[str, str] = {}
    defaults = False
    for number, line in enumerate(lines[:-1]):
        if line.startswith(("DEFAULT LIMITS", "MAXIMUM LIMITS")):
            defaults = line.startswith("DEFAULT")
        elif line.startswith("SCHEDULING"):
            break
        elif not defaults and _HEADING.fullmatch(line) and line.strip():
            values, place = lines[number + 1], 0
            for name in line.split():
                match = re.compile(_VALUES.get(name, _AMOUNT)).match(values, place)
                if match is None:
                    break
                place = match.end()
                if match.lastindex:
                    result[name] = match[1]
    return result


def read_nodes(
    hosts: str, static: str, gpus: str, queues: Iterable[tuple[str, frozenset[str]]]
) -> Iterator[Node]:
    """Read ``bhosts -w``, ``lshosts -w`` and ``bhosts -gpu -w``; the last two may be empty.

    ``queues`` are names of queues and of the hosts that each may use.
    """
    built = {row["HOST_NAME"]: row for row in _table(static) if "HOST_NAME" in row}
    cards = read_gpus(gpus)
    allowed = list(queues)
    for row in _table(hosts):
        name = row["HOST_NAME"]
        working, open_ = row["STATUS"] in _WORKING, row["STATUS"] == "ok"
        own = built.get(name, {})
        slots = _count(row["MAX"]) or _count(own.get("ncpus")) or 0
        parts = sum(_count(row.get(key)) or 0 for key in ("RUN", "SSUSP", "USUSP", "RSV"))
        used = max(_count(row["NJOBS"]) or 0, parts)
        total, idle = cards.get(name, (0, 0))
        yield Node(
            name,
            available=working,
            cores=slots,
            idle_cores=max(0, slots - used) if open_ else 0,
            gpus=total,
            idle_gpus=idle if open_ else 0,
            memory=read_amount(own.get("maxmem", "")),
            queues=frozenset(queue for queue, names in allowed if name in names),
        )


def is_host_table(text: str) -> bool:
    """Return whether a text is what bhosts prints."""
    return re.match(r"\s*HOST_NAME\s+STATUS\s+.*\bMAX\s+NJOBS\b", text) is not None


def read_gpus(text: str) -> dict[str, tuple[int, int]]:
    """Read ``bhosts -gpu -w``, a line a GPU: how many each host has, and how many no job uses."""
    lines = text.splitlines()
    names = lines[0].split() if lines else []
    if not {"HOST_NAME", "GPU_ID", "NJOBS"} <= set(names):
        return {}
    found: dict[str, tuple[int, int]] = {}
    host = ""
    for line in lines[1:]:
        values = line.split()
        if line[:1].isspace():  # of the same host as the line before
            values.insert(0, host)
        row = dict(zip(names, values, strict=False))
        host = row.get("HOST_NAME", "")
        if row.get("GPU_ID", "").isdecimal():
            total, idle = found.get(host, (0, 0))
            found[host] = (total + 1, idle + (row.get("NJOBS") == "0"))
    return found


def read_groups(text: str) -> dict[str, HostTerms]:
    """Read ``bmgroup -w``: the members of each group of hosts."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    return {words[0].rstrip("/"): tuple(words[1:]) for words in lines if words[0] != "GROUP_NAME"}


def needs_groups(terms: Iterable[HostTerms], hosts: Collection[str]) -> bool:
    """Return whether queues name what is no host."""
    return any(_bare(term) not in hosts for words in terms for term in words)


def members(
    terms: HostTerms, hosts: frozenset[str], groups: Mapping[str, HostTerms]
) -> frozenset[str]:
    """Return the hosts that ``all``, ``host1+2 group1/ ~host3`` and the like stand for."""
    if not terms:
        return hosts
    wanted = [term for term in terms if not term.startswith("~")]
    chosen = _expand(wanted, hosts, groups, frozenset())
    return chosen - _expand(_excluded(terms), hosts, groups, frozenset())


def _expand(
    terms: Iterable[str],
    hosts: frozenset[str],
    groups: Mapping[str, HostTerms],
    above: frozenset[str],
) -> frozenset[str]:
    result: frozenset[str] = frozenset()
    for term in terms:
        name = _bare(term)
        if name in ("all", "others", "allremote"):
            result |= hosts
        elif name in hosts:
            result |= {name}
        elif name in groups and name not in above:  # a group may be in another
            result |= _expand(groups[name], hosts, groups, above | {name})
    return result


def _excluded(terms: Iterable[str]) -> list[str]:
    return [term for term in terms if term.startswith("~")]


def _bare(term: str) -> str:
    """Return a name without what says of it: ``~host``, ``host+2``, ``group/``, ``host!``."""
    return re.sub(r"(\+\d*|/|!)+$", "", term.lstrip("~"))


def without_memory(queue: Queue) -> Queue:
    """Return a queue whose limit of memory isn't one of a job."""
    return replace(queue, max_memory=None)


def read_amount(text: str) -> int | None:
    """Return bytes from ``62.3G``, ``3940M`` or ``512 K``; None for ``-`` and what has no unit."""
    match = re.fullmatch(r"([\d.]+) ?([KMGTPE])", text.strip(), re.ASCII)
    try:
        return int(float(match[1]) * _FACTORS[match[2]]) if match else None
    except ValueError:
        return None


def _table(text: str) -> Iterator[dict[str, str]]:
    """Read a table of words below its heading; the last column of lshosts may have several."""
    lines = text.splitlines()
    names = lines[0].split() if lines else []
    for line in lines[1:]:
        values = line.split(None, len(names) - 1) if names else []
        if len(values) >= min(len(names), 6):
            yield dict(zip(names, values, strict=False))


def _minutes(text: str | None) -> timedelta | None:
    return timedelta(minutes=float(text)) if text and re.fullmatch(r"\d+(\.\d+)?", text) else None


def _count(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None
