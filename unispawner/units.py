"""Reads and writes memory and time as administrators and users write them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TypeVar

from .errors import InvalidJobError
from .texts import Text, of_field, say, say_count

AmountT = TypeVar("AmountT", int, timedelta)

MEMORY_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4, "P": 1024**5}
"""Bytes of each binary unit, the smallest first."""

LEAST_BARE = MEMORY_UNITS["M"]
"""The lowest number of bytes (1 MiB) without a unit: whoever writes a lower one means another unit,
such as the megabytes of Slurm's ``--mem=4000``."""
WHOLE = 0
"""The amount of memory that stands for all of a node's, as Slurm's ``--mem=0`` does."""

_MEMORY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGTP]?)(I?B)?\s*", re.ASCII | re.IGNORECASE)
_DURATION = re.compile(r"\s*(?:(?P<days>\d+)-)?(?P<clock>\d+(?::\d{1,2}){0,2})\s*", re.ASCII)
_LONGEST = timedelta(days=10_000)


def parse_memory(value: int | str, field: str = "memory", *, whole: bool = False) -> int:
    """Return a number of bytes from ``4G``, ``512M``, ``4GiB``, ``1.5T`` or a number of bytes.

    All units are binary (``G``, ``GB`` and ``GiB`` are 2**30), as with Slurm, PBS and JupyterHub.

    Parameters
    ----------
    field
        The field or setting that has the value; an error begins with it.
    whole
        Whether ``0`` and ``all`` are allowed, which mean all the memory of a node: ``WHOLE``.

    Raises
    ------
    InvalidJobError
        If the value has another form, is not above zero, or is a low number without a unit.
    """
    if whole and not isinstance(value, bool) and str(value).strip().lower() in ("0", "all"):
        return WHOLE
    match = _MEMORY.fullmatch(str(value)) if not isinstance(value, bool) else None
    size = 0
    if match and len(match[1]) < 20:
        size = int(float(match[1]) * MEMORY_UNITS.get(match[2].upper(), 1))
    if not 0 < size < 2**63:
        raise InvalidJobError(
            of_field(
                field,
                say(
                    "{value} is not an amount of memory; write 4G, 512M, 4GiB or a number of bytes",
                    value=repr(value),
                ),
            )
        )
    if match and not (match[2] or match[3]) and size < LEAST_BARE:
        raise InvalidJobError(
            of_field(
                field,
                say(
                    "{value} is {number} bytes; write {one} or {other}",
                    value=repr(value),
                    number=size,
                    one=repr(f"{size}M"),
                    other=repr(_as_gibibytes(size)),
                ),
            )
        )
    return size


def _as_gibibytes(number: int) -> str:
    """Return what a number may mean if it is not bytes: megabytes, or a small one gigabytes."""
    return f"{number}G" if number < 1000 else f"{max(1, round(number / 1024))}G"


def format_memory(size: int) -> str:
    """Return ``4G`` for a number of bytes: the largest unit that needs no fraction.

    ``parse_memory`` returns the same number for it.
    """
    if size == WHOLE:
        return "all"
    for unit, factor in reversed(MEMORY_UNITS.items()):
        if size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size) if size >= LEAST_BARE else f"{size}B"


def parse_duration(value: timedelta | int | str, field: str = "duration") -> timedelta:
    """Return a length of time from ``8:00:00``, ``1-12:00:00``, minutes, or a timedelta.

    A number means minutes, also in a string. ``D-HH``, ``D-HH:MM`` and ``D-HH:MM:SS`` mean the same
    as in Slurm's ``--time``. ``8:00`` is refused, because it means eight hours to LSF, and eight
    minutes to Slurm and PBS.

    Parameters
    ----------
    field
        The field or setting that has the value; an error begins with it.

    Raises
    ------
    InvalidJobError
        If the value has another form, or is not above zero.
    """
    result = timedelta(0)
    if isinstance(value, timedelta):
        result = value
    elif isinstance(value, int) and not isinstance(value, bool):
        result = timedelta(minutes=value) if 0 < value < 10**8 else result
    elif isinstance(value, str) and len(value) < 30 and (match := _DURATION.fullmatch(value)):
        result = _from_clock(match["days"], [int(part) for part in match["clock"].split(":")])
    if not timedelta(0) < result <= _LONGEST:
        raise InvalidJobError(of_field(field, _explain_duration(value)))
    return result


def _explain_duration(value: object) -> Text:
    """Return why a text is not a length of time, with the right spelling of what it may mean."""
    text, shown = str(value).strip(), repr(value)
    if match := re.fullmatch(r"(\d{1,6}):(\d{1,2})", text, re.ASCII):
        first, second = int(match[1]), int(match[2])
        short = format_duration(timedelta(minutes=first, seconds=second))
        long = format_duration(timedelta(hours=first, minutes=second))
        return say(
            "{value} is not a length of time that means the same everywhere: it is minutes and "
            "seconds to Slurm and PBS, and hours and minutes to LSF; write {one} or {other}",
            value=shown,
            one=repr(short),
            other=repr(long),
        )
    if text.upper() in ("UNLIMITED", "INFINITE", "INFINITY"):
        return say(
            "{value} is not a length of time; write the longest one that the queue allows, as in "
            "'7-00:00:00', or leave it unset for the scheduler's own limit; without any limit on "
            'Slurm: {"slurm.time": "UNLIMITED"} in custom_attributes',
            value=shown,
        )
    return say(
        "{value} is not a length of time; write HH:MM:SS, D-HH:MM:SS or a number of minutes",
        value=shown,
    )


def _from_clock(days: str | None, parts: list[int]) -> timedelta:
    if any(part > 10**8 for part in parts) or (days and len(days) > 6):
        return timedelta(0)
    if days is not None:  # D-HH[:MM[:SS]]
        hours, minutes, seconds = [*parts, 0, 0][:3]
        return timedelta(days=int(days), hours=hours, minutes=minutes, seconds=seconds)
    if len(parts) == 1:
        return timedelta(minutes=parts[0])
    if len(parts) == 3:
        return timedelta(hours=parts[0], minutes=parts[1], seconds=parts[2])
    return timedelta(0)


def format_duration(value: timedelta) -> str:
    """Return ``HH:MM:SS``, which every scheduler here reads in the same way.

    The number of hours may be above 24. Parts of a second are rounded up, because a limit must not
    be shorter than what somebody asked for.
    """
    seconds = whole_seconds(value)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def as_number(value: int | str | timedelta) -> int | float | str:
    """Return a length of time in seconds, and any other value as it is."""
    return value.total_seconds() if isinstance(value, timedelta) else value


def whole_seconds(value: timedelta) -> int:
    """Return the seconds in a length of time, rounded up."""
    return divide_up(value, timedelta(seconds=1))


def divide_up(amount: AmountT, unit: AmountT) -> int:
    """Return how many whole units an amount takes: the quotient, rounded up."""
    return -int(-amount // unit)


def count_nodes(count: int) -> Text:
    """Return a number of nodes in words."""
    return say_count("{count} node", "{count} nodes", count)


def count_cores(count: int) -> Text:
    """Return a number of cores in words."""
    return say_count("{count} core", "{count} cores", count)


def count_gpus(count: int) -> Text:
    """Return a number of GPUs in words."""
    return say_count("{count} GPU", "{count} GPUs", count)
