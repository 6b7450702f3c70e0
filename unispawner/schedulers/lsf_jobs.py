"""Reads what bjobs prints, in each of the forms that LSF's releases and relatives have."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from ..job import MARK, JobInfo, JobState
from ..texts import english
from .reading import cut_json, keep_unique, number_waiting, split_rows

State = Callable[[str], JobState]
"""Returns the state that a word of LSF means."""
Found = tuple[str, str, JobInfo]
"""A job's id, its queue, and its state."""

FIELDS = (
    *("jobid", "user", "stat", "queue", "exec_host", "pend_reason", "exit_code", "exit_reason"),
    *("start_time", "finish_time", "estimated_start_time"),
)
"""The fields that bjobs is asked for.

A user can write none of them, unlike kill_reason and suspend_reason (bkill -C, bstop -C). All exist
since 10.1.0.2, as ``-json`` does (bjobs(1), -o).
"""

_NEEDED = {"JOBID", "USER", "STAT", "QUEUE", "EXEC_HOST"}
_ID = re.compile(r"\d{1,10}", re.ASCII)
_COLUMNS = ("JOBID", "USER", "STAT", "QUEUE", "FROM_HOST", "EXEC_HOST", "JOB_NAME", "SUBMIT_TIME")
_ROW = re.compile(r"(\d{1,10})\s+(\S+)\s+([A-Z]+)\s+(\S+)\s+(\S+)(?:\s+(\S+))?", re.ASCII)
_TIME = re.compile(
    r"(?P<month>[A-Z][a-z]{2}) +(?P<day>\d{1,2}) (?P<h>\d\d):(?P<m>\d\d)(?::(?P<s>\d\d))?"
    r"(?: (?P<year>\d{4}))?"
    r"(?: (?P<flag>[A-Z]))?",
    re.ASCII,
)
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
_BY_OWNER = {"TERM_OWNER", "TERM_ADMIN", "TERM_FORCE_OWNER", "TERM_FORCE_ADMIN"}
_NO_HOST = {"", "-"}

REASONS = {
    "TERM_ADMIN": english("an administrator cancelled the job"),
    "TERM_CPULIMIT": english("the job used more processor time than allowed"),
    "TERM_CWD_NOTEXIST": english("the job's directory does not exist on its host"),
    "TERM_DEADLINE": english("the job's deadline has passed"),
    "TERM_EXTERNAL_SIGNAL": english("the job was killed by a signal, not by LSF"),
    "TERM_FORCE_ADMIN": english("an administrator cancelled the job"),
    "TERM_FORCE_OWNER": english("the job was cancelled"),
    "TERM_LOAD": english("the load of the job's host was too high"),
    "TERM_MEMLIMIT": english("the job used more memory than allowed"),
    "TERM_OWNER": english("the job was cancelled"),
    "TERM_PREEMPT": english("the job had to make room for another"),
    "TERM_PROCESSLIMIT": english("the job had more processes than allowed"),
    "TERM_RC_RECLAIM": english("the job's host was taken back by its provider"),
    "TERM_REMOVE_HUNG_JOB": english("the job's host does not answer"),
    "TERM_RUNLIMIT": english("the job reached its time limit"),
    "TERM_SWAP": english("the job used more swap space than allowed"),
    "TERM_THREADLIMIT": english("the job had more threads than allowed"),
    "TERM_UNKNOWN": english("LSF does not know why the job was terminated"),
    "TERM_WINDOW": english("the queue's run window closed"),
    "TERM_ZOMBIE": english("the job ended while LSF had lost contact with its host"),
    "New job is waiting for scheduling": english("the scheduler has not looked at the job yet"),
}
"""Why a job ended or waits, in plain words (LSF's "Termination reasons").

Other reasons are shown in LSF's own words.
"""

_STATE_REASONS = {
    "PSUSP": english("the job is held (bresume releases it)"),
    "UNKWN": english("LSF has lost contact with the job's host"),
    "ZOMBI": english("the job was cancelled, but LSF has lost contact with its host"),
}


