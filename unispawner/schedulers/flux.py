"""Flux (flux-core): ``flux batch``, ``flux jobs``, ``flux resource`` and ``flux cancel``.

Written from the manual pages and the Python package of flux-core 0.88, and from answers that others
have published. It was never run with a real Flux.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from ..errors import InvalidJobError
from ..job import JobInfo, JobSpec, JobState
from ..texts import english
from .base import Dialogue, Meaning, Reply, Scheduler, ask_optionally
from .inventory import Inventory, Node, Queue
from .reading import keep_unique, split_rows

_FIELDS = (
    *("id.dec", "username", "status", "urgency", "nodelist", "t_run", "expiration", "returncode"),
    "annotations.sched.t_estimate",
)
"""What flux jobs is asked for (flux-jobs(1), OUTPUT FORMAT).

A user can write none of them, unlike a job's name, its memo and the note of an exception.
"""
_FORMAT = "|".join(f"{{{name}}}" for name in _FIELDS)
_HEADING = re.compile(r"JOBID\|USER\|[A-Z_|]+", re.ASCII)
"""The first line, which flux jobs prints also if there is no job."""
_ROW = re.compile(
    r"(\d{1,20})\|([^|\s]+)\|([A-Z]+)\|(-?\d+)" + 5 * r"\|([^|]*)",
    re.ASCII,
)
_UNKNOWN = re.compile(r"JobID \S+ unknown|(flux-jobs: )?(WARNING|warning): .*")
"""What flux jobs prints as an error about a job that it does not know (JobList in flux.job)."""
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_HELD_URGENCY = 0
"""The urgency of a job that its user holds (flux-submit(1), --urgency)."""
_FIELD_OF = {
    "job-name": "name",
    "output": "log_dir",
    "requires": "constraint",
    "queue": "queue_name",
    "bank": "account",
}
"""Our name of the field that an option is made from."""
_MOST_HOSTS = 100_000
_REASONS = {
    "TIMEOUT": english("the job reached its time limit"),
    "DEPEND": english("the job waits for another job"),
}


@dataclass(frozen=True)
class Flux(Scheduler):
    """Flux by its command flux, whose first word says what it does."""

    name = "flux"
    title = "Flux"
    tried = False
    commands = ("flux",)
    identify_command = ("flux", "version")
    identity = r"^libflux-core:\s+\d"
    job_id = re.compile(r"\d{1,20}", re.ASCII)
    supports: ClassVar = frozenset(
        (
            *("node_count", "process_count", "processes_per_node", "cpu_cores_per_process"),
            *("gpu_cores_per_process", "exclusive_node_use", "constraint", "duration"),
            *("queue_name", "account"),
        )
    )
    alternatives: ClassVar = {
        "memory": "leave it unset: Flux gives jobs cores and whole nodes, and no memory",
    }
    reports: ClassVar = frozenset(
        ("exec_host", "message", "exit_code", "start_time", "estimated_end", "estimated_start")
    )
    refused: ClassVar = frozenset(("wrap", "dry-run", "wait", "output", "error", "input", "cwd"))
    replaces_needs: ClassVar = frozenset(
        (
            *("nslots", "n", "cores-per-slot", "c", "gpus-per-slot", "g", "nodes", "N"),
            *("exclusive", "x", "requires", "queue", "q"),
        )
    )
    replaces_duration: ClassVar = frozenset(("time-limit", "t"))
    # flux-jobs(1), JOB STATUS: the states of RFC 21 until the end, and then the result.
    states: ClassVar = {
        "NEW": JobState.QUEUED,
        "DEPEND": JobState.QUEUED,
        "PRIORITY": JobState.QUEUED,
        "SCHED": JobState.QUEUED,
        "PENDING": JobState.QUEUED,
        "RUN": JobState.RUNNING,
        "RUNNING": JobState.RUNNING,
        "CLEANUP": JobState.RUNNING,
        "COMPLETED": JobState.COMPLETED,
        "FAILED": JobState.FAILED,
        "CANCELED": JobState.CANCELED,
        "TIMEOUT": JobState.FAILED,
    }
    causes: ClassVar = {"TIMEOUT": "time_limit"}
    errors = (
        (r"unknown job id|JobID \S+ unknown|job is inactive", Meaning.GONE),
        (r"not permitted|permission denied|guests can only", Meaning.DENIED),
        (
            r"Unable to connect to Flux|broker socket|Connection (refused|reset)|timed out|"
            r"No route to host|Function not implemented|lost connection",
            Meaning.UNAVAILABLE,
        ),
    )

    def directives(self, spec: JobSpec) -> list[str]:
        """Return the lines of flux-batch(1), SUBMISSION DIRECTIVES.

        Raises
        ------
        InvalidJobError
            If a value has quotes that a directive can't express.
        """
        resources = spec.resources
        name = re.sub("[\"']", "_", spec.name)
        name += f" unispawner:{spec.mark}" if spec.mark else ""
        options: list[tuple[str, Any]] = [
            ("job-name", name),
            ("output", spec.stdout_path or "/dev/null"),
            ("nslots", resources.processes),
            ("cores-per-slot", resources.cpu_cores_per_process),
            ("gpus-per-slot", resources.gpu_cores_per_process or None),
        ]
        if resources.exclusive_node_use or resources.nodes > 1 or resources.node_count:
            options.append(("nodes", resources.nodes))
        if resources.exclusive_node_use:
            options.append(("exclusive", True))
        options += [
            ("requires", resources.constraint or None),
            ("time-limit", _duration(spec.duration)),
            ("queue", spec.queue_name or None),
            ("bank", spec.account or None),
            *spec.attributes_for(self.name),
        ]
        return [f"# flux: {_option(key, value)}" for key, value in options if value is not None]

    def status_command(self, job_ids: Collection[str] | None = None) -> list[str]:
        """Return the command that lists jobs, and with ids also those that have ended."""
        command = ["flux", "jobs", "--color=never", f"--format={_FORMAT}"]
        return [*command, *(["-A", "--count=0"] if job_ids is None else job_ids)]

    def read_status(self, reply: Reply) -> dict[str, JobInfo]:
        """Read the heading and a row for each job.

        A job that Flux does not know is an error of the command, and no row.
        """
        errors = [line for line in reply.stderr.splitlines() if line.strip()]
        if reply.exit_status and not (errors and all(map(_UNKNOWN.fullmatch, errors))):
            self.check_answered(reply)
        rows, others = split_rows(reply.stdout, _ROW.fullmatch)
        headings = [line for line in others if _HEADING.fullmatch(line)]
        if not rows and not headings and not (reply.exit_status and not reply.stdout.strip()):
            raise self.unreadable_error(reply)
        reply.passed_over.extend(line for line in others if line not in headings)
        matches = (_ROW.fullmatch(line) for line in rows)
        return keep_unique((match[1], self._read_row(match)) for match in matches if match)

    def _read_row(self, match: re.Match[str]) -> JobInfo:
        owner, word, urgency, nodes, run, expiration, code, estimate = match.groups()[1:]
        state = self.state(word)
        if state is JobState.QUEUED and int(urgency) == _HELD_URGENCY:
            state = JobState.HELD
        active = state is JobState.RUNNING
        return JobInfo(
            owner=owner,
            state=state,
            message=_REASONS.get(word, ""),
            exit_code=int(code) if state.final and re.fullmatch(r"\d{1,3}", code) else None,
            exec_host=next(expand_hosts(nodes), ""),
            estimated_start=_moment(estimate) if state is JobState.QUEUED else None,
            start_time=_moment(run) if active else None,
            estimated_end=_moment(expiration) if active else None,
            native_state=word,
            ending=word == "CLEANUP",
        )

    def query_tracked(self, job_ids: Collection[str]) -> Dialogue[dict[str, JobInfo]]:
        """Ask for all active jobs, and by their ids for those of these that are not active."""
        jobs = yield from self.query()
        ended = [job_id for job_id in job_ids if job_id not in jobs]
        return {**jobs, **((yield from self.query(ended)) if ended else {})}

    def mark_command(self) -> list[str]:
        """Return the command that lists the names of the caller's own jobs."""
        return ["flux", "jobs", "-n", "--color=never", "--count=0", "--format={id.dec} {name}"]

    def inventory(self) -> Dialogue[Inventory]:
        """Ask for the resources (RFC 20): all of them, those that are free, and the queues."""
        reply = yield ["flux", "resource", "R", "--states=all"]
        self.check_answered(reply)
        free = yield from ask_optionally(["flux", "resource", "R", "--states=free"])
        names = yield from ask_optionally(["flux", "queue", "list", "-n", "--format={queue}"])
        queues = frozenset(re.findall(r"^[\w.-]+$", names or "", re.MULTILINE))
        try:
            found = dict(read_resources(reply.stdout))
            idle = None if free is None else dict(read_resources(free))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise self.unreadable_error(reply) from None
        nodes = (_node(name, count, idle, queues) for name, count in found.items())
        return Inventory(tuple(Queue(name) for name in sorted(queues)), tuple(nodes))


