"""A scheduler's options, as a script's directives and ``req_options`` hold them."""

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
    },
    "torque": {"q": "queue", "A": "account"},
    "pbs": {"q": "queue", "A": "account"},
    "gridengine": {"q": "queue", "P": "account"},
    "lsf": {"q": "queue", "P": "account", "W": "runtime"},
    "htcondor": {
        "request_cpus": "nprocs",
        "requestcpus": "nprocs",
        "request_memory": "memory",
        "requestmemory": "memory",
        "accounting_group": "account",
    },
}
"""Options that say the same as a field of batchspawner's."""

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
"""Options that don't go to the scheduler as they are: "ours" are the job's log, its environment and
the like, to which UniSpawner sees by itself."""


def parse_options(text: str, scheduler: str) -> list[Option]:
    """Read one line of options, or several of a submit description.

    Raises
    ------
    ValueError
        If it isn't options.
    """
    if scheduler == "htcondor":
        lines = [line.strip() for line in text.splitlines()]
        return [_command(line) for line in lines if line and not line.startswith("#")]
    words = shlex.split(text, comments=True)
    options: list[Option] = []
    while words:
        word = words.pop(0)
        value: str | bool
        if word.startswith("--"):
            name, equals, given = word[2:].partition("=")
            value = given if equals else _value(words)
        elif scheduler in ("gridengine", "lsf"):  # -pe smp 4
            name, value = word[1:], _value(words)
            while isinstance(value, str) and (more := _value(words)) is not True:
                value = f"{value} {more}"
        else:  # -Cgpu, -C gpu
            name = word[1:2]
            value = word[2:] or _value(words)
        if not word.startswith("-") or not _NAME.fullmatch(name):
            raise ValueError(f"{word!r} is no option")
        options.append((name, value))
    return options


def _value(words: list[str]) -> str | bool:
    """Take the value that follows an option, if one does: a number may be below zero."""
    if words and not re.match(r"-(?!\d)", words[0]):
        return words.pop(0)
    return True


def _command(line: str) -> Option:
    name, equals, value = (part.strip() for part in line.partition("="))
    if re.fullmatch(r"queue(\s+1)?", line, re.IGNORECASE):
        return "queue", True
    if not equals or not _NAME.fullmatch(name):
        raise ValueError(f"{line!r} is no command of a submit description")
    return (name if name.startswith("+") else name.lower()), value


def as_attributes(options: Iterable[Option], scheduler: str) -> dict[str, Attribute]:
    """Return options as UniSpawner's custom attributes; one that comes twice is a list."""
    found: dict[str, list[str | bool]] = {}
    for name, value in options:
        found.setdefault(f"{scheduler}.{name}", []).append(value)
    return {
        key: values[0] if len(values) == 1 or True in values else [str(one) for one in values]
        for key, values in found.items()
    }
