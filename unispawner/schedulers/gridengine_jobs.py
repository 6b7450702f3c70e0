"""Reads what Grid Engine's qstat and qacct print about jobs (Son of Grid Engine 8.1.9)."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from itertools import takewhile

from ..job import MARK, JobInfo, JobState
from ..reasons import EXIT_STATUS
from ..texts import english, fill
from .reading import NOT_XML, cut_document, number_waiting, read_iso_time

STATES: Mapping[str, JobState] = {
    # The job is being deleted, and then leaves the list.
    "d": JobState.RUNNING,
    "E": JobState.HELD,
    **dict.fromkeys("sST", JobState.SUSPENDED),
    **dict.fromkeys("rt", JobState.RUNNING),
    "h": JobState.HELD,
    **dict.fromkeys("qw", JobState.QUEUED),
    # Words of our own for the accounting.
    "done": JobState.COMPLETED,
    "failed": JobState.FAILED,
    "deleted": JobState.CANCELED,
}
"""The letters of qstat's words (qstat(1), "state"), which come in any order.

The first letter of this table that a word has decides. R, for a rescheduled job, does not matter.
"""

# accounting(5) and sge_status(5): codes with which a job can end after it has begun to run.
_FAILED = {
    "37": english("the job reached a limit: time (h_rt), memory (h_vmem) or processor time"),
    "100": english("the job was killed by a signal"),
}
CAUSES: Mapping[str, str] = {_FAILED["37"]: "limit"}
_LIMIT = r"h_rt|h_cpu|h_vmem|limit"
_RUN_AGAIN = ("24", "25", "99")
"""Codes that are not an end: the job was migrated or rescheduled."""


def read_state(word: str) -> JobState:
    """Return the state that ``qw``, ``hRwq``, ``SR`` and the like mean."""
    if word in STATES or not set(word) <= {*STATES, "R"}:
        return STATES.get(word, JobState.UNKNOWN)
    return next((state for one, state in STATES.items() if one in word), JobState.UNKNOWN)


def read_jobs(text: str, passed_over: list[str] | None = None) -> dict[str, JobInfo] | None:
    """Read ``qstat -xml``; return None if the text is something else.

    An entry without a number or a state is passed over. If there is an entry inside another one,
    which a name that was not escaped could have made, nothing is read.

    Parameters
    ----------
    passed_over
        A list that gets the lines around the document, and the entries that can't be read.
    """
    text, around = cut_xml(text, "job_info")
    root = parse_xml(text, "job_info")
    if root is None:
        return None
    jobs: dict[str, JobInfo] = {}
    odd: list[str] = []
    order: dict[str, tuple[str, tuple[float, ...]]] = {}
    for entry in root.iter("job_list"):
        job_id, word = find_text(entry, "JB_job_number"), find_text(entry, "state")
        if entry.find(".//job_list") is not None:
            return None
        if not re.fullmatch(r"\d{1,20}", job_id, re.ASCII) or not word:
            odd.append(" ".join(text.strip() for text in entry.itertext()))
            continue
        if job_id in jobs:
            continue  # an array has an entry for each task; those that run come first
        jobs[job_id] = _info(entry, word)
        order[job_id] = ("", (-read_number(find_text(entry, "JAT_prio")), float(job_id)))
    if odd and not jobs:
        return None
    if passed_over is not None:
        passed_over += [*around, *odd]
    return number_waiting(jobs, order.__getitem__)


def _info(entry: ElementTree.Element, word: str) -> JobInfo:
    state = read_state(word)
    host = find_text(entry, "queue_name").partition("@")[2]
    stuck = "E" in word
    held = state is JobState.HELD and not stuck
    return JobInfo(
        owner=find_text(entry, "JB_owner"),
        state=state,
        message=english("the job is held (qrls releases it)") if held else "",
        exec_host=host,
        start_time=read_iso_time(find_text(entry, "JAT_start_time")) if host else None,
        native_state=word,
        ending="d" in word,
        stuck=stuck,
    )


def read_errors(text: str) -> dict[str, str]:
    """Return ``{job number: reason}`` of the jobs in an error state, from ``qstat -j``."""
    reasons: dict[str, str] = {}
    for job_id, section in _sections(text):
        found = re.findall(r"^error reason\s+\d+:\s*(.*)$", section, re.MULTILINE)
        if found:
            # "11/24/2026 10:00:00 [1001:1234]: error: can't chdir to /nowhere: No such file …"
            reasons[job_id] = re.sub(
                r"^[\d/]+ [\d:.]+ \[[\d:]+\]: (error: )?", "", found[0]
            ).strip()
    return reasons


def read_owners(text: str) -> set[str]:
    """Return the owners of the jobs in ``qstat -j``."""
    found = (re.search(r"^owner:\s+(\S+)$", one, re.MULTILINE) for _, one in _sections(text))
    return {match[1] for match in found if match}


def read_unknown(text: str) -> set[str]:
    """Return the numbers of the jobs that do not exist, according to ``qstat -j``."""
    lines = iter(text.split("\n"))
    for line in lines:
        if line.startswith("Following jobs do not exist") and line.rstrip().endswith(":"):
            numbers = takewhile(lambda one: not set(one) - set("0123456789, \t\r"), lines)
            return {number for one in numbers for number in re.findall(r"\d+", one, re.ASCII)}
    return set()


def read_contexts(text: str) -> dict[str, str]:
    """Return ``{mark: job number}`` of the contexts in ``qstat -j``."""
    marks = {}
    for job_id, section in _sections(text):
        for mark in re.findall(rf"^context:.*\bunispawner=({MARK})(?![^,\s])", section, re.M):
            marks[mark] = job_id
    return marks


def find_sections(text: str, part: str) -> list[str]:
    """Return the numbers of the jobs that have a text in their section of ``qstat -j``."""
    return [job_id for job_id, section in _sections(text) if part in section]


def _sections(text: str) -> Iterator[tuple[str, str]]:
    for section in re.split(r"^=+$", text, flags=re.MULTILINE):
        match = re.search(r"^job_number:\s+(\d+)$", section, re.MULTILINE)
        if match:
            yield match[1], section


def read_accounting(text: str) -> JobInfo | None:
    """Return how a job has ended, from its last record in ``qacct -j``; None if there is none yet.

    A job that was run several times has a record for each run. The record of the last run may come
    later, or never, if the job was deleted while it waited.
    """
    records = [dict(read_pairs(record)) for record in re.split(r"^=+$", text, flags=re.MULTILINE)]
    records = [record for record in records if "jobnumber" in record]
    if not records:
        return None
    last = records[-1]
    code, _, words = last.get("failed", "0").partition(" ")
    words = words.strip(" :")
    if code in _RUN_AGAIN:
        return None
    status = int(read_number(last.get("exit_status", "0").partition(" ")[0]))
    state, message = "done", ""
    if last.get("deleted_by", "NONE") not in ("NONE", "") or "qdel" in words:
        state, message = "deleted", english("the job was deleted")
    elif code != "0":
        limit = status > 128 and re.search(_LIMIT, words)
        state, message = "failed", _FAILED["37"] if limit else _FAILED.get(code, words)
    elif status:
        state, message = "failed", fill(EXIT_STATUS, {"number": status})
    return JobInfo(
        owner=last.get("owner", ""),
        state=STATES[state],
        message=message,
        exit_code=status,
        native_state=state,
    )


def read_pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        yield key, value.strip()


def cut_xml(text: str, tag: str) -> tuple[str, list[str]]:
    """Return the document with this root, and the lines around it, such as a site's notice."""
    return cut_document(text, rf"<\?xml\b|<{tag}\b", rf"</{tag}\s*>")