SCHEDULER = Flux


@dataclass(frozen=True)
class Resources:
    """How many cores and GPUs a host has, and its properties: among them, the names of queues."""

    cores: int = 0
    gpus: int = 0
    properties: frozenset[str] = frozenset()


def _node(
    name: str, all_of_it: Resources, idle: dict[str, Resources] | None, queues: frozenset[str]
) -> Node:
    left = None if idle is None else idle.get(name, Resources())
    return Node(
        name,
        cores=all_of_it.cores,
        idle_cores=None if left is None else left.cores,
        gpus=all_of_it.gpus,
        idle_gpus=None if left is None else left.gpus,
        queues=all_of_it.properties & queues,
        features=all_of_it.properties - queues,
    )


def read_resources(text: str) -> Iterator[tuple[str, Resources]]:
    """Yield each host of a resource set (RFC 20) with its resources.

    Raises
    ------
    ValueError, TypeError, KeyError, AttributeError
        If it is not a resource set.
    """
    execution = json.loads(text)["execution"]
    lists = execution.get("nodelist", [])
    hosts = [host for one in lists for host in expand_hosts(one)]
    ranks = sorted({rank for row in execution["R_lite"] for rank in expand_ids(row["rank"])})
    named = dict(zip(ranks, hosts, strict=False))
    properties: dict[int, set[str]] = {}
    for name, ids in execution.get("properties", {}).items():
        for rank in expand_ids(ids):
            properties.setdefault(rank, set()).add(name)
    for row in execution["R_lite"]:
        children = row["children"]
        cores, gpus = (len(expand_ids(children.get(kind, ""))) for kind in ("core", "gpu"))
        for rank in expand_ids(row["rank"]):
            if rank in named:
                yield named[rank], Resources(cores, gpus, frozenset(properties.get(rank, ())))


