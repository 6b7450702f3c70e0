"""Reads what LSF's bjobs has about what a job has used (10.1, bjobs(1), -o).

bjobs has a job for as long as CLEAN_PERIOD says, an hour by default.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from .lsf_jobs import read_time
from .usage import NOT_YET, Accounting, EndedJob, Usage, read_size

FIELDS = (
    *("jobid", "user", "stat", "start_time", "run_time", "cpu_used", "max_mem", "exit_reason"),
)
CAUSES = {
    "TERM_RUNLIMIT": "time_limit",
    "TERM_DEADLINE": "time_limit",
    "TERM_MEMLIMIT": "memory",
    "TERM_SWAP": "memory",
    "TERM_PREEMPT": "preempted",
    "TERM_OWNER": "cancelled",
    "TERM_ADMIN": "cancelled",
    "TERM_FORCE_OWNER": "cancelled",
    "TERM_FORCE_ADMIN": "cancelled",
    "TERM_REMOVE_HUNG_JOB": "node",
    "TERM_ZOMBIE": "node",
}
_ENDED = ("DONE", "EXIT")


def read_usage(records: Iterable[Any], job: EndedJob) -> Accounting:
    """Return what the records of ``bjobs -o … -json`` say about a job."""
    for record in records:
        if not isinstance(record, dict) or "ERROR" in record:
            continue
        values = {str(key): str(value).strip() for key, value in record.items()}
        start, _ = read_time(values.get("START_TIME", ""), time.time())
        owner = values.get("USER", "").partition("@")[0]
        same = values.get("JOBID") == job.job_id and values.get("STAT") in _ENDED
        # LSF prints a start without its seconds.
        if same and job.is_run(owner, None if start is None else start + 59):
            return Accounting(_usage(values))
    return NOT_YET


def _usage(values: Mapping[str, str]) -> Usage:
    reason = values.get("EXIT_REASON", "").partition(":")[0]
    return Usage(
        seconds=_seconds(values.get("RUN_TIME", "")),
        cpu_seconds=_seconds(values.get("CPU_USED", "")) or None,
        memory=read_size(values.get("MAX_MEM", "")),
        cause=CAUSES.get(reason, ""),
    )


def _seconds(text: str) -> float | None:
    """Return the seconds of ``12 second(s)`` or ``0.5 second(s)``."""
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)(?: ?seconds?| ?second\(s\))?", text, re.ASCII)
    return float(found[1]) if found else None


__all__ = ["CAUSES", "FIELDS", "read_usage"]