def parse_xml(text: str, tag: str) -> ElementTree.Element | None:
    """Parse XML; return None if it can't be parsed or has another root.

    XML with declarations is refused, because they can define endlessly nested entities. Characters
    that XML does not allow are replaced: a user may request a resource with such a value.
    """
    text = cut_xml(text, tag)[0]
    if "<!" in text:
        return None
    text = NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
    text = re.sub(r"&#(x[0-9a-fA-F]{1,8}|[0-9]{1,8});", _replace_reference, text)
    try:
        root = ElementTree.fromstring(text.strip())  # noqa: S314 (no entities: see above)
    except ElementTree.ParseError:
        return None
    return root if root.tag == tag else None


def _replace_reference(match: re.Match[str]) -> str:
    """Return a reference to a character as it is, if XML allows that character."""
    number = int(match[1][1:], 16) if match[1][0] == "x" else int(match[1])
    allowed = number < 0x110000 and not NOT_XML.match(chr(number))
    return match[0] if allowed else "\N{REPLACEMENT CHARACTER}"


def find_text(entry: ElementTree.Element, tag: str) -> str:
    return (entry.findtext(tag) or "").strip()


def read_number(text: str) -> float:
    """Return a number; 0 if the text is not a finite number, as a user may ask for ``nan``."""
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0
