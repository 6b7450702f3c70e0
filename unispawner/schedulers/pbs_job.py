"""Reads a job's attributes, which PBS and TORQUE both have, whatever format they came in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone

from ..job import MARK_VARIABLE, JobInfo, JobState, is_mark
from ..reasons import ENDED_WITH_CODE, KILLED, never_starts
from ..texts import english, fill
from ..units import MEMORY_UNITS
from .reading import keep_unique

Row = Mapping[str, str]
"""A job's attributes by name; those of resources have names like ``Resource_List.walltime``."""

TIME_IS_UP = english("the job reached its time limit")
TOO_MUCH_MEMORY = english("the job used more memory than it asked for")
COULD_NOT_START = english("the job could not be started on its host")
HOST_RESTARTED = english("the job's host was restarted")
TOO_MUCH_PROCESSOR_TIME = english("the job used more processor time than allowed")

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_QDEL = 256 + 15
"""The exit status of a job that qdel ended: 256 and the number of the signal."""
_RERUN = {"60", "61", "62", "63"}
"""Substates (job.h) of a job that is ended in order to run again."""
_HOLDS = (
    ("u", english("you hold the job (qrls releases it)")),
    ("o", english("an operator holds the job")),
    ("s", english("the system holds the job")),
    ("p", english("the job is held because of a wrong password")),
)


def read_job(
    row: Row, state_of: Callable[[str], JobState], exit_codes: Mapping[int, str]
) -> JobInfo | None:
    """Return a job's state from its attributes; None if they lack what every job has.

    Parameters
    ----------
    state_of
        Returns the state that a letter means.
    exit_codes
        The meaning of the scheduler's own negative exit codes.
    """
    owner, word = read_owner(row), row.get("job_state", "")
    if not owner or not word:
        return None
    state, message, exit_code = state_of(word), "", None
    if state.final:
        state, message, exit_code = _end(row, exit_codes)
    waits = state in (JobState.QUEUED, JobState.HELD)
    stuck = state is JobState.HELD and "too many failed attempts" in row.get("comment", "")
    if waits:
        message = _reason(row, word, stuck)
    runs = not waits and not state.final
    start = read_time(row.get("stime", row.get("start_time", ""))) if runs else None
    limit = read_duration(row.get("Resource_List.walltime", ""))
    return JobInfo(
        owner=owner,
        state=state,
        message=message,
        exit_code=exit_code,
        exec_host=_first_host(row.get("exec_host", "")) if runs else "",
        estimated_start=read_time(row.get("estimated.start_time", "")) if waits else None,
        start_time=start,
        estimated_end=start + limit.total_seconds() if start and limit else None,
        native_state=word,
        ending=word == "E" and row.get("substate", "") not in _RERUN,
        stuck=stuck,
    )


def read_owner(row: Row) -> str:
    """Return the account that a job belongs to: what is before the last @ and the host behind it.

    The name of the account may have an @ itself, as in ``alice@ad.site@login1``.
    """
    owner = row.get("Job_Owner", "")
    return (owner.rpartition("@")[0] or owner).strip()


def read_marks(rows: Mapping[str, Row]) -> dict[str, str]:
    """Return job ids by mark; if several jobs have the same mark, none of them counts."""
    found: list[tuple[str, str]] = []
    for job_id, row in rows.items():
        listed = re.search(rf"(?:^|,){MARK_VARIABLE}=([^,]*)", row.get("Variable_List", ""))
        mark = row.get(f"Variable_List.{MARK_VARIABLE}", listed[1] if listed else "")
        if is_mark(mark):
            found.append((mark, job_id))
    return keep_unique(found)


def rank(job_id: str, row: Row) -> tuple[str, tuple[float, ...]]:
    """Return a job's queue and its sort key: by priority, and then by the time of submission."""
    priority = row.get("Priority", "")
    number = re.match(r"\d{1,15}", job_id, re.ASCII)
    return row.get("queue", ""), (
        -float(priority) if re.fullmatch(r"-?\d{1,6}", priority, re.ASCII) else 0.0,
        read_time(row.get("qtime", "")) or 0.0,
        float(number[0]) if number else 0.0,
    )


