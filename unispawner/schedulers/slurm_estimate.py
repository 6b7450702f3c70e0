"""What ``sbatch --test-only`` prints: when a job would start, or why it can't.

Slurm (22.05) prints to standard error ``sbatch: Job 12 to start at 1795794003 using 4 processors on
nodes node1 in partition debug``. It takes the number of a job for each answer, and submits nothing.
The number of processors counts whole cores. Without
SLURM_TIME_FORMAT the moment is a local time of the host that runs sbatch.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from ..job import JobSpec
from .base import Reply
from .estimate import Outlook, StartEstimate

_NEVER_NOW = {"hold", "H", "dependency", "d"}
"""Options with which a job waits for something that Slurm's answer leaves out."""
_WILL_START = re.compile(r"\bJob \d+ to start at (\S.{0,60}?) using \d+ processors\b")
_PREFIX = re.compile(
    r"^(?:sbatch: )?(?:error: |allocation failure: |Batch job submission failed: )+"
)
_LONGEST = 300


def can_estimate(spec: JobSpec) -> bool:
    """Return whether Slurm's answer about a job says when it would start."""
    return not any(key in _NEVER_NOW for key, _ in spec.attributes_for("slurm"))


def read_estimate(reply: Reply, read_time: Callable[[str], float | None]) -> StartEstimate:
    """Return what an answer says; an outlook of UNKNOWN if it can't be read.

    Parameters
    ----------
    read_time
        Reads a moment as Slurm prints it.
    """
    if reply.exit_status:
        return StartEstimate(Outlook.REFUSED, reason=_reason(reply.text))
    found = _WILL_START.search(reply.text)
    start = read_time(found[1]) if found else None
    return StartEstimate() if start is None else StartEstimate.at(start, time.time())


def _reason(text: str) -> str:
    """Return the last line of an error, without what Slurm puts before it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _PREFIX.sub("", lines[-1])[:_LONGEST] if lines else ""
