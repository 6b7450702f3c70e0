"""What bjobs prints, in each of the forms that LSF's releases and relatives have."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from ..job import MARK, JobInfo, JobState
from .reading import keep_unique, number_waiting

State = Callable[[str], JobState]
"""Gives the state that a word of LSF's stands for."""
Found = tuple[str, str, JobInfo]
"""A job's id, its queue, and what is told of it."""

FIELDS = (
    *("jobid", "user", "stat", "queue", "exec_host", "pend_reason", "exit_code", "exit_reason"),
    *("start_time", "finish_time", "estimated_start_time"),
)
"""What is asked for. None can be written by a user, as kill_reason and suspend_reason can
(bkill -C, bstop -C); all are as old as -json, 10.1.0.2 (bjobs(1), -o)."""

_NEEDED = {"JOBID", "USER", "STAT", "QUEUE", "EXEC_HOST"}
_ID = re.compile(r"\d{1,10}", re.ASCII)
_COLUMNS = ("JOBID", "USER", "STAT", "QUEUE", "FROM_HOST", "EXEC_HOST", "JOB_NAME", "SUBMIT_TIME")
_ROW = re.compile(r"(\d{1,10})\s+(\S+)\s+([A-Z]+)\s+(\S+)\s+(\S+)(?:\s+(\S+))?", re.ASCII)
_TIME = re.compile(
    r"(?P<day>[A-Z][a-z]{2} +\d{1,2} \d\d:\d\d)(?P<seconds>:\d\d)?(?: (?P<year>\d{4}))?"
    r"(?: (?P<flag>[A-Z]))?",
    re.ASCII,
)
_BY_OWNER = {"TERM_OWNER", "TERM_ADMIN", "TERM_FORCE_OWNER", "TERM_FORCE_ADMIN"}
_NO_HOST = {"", "-"}

REASONS = {
    "TERM_ADMIN": "an administrator cancelled the job",
    "TERM_CPULIMIT": "the job used more processor time than it may",
    "TERM_CWD_NOTEXIST": "the job's directory is not there on its host",
    "TERM_DEADLINE": "the job's deadline has passed",
    "TERM_EXTERNAL_SIGNAL": "the job was killed by a signal, not by LSF",
    "TERM_FORCE_ADMIN": "an administrator cancelled the job",
    "TERM_FORCE_OWNER": "the job was cancelled",
    "TERM_LOAD": "the load of the job's host was too high",
    "TERM_MEMLIMIT": "the job used more memory than it may",
    "TERM_OWNER": "the job was cancelled",
    "TERM_PREEMPT": "the job had to make room for another",
    "TERM_PROCESSLIMIT": "the job had more processes than it may",
    "TERM_RC_RECLAIM": "the job's host was taken back by its provider",
    "TERM_REMOVE_HUNG_JOB": "the job's host does not answer",
    "TERM_RUNLIMIT": "the job reached its time limit",
    "TERM_SWAP": "the job used more swap space than it may",
    "TERM_THREADLIMIT": "the job had more threads than it may",
    "TERM_UNKNOWN": "LSF cannot tell why the job was terminated",
    "TERM_WINDOW": "the queue's run window closed",
    "TERM_ZOMBIE": "the job ended while LSF had lost contact with its host",
    "New job is waiting for scheduling": "the scheduler has not looked at the job yet",
}
"""Why a job ended or waits, in plain words (LSF's "Termination reasons"); others are shown as they
are."""

_STATE_WORDS = {
    "PSUSP": "the job is held (bresume lets it go on)",
    "UNKWN": "LSF has lost contact with the job's host",
    "ZOMBI": "the job was cancelled, but LSF has lost contact with its host",
}


def read_records(text: str, state: State) -> dict[str, JobInfo] | None:
    """Read ``bjobs -o … -json``; None if it isn't that.

    A record with an ERROR is of an id that is not known. One that can't be read is passed over, as
    are those that share their id: of a job array, whose tasks are never ours.
    """
    records = _records(text)
    if records is None:
        return None
    jobs = [one for one in records if not (isinstance(one, dict) and "ERROR" in one)]
    found = list(_infos(jobs, state))
    return _numbered(found) if found or not jobs else None


def _infos(records: list[Any], state: State) -> Iterator[Found]:
    now = time.time()
    for record in records:
        if isinstance(record, dict) and set(record) >= _NEEDED:
            values = {key: str(value).strip() for key, value in record.items()}
            if _ID.fullmatch(values["JOBID"]) and values["USER"]:
                yield values["JOBID"], values["QUEUE"], _info(values, state, now)


def read_not_found(text: str) -> frozenset[str]:
    """Return the ids of which an answer says that there is no such job."""
    return frozenset(re.findall(r"Job <(\d+)> is not found", text, re.ASCII))


