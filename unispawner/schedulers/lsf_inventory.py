"""Reads what bqueues, bhosts, lshosts and bmgroup print about LSF's queues and hosts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from ..units import MEMORY_UNITS
from .inventory import Node, Queue

_FACTORS = {**MEMORY_UNITS, "E": 1024**6}
_WORKING = {"ok", "closed_Full", "closed_Excl", "closed_Busy", "closed_cu_Excl"}
"""The states of a host that works, even if no further job fits on it now."""
_HEADING = re.compile(r"(\s*[A-Z]+LIMIT(?!\S))+\s*")
_VALUES = {
    "CPULIMIT": r"\s*[\d.]+ min(?: of \S+)?",
    "RUNLIMIT": r"\s*([\d.]+) min(?: of \S+)?",
    "PROCLIMIT": r"\s*(?:\d+\s+){0,2}(\d+)(?!\S)",
    "TASKLIMIT": r"\s*(?:\d+\s+){0,2}(\d+)(?!\S)",
    "PROCESSLIMIT": r"\s*\d+",
    "THREADLIMIT": r"\s*\d+",
}
"""How bqueues writes the value of each limit; the other limits are written as ``512 M``."""
_AMOUNT = r"\s*([\d.]+ ?[KMGTPE]?)(?=\s|$)"

_MINUTES = re.compile(r"[0-9]{1,10}(\.[0-9]{1,9})?")
_COUNT = re.compile(r"[0-9]{1,10}")

HostTerms = tuple[str, ...]
"""The words behind ``HOSTS:``; no word means every host."""


def read_queues(text: str) -> list[tuple[Queue, HostTerms]]:
    """Read ``bqueues -l``: each queue, and the hosts that it may use."""
    parts = re.split(r"^QUEUE:\s*", text, flags=re.MULTILINE)[1:]
    return [_queue(part) for part in parts]


def _queue(part: str) -> tuple[Queue, HostTerms]:
    lines = part.splitlines()
    limits = _limits(lines)
    row = _statistics(lines)
    head = part.partition("\nPARAMETERS")[0]
    queue = Queue(
        lines[0].strip(),
        # On the same line the administrator's description comes first.
        default=bool(re.search(r"This is (the|one of the) default queues?\.$", head, re.MULTILINE)),
        available=row.get("STATUS") == "Open:Active",
        max_duration=_minutes(limits.get("RUNLIMIT")),
        max_cores=_count(limits.get("PROCLIMIT", limits.get("TASKLIMIT"))),
        max_memory=read_amount(limits.get("MEMLIMIT", "")),
        # PJOBS, the number of waiting jobs, is of newer releases. PEND is the number of slots that
        # these jobs ask for.
        waiting=_count(row.get("PJOBS", row.get("PEND"))),
        running=_count(row.get("RUN")),
    )
    hosts = re.search(r"^HOSTS:[ \t]*(.*)$", part, re.MULTILINE)
    terms = hosts[1].split() if hosts else []
    return queue, () if terms[:1] == ["all"] and not _excluded(terms) else tuple(terms)


def _statistics(lines: Sequence[str]) -> dict[str, str]:
    """Return the row below ``PRIO NICE STATUS …`` by column.

    If the row does not fit the columns, return only the status.
    """
    for number, line in enumerate(lines[:-1]):
        names, values = line.split(), lines[number + 1].split()
        if names[:1] == ["PRIO"] and "STATUS" in names:
            if len(names) == len(values):
                return dict(zip(names, values, strict=True))
            status = re.search(r"\b(?:Open|Closed):\w+", lines[number + 1])
            return {"STATUS": status[0]} if status else {}
    return {}


def _limits(lines: Sequence[str]) -> dict[str, str]:
    """Return the limits that a job may not exceed, as text; default limits are left out."""
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
    """Read ``bhosts -w``, ``lshosts -w`` and ``bhosts -gpu -w``.

    Parameters
    ----------
    static, gpus
        The output of the last two commands; empty if they failed.
    queues
        The name of each queue, and the names of the hosts that it may use.
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
        types = cards.get(name, {})
        total, idle = (sum(one[at] for one in types.values()) for at in (0, 1))
        yield Node(
            name,
            available=working,
            cores=slots,
            idle_cores=max(0, slots - used) if open_ else 0,
            gpus=total,
            idle_gpus=idle if open_ else 0,
            memory=read_amount(own.get("maxmem", "")),
            queues=frozenset(queue for queue, names in allowed if name in names),
            gpu_types=None
            if "" in types
            else tuple(
                (kind, count, free if open_ else 0) for kind, (count, free) in types.items()
            ),
            features=_features(own),
        )


def _features(row: Mapping[str, str]) -> frozenset[str] | None:
    """Return a host's resources in ``(mg linux)``, and its type; None if they are not known."""
    found = re.fullmatch(r"\(([^()]*)\)", row.get("RESOURCES", "").strip())
    if found is None:
        return None
    kind = row.get("type", "")
    return frozenset((*found[1].split(), *([f"type={kind}"] if kind else [])))


