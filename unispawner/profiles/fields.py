"""The fields of a job that an option can set, and the values that they can have."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Literal

from ..errors import InvalidJobError
from ..job import CONTROL, PER_CORE, ResourceSpec
from ..texts import Text, of_field, say
from ..units import format_duration, format_memory, parse_duration, parse_memory

Kind = Literal["count", "memory", "duration", "flag", "name", "menu", "text"]
"""A menu is an option with the administrator's own choices; its value is the key of a choice. A
text is what a user types for a choice."""
Value = int | timedelta | bool | str

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.@+-]{0,63}"
"""The names that are allowed for an option without a pattern."""
_LONGEST_SHOWN = 60


@dataclass(frozen=True)
class Field:
    """A field of ResourceSpec or JobSpec that an option may be named after.

    Attributes
    ----------
    kind
        The kind of its values.
    label, help, unit
        The texts that a user reads.
    lowest
        The lowest value of a count.
    """

    kind: Kind
    label: str
    help: str = ""
    unit: str = ""
    lowest: int = 1


FIELDS: dict[str, Field] = {
    "node_count": Field("count", say("Nodes"), say("Number of hosts"), say("nodes")),
    "process_count": Field("count", say("Processes"), say("Number in all"), say("processes")),
    "processes_per_node": Field("count", say("Processes per node"), "", say("processes")),
    "cpu_cores_per_process": Field("count", say("Cores"), say("Processor cores"), say("cores")),
    "gpu_cores_per_process": Field(
        "count", say("GPUs"), say("Graphics processors"), say("GPUs"), lowest=0
    ),
    "gpu_type": Field("name", say("GPU type")),
    "memory": Field("memory", say("Memory"), say("For the whole job: 4G, 512M")),
    PER_CORE: Field("memory", say("Memory per core"), say("For each core: 4G, 512M")),
    "exclusive_node_use": Field("flag", say("Whole nodes"), say("No other job runs on them")),
    "constraint": Field("name", say("Node feature"), say("What the nodes must have")),
    "duration": Field(
        "duration", say("Time"), say("The longest it may run: HH:MM:SS or D-HH:MM:SS")
    ),
    "queue_name": Field("name", say("Queue")),
    "account": Field("name", say("Account"), say("The account or project that pays")),
    "reservation_id": Field("name", say("Reservation")),
    "qos": Field("name", say("Quality of service")),
}
MENU = Field("menu", "")
MEASURED = ("count", "memory", "duration")
"""The kinds of values that have bounds."""
RESOURCES = frozenset(f.name for f in fields(ResourceSpec)) | {PER_CORE}
"""The keys of ``c.UniSpawner.resources``, which an option named after one of them sets."""


def read(kind: Kind, value: object, name: str, *, whole: bool = False) -> Value:
    """Return a value of this kind, of what a user or an administrator has written.

    Parameters
    ----------
    whole
        Whether memory may be ``"all"``: only the administrator's own choices may.

    Raises
    ------
    InvalidJobError
        Naming the field and the text, if it is not a value of this kind.
    """
    if kind == "count":
        return _read_count(value, name)
    if kind == "flag":
        if isinstance(value, bool):
            return value
        if value in ("true", "false"):
            return value == "true"
        raise _wrong(name, say("{value} must be true or false", value=shorten(value)))
    if kind in ("memory", "duration"):
        short = isinstance(value, str) and len(value) < _LONGEST_SHOWN
        number = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
        if kind == "memory":
            if not (short or number):
                raise _wrong(
                    name,
                    say("{value} must be an amount of memory, like 4G", value=shorten(value)),
                )
            return parse_memory(value, name, whole=whole)  # type: ignore[arg-type] # text or a number
        if not (short or number or isinstance(value, timedelta)):
            raise _wrong(
                name,
                say("{value} must be a length of time, like 08:00:00", value=shorten(value)),
            )
        return parse_duration(value, name)  # type: ignore[arg-type] # text, a number, a timedelta
    if not isinstance(value, str) or CONTROL.search(value):
        raise _wrong(name, say("{value} must be text on one line", value=shorten(value)))
    return value


def _read_count(value: object, name: str) -> int:
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,15}\s*", value, re.ASCII):
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 10**15:
        raise _wrong(name, say("{value} must be a whole number", value=shorten(value)))
    return value


def format_value(kind: Kind, value: Value) -> int | bool | str:
    """Return a value as people write it in a form, and as a REST body and the database have it."""
    if isinstance(value, timedelta):
        return format_duration(value)
    if kind == "memory" and isinstance(value, int) and value % 1024 == 0:
        return format_memory(value)
    return value


def shorten(value: object) -> str:
    """Return what somebody has sent as text for a message: short, however long it is."""
    if isinstance(value, int) and abs(value) >= 10**30:
        return f"a number of {value.bit_length()} bits"  # str() of a longer one raises
    if isinstance(value, list | tuple | dict):
        return "an object" if isinstance(value, dict) else "a list"  # repr() of a deep one raises
    return repr(value) if len(repr(value)) <= _LONGEST_SHOWN else f"{repr(value)[:_LONGEST_SHOWN]}…"


def _wrong(name: str, problem: Text) -> InvalidJobError:
    return InvalidJobError(of_field(name, problem))
