"""The fields of a template (``{queue}``, ``{nprocs}``, ``{memory}``), filled from a JobSpec."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from ..errors import InvalidJobError
from ..job import JobSpec
from ..units import MEMORY_UNITS, divide_up, format_duration, whole_seconds
from .template_dialect import UNITS, Dialect

EXPRESSES: Mapping[str, tuple[str, ...]] = {
    "queue": ("queue_name",),
    "partition": ("queue_name",),
    "account": ("account",),
    "reservation": ("reservation_id",),
    "runtime": ("duration",),
    "nprocs": ("cpu_cores_per_process", "process_count", "processes_per_node"),
    "memory": ("memory",),
    "ngpus": ("gpu_cores_per_process",),
    "gres": ("gpu_cores_per_process",),
    "gpu_type": ("gpu_type",),
    "constraint": ("constraint",),
    "qos": ("qos",),
}
"""For each field of a template, the fields of ResourceSpec and JobSpec that it expresses."""
RESERVED = frozenset({"cmd", "log", "script", "username", "homedir", "keepvars", "job_id"})
"""Fields that no custom attribute can set."""
FREE_TEXTS = frozenset({"cmd", "options", "srun", "prologue", "epilogue"})
"""Fields that may contain several words, or lines of shell; they are written as they are."""
OPTIONAL = frozenset({"options", "srun", "host", "cluster", "qos"})
"""Further fields of batchspawner's templates; they are empty unless a custom attribute is set."""
KEEPVARS = "HOME,LANG,LOGNAME,PATH,SHELL,USER"
"""The names of all variables in the submit command's environment, which has no secrets.

The server's environment is in its private file. OpenPBS refuses a name that is not set.
"""
_WORD = re.compile(r"[\w@%+=:,./][\w@%+=:,./-]*", re.ASCII)
_BLOCK = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def find_mentioned(template: str) -> set[str]:
    """Return the words in a template's braces: its fields, and in a Jinja template other words."""
    blocks = _BLOCK.findall(template) or re.findall(r"\{[^{}]*\}", template)
    return {name for block in blocks for name in _NAME.findall(block)}


def custom_fields(spec: JobSpec) -> dict[str, str]:
    """Return the custom attributes ``template.<field>``.

    Raises
    ------
    InvalidJobError
        If one of them is a list, because a field has only one value.
    """
    found: dict[str, str] = {}
    for name, value in spec.attributes_for("template"):
        if name in found:
            raise InvalidJobError(
                f"custom_attributes: template.{name}: a list can't be written into one field; give "
                "a single value"
            )
        found[name] = str(value)
    return found


def job_values(dialect: Dialect, spec: JobSpec) -> dict[str, str]:
    """Return the fields that express what a job asks for; a field is empty if it asks for nothing.

    A script is for one node. ``nprocs`` is the number of cores of all processes, and at least 1.
    """
    resources, time = spec.resources, spec.duration
    gpus = resources.per_node * (resources.gpu_cores_per_process or 0)
    written = {
        "runtime": _write_time(dialect.fields.get("runtime", "{clock}"), time) if time else "",
        "memory": _write_memory(dialect.fields.get("memory", ""), resources.memory or 0),
        "gres": dialect.fields.get("gres", "").format(gpus=gpus) if gpus else "",
    }
    return {
        "queue": spec.queue_name,
        "partition": spec.queue_name,
        "account": spec.account,
        "reservation": spec.reservation_id,
        "nprocs": str(resources.per_node * (resources.cpu_cores_per_process or 1)),
        "ngpus": str(gpus or ""),
        "gpu_type": resources.gpu_type,
        "constraint": resources.constraint,
        "qos": spec.qos,
        **written,
    }


def _write_time(text: str, duration: timedelta) -> str:
    seconds = whole_seconds(duration)
    clock = format_duration(duration)
    return text.format(clock=clock, seconds=seconds, minutes=divide_up(seconds, 60))


def _write_memory(text: str, size: int) -> str:
    if not size:
        return ""
    units = {"kibibytes": "K", "mebibytes": "M", "gibibytes": "G"}
    amounts = {name: divide_up(size, MEMORY_UNITS[unit]) for name, unit in units.items()}
    return text.format(bytes=size, **amounts)


def all_fields(dialect: Dialect, spec: JobSpec, **more: str) -> dict[str, str]:
    """Return every field that a set's templates may name, with its text.

    Parameters
    ----------
    more
        Fields that the job does not define: ``cmd``, ``log``, ``script``, ``username``,
        ``homedir``.

    Raises
    ------
    InvalidJobError
        If a value is not one plain word. So no value can be read as another option, as shell text,
        or as a brace of the template.
    """
    own = {name: text for name, text in dialect.fields.items() if name not in UNITS}
    asked = job_values(dialect, spec)
    values = {
        **dict.fromkeys(OPTIONAL, ""),
        **own,
        **{name: text for name, text in asked.items() if text or name not in own},
        "name": spec.name,
        "prologue": spec.prologue,
        "epilogue": spec.epilogue,
        "keepvars": KEEPVARS,
        **custom_fields(spec),
        **more,
    }
    used = find_mentioned(dialect.script) | find_mentioned(dialect.submit)
    for name, value in values.items():
        if value and name in used - FREE_TEXTS and not _WORD.fullmatch(value):
            what = EXPRESSES.get(name, (f"template.{name}",))[0]
            raise InvalidJobError(
                f"{what}: {value!r} can't be written into a template. Use letters, digits and "
                "@%+=:,./_- only, without blanks and quotes. Further options belong in the custom "
                "attribute template.options."
            )
    return values