def read_records(
    text: str, state: State, passed_over: list[str] | None = None
) -> dict[str, JobInfo] | None:
    """Read ``bjobs -o … -json``; return None if the text is something else.

    A record with an ERROR is about an unknown id. Records that can't be read are passed over, and
    so are records with the same id: they are tasks of a job array, which a server never is. Lines
    before and after the JSON ("Please wait", a site's notice) are passed over, too.

    Parameters
    ----------
    passed_over
        A list that gets what is passed over.
    """
    answer = _records(text)
    if answer is None:
        return None
    records, odd = answer
    jobs = [one for one in records if not (isinstance(one, dict) and "ERROR" in one)]
    found: list[Found] = []
    now = time.time()
    for record in jobs:
        one = _read_record(record, state, now)
        if one is None:
            odd.append(str(record))
        else:
            found.append(one)
    if jobs and not found:
        return None
    if passed_over is not None:
        passed_over += odd
    return _number_jobs(found)


def _read_record(record: Any, state: State, now: float) -> Found | None:
    if isinstance(record, dict) and set(record) >= _NEEDED:
        values = {key: str(value).strip() for key, value in record.items()}
        if _ID.fullmatch(values["JOBID"]) and values["USER"]:
            return values["JOBID"], values["QUEUE"], _info(values, state, now)
    return None


def read_not_found(text: str) -> frozenset[str]:
    """Return the ids of the jobs that do not exist, according to an answer."""
    return frozenset(re.findall(r"Job <(\d+)> is not found", text, re.ASCII))


def read_rows(
    text: str, state: State, passed_over: list[str] | None = None
) -> dict[str, JobInfo] | None:
    """Read ``bjobs -w``, a table of eight columns; return None if the text is something else.

    A job's user chooses its name, which may contain anything. The name is the seventh column, and
    nothing is read from there on. A line break in a name can begin a line that looks like another
    job's. Therefore an id that comes twice does not count (the job's own user is asked later), and
    a line of another form is passed over, as are lines before the heading.

    Parameters
    ----------
    passed_over
        A list that gets what is passed over.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    heading = next((at for at, line in enumerate(lines) if tuple(line.split()) == _COLUMNS), None)
    if heading is None:
        return None
    rows, odd = split_rows("\n".join(lines[heading + 1 :]), _ROW.match)
    if passed_over is not None:
        passed_over += [*lines[:heading], *odd]
    return _number_jobs(_row_infos(rows, state))


def _row_infos(lines: list[str], state: State) -> Iterator[Found]:
    for line in lines:
        match = _ROW.match(line)
        assert match is not None
        job_id, owner, word, queue, _, host = match.groups()
        values = {"USER": owner, "STAT": word, "EXEC_HOST": host or ""}
        yield job_id, queue, _info(values, state, 0.0)


def read_pending_reasons(text: str) -> dict[str, str]:
    """Read ``bjobs -p``, which lists below each waiting job the reasons, each on its own line."""
    reasons: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if match := re.match(r"(\d+)\s+\S+\s+[A-Z]+\s", line, re.ASCII):
            current = reasons.setdefault(match[1], [])
        elif line.strip() and not line.startswith("JOBID"):
            current.append(line.strip().rstrip(";"))
    return {job_id: _explain("; ".join(lines)) for job_id, lines in reasons.items()}


def read_long_marks(text: str) -> dict[str, str]:
    """Read marks from ``bjobs -l``, which shows the beginning of each job's script.

    bjobs breaks lines at 80 columns, even within words, and continues them behind 21 blanks. If
    several jobs have the same mark, none of them counts.
    """
    found: set[tuple[str, str]] = set()
    for job_id, part in _long_parts(text):
        marks = re.findall(rf"\bunispawner:({MARK})(?![\w-])", part)
        found.update((mark, job_id) for mark in marks)
    return keep_unique(found)


def find_in_long_list(text: str, part: str) -> list[str]:
    """Return the ids of the jobs that ``bjobs -l`` shows with a text in them."""
    return [job_id for job_id, section in _long_parts(text) if part in section]


def _long_parts(text: str) -> Iterator[tuple[str, str]]:
    """Yield each job's id and its part of ``bjobs -l``, without the line breaks in the middle."""
    whole = re.sub(r"\n {21}", "", text)
    for part in re.split(r"^(?=Job <)", whole, flags=re.MULTILINE):
        if job := re.match(r"Job <(\d+)>", part, re.ASCII):
            yield job[1], part