def expand_ids(text: str) -> list[int]:
    """Return the numbers of an idset (RFC 22), as in ``0-3,7``.

    Raises
    ------
    ValueError
        If it is not an idset.
    """
    result: list[int] = []
    for part in filter(None, str(text).strip("[]").split(",")):
        low, _, high = part.partition("-")
        first, last = int(low), int(high or low)
        if not 0 <= first <= last <= first + _MOST_HOSTS:
            raise ValueError(f"{part!r} is not a range")
        result += range(first, last + 1)
    return result


def expand_hosts(text: str) -> Iterator[str]:
    """Yield the hosts of a host list (RFC 29), as in ``node[01-03,7],login``."""
    for match in re.finditer(r"([^\[\],]+)(?:\[([\d,-]+)\])?([^\[\],]*)", text):
        prefix, ranges, suffix = match.groups()
        if ranges is None:
            yield prefix + suffix
            continue
        for part in ranges.split(","):
            low, _, high = part.partition("-")
            if not (low.isdigit() and (high or low).isdigit()):
                continue
            last = min(int(high or low), int(low) + _MOST_HOSTS)
            for number in range(int(low), last + 1):
                yield f"{prefix}{number:0{len(low)}d}{suffix}"


def read_f58(text: str) -> str:
    """Return the decimal id of a job for an id as flux batch prints it (RFC 19); else nothing.

    Without UTF-8 its first letter is an f.
    """
    if text.isascii() and text.isdigit():
        return text
    if not re.fullmatch(rf"[ƒf][{_BASE58}]{{1,12}}", text):
        return ""
    number = 0
    for letter in text[1:]:
        number = 58 * number + _BASE58.index(letter)
    return str(number)


def _duration(duration: timedelta | None) -> str | None:
    return None if duration is None else f"{max(1, int(duration.total_seconds()))}s"


def _option(key: str, value: Any) -> str:
    """Return an option as words of a directive."""
    dash = "-" if len(key) == 1 else "--"
    if value is True:
        return f"{dash}{key}"
    return f"{dash}{key}{' ' if dash == '-' else '='}{_quote(key, str(value))}"


def _quote(key: str, text: str) -> str:
    """Return a word of a directive (RFC 36), which flux batch reads with Python's shlex.

    A backslash escapes within both kinds of quotes, and three quotes in a row, of whatever kinds,
    begin a text of several lines.

    Raises
    ------
    InvalidJobError
        If the text has quotes that can't be written.
    """
    if re.fullmatch(r"[\w@%+=:,./-]+", text, re.ASCII):
        return text
    for mark in "\"'":
        quoted = mark + text.replace("\\", "\\\\").replace(mark, f"\\{mark}") + mark
        if not re.search(r"[\"']{3}", quoted):
            return quoted
    raise InvalidJobError(
        f"{_FIELD_OF.get(key, f'custom_attributes: flux.{key}')}: {text!r} has quotes that a "
        "directive of Flux can't express; remove some of them"
    )


def _moment(text: str) -> float | None:
    """Return seconds since the epoch; None if there is no such moment, which is 0 or nothing."""
    try:
        return float(text) or None
    except ValueError:
        return None