def read_rows(text: str, state: State) -> dict[str, JobInfo] | None:
    """Read ``bjobs -w``, eight columns; None if it isn't that.

    The name of a job is its user's, and may hold anything: it is the last column but one, and
    nothing is read from there on. A line break in it can begin a line that looks like another
    job's; an id that comes twice is therefore not believed (its own user is asked), and a line of
    another shape is passed over.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or tuple(lines[0].split()) != _COLUMNS:
        return None
    return _numbered(_row_infos(lines[1:], state))


def _row_infos(lines: list[str], state: State) -> Iterator[Found]:
    for line in lines:
        if match := _ROW.match(line):
            job_id, owner, word, queue, _, host = match.groups()
            values = {"USER": owner, "STAT": word, "EXEC_HOST": host or ""}
            yield job_id, queue, _info(values, state, 0.0)


def read_pending_reasons(text: str) -> dict[str, str]:
    """Read ``bjobs -p``: below each waiting job the reasons why it waits, a line each."""
    reasons: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if match := re.match(r"(\d+)\s+\S+\s+[A-Z]+\s", line, re.ASCII):
            current = reasons.setdefault(match[1], [])
        elif line.strip() and not line.startswith("JOBID"):
            current.append(line.strip().rstrip(";"))
    return {job_id: _words("; ".join(lines)) for job_id, lines in reasons.items()}


def read_long_marks(text: str) -> dict[str, str]:
    """Read marks from ``bjobs -l``, which shows the beginning of each job's script.

    Lines are broken at 80 columns, wherever that is, and go on behind 21 blanks. A mark that
    several jobs have is nobody's.
    """
    whole = re.sub(r"\n {21}", "", text)
    found: set[tuple[str, str]] = set()
    for part in re.split(r"^(?=Job <)", whole, flags=re.MULTILINE):
        if job := re.match(r"Job <(\d+)>", part, re.ASCII):
            marks = re.findall(rf"\bunispawner:({MARK})\b", part)
            found.update((mark, job[1]) for mark in marks)
    return keep_unique(found)


def read_time(text: str, now: float) -> tuple[float | None, str]:
    """Return the seconds since the epoch, and LSF's flag behind a time, of ``Nov 22 19:32 L``.

    Mostly there is no year: the one that brings it nearest to ``now`` is meant. A flag ``L`` says
    that it comes of the run limit, ``E`` of an estimate, ``X`` that it is past (bjobs(1), -WF).
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return None, ""
    around = datetime.fromtimestamp(now)
    years = [int(match["year"])] if match["year"] else [around.year + step for step in (-1, 0, 1)]
    times = []
    for year in years:
        moment = f"{year} {match['day']}{match['seconds'] or ':00'}"
        try:
            times.append(datetime.strptime(moment, "%Y %b %d %H:%M:%S"))
        except ValueError:  # the 29th of February, in another year
            continue
    best = min(times, key=lambda one: abs(one - around), default=None)
    if best is None:
        return None, ""
    return best.timestamp(), match["flag"] or ""


def first_host(text: str) -> str:
    """Return the first host of ``2*host1:host2``, ``host1:host1`` or ``host1@cluster``."""
    name = re.sub(r"^\d+\*", "", text.split(":")[0], flags=re.ASCII).partition("@")[0]
    return "" if name in _NO_HOST else name


def _info(values: Mapping[str, str], state: State, now: float) -> JobInfo:
    """Make a job's state of what is told of it; the short form tells less."""
    word, reason = values["STAT"], values.get("EXIT_REASON", "")
    found = state(word)
    if word == "EXIT" and reason.partition(":")[0] in _BY_OWNER:
        found = JobState.CANCELED
    waits = found in (JobState.QUEUED, JobState.HELD)
    # A job that is on no host may have nothing in this column, where the next is its name.
    runs = found in (JobState.RUNNING, JobState.SUSPENDED) or word == "UNKWN"
    start, _ = read_time(values.get("START_TIME", ""), now)
    estimate, _ = read_time(values.get("ESTIMATED_START_TIME", ""), now)
    end, flag = read_time(values.get("FINISH_TIME", ""), now)
    message = _words(reason if found.final else values.get("PEND_REASON", "") if waits else "")
    return JobInfo(
        owner=values["USER"].partition("@")[0],
        state=found,
        message="" if found is JobState.COMPLETED else message or _STATE_WORDS.get(word, ""),
        exit_code=_exit_code(found, values.get("EXIT_CODE")),
        exec_host=first_host(values["EXEC_HOST"]) if runs else "",
        estimated_start=estimate if waits else None,
        start_time=start if runs else None,
        estimated_end=end if runs and flag in ("L", "E") else None,
        native_state=word,
        ending=word == "ZOMBI",
    )


def _exit_code(state: JobState, text: str | None) -> int | None:
    """Return the exit code; LSF leaves that of a job that is DONE empty."""
    if not state.final or text is None:
        return None
    if state is JobState.COMPLETED:
        return 0
    return int(text) if text.isdecimal() and len(text) < 6 else None


def _numbered(found: Iterable[Found]) -> dict[str, JobInfo]:
    """Return the jobs whose id came once, numbered: bjobs lists them as they are to start."""
    jobs = keep_unique((job_id, (queue, info)) for job_id, queue, info in found)
    order = {job_id: (queue, (place,)) for place, (job_id, (queue, _)) in enumerate(jobs.items())}
    infos = {job_id: info for job_id, (_, info) in jobs.items()}
    return number_waiting(infos, order.__getitem__)


def _records(text: str) -> list[Any] | None:
    """Return the records of a JSON answer; lines before it, "Please wait", are passed over."""
    begin = re.search(r"^[ \t]*\{", text, re.MULTILINE)
    try:
        answer = json.loads(text[begin.start() :], object_pairs_hook=_object) if begin else None
    except ValueError:
        return None
    if not isinstance(answer, dict) or answer.get("COMMAND") != "bjobs":
        return None
    records = answer.get("RECORDS")
    return records if isinstance(records, list) else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; an empty one, which nobody can read, if a key comes twice."""
    found = dict(pairs)
    return found if len(found) == len(pairs) else {}


def _words(reason: str) -> str:
    """Say a reason plainly: ``TERM_OWNER: job killed by owner``, ``Job slot limit reached;``."""
    text = reason.strip().rstrip(";").strip()
    return REASONS.get(text, REASONS.get(text.partition(":")[0], "" if text == "-" else text))
