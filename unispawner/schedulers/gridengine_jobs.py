"""What Grid Engine's commands print, read into values of ours (Son of Grid Engine 8.1.9)."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from ..job import JobInfo, JobState
from .base import number_waiting
from .inventory import Inventory, Node, Queue

STATES: Mapping[str, JobState] = {
    # It is taken down, and gone from the list then.
    "d": JobState.RUNNING,
    "E": JobState.HELD,
    **dict.fromkeys("sST", JobState.SUSPENDED),
    **dict.fromkeys("rt", JobState.RUNNING),
    "h": JobState.HELD,
    **dict.fromkeys("qw", JobState.QUEUED),
    # Of accounting.
    "done": JobState.COMPLETED,
    "failed": JobState.FAILED,
    "deleted": JobState.CANCELED,
}
"""The letters that qstat makes its words of (qstat(1), "state"), in whatever order: the first of
ours that is there decides. R, rescheduled, says nothing more."""

# accounting(5) and sge_status(5): the codes a job can end with after it has begun to run.
_FAILED = {
    "37": "it ran into a limit: time (h_rt), memory (h_vmem) or processor time",
    "100": "it was killed by a signal",
}
_LIMIT = r"h_rt|h_cpu|h_vmem|limit"
_RUN_AGAIN = ("24", "25", "99")
"""Not an end: the job was migrated or rescheduled."""


def read_state(word: str) -> JobState:
    """Return what ``qw``, ``hRwq``, ``SR`` and the like stand for."""
    if word in STATES or not set(word) <= {*STATES, "R"}:
        return STATES.get(word, JobState.UNKNOWN)
    return next((state for one, state in STATES.items() if one in word), JobState.UNKNOWN)


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
        if job_id in jobs:
            continue  # a line for each task of an array: those that run come first
        jobs[job_id] = _info(entry, word)
        order[job_id] = ("", (-_float(_text(entry, "JAT_prio")), float(job_id)))
    return number_waiting(jobs, order.__getitem__)


def _info(entry: ElementTree.Element, word: str) -> JobInfo:
    state = read_state(word)
    host = _text(entry, "queue_name").partition("@")[2]
    stuck = "E" in word
    held = state is JobState.HELD and not stuck
    return JobInfo(
        owner=_text(entry, "JB_owner"),
        state=state,
        message="the job is held (qrls lets it go on)" if held else "",
        exec_host=host,
        start_time=_time(_text(entry, "JAT_start_time")) if host else None,
        native_state=word,
        ending="d" in word,
        stuck=stuck,
    )


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

    A job that was run again has a record for each time; that of the last may come later, or never
    if the job was deleted while it waited.
    """
    records = [dict(_pairs(record)) for record in re.split(r"^=+$", text, flags=re.MULTILINE)]
    records = [record for record in records if "jobnumber" in record]
    if not records:
        return None
    last = records[-1]
    code, _, words = last.get("failed", "0").partition(" ")
    words = words.strip(" :")
    if code in _RUN_AGAIN:
        return None
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


def read_inventory(
    hosts: str, queues: str, jobs: str, gpu_resource: str, gpus_per_slot: bool, memory: list[str]
) -> Inventory | None:
    """Read ``qhost -xml -q -F …``, ``qconf -sq`` and ``qstat -xml -r``; None if one is no answer.

    qhost tells what is left of a resource. What there is in all is that and what jobs have.
    """
    root, running = _parse(hosts, "qhost"), _parse(jobs, "job_info")
    if root is None or running is None:
        return None
    taken: dict[str, int] = {}
    for job in running.iter("job_list"):
        slots = int(_float(_text(job, "slots"))) if gpus_per_slot else 1
        for request in job.findall("hard_request"):
            name = _text(job, "queue_name").partition("@")[2]
            if name and request.get("name") == gpu_resource:
                taken[name] = taken.get(name, 0) + slots * int(_float(request.text or ""))
    nodes, available = [], set()
    for host in root.iter("host"):
        if host.get("name") != "global":
            open_queues = _open_queues(host)
            available |= open_queues
            nodes.append(_node(host, gpu_resource, taken, memory, up=bool(open_queues)))
    sections = [dict(_pairs(text)) for text in re.split(r"\n\s*\n", queues)]
    return Inventory(
        tuple(_queue(values, available) for values in sections if "qname" in values), tuple(nodes)
    )


def count_waiting(text: str) -> int | None:
    """Count the jobs of a ``qstat -xml -s p`` that could run, not those that are held or given up.

    Of an array it is every task that waits. None if it is something else.
    """
    root = _parse(text, "job_info")
    if root is None:
        return None
    return sum(
        _count_tasks(_text(job, "tasks"))
        for job in root.iter("job_list")
        if read_state(_text(job, "state")) is JobState.QUEUED
    )


def _count_tasks(text: str) -> int:
    """Return how many ``25-40:3`` or ``7,9`` are; a job without tasks is one."""
    ranges = re.findall(r"(\d+)(?:-(\d+):(\d+))?", text)
    return sum(len(range(int(a), int(b or a) + 1, int(step or 1))) for a, b, step in ranges) or 1


def _open_queues(host: ElementTree.Element) -> set[str]:
    """Return the queues that can start a job there: qstat(1) knows no good state but none."""
    values = {one.get("name", ""): (one.text or "").strip() for one in host.iter("hostvalue")}
    if values.get("load_avg", "-") == "-":
        return set()
    queues = [_values(queue) for queue in host.findall("queue")]
    return {queue["name"] for queue in queues if not queue.get("state_string")}


def _node(
    host: ElementTree.Element,
    gpu_resource: str,
    taken: Mapping[str, int],
    memory_resources: list[str],
    *,
    up: bool,
) -> Node:
    name = host.get("name", "")
    values = {one.get("name", ""): (one.text or "").strip() for one in host.iter("hostvalue")}
    left = {one.get("name", ""): (one.text or "").strip() for one in host.iter("resourcevalue")}
    queues = [_values(queue) for queue in host.findall("queue")]
    # Queues on one host share its slots: the one with most of them tells.
    cores = max((int(_float(queue.get("slots", "0"))) for queue in queues), default=0)
    used = sum(int(_float(queue.get("slots_used", "0"))) for queue in queues)
    memory, in_use = read_size(values.get("mem_total", "")), read_size(values.get("mem_used", ""))
    idle_gpus = int(_float(left.get(gpu_resource, "0")))
    idle_memory = 0
    if memory and up:
        sizes = [read_size(left.get(resource, "")) for resource in memory_resources]
        known = [size for size in sizes if size is not None]
        idle_memory = max(0, min([memory - (in_use or 0), *known]))
    return Node(
        name,
        available=up,
        cores=cores,
        idle_cores=max(0, cores - used) if up else 0,
        gpus=idle_gpus + taken.get(name, 0),
        idle_gpus=idle_gpus if up else 0,
        memory=memory,
        idle_memory=idle_memory,
        queues=frozenset(queue["name"] for queue in queues),
    )


def _values(queue: ElementTree.Element) -> dict[str, str]:
    values = {one.get("name", ""): (one.text or "").strip() for one in queue.iter("queuevalue")}
    return {**values, "name": queue.get("name", "")}


def _queue(values: Mapping[str, str], available: set[str]) -> Queue:
    return Queue(
        values["qname"],
        available=values["qname"] in available,
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
    """Return a number; 0 of what is none, or not finite: a user can ask for `nan`."""
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0


def _time(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