def find_notice(text: str) -> list[str] | None:
    """Return the lines before bhosts' heading; None if the text is not the output of bhosts."""
    heading = re.search(
        r"^[ \t]*HOST_NAME[ \t]+STATUS[ \t]+.*\bMAX[ \t]+NJOBS\b", text, re.MULTILINE
    )
    if heading is None:
        return None
    return [line for line in text[: heading.start()].splitlines() if line.strip()]


def read_gpus(text: str) -> dict[str, dict[str, tuple[int, int]]]:
    """Read ``bhosts -gpu -w``, which has a line for each GPU.

    Return how many GPUs of each model each host has, and how many of them no job uses. Where the
    table has no models, the model is empty.
    """
    lines = _from_heading(text)
    names = lines[0].split() if lines else []
    if not {"HOST_NAME", "GPU_ID", "NJOBS"} <= set(names):
        return {}
    found: dict[str, dict[str, tuple[int, int]]] = {}
    host = ""
    for line in lines[1:]:
        values = line.split()
        if line[:1].isspace():  # this GPU is on the same host as the one before
            values.insert(0, host)
        row = dict(zip(names, values, strict=False))
        host = row.get("HOST_NAME", "")
        if row.get("GPU_ID", "").isdecimal():
            models, model = found.setdefault(host, {}), row.get("MODEL", "").strip("-")
            total, idle = models.get(model, (0, 0))
            models[model] = (total + 1, idle + (row.get("NJOBS") == "0"))
    return found


def read_groups(text: str) -> dict[str, HostTerms]:
    """Read ``bmgroup -w``: the members of each group of hosts."""
    lines = [line.split() for line in _from_heading(text, "GROUP_NAME") if line.strip()]
    return {words[0].rstrip("/"): tuple(words[1:]) for words in lines if words[0] != "GROUP_NAME"}


def needs_groups(terms: Iterable[HostTerms], hosts: Collection[str]) -> bool:
    """Return whether a queue names something that is not a host."""
    return any(_bare(term) not in hosts for words in terms for term in words)


def find_hosts(
    queues: Iterable[tuple[Queue, HostTerms]],
    hosts: frozenset[str],
    groups: Mapping[str, HostTerms],
) -> list[tuple[str, frozenset[str]]]:
    """Return the name of each queue, and the hosts that it may use."""
    return [(queue.name, _find_members(terms, hosts, groups)) for queue, terms in queues]


def _find_members(
    terms: HostTerms, hosts: frozenset[str], groups: Mapping[str, HostTerms]
) -> frozenset[str]:
    """Return the hosts that ``all``, ``host1+2 group1/ ~host3`` and the like mean."""
    if not terms:
        return hosts
    wanted = [term for term in terms if not term.startswith("~")]
    return frozenset(
        _expand(wanted, hosts, groups).difference(_expand(_excluded(terms), hosts, groups))
    )


def _expand(
    terms: Iterable[str], hosts: frozenset[str], groups: Mapping[str, HostTerms]
) -> set[str]:
    """Return the hosts that are named, alone or as members of groups, which may contain groups."""
    result: set[str] = set()
    left, seen = [_bare(term) for term in terms], set()
    while left:
        name = left.pop()
        if name in hosts:
            result.add(name)
        elif name not in seen:
            seen.add(name)
            if name in ("all", "others", "allremote"):
                result |= hosts
            else:
                left += map(_bare, groups.get(name, ()))
    return result


def _excluded(terms: Iterable[str]) -> list[str]:
    return [term for term in terms if term.startswith("~")]


def _bare(term: str) -> str:
    """Return the bare name in ``~host``, ``host+2``, ``group/`` and ``host!``."""
    return re.sub(r"(\+\d*|/|!)+$", "", term.lstrip("~"))


def without_memory(queue: Queue) -> Queue:
    """Return a queue without its memory limit, which is not the limit of a whole job."""
    return replace(queue, max_memory=None)


def read_amount(text: str) -> int | None:
    """Return the bytes of ``62.3G``, ``3940M`` or ``512 K``; None for ``-``, or without a unit."""
    match = re.fullmatch(r"([\d.]+) ?([KMGTPE])", text.strip(), re.ASCII)
    try:
        return int(float(match[1]) * _FACTORS[match[2]]) if match else None
    except (ValueError, OverflowError):
        return None


def _from_heading(text: str, first: str = "HOST_NAME") -> list[str]:
    """Return the lines of a table; before its heading a site's wrapper may print a notice."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        if line.split()[:1] == [first]:
            return lines[at:]
    return lines


def _table(text: str) -> Iterator[dict[str, str]]:
    """Read the rows of a table by its heading; the last column may have several words."""
    lines = _from_heading(text)
    names = lines[0].split() if lines else []
    for line in lines[1:]:
        values = line.split(None, len(names) - 1) if names else []
        if len(values) >= min(len(names), 6):
            yield dict(zip(names, values, strict=False))


def _minutes(text: str | None) -> timedelta | None:
    return timedelta(minutes=float(text)) if text and _MINUTES.fullmatch(text) else None


def _count(text: str | None) -> int | None:
    return int(text) if text and _COUNT.fullmatch(text) else None
