"""What the checks of a scheduler's dialect use: jobs, answers and marks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

from ...errors import SchedulerUnavailable
from ...job import JobInfo, JobSpec, JobState, ResourceSpec
from ...schedulers.base import Reply, Scheduler
from ...script.rendering import render_script

MARK = "0123456789abcdef"
Nothing = Callable[[], None]
"""Called by a check that finds nothing to check: see the fixture ``nothing_to_check``."""
ShowMarks = Callable[[Sequence[tuple[str, str]]], str]
"""Returns the output of a scheduler's ``mark_command`` for some jobs, each an id and a mark."""
ASKED = {
    "node_count": ResourceSpec(node_count=2),
    "process_count": ResourceSpec(process_count=2),
    "processes_per_node": ResourceSpec(processes_per_node=2),
    "cpu_cores_per_process": ResourceSpec(cpu_cores_per_process=2),
    "gpu_cores_per_process": ResourceSpec(gpu_cores_per_process=2),
    "memory": ResourceSpec(memory=2**30),
    "exclusive_node_use": ResourceSpec(exclusive_node_use=True),
    "gpu_type": ResourceSpec(gpu_cores_per_process=1, gpu_type="a100"),
    "constraint": ResourceSpec(constraint="fast"),
}
"""Resources in which only one field is set."""
NO_JOB_IDS = (
    *("", " ", "1 2", "-f", "--me", "1\n2", "1\n", "\n1", "1;id", "1,2"),
    *("$1", "`1`", "*", "1|2"),
)
"""Text that can't be the id of one job."""
NOTICE = "Notice: maintenance on 2026-12-01, \x1b[1mlog out\x1b[0m"
HEADING = "CLUSTER: lab"
"""What a site's wrapper may print around an answer."""
HOSTILE: dict[str, dict[str, Any]] = {
    "queue_name": {"queue_name": "q'\"$(id)"},
    "account": {"account": "a$(id)`id`"},
    "attribute": {"custom_attributes": {".x": "$(id)\\"}},
}
"""Text that a shell would run, by the field that has it."""
_JOB_IDS = ("11", "11.22", "11.lab", "f11")
"""Ids of which each scheduler takes at least one. In each, 11 stands once."""


def sample_id(scheduler: Scheduler, number: int = 11) -> str:
    """Return an id that the scheduler takes for a job's."""
    found = (job_id for job_id in _JOB_IDS if scheduler.job_id.fullmatch(job_id))
    return next(found).replace("11", str(number))


def show_lines(jobs: Sequence[tuple[str, str]]) -> str:
    """Return the output of a command for marks that ``Scheduler.read_marks`` itself reads."""
    return "\n".join(f"{job_id} unispawner:{mark}" for job_id, mark in jobs)


def show_contexts(jobs: Sequence[tuple[str, str]]) -> str:
    """Return marks as qstat -j prints them."""
    return "".join(
        f"{'=' * 62}\njob_number:   {job_id}\ncontext:      unispawner={mark}\n"
        for job_id, mark in jobs
    )


def show_class_ads(jobs: Sequence[tuple[str, str]]) -> str:
    """Return marks as condor_q -json prints them."""
    return json.dumps([{"ClusterId": job_id, "UnispawnerMark": mark} for job_id, mark in jobs])


def show_scripts(jobs: Sequence[tuple[str, str]]) -> str:
    """Return marks as bjobs -l prints them."""
    return "".join(f"Job <{job_id}>, Command <# unispawner:{mark};>\n" for job_id, mark in jobs)


def show_json(jobs: Sequence[tuple[str, str]]) -> str:
    """Return marks as qstat -f -F json prints them."""
    rows = {job_id: {"Variable_List": {"UNISPAWNER_MARK": mark}} for job_id, mark in jobs}
    return json.dumps({"timestamp": 1, "pbs_version": "1", "Jobs": rows})