def read_time(text: str, now: float) -> tuple[float | None, str]:
    """Return the seconds since the epoch, and the flag, of ``Nov 22 19:32 L``, in UTC.

    LSF usually leaves out the year: it is the year that is nearest to ``now``. The flag ``L`` says
    that the time comes from the run limit, ``E`` from an estimate, and ``X`` that it has passed
    (bjobs(1), -WF).
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return None, ""
    around = datetime.fromtimestamp(now, timezone.utc)
    years = [int(match["year"])] if match["year"] else [around.year + step for step in (-1, 0, 1)]
    # strptime() would take most of the time of reading an answer.
    month, odd = divmod(_MONTHS.find(match["month"]), 3)
    day, hour, minute, second = (int(match[part] or 0) for part in ("day", "h", "m", "s"))
    times = []
    for year in years if not odd else ():
        try:
            moment = datetime(year, month + 1, day, hour, minute, second, tzinfo=timezone.utc)
        except ValueError:  # February 29 does not exist in that year
            continue
        times.append(moment)
    best = min(times, key=lambda one: abs(one - around), default=None)
    if best is None:
        return None, ""
    return best.timestamp(), match["flag"] or ""


def first_host(text: str) -> str:
    """Return the first host of ``2*host1:host2``, ``host1:host1`` or ``host1@cluster``."""
    name = re.sub(r"^\d+\*", "", text.split(":")[0], flags=re.ASCII).partition("@")[0]
    return "" if name in _NO_HOST else name


def _info(values: Mapping[str, str], state: State, now: float) -> JobInfo:
    """Return a job's state from its fields; ``bjobs -w`` has fewer of them."""
    word, reason = values["STAT"], values.get("EXIT_REASON", "")
    found = state(word)
    if word == "EXIT" and reason.partition(":")[0] in _BY_OWNER:
        found = JobState.CANCELED
    waits = found in (JobState.QUEUED, JobState.HELD)
    # For a job without a host the column may be empty, and what is read there is the job's name.
    runs = found in (JobState.RUNNING, JobState.SUSPENDED) or word == "UNKWN"
    start, _ = read_time(values.get("START_TIME", ""), now)
    estimate, _ = read_time(values.get("ESTIMATED_START_TIME", ""), now)
    end, flag = read_time(values.get("FINISH_TIME", ""), now)
    message = _explain(reason if found.final else values.get("PEND_REASON", "") if waits else "")
    return JobInfo(
        owner=values["USER"].partition("@")[0],
        state=found,
        message="" if found is JobState.COMPLETED else message or _STATE_REASONS.get(word, ""),
        exit_code=_exit_code(found, values.get("EXIT_CODE")),
        exec_host=first_host(values["EXEC_HOST"]) if runs else "",
        estimated_start=estimate if waits else None,
        start_time=start if runs else None,
        estimated_end=end if runs and flag in ("L", "E") else None,
        native_state=word,
        ending=word == "ZOMBI",
    )


def _exit_code(state: JobState, text: str | None) -> int | None:
    """Return the exit code of an ended job; LSF leaves it empty for a job that is DONE."""
    if not state.final or text is None:
        return None
    if state is JobState.COMPLETED:
        return 0
    return int(text) if text.isdecimal() and len(text) < 6 else None


def _number_jobs(found: Iterable[Found]) -> dict[str, JobInfo]:
    """Return the jobs whose id comes once, with their positions: bjobs lists the next job first."""
    jobs = keep_unique((job_id, (queue, info)) for job_id, queue, info in found)
    order = {job_id: (queue, (place,)) for place, (job_id, (queue, _)) in enumerate(jobs.items())}
    infos = {job_id: info for job_id, (_, info) in jobs.items()}
    return number_waiting(infos, order.__getitem__)


def read_json(text: str) -> list[Any] | None:
    """Return the records of ``bjobs -o … -json``; None if the text is something else."""
    found = _records(text)
    return None if found is None else found[0]


def _records(text: str) -> tuple[list[Any], list[str]] | None:
    """Return the records of an answer in JSON, and the lines around it."""
    try:
        answer, odd = cut_json(text, r"^[ \t]*(?=\{)", _DECODER)
    except (ValueError, RecursionError):
        return None
    if not isinstance(answer, dict) or answer.get("COMMAND") != "bjobs":
        return None
    records = answer.get("RECORDS")
    return (records, odd) if isinstance(records, list) else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; if a key comes twice, an empty one, which then can't be read."""
    found = dict(pairs)
    return found if len(found) == len(pairs) else {}


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def _explain(reason: str) -> str:
    """Return plain words for ``TERM_OWNER: job killed by owner``, ``Job slot limit reached;``."""
    text = reason.strip().rstrip(";").strip()
    return REASONS.get(text, REASONS.get(text.partition(":")[0], "" if text == "-" else text))
