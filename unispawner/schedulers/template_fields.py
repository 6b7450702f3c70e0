"""What a JobSpec is in a template's words: ``{queue}``, ``{nprocs}``, ``{memory}`` and so on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from ..errors import InvalidJobError
from ..job import JobSpec
from ..units import MEMORY_UNITS, divide_up, format_duration, whole_seconds
from .template_dialect import UNITS, Dialect

CARRIES: Mapping[str, tuple[str, ...]] = {
    "queue": ("queue_name",),
    "partition": ("queue_name",),
    "account": ("account",),
    "reservation": ("reservation_id",),
    "runtime": ("duration",),
    "nprocs": ("cpu_cores_per_process", "process_count", "processes_per_node"),
    "memory": ("memory",),
    "ngpus": ("gpu_cores_per_process",),
    "gres": ("gpu_cores_per_process",),
}
"""For a field of a template, the fields of ResourceSpec and JobSpec that it expresses."""
OURS = frozenset({"cmd", "log", "script", "username", "homedir", "keepvars", "job_id"})
"""Fields that are never an administrator's to set."""
TEXTS = frozenset({"cmd", "options", "srun", "prologue", "epilogue"})
"""Fields that are several words, or lines of shell: written as they are."""
EMPTY = frozenset({"options", "srun", "host", "cluster", "qos"})
"""Fields that batchspawner's templates know, and that are empty unless something is said."""
KEEPVARS = "HOME,LANG,LOGNAME,PATH,SHELL,USER"
"""Names only, and all that there is: the submit command's environment is a login's, and no secret.

The server's environment is in its private file. OpenPBS refuses a name that isn't set.
"""
_WORD = re.compile(r"[\w@%+=:,./][\w@%+=:,./-]*", re.ASCII)
_BLOCK = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def mentioned(template: str) -> set[str]:
    """Return the words in a template's braces: its fields, and with Jinja what isn't one, too."""
    blocks = _BLOCK.findall(template) or re.findall(r"\{[^{}]*\}", template)
    return {name for block in blocks for name in _NAME.findall(block)}


def attributes(spec: JobSpec) -> dict[str, str]:
    """Return the custom attributes ``template.<field>``.

    Raises
    ------
    InvalidJobError
        For a list: a field has one value.
    """
    found: dict[str, str] = {}
    for name, value in spec.attributes_for("template"):
        if name in found:
            raise InvalidJobError(
                f"custom_attributes: template.{name}: a list can't be written into one field"
            )
        found[name] = str(value)
    return found


def asked(dialect: Dialect, spec: JobSpec) -> dict[str, str]:
    """Return the fields that a job fills by what it asks for; empty where it asks for nothing.

    Scripts are for one node. ``nprocs`` is all of its cores, those of each process together; a job
    has at least one.
    """
    resources, time = spec.resources, spec.duration
    gpus = resources.per_node * (resources.gpu_cores_per_process or 0)
    written = {
        "runtime": _time(dialect.fields.get("runtime", "{clock}"), time) if time else "",
        "memory": _memory(dialect.fields.get("memory", ""), resources.memory or 0),
        "gres": dialect.fields.get("gres", "").format(gpus=gpus) if gpus else "",
    }
    return {
        "queue": spec.queue_name,
        "partition": spec.queue_name,
        "account": spec.account,
        "reservation": spec.reservation_id,
        "nprocs": str(resources.per_node * (resources.cpu_cores_per_process or 1)),
        "ngpus": str(gpus or ""),
        **written,
    }


def _time(text: str, duration: timedelta) -> str:
    seconds = whole_seconds(duration)
    clock = format_duration(duration)
    return text.format(clock=clock, seconds=seconds, minutes=divide_up(seconds, 60))


def _memory(text: str, size: int) -> str:
    if not size:
        return ""
    units = {"kibibytes": "K", "mebibytes": "M", "gibibytes": "G"}
    amounts = {name: divide_up(size, MEMORY_UNITS[unit]) for name, unit in units.items()}
    return text.format(bytes=size, **amounts)


def fields(dialect: Dialect, spec: JobSpec, **more: str) -> dict[str, str]:
    """Return every field that a set's templates may name, with its text.

    Parameters
    ----------
    more
        What is not the job's to say: ``cmd``, ``log``, ``script``, ``username``, ``homedir``.

    Raises
    ------
    InvalidJobError
        For a value that is more than one plain word. So none is read as more than it is: not as
        another option, not as shell text, not as a brace of the template.
    """
    own = {name: text for name, text in dialect.fields.items() if name not in UNITS}
    said = asked(dialect, spec)
    values = {
        **dict.fromkeys(EMPTY, ""),
        **own,
        **{name: text for name, text in said.items() if text or name not in own},
        "name": spec.name,
        "prologue": spec.prologue,
        "epilogue": spec.epilogue,
        "keepvars": KEEPVARS,
        **attributes(spec),
        **more,
    }
    used = mentioned(dialect.script) | mentioned(dialect.submit)
    for name, value in values.items():
        if value and name in used - TEXTS and not _WORD.fullmatch(value):
            what = CARRIES.get(name, (f"template.{name}",))[0]
            raise InvalidJobError(
                f"{what}: {value!r} can't be written into a template: only letters, digits and "
                "@%+=:,./_- can, no blank and no quote; further options go into the custom "
                "attribute template.options"
            )
    return values