def show_xml(jobs: Sequence[tuple[str, str]]) -> str:
    """Return marks as qstat -x prints them."""
    rows = (
        f"<Job><Job_Id>{job_id}</Job_Id><Variable_List>UNISPAWNER_MARK={mark}</Variable_List></Job>"
        for job_id, mark in jobs
    )
    return f"<Data>{''.join(rows)}</Data>"


LISTINGS: dict[str, ShowMarks] = {
    "gridengine": show_contexts,
    "htcondor": show_class_ads,
    "lsf": show_scripts,
    "pbs": show_json,
    "torque": show_xml,
}
"""How the output of a scheduler's ``mark_command`` shows jobs' ids and marks, if its ``read_marks``
is its own."""


def reads_lines(scheduler: Scheduler) -> bool:
    """Return whether marks are read from lines, and not in a way of the scheduler's own."""
    return type(scheduler).read_marks is Scheduler.read_marks


def reply(stdout: str = "", stderr: str = "", status: int = 0) -> Reply:
    """Return the reply of a command called "query"."""
    return Reply(("query",), status, stdout, stderr)


def written(scheduler: Scheduler, spec: JobSpec) -> list[str]:
    """Return the directives of a job; a set of templates has them in its own script."""
    if scheduler.dialect is None:
        return scheduler.directives(spec)
    lines = render_script(spec, scheduler).splitlines()
    return [line for line in lines if line.startswith(scheduler.dialect.directive)]


def complete(scheduler: Scheduler, spec: JobSpec) -> JobSpec:
    """Return a job with what the scheduler can't do without: only sets of templates say so."""
    needs = set(scheduler.dialect.needs) if scheduler.dialect else set()
    if "memory" in needs and spec.resources.memory is None:
        spec = replace(spec, resources=replace(spec.resources, memory=2**20))
    if "nprocs" in needs and spec.resources == ResourceSpec():
        spec = replace(spec, resources=ResourceSpec(cpu_cores_per_process=1))
    if "runtime" in needs and spec.duration is None:
        spec = replace(spec, duration=timedelta(minutes=1))
    for names, field in (
        ({"queue", "partition"}, "queue_name"),
        ({"account"}, "account"),
        ({"reservation"}, "reservation_id"),
    ):
        if names & needs and not getattr(spec, field):
            value: Any = "needed"
            spec = replace(spec, **{field: value})
    return spec


def spec_for(field: str) -> JobSpec:
    """Return a job that asks for nothing but one field of JobSpec or ResourceSpec."""
    if field in ASKED:
        return JobSpec(resources=ASKED[field])
    if field == "duration":
        return JobSpec(duration=timedelta(hours=1))
    text: Any = "something"
    return JobSpec(**{field: text})


def is_shell_text(scheduler: Scheduler) -> bool:
    """Return whether a shell reads the directives; a set of templates may use another language."""
    return scheduler.directives_in_script and (
        scheduler.dialect is None or bool(scheduler.dialect.directive)
    )


def has_place_for_mark(scheduler: Scheduler) -> bool:
    """Return whether the directives carry a job's mark."""
    return scheduler.dialect is None and not scheduler.loopback


def find_reported(scheduler: Scheduler, replies: Iterable[Reply]) -> set[str]:
    """Return the fields of JobInfo that a scheduler fills from these answers."""
    found: set[str] = set()
    blank = JobInfo("", JobState.UNKNOWN)
    for one in replies:
        try:
            jobs = scheduler.read_status(one)
        except SchedulerUnavailable:
            continue  # another command's, or a failure
        for info in jobs.values():
            found |= {
                f.name for f in fields(info) if getattr(info, f.name) != getattr(blank, f.name)
            }
    return found


def has_word(line: str, mark: str) -> bool:
    """Return whether a directive contains a mark as a word of its own."""
    return re.search(rf"[:=\"]{mark}(?![\w-])", line) is not None
