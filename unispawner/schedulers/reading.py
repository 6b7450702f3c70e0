"""What the readers of several schedulers' output share."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from itertools import islice
from typing import Any, TypeVar

from ..job import JobInfo, JobState

T = TypeVar("T")

NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""Characters that XML does not allow, and that a job's attribute may contain all the same."""
LINES_LOOKED_AT = 1000
"""How many lines are looked at, of those that can't be read."""
LINES_QUOTED, LINE_QUOTED = 5, 200
"""How many lines are quoted of what can't be read, and how many characters of each."""


def quote_lines(lines: Iterable[str]) -> str:
    """Return the first lines of foreign text for a message: without blank ones, cut, cleaned."""
    found = [line.strip() for line in lines if line.strip()]
    quoted = [
        line[:LINE_QUOTED] + ("…" if len(line) > LINE_QUOTED else "")
        for line in found[:LINES_QUOTED]
    ]
    more = len(found) - len(quoted)
    return "\n".join(_escape(line) for line in [*quoted, *([f"… and {more} more"] if more else [])])


def _escape(line: str) -> str:
    """Return a line whose control characters can do nothing to a terminal or a log."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in line)


def first_of_each_kind(lines: Iterable[str], most: int) -> list[str]:
    """Return the first line of each kind: two lines are of the same kind if only digits differ."""
    found: dict[str, str] = {}
    for line in islice(lines, LINES_LOOKED_AT):
        if line.strip() and len(found) < most:
            found.setdefault(kind_of(line), line)
    return list(found.values())


def kind_of(line: str) -> str:
    """Return what a line has in common with those that differ in digits only."""
    return re.sub(r"\d+", "0", line.strip()[:500])


def find_mentioned(lines: Iterable[str], job_ids: Collection[str]) -> set[str]:
    """Return the ids that occur as words in lines that could not be read."""
    words = {word for line in lines for word in re.findall(r"[^\W_]+", line)}
    first = ((job_id, re.match(r"[^\W_]+", job_id)) for job_id in job_ids)
    return {job_id for job_id, match in first if match and match[0] in words}


def split_rows(text: str, is_row: Callable[[str], object]) -> tuple[list[str], list[str]]:
    """Return the lines that are rows, and the others: notices, headings, odd rows.

    Only a line feed ends a line: a user may be able to write other characters that Python's
    splitlines() takes for an end.
    """
    rows: list[str] = []
    others: list[str] = []
    for line in text.split("\n"):
        if line.strip():
            (rows if is_row(line) else others).append(line)
    return rows, others


def read_local_time(text: str) -> float | None:
    """Return a moment like ``2026-11-27T15:38:19`` of this host's zone in seconds since the epoch.

    Return None if the text is something else.
    """
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


def cut_document(text: str, begin: str, end: str) -> tuple[str, list[str]]:
    """Return the document in an answer, and the lines around it, such as a site's notice.

    Parameters
    ----------
    begin, end
        Regular expressions (``^`` and ``$`` are the ends of lines) for the document's beginning and
        its end. Its end is the last match. Where one of the two is missing, the whole text is the
        document.
    """
    first = re.search(begin, text, re.MULTILINE)
    stop = max((match.end() for match in re.finditer(end, text, re.MULTILINE)), default=0)
    if first is None or stop < first.end():
        return text, []
    around = text[: first.start()] + "\n" + text[stop:]
    return text[first.start() : stop], [line for line in around.splitlines() if line.strip()]


def cut_json(text: str, begin: str, decoder: json.JSONDecoder) -> tuple[Any, list[str]]:
    """Return a JSON value, and the lines around it, such as a site's notice.

    Parameters
    ----------
    begin
        A regular expression that ends where the value begins (``^`` is the beginning of a line).

    Raises
    ------
    ValueError, RecursionError
        If there is no such value, or if it can't be read.
    """
    first = re.search(begin, text, re.MULTILINE)
    if first is None:
        raise ValueError("there is no JSON in the answer")
    value, end = decoder.raw_decode(text, first.end())
    around = text[: first.start()] + "\n" + text[end:]
    return value, [line for line in around.splitlines() if line.strip()]


def keep_unique(pairs: Iterable[tuple[str, T | None]]) -> dict[str, T]:
    """Return the values whose key comes once, in their order.

    If a key comes twice, one of the two may be forged, so that neither counts. A value of None is
    left out, together with other values of its key.
    """
    found: dict[str, T | None] = {}
    for key, value in pairs:
        found[key] = None if key in found else value
    return {key: value for key, value in found.items() if value is not None}


def read_iso_time(text: str) -> float | None:
    """Return the seconds since the epoch of a time like ``2026-11-24T12:00:00``, or None.

    It is UTC, in which commands print times: see :data:`.base.QUERY_ENVIRONMENT`.
    """
    try:
        return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None


def number_waiting(
    jobs: Mapping[str, JobInfo], rank: Callable[[str], tuple[str, Sequence[float]]]
) -> dict[str, JobInfo]:
    """Fill ``queue_position`` of the jobs that wait.

    Parameters
    ----------
    rank
        Returns a job's queue and a sort key: in a queue, the lowest key starts first.
    """
    waiting: dict[str, list[tuple[Sequence[float], str]]] = {}
    for job_id, info in jobs.items():
        if info.state is JobState.QUEUED:
            queue, key = rank(job_id)
            waiting.setdefault(queue, []).append((key, job_id))
    result = dict(jobs)
    for entries in waiting.values():
        for position, (_, job_id) in enumerate(sorted(entries), start=1):
            result[job_id] = replace(result[job_id], queue_position=position)
    return result
