"""What the readers of several schedulers' output share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import TypeVar

from ..job import JobInfo, JobState

T = TypeVar("T")


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
