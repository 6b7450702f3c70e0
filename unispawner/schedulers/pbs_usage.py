"""Reads what PBS and TORQUE have in ``resources_used`` of a job that has ended."""

from __future__ import annotations

import re

from . import pbs_job
from .usage import NOT_YET, Accounting, EndedJob, Usage

CAUSES = {
    pbs_job.TIME_IS_UP: "time_limit",
    pbs_job.TOO_MUCH_MEMORY: "memory",
    pbs_job.HOST_RESTARTED: "node",
}


def read_usage(job_id: str, row: pbs_job.Row, job: EndedJob, cause: str) -> Accounting:
    """Return what a job's attributes say about its last run.

    Parameters
    ----------
    cause
        Why the job has ended, as its state says.
    """
    marks = pbs_job.read_marks({job_id: row})
    started = pbs_job.read_time(row.get("stime", row.get("start_time", "")))
    if (marks and job.mark not in marks) or not job.is_run(pbs_job.read_owner(row), started):
        return NOT_YET
    return Accounting(
        Usage(
            seconds=_seconds(row, "walltime"),
            cpu_seconds=_seconds(row, "cput") or None,
            memory=pbs_job.read_size(row.get("resources_used.mem", "")) or None,
            gpus=_percent(row.get("resources_used.gpu_utilization", "")),
            cause=cause,
        )
    )


def _seconds(row: pbs_job.Row, name: str) -> float | None:
    found = pbs_job.read_duration(row.get(f"resources_used.{name}", ""))
    return None if found is None else found.total_seconds()


def _percent(text: str) -> float | None:
    return float(text) / 100 if re.fullmatch(r"\d{1,9}(\.\d+)?", text, re.ASCII) else None


__all__ = ["CAUSES", "read_usage"]
