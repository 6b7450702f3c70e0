"""A scheduler's options, as the directives of a script and ``req_options`` hold them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping

from ...job import Attribute

Option = tuple[str, str | bool]
"""An option's name without dashes, and its value; True if it has none."""

_NAME = re.compile(r"[A-Za-z0-9+][A-Za-z0-9_.+-]*", re.ASCII)

PREFIXES: Mapping[str, str] = {
    "slurm": "#SBATCH",
    "torque": "#PBS",
    "pbs": "#PBS",
    "gridengine": "#$",
    "lsf": "#BSUB",
}
"""What begins a directive; HTCondor's submit description is nothing but directives."""

FIELDS: Mapping[str, Mapping[str, str]] = {
    "slurm": {
        "partition": "partition",
        "p": "partition",
        "time": "runtime",
        "t": "runtime",
        "mem": "memory",
        "cpus-per-task": "nprocs",
        "c": "nprocs",
        "gres": "gres",
        "account": "account",
        "A": "account",
        "reservation": "reservation",
        "qos": "qos",
        "q": "qos",
        "clusters": "cluster",
        "M": "cluster",
    },
    "torque": {"q": "queue", "A": "account"},
    "pbs": {"q": "queue", "A": "account"},
    "gridengine": {"q": "queue", "P": "account"},
    "lsf": {"q": "queue", "P": "account", "W": "runtime", "n": "nprocs"},
    "htcondor": {
        "request_cpus": "nprocs",
        "requestcpus": "nprocs",
        "request_memory": "memory",
        "requestmemory": "memory",
        "request_gpus": "ngpus",
        "requestgpus": "ngpus",
        "accounting_group": "account",
    },
}
"""Options that ask for the same as a field of batchspawner's."""

_SIMILAR: Mapping[str, Mapping[str, str]] = {
    "slurm": {
        **dict.fromkeys(("gpus", "G", "gpus-per-node", "gpus-per-task"), "ngpus"),
        **dict.fromkeys(("mem-per-cpu", "mem-per-gpu"), "memory"),
    },
    "gridengine": {"pe": "nprocs"},
}
"""Options that ask for what a field is about, but in another way."""

_RESOURCES: Mapping[str, str] = {
    **dict.fromkeys(("h_rt", "s_rt"), "runtime"),
    **dict.fromkeys(("h_vmem", "s_vmem", "mem_free", "virtual_free", "h_rss"), "memory"),
    **dict.fromkeys(("gpu", "gpus", "ngpus"), "ngpus"),
}
"""What Grid Engine's ``-l`` asks for, by the usual names of resources."""

KINDS: Mapping[str, Mapping[str, str]] = {
    "slurm": {
        **dict.fromkeys(("job-name", "J"), "name"),
        **dict.fromkeys(("chdir", "D", "workdir"), "directory"),
        **dict.fromkeys(("output", "o", "error", "e", "open-mode", "export"), "ours"),
        **dict.fromkeys(("uid", "gid", "get-user-env"), "ours"),
    },
    "torque": {
        "N": "name",
        "d": "directory",
        "S": "shell",
        **dict.fromkeys("oejkvV", "ours"),
    },
    "pbs": {"N": "name", "S": "shell", **dict.fromkeys("oejkvV", "ours")},
    "gridengine": {
        "N": "name",
        "wd": "directory",
        "cwd": "ours",
        "S": "shell",
        **dict.fromkeys("oejvV", "ours"),
    },
    "lsf": {
        "J": "name",
        "cwd": "directory",
        "L": "shell",
        **dict.fromkeys(("o", "oo", "e", "eo", "env"), "ours"),
    },
    "htcondor": {
        "executable": "command",
        "arguments": "command",
        **dict.fromkeys(("initialdir", "remote_initialdir"), "directory"),
        **dict.fromkeys(("output", "error", "log", "getenv", "environment"), "ours"),
        **dict.fromkeys(("universe", "queue", "shouldtransferfiles"), "ours"),
        "should_transfer_files": "ours",
    },
}
"""Options that don't go to the scheduler as they are. "ours" are the job's log, its environment and
the like: UniSpawner sets these itself."""


def parse_options(text: str, scheduler: str) -> list[Option]:
    """Read one line of options, or several lines of a submit description.

    Raises
    ------
    ValueError
        If the text is something else.
    """
    if scheduler == "htcondor":
        lines = [line.strip() for line in text.splitlines()]
        return [_parse_command(line) for line in lines if line and not line.startswith("#")]
    words = shlex.split(text, comments=True)
    options: list[Option] = []
    while words:
        word = words.pop(0)
        value: str | bool
        if word.startswith("--"):
            name, equals, given = word[2:].partition("=")
            value = given if equals else _take_value(words)
        elif scheduler in ("gridengine", "lsf"):  # -pe smp 4
            name, value = word[1:], _take_value(words)
            while isinstance(value, str) and (more := _take_value(words)) is not True:
                value = f"{value} {more}"
        else:  # -Cgpu, -C gpu
            name = word[1:2]
            value = word[2:] or _take_value(words)
        if not word.startswith("-") or not _NAME.fullmatch(name):
            raise ValueError(f"{word!r} is not an option")
        options.append((name, value))
    return options


def _take_value(words: list[str]) -> str | bool:
    """Take the value that follows an option, if there is any; it may be a number below zero."""
    if words and not re.match(r"-(?!\d)", words[0]):
        return words.pop(0)
    return True


def _parse_command(line: str) -> Option:
    name, equals, value = (part.strip() for part in line.partition("="))
    if re.fullmatch(r"queue(\s+1)?", line, re.IGNORECASE):
        return "queue", True
    if not equals or not _NAME.fullmatch(name):
        raise ValueError(f"{line!r} is not a command of a submit description")
    return (name if name.startswith("+") else name.lower()), value


def write_option(option: Option, scheduler: str) -> str:
    """Return an option as a person writes it."""
    name, value = option
    if scheduler == "htcondor":
        return name if value is True else f"{name} = {value}"
    if scheduler == "slurm" and len(name) > 1:
        return f"--{name}" if value is True else f"--{name}={value}"
    return f"-{name}" if value is True else f"-{name} {value}"


def find_fields(option: Option, scheduler: str) -> set[str]:
    """Return the fields of batchspawner's that are about what an option asks for."""
    name, value = option
    fields = {table[scheduler].get(name, "") for table in (FIELDS, _SIMILAR) if scheduler in table}
    if scheduler == "gridengine" and name == "l":
        resources = (one.partition("=")[0].strip() for one in str(value).split(","))
        fields |= {_RESOURCES.get(resource, "") for resource in resources}
    return fields - {""}


def write_attributes(options: Iterable[Option], scheduler: str) -> dict[str, Attribute]:
    """Return options as UniSpawner's custom attributes; a repeated option becomes a list."""
    found: dict[str, list[str | bool]] = {}
    for name, value in options:
        found.setdefault(f"{scheduler}.{name}", []).append(value)
    return {
        key: values[-1] if len(values) == 1 or True in values else [str(one) for one in values]
        for key, values in found.items()
    }
