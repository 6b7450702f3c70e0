"""Reads what Grid Engine's qacct prints about what a job has used (Son of Grid Engine 8.1.9).

``ru_maxrss`` counts only processes whose end the script has waited for, and qacct 8.1.9 prints its
kibibytes as if they were bytes. So memory is ``maxrss``, which later releases have, or else
``maxvmem``: all of the address space, which is what ``h_vmem`` limits.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone

from .gridengine_jobs import read_number, read_pairs
from .usage import NOT_YET, Accounting, EndedJob, Usage, read_size

_RUN_AGAIN = ("24", "25", "99")
_TIMES = ("%a %b %d %H:%M:%S %Y", "%m/%d/%Y %H:%M:%S.%f", "%m/%d/%Y %H:%M:%S")
UNREADABLE = re.compile(
    r"accounting.*(no such file|permission denied|not readable)"
    r"|no jobs running since startup|(no such file|permission denied).*accounting",
    re.IGNORECASE,
)
"""What qacct prints where there is no accounting file, or the user may not read it."""


def read_usage(text: str, job: EndedJob) -> Accounting:
    """Return what ``qacct -j`` says about the last run of a job."""
    records = [dict(read_pairs(record)) for record in re.split(r"^=+$", text, flags=re.MULTILINE)]
    own = [
        one
        for one in records
        if one.get("jobnumber") == job.job_id
        and one.get("failed", "").partition(" ")[0] not in _RUN_AGAIN
        and job.is_run(one.get("owner", ""), read_moment(one.get("start_time", "")))
    ]
    if not own:
        return NOT_YET
    last = own[-1]
    code, _, words = last.get("failed", "0").partition(" ")
    memory = read_size(last.get("maxrss", "")) or read_size(last.get("maxvmem", ""))
    cause = ""
    if last.get("deleted_by", "NONE") not in ("NONE", "") or "qdel" in words:
        cause = "cancelled"
    elif code == "37":
        cause = "limit"
    return Accounting(
        Usage(
            seconds=_seconds(last.get("ru_wallclock", "")),
            cpu_seconds=_seconds(last.get("cpu", "")),
            memory=memory,
            cause=cause,
        )
    )


def read_moment(text: str) -> float | None:
    """Read a time of qacct's, which is UTC: see QUERY_ENVIRONMENT."""
    for form in _TIMES:
        try:
            return datetime.strptime(text, form).replace(tzinfo=timezone.utc).timestamp()
        except (ValueError, OverflowError):
            continue
    return None


def _seconds(text: str) -> float | None:
    """Return the seconds of ``2.521s`` or ``14``; None for nothing."""
    return read_number(text.removesuffix("s")) or None


__all__ = ["UNREADABLE", "read_moment", "read_usage"]