def read_time(text: str) -> float | None:
    """Return seconds since the epoch of ``Sun Nov 22 19:32:18 2026`` (ctime(3)) or of a number.

    qstat itself writes the text, in UTC: see :data:`.base.QUERY_ENVIRONMENT`.
    """
    if re.fullmatch(r"\d{9,11}", text, re.ASCII):
        return float(text)
    match = re.fullmatch(
        r"\w{3} (\w{3}) +(\d{1,2}) (\d\d):(\d\d):(\d\d) (\d{4})", text.strip(), re.ASCII
    )
    if match is None or match[1] not in _MONTHS:
        return None
    day, hour, minute, second, year = (int(part) for part in match.groups()[1:])
    try:
        moment = datetime(
            year, _MONTHS.index(match[1]) + 1, day, hour, minute, second, tzinfo=timezone.utc
        )
    except ValueError:
        return None
    return moment.timestamp()


def read_duration(text: str) -> timedelta | None:
    """Return the length of time of ``[[HH:]MM:]SS``; None if the text is something else."""
    match = re.fullmatch(r"(?:(?:(\d{1,7}):)?(\d{1,9}):)?(\d{1,9})(?:\.\d+)?", text, re.ASCII)
    if match is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def read_size(text: str) -> int | None:
    """Return the bytes of ``100mb``, ``4gw`` (words of 8 bytes) or ``1024``; else None."""
    match = re.fullmatch(r"(\d{1,18})([KMGTP]?)([BW]?)", text.upper(), re.ASCII)
    if match is None:
        return None
    return int(match[1]) * MEMORY_UNITS.get(match[2], 1) * (8 if match[3] == "W" else 1)


def _end(row: Row, exit_codes: Mapping[int, str]) -> tuple[JobState, str, int | None]:
    """Return how a job has ended: its state, a message and the exit code."""
    text = row.get("Exit_status", row.get("exit_status", ""))
    code = int(text) if re.fullmatch(r"-?\d{1,6}", text, re.ASCII) else None
    substate = row.get("substate", "")
    # job.h: 91 ("terminated") is a job that somebody deleted, 92 "finished", 93 "failed".
    if substate == "91" or " terminated by " in row.get("comment", ""):
        return JobState.CANCELED, "", None
    if code is None:  # the job never ran
        ends = {"92": JobState.COMPLETED, "93": JobState.FAILED}
        return ends.get(substate, JobState.CANCELED), "", None
    if code == 0:
        return JobState.COMPLETED, "", 0
    if code < 0:
        return JobState.FAILED, exit_codes.get(code, fill(ENDED_WITH_CODE, {"number": code})), None
    signal = code - 256 if code > 256 else code - 128 if 128 < code <= 192 else 0
    if not signal:
        return JobState.FAILED, english("the job ended with an error"), code
    if _used_up(row):
        return JobState.FAILED, TIME_IS_UP, 128 + signal
    if code == _QDEL:
        return JobState.CANCELED, "", None
    return JobState.FAILED, fill(KILLED, {"number": signal}), 128 + signal


def _used_up(row: Row) -> bool:
    """Return whether a job reached its time limit, of which old releases report only a signal."""
    used = read_duration(row.get("resources_used.walltime", ""))
    limit = read_duration(row.get("Resource_List.walltime", ""))
    return bool(used and limit and used >= limit)


def _reason(row: Row, word: str, stuck: bool) -> str:
    """Return why a job waits. Only the scheduler and its managers can write a job's comment."""
    comment = re.sub(r"^Not Running:?\s*", "", row.get("comment", "").strip())
    if re.match(r"Job (run|started|was sent|held|has been requeued)\b", comment) and not stuck:
        comment = ""  # about an earlier run, or about a hold (see below)
    if word == "H" and not stuck:
        holds = row.get("Hold_Types", "")
        return comment or next((words for letter, words in _HOLDS if letter in holds), "")
    if word == "W":
        return comment or english("the job's earliest start time has not come")
    if word == "M":
        return english("the job has moved to another server")
    return never_starts(comment) if comment.startswith("Can Never Run") else comment


def _first_host(text: str) -> str:
    """Return the first host of ``node1/0*4+node2/1*4``, ``node1/0+node1/1`` or ``node1/0-3``."""
    return re.split(r"[/+*:]", text, maxsplit=1)[0]
