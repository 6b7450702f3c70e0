"""Asks Slurm's accounting what a job has used, and reads the rows of sacct (22.05).

sacct has a row for each job and one for each of its steps; a requeued job has such rows for each
run. ``TotalCPU`` counts only processes whose end was waited for, which nobody did with those of a
job that was killed; ``TRESUsageInTot`` has what Slurm measured while they ran.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .base import Reply
from .reading import split_rows
from .usage import NOT_YET, Accounting, EndedJob, Usage, read_size

FIELDS = (
    *("JobID", "User", "Submit", "Start", "End", "State", "ElapsedRaw", "TotalCPU", "MaxRSS"),
    "TRESUsageInTot",
)
"""What sacct is asked for. A user can write none of it."""
COMMAND = ("sacct", "-P", "-n", "-D")
NO_ACCOUNTING = re.compile(r"accounting storage is disabled", re.IGNORECASE)
CAUSES: Mapping[str, str] = {
    "TIMEOUT": "time_limit",
    "DEADLINE": "time_limit",
    "OUT_OF_MEMORY": "memory",
    "PREEMPTED": "preempted",
    "CANCELLED": "cancelled",
    "REVOKED": "cancelled",
    "NODE_FAIL": "node",
    "BOOT_FAIL": "node",
}
"""What Slurm's states (squeue(1), JOB STATE CODES) say about the end of a job."""
_UNENDED = {"", "Unknown", "None"}

Row = dict[str, str]


def read_usage(reply: Reply, job: EndedJob) -> Accounting:
    """Return what sacct says about a job."""
    lines, others = split_rows(reply.stdout, lambda one: one.count("|") == len(FIELDS) - 1)
    reply.passed_over.extend(others)
    runs: list[list[Row]] = []
    for line in lines:
        row = dict(zip(FIELDS, line.split("|"), strict=True))
        if row["JobID"] == job.job_id:
            runs.append([row])
        elif runs and row["JobID"].startswith(f"{job.job_id}."):
            runs[-1].append(row)
    own = [run for run in runs if job.is_run(run[0]["User"], _number(run[0]["Start"]))]
    # A cancelled job has ended some seconds before its steps, which have what was measured.
    if not own or any(row["End"] in _UNENDED for row in own[-1]):
        return NOT_YET
    return Accounting(_usage(*own[-1]))


def _usage(row: Row, *steps: Row) -> Usage:
    tres = [dict(one.split("=", 1) for one in _tres(step)) for step in steps]
    processor = [read_seconds(row["TotalCPU"]), *(read_seconds(one.get("cpu", "")) for one in tres)]
    memory = [read_size(step["MaxRSS"]) for step in steps]
    memory += [read_size(one.get("mem", "")) for one in tres]
    busy = [_number(one.get("gres/gpuutil", "")) for one in tres]
    gpu_memory = [read_size(one.get("gres/gpumem", "")) for one in tres]
    return Usage(
        seconds=_number(row["ElapsedRaw"]),
        # Without JobAcctGatherType Slurm prints 0 seconds, which no job has.
        cpu_seconds=max((one for one in processor if one), default=None),
        memory=max((one for one in memory if one), default=None),
        gpus=max((one / 100 for one in busy if one is not None), default=None),
        gpu_memory=max((one for one in gpu_memory if one), default=None),
        cause=CAUSES.get(row["State"].partition(" ")[0], ""),
    )


def _tres(step: Row) -> list[str]:
    return [one for one in step["TRESUsageInTot"].split(",") if "=" in one]


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,15}", text, re.ASCII) else None


def read_seconds(text: str) -> float | None:
    """Return the seconds of ``[[DAYS-]HOURS:]MINUTES:SECONDS[.000]``; None if it is not that."""
    found = re.fullmatch(
        r"(?:(?:(\d{1,6})-)?(\d{1,9}):)?(\d{1,9}):(\d{1,2}(?:\.\d{1,9})?)", text, re.ASCII
    )
    if found is None:
        return None
    days, hours, minutes = (int(found[at] or 0) for at in (1, 2, 3))
    return ((days * 24 + hours) * 60 + minutes) * 60 + float(found[4])


__all__ = ["CAUSES", "COMMAND", "FIELDS", "NO_ACCOUNTING", "read_seconds", "read_usage"]
