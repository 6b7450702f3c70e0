"""Reads what HTCondor's history has about what a job has used (23.9).

All of these attributes can be changed by the job's own user, with condor_qedit; it is that user who
reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .usage import NOT_YET, Accounting, EndedJob, Usage

FIELDS = (
    *("ClusterId", "ProcId", "Owner", "JobStatus", "JobCurrentStartDate", "CompletionDate"),
    *("EnteredCurrentStatus", "RemoteUserCpu", "RemoteSysCpu", "MemoryUsage"),
    *("ResidentSetSize_RAW", "ResidentSetSize", "GPUsUsage", "GPUsMemoryUsage", "RemoveReason"),
)
_ENDED = (3, 4)
"""The values of JobStatus of a job that was removed, and of one that has completed."""


def read_usage(
    rows: Sequence[Mapping[str, Any]], job: EndedJob, mark_attribute: str, time_is_up: str
) -> Accounting:
    """Return what condor_history says about the last run of a job."""
    own = [row for row in rows if _is_own(row, job, mark_attribute)]
    if not own:
        return NOT_YET
    row = own[0]
    start = _number(row.get("JobCurrentStartDate"))
    end = _number(row.get("CompletionDate")) or _number(row.get("EnteredCurrentStatus"))
    processor = sum(_number(row.get(f"Remote{which}Cpu")) or 0.0 for which in ("User", "Sys"))
    reason = str(row.get("RemoveReason") or "")
    cause = "cancelled" if row.get("JobStatus") == 3 else ""
    return Accounting(
        Usage(
            seconds=max(0.0, end - start) if start and end else None,
            cpu_seconds=processor or None,  # a job that was removed has 0
            memory=_memory(row),
            gpus=_number(row.get("GPUsUsage")),
            gpu_memory=_bytes(row.get("GPUsMemoryUsage"), 1024**2),
            cause="time_limit" if time_is_up in reason else cause,
        )
    )


def _is_own(row: Mapping[str, Any], job: EndedJob, mark_attribute: str) -> bool:
    if str(row.get("ClusterId")) != job.job_id or row.get("ProcId", 0) != 0:
        return False
    if row.get("JobStatus") not in _ENDED or row.get(mark_attribute, job.mark) != job.mark:
        return False
    return job.is_run(str(row.get("Owner")), _number(row.get("JobCurrentStartDate")))


def _memory(row: Mapping[str, Any]) -> int | None:
    """Return the most memory. HTCondor rounds it up to a quarter but in the attribute _RAW.

    In the history MemoryUsage is usually an expression, which JSON has as text.
    """
    found = _bytes(row.get("ResidentSetSize_RAW"), 1024)
    found = found or _bytes(row.get("ResidentSetSize"), 1024)
    return found or _bytes(row.get("MemoryUsage"), 1024**2)


def _bytes(value: Any, unit: int) -> int | None:
    number = _number(value)
    return int(number * unit) or None if number is not None else None


def _number(value: Any) -> float | None:
    """Return a number that is not negative; None for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        return None
    return float(value)


__all__ = ["FIELDS", "read_usage"]
