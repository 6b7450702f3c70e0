"""What Grid Engine's commands print, read into values of ours (Son of Grid Engine 8.1.9)."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from ..job import JobInfo, JobState
from .base import number_waiting
from .inventory import Inventory, Node, Queue

_WAITS = ("qw", "Rq", "Rqw", "hqw", "hRwq", "hRqw")
_RUNS = ("r", "t", "Rr", "Rt")
_SUSPENDED = ("s", "ts", "S", "tS", "T", "tT", "Rs", "Rts", "RS", "RtS", "RT", "RtT", "sS", "St")
_ERRORS = ("Eqw", "Ehqw", "EhRqw", "ERqw", "Er", "Et")
_DELETED = tuple(f"d{state}" for state in (*_RUNS, *_SUSPENDED, *_WAITS, *_ERRORS))

STATES: Mapping[str, JobState] = {
    **dict.fromkeys(_WAITS, JobState.QUEUED),
    **dict.fromkeys(("hqw", "hRwq", "hRqw"), JobState.HELD),
    **dict.fromkeys(_RUNS, JobState.RUNNING),
    **dict.fromkeys(_SUSPENDED, JobState.SUSPENDED),
    **dict.fromkeys(_ERRORS, JobState.HELD),
    # It is taken down, and gone from the list then.
    **dict.fromkeys(_DELETED, JobState.RUNNING),
    # Of accounting.
    "done": JobState.COMPLETED,
    "failed": JobState.FAILED,
    "deleted": JobState.CANCELED,
}
"""qstat(1), "Job state", and what sge_status(5) makes of its letters."""

# accounting(5) and sge_status(5): the codes a job can end with after it has begun to run.
_FAILED = {
    "37": "it ran into a limit: time (h_rt), memory (h_vmem) or processor time",
    "100": "it was killed by a signal",
}
_LIMIT = r"h_rt|h_cpu|h_vmem|limit"


def read_jobs(text: str) -> dict[str, JobInfo] | None:
    """Read ``qstat -xml``; None if it is something else."""
    root = _parse(text, "job_info")
    if root is None:
        return None
    jobs: dict[str, JobInfo] = {}
    order: dict[str, tuple[str, tuple[float, ...]]] = {}
    for entry in root.iter("job_list"):
        job_id, word = _text(entry, "JB_job_number"), _text(entry, "state")
        if not re.fullmatch(r"\d+", job_id) or not word:
            return None
        if job_id in jobs and jobs[job_id].state is JobState.RUNNING:
            continue  # a line for each host of a parallel job: the first is its master
        jobs[job_id] = _info(entry, word)
        order[job_id] = ("", (-_float(_text(entry, "JAT_prio")), float(job_id)))
    return number_waiting(jobs, order.__getitem__)


def _info(entry: ElementTree.Element, word: str) -> JobInfo:
    state = STATES.get(word, JobState.UNKNOWN)
    host = _text(entry, "queue_name").partition("@")[2]
    return JobInfo(
        owner=_text(entry, "JB_owner"),
        state=state,
        message=_REASONS.get(word, ""),
        exec_host=host,
        start_time=_time(_text(entry, "JAT_start_time")) if host else None,
        native_state=word,
        ending=word.startswith("d"),
        stuck="E" in word,
    )


_REASONS = {
    "hqw": "the job is held (qrls lets it go on)",
    "hRwq": "the job was run again and is held",
    "hRqw": "the job was run again and is held",
}


def read_errors(text: str) -> dict[str, str]:
    """Return why jobs are in an error state, from ``qstat -j``, by their numbers."""
    reasons: dict[str, str] = {}
    for job_id, section in _sections(text):
        found = re.findall(r"^error reason\s+\d+:\s*(.*)$", section, re.MULTILINE)
        if found:
            # "11/24/2026 10:00:00 [1001:1234]: error: can't chdir to /nowhere: No such file …"
            reasons[job_id] = re.sub(
                r"^[\d/]+ [\d:.]+ \[[\d:]+\]: (error: )?", "", found[0]
            ).strip()
    return reasons


def read_unknown(text: str) -> set[str]:
    """Return the numbers of which ``qstat -j`` says that they do not exist."""
    match = re.search(
        r"^Following jobs do not exist.*:\s*$((?:\n\s*[\d, ]+\s*$)+)", text, re.MULTILINE
    )
    return set(re.findall(r"\d+", match[1])) if match else set()


def read_contexts(text: str) -> dict[str, str]:
    """Return ``{mark: job number}`` of the contexts in ``qstat -j``."""
    marks = {}
    for job_id, section in _sections(text):
        for mark in re.findall(r"^context:.*\bunispawner=([0-9a-f]{16})(?![^,\s])", section, re.M):
            marks[mark] = job_id
    return marks


def _sections(text: str) -> Iterator[tuple[str, str]]:
    for section in re.split(r"^=+$", text, flags=re.MULTILINE):
        match = re.search(r"^job_number:\s+(\d+)$", section, re.MULTILINE)
        if match:
            yield match[1], section


def read_accounting(text: str) -> JobInfo | None:
    """Return how a job has ended, by the last of its records in ``qacct -j``; None if it is none.

    A job that was run again has a record for each time.
    """
    records = [dict(_pairs(record)) for record in re.split(r"^=+$", text, flags=re.MULTILINE)]
    records = [record for record in records if "jobnumber" in record]
    if not records:
        return None
    last = records[-1]
    code, _, words = last.get("failed", "0").partition(" ")
    words = words.strip(" :")
    status = int(_float(last.get("exit_status", "0").partition(" ")[0]))
    state, message = "done", ""
    if last.get("deleted_by", "NONE") not in ("NONE", "") or "qdel" in words:
        state, message = "deleted", "it was deleted"
    elif code != "0":
        limit = status > 128 and re.search(_LIMIT, words)
        state, message = "failed", _FAILED["37"] if limit else _FAILED.get(code, words)
    elif status:
        state, message = "failed", f"its exit status was {status}"
    return JobInfo(
        owner=last.get("owner", ""),
        state=STATES[state],
        message=message,
        exit_code=status,
        native_state=state,
    )


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        yield key, value.strip()


# -- the cluster ----------------------------------------------------------------------------------


def read_inventory(hosts: str, queues: str, gpu_resource: str) -> Inventory | None:
    """Read ``qhost -xml -q -F …`` and ``qconf -sq``; None if the first is something else."""
    root = _parse(hosts, "qhost")
    if root is None:
        return None
    nodes = []
    for host in root.iter("host"):
        if host.get("name") != "global":
            nodes.append(_node(host, gpu_resource))
    limits = [_queue(section) for section in re.split(r"\n\s*\n", queues) if section.strip()]
    served = {name for node in nodes for name in node.queues}
    return Inventory(
        tuple(queue for queue in limits if queue.name in served or queue.name), tuple(nodes)
    )


def _node(host: ElementTree.Element, gpu_resource: str) -> Node:
    values = {one.get("name", ""): (one.text or "").strip() for one in host.iter("hostvalue")}
    resources = {
        one.get("name", ""): (one.text or "").strip() for one in host.iter("resourcevalue")
    }
    queues = [_values(queue) for queue in host.findall("queue")]
    open_queues = [
        queue for queue in queues if not set(queue.get("state_string", "")) & set("adDEusSC")
    ]
    up = values.get("load_avg", "-") != "-" and bool(open_queues)
    # Queues on one host share its slots: the one with most of them tells.
    cores = max((int(_float(queue.get("slots", "0"))) for queue in queues), default=0)
    used = sum(int(_float(queue.get("slots_used", "0"))) for queue in queues)
    memory, taken = read_size(values.get("mem_total", "")), read_size(values.get("mem_used", ""))
    idle_gpus = int(_float(resources.get(gpu_resource, "0")))
    return Node(
        host.get("name", ""),
        available=up,
        cores=cores,
        idle_cores=max(0, cores - used) if up else 0,
        gpus=idle_gpus,
        idle_gpus=idle_gpus if up else 0,
        memory=memory,
        idle_memory=max(0, memory - (taken or 0)) if memory and up else 0,
        queues=frozenset(queue.get("name", "") for queue in queues),
    )


def _values(queue: ElementTree.Element) -> dict[str, str]:
    values = {one.get("name", ""): (one.text or "").strip() for one in queue.iter("queuevalue")}
    return {**values, "name": queue.get("name", "")}


def _queue(text: str) -> Queue:
    values = dict(_pairs(text))
    return Queue(
        values.get("qname", ""),
        max_duration=_duration(values.get("h_rt", "")),
        max_memory=read_size(values.get("h_vmem", "")),
    )


def read_size(text: str) -> int | None:
    """Return bytes of ``7.7G``, ``512.0M``, ``0.0`` (sge_types(1)); None of ``-`` and INFINITY."""
    match = re.fullmatch(r"([\d.]+)([kKmMgGtT]?)", text.partition(",")[0])
    if match is None:
        return None
    factors = {"k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4, "": 1}
    binary = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    return int(_float(match[1]) * {**factors, **binary}[match[2]])


def _duration(text: str) -> timedelta | None:
    """Read ``HH:MM:SS`` or seconds; INFINITY is None. A host's own value follows a comma."""
    match = re.fullmatch(r"(?:(\d+):(\d+):)?(\d+)", text.partition(",")[0])
    if match is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


# -- small things ---------------------------------------------------------------------------------


def _parse(text: str, tag: str) -> ElementTree.Element | None:
    """Parse XML that holds no declarations, which could define entities without end."""
    if "<!" in text:
        return None
    try:
        root = ElementTree.fromstring(text.strip())  # noqa: S314 (no entities: see above)
    except ElementTree.ParseError:
        return None
    return root if root.tag == tag else None


def _text(entry: ElementTree.Element, tag: str) -> str:
    return (entry.findtext(tag) or "").strip()


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _time(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
