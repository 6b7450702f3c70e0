"""Memory and time, as each scheduler's own option reads them."""

from __future__ import annotations

import re
from datetime import timedelta

from ...errors import InvalidJobError
from ...schedulers.pbs_job import read_duration, read_size
from ...units import format_duration, parse_duration, parse_memory


def read_memory(text: str, scheduler: str) -> int | None:
    """Return a number of bytes; None if the text is not an amount.

    A bare number is megabytes to Slurm and HTCondor and bytes to PBS, TORQUE and Grid Engine. For
    LSF its unit is the site's (LSF_UNIT_FOR_LIMITS), so that it can't be read: None.
    """
    text = text.strip()
    if scheduler in ("torque", "pbs"):
        return read_size(text) or None
    if scheduler == "gridengine" and (match := re.fullmatch(r"(\d+)([kmg])", text)):
        thousands: int = 1000 ** ("kmg".index(match[2]) + 1)  # sge_types(1)
        return int(match[1]) * thousands
    if text.isdigit() and scheduler in ("slurm", "htcondor"):
        text += "M"
    if text.isdigit() and scheduler == "lsf":
        return None
    if text.isdigit():  # bytes, however few
        text += "B"
    try:
        return parse_memory(text)
    except InvalidJobError:
        return None


def read_runtime(text: str, scheduler: str) -> timedelta | None:
    """Return a length of time; None if the text is something else, such as Slurm's UNLIMITED.

    A bare number is minutes to Slurm and LSF, and seconds to PBS, TORQUE and Grid Engine; ``8:00``
    is eight hours to LSF and eight minutes to the others. HTCondor has no such option, so that
    only what cannot be misread is read: ``8:00:00`` and ``1-12``.
    """
    text = text.strip()
    found: timedelta | None
    if scheduler in ("torque", "pbs", "gridengine"):  # [[HH:]MM:]SS
        found = read_duration(text)
    elif scheduler == "htcondor" and not re.search(r"-|:.*:", text):
        found = None
    elif match := re.fullmatch(r"(\d{1,9}):(\d{1,2})", text, re.ASCII):  # MM:SS, or LSF's HH:MM
        minutes = timedelta(minutes=int(match[1]), seconds=int(match[2]))
        found = minutes * 60 if scheduler == "lsf" else minutes
    else:
        try:
            found = parse_duration(text)
        except InvalidJobError:
            found = None
    return found or None


def write_duration(text: str, length: timedelta) -> str:
    """Return a length as UniSpawner reads it: the old text if that says the same."""
    try:
        same = ":" in text and parse_duration(text) == length
    except InvalidJobError:
        same = False
    return text.strip() if same else format_duration(length)
