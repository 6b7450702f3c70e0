"""What a job is: plain data that crosses every boundary as JSON.

The names of fields are PSI/J's. Nothing here depends on JupyterHub, PSI/J or a scheduler.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from enum import Enum
from typing import Any

from .errors import InvalidJobError
from .units import parse_duration, parse_memory

CONTROL = re.compile(r"[\x00-\x1f\x7f\x80-\x9f\u2028\u2029]")
"""Characters that no directive may contain: a line break would begin another directive."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_ATTRIBUTE = re.compile(r"[A-Za-z_]+\.[A-Za-z0-9+][A-Za-z0-9_.+-]*", re.ASCII)
SEARCH_PATHS = frozenset({"PATH", "LD_LIBRARY_PATH", "PYTHONPATH"})
"""Variables with the folders of programs and libraries: the Hub's own are wrong in a job."""
_GPU_TYPE = re.compile(r"(?:shard:)?\w[\w.+-]*(?: [\w.+-]+)*", re.ASCII)
_CONSTRAINT = re.compile(r"[\w.:=+@/&|,()\[\]*!-]+", re.ASCII)
LONGEST_NEED = 200
"""How many characters a type of GPU, or a constraint, may have."""
_READ_ONLY_VARIABLES = {"BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"}

HUB_ID = "[a-z0-9]{1,15}"
"""The id of a Hub, as a regular expression.

No scheduler's dialect gives these characters a meaning, or changes them. With the rest, a mark has
at most 32 characters, the width of a column in the Hub's database.
"""
MARK = rf"(?:{HUB_ID}-)?[0-9a-f]{{16}}"
"""A job's mark, as a regular expression: the Hub's id and the start's id (see :func:`make_mark`).

Marks of older releases, of the legacy classes, and of a Hub without an id have no Hub id.
"""
MARK_VARIABLE = "UNISPAWNER_MARK"
"""The environment variable that holds a job's mark, where the scheduler has no comment for it."""

_MOMENTS = ("estimated_start", "start_time", "estimated_end")

LONGEST_SIGNAL = 65535
"""The most seconds before a job's end at which it can be announced (sbatch(1), --signal)."""

Attribute = str | int | float | bool | list[str | int | float]
"""The value of a custom attribute.

True writes the option without a value, False leaves it out, also if it is one that unispawner
writes itself (:meth:`.schedulers.base.Scheduler.omittable`), and a list repeats it.
"""


class JobState(str, Enum):
    """The states of a job, whatever its own scheduler calls them."""

    QUEUED = "QUEUED"
    HELD = "HELD"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    UNKNOWN = "UNKNOWN"

    @property
    def final(self) -> bool:
        """True if a job in this state has ended and can't run again."""
        return self in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELED)


@dataclass(frozen=True)
class JobInfo:
    """What a scheduler says about a job.

    Attributes
    ----------
    owner
        The account of the job, according to the scheduler; the job counts only if it is the right
        one.
    state, native_state
        The state, and the scheduler's own word for it.
    message
        Why the job waits or ended, in plain words; empty if the scheduler gives no reason.
    exit_code
        The exit code of an ended job; None if unknown.
    exec_host
        The scheduler's name of the (first) node; empty before the job has one.
    queue_position
        The job's place among the jobs that wait for the same queue; 1 is the next one to start.
    estimated_start, start_time, estimated_end
        Moments in seconds since the epoch; the first while the job waits, the others while it runs.
        A moment after the year 2242 becomes None, because users can set HTCondor's.
    ending
        True if the scheduler is ending the job, and the job will not run again by itself.
    stuck
        True if the job has an error and will not run until somebody corrects it, but the scheduler
        keeps it, like Grid Engine's Eqw and HTCondor's held jobs. For a server this is a failure.
    """

    owner: str
    state: JobState
    message: str = ""
    exit_code: int | None = None
    exec_host: str = ""
    queue_position: int | None = None
    estimated_start: float | None = None
    start_time: float | None = None
    estimated_end: float | None = None
    native_state: str = ""
    ending: bool = False
    stuck: bool = False

    def __post_init__(self) -> None:
        for name in _MOMENTS:
            moment = getattr(self, name)
            if moment is not None and not abs(moment) < 2**33:
                object.__setattr__(self, name, None)  # no page could show it

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-serialisable data."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


@dataclass(frozen=True)
class ResourceSpec:
    """What a job needs from the cluster. For a field that is None the site's default applies.

    ``memory`` is the total of the job in bytes, as in PSI/J; 0 (``units.WHOLE``) means all of the
    nodes' memory. ``gpu_cores_per_process`` is the number of GPUs for each process, and
    ``gpu_type`` the scheduler's name of their type; with 0 GPUs it means nothing and becomes empty.
    ``constraint`` names features that the nodes must have, as in ``"avx512&ib"``.

    Raises
    ------
    InvalidJobError
        If a number is too low, or if the counts contradict each other.
    """

    node_count: int | None = None
    process_count: int | None = None
    processes_per_node: int | None = None
    cpu_cores_per_process: int | None = None
    gpu_cores_per_process: int | None = None
    memory: int | None = None
    exclusive_node_use: bool = False
    gpu_type: str = ""
    constraint: str = ""

    def __post_init__(self) -> None:
        self._check_needs()
        for name in _COUNTS:
            value = getattr(self, name)
            lowest = 0 if name in ("gpu_cores_per_process", "memory") else 1
            if value is not None and not (_is_int(value) and lowest <= value < 2**53):
                raise InvalidJobError(
                    f"{name}: {value!r} must be a whole number of at least {lowest}"
                )
        if not isinstance(self.exclusive_node_use, bool):
            raise InvalidJobError(
                f"exclusive_node_use: {self.exclusive_node_use!r} must be True or False"
            )
        nodes, processes, per_node = self.node_count, self.process_count, self.processes_per_node
        contradicts = (
            processes != (nodes or processes // per_node) * per_node
            if processes and per_node
            else bool(processes and nodes and processes % nodes)
        )
        if contradicts:
            raise InvalidJobError(
                f"process_count: {processes} must be node_count ({nodes}) times "
                f"processes_per_node ({per_node}); change one of the three"
            )

    def _check_needs(self) -> None:
        """Check the text that is written into directives: no other directive fits into it."""
        for name in ("gpu_type", "constraint"):
            if getattr(self, name) is None or (name, self.gpu_cores_per_process) == ("gpu_type", 0):
                object.__setattr__(self, name, "")
        for name, pattern, rule in (
            ("gpu_type", _GPU_TYPE, "letters, digits and _.+-, as in a100 or a100_3g.20gb"),
            ("constraint", _CONSTRAINT, "letters, digits and _.:=+@/&|,()[]*!-, as in avx512&ib"),
        ):
            value = getattr(self, name)
            if value == "":
                continue
            long = isinstance(value, str) and len(value) > LONGEST_NEED
            if long or not isinstance(value, str) or not pattern.fullmatch(value):
                shown = repr(value[:40] + "…" if long else value)
                raise InvalidJobError(
                    f"{name}: {shown} must have at most {LONGEST_NEED} characters, and only {rule}"
                )

    @property
    def nodes(self) -> int:
        """The number of nodes, as set or inferred from the processes; 1 by default."""
        if self.node_count:
            return self.node_count
        if self.process_count and self.processes_per_node:
            return self.process_count // self.processes_per_node
        return 1

    @property
    def per_node(self) -> int:
        """The number of processes on each node, as set or inferred; 1 by default."""
        if self.processes_per_node:
            return self.processes_per_node
        return (self.process_count or self.nodes) // self.nodes

    @property
    def processes(self) -> int:
        """The total number of processes, as set or inferred; 1 by default."""
        return self.process_count or self.nodes * self.per_node

    @property
    def cores(self) -> int:
        """The total number of cores; each process has 1 by default."""
        return self.processes * (self.cpu_cores_per_process or 1)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ResourceSpec:
        """Return the resources in a mapping of a configuration.

        ``memory`` may be ``"4G"``, or ``"all"`` for all of the nodes' memory. Instead of it there
        may be ``memory_per_core``.

        Raises
        ------
        InvalidJobError
            If a key is unknown, or if a value is wrong.
        """
        _check_keys(cls, data, "resources", PER_CORE)
        values = dict(data)
        per_core = values.pop(PER_CORE, None)
        if values.get("memory") is not None:
            if per_core is not None:
                raise InvalidJobError(
                    f"{PER_CORE}: {per_core!r}, and memory is set, too ({values['memory']!r}); set "
                    "only one of the two"
                )
            values["memory"] = parse_memory(values["memory"], whole=True)
        spec = cls(**values)
        if per_core is None:
            return spec
        return replace(spec, memory=parse_memory(per_core, PER_CORE) * spec.cores)


PER_CORE = "memory_per_core"
"""The key that says in a configuration how much memory each core has. A job has only the total."""


def merge_resources(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return resources as a configuration has them, where later layers override earlier ones.

    ``memory`` of one layer also overrides ``memory_per_core`` of an earlier one, and the reverse.
    """
    result: dict[str, Any] = {}
    for layer in layers:
        for one, other in (("memory", PER_CORE), (PER_CORE, "memory")):
            if layer.get(one) is not None and other not in layer:
                result.pop(other, None)
        result.update(layer)
    return result


_COUNTS = tuple(f.name for f in fields(ResourceSpec) if f.type == "int | None")


def make_mark(hub_id: str, now: float) -> str:
    """Return a new mark for a job that a Hub starts now.

    The start's id has 16 hexadecimal digits: the time in seconds, and 8 random digits. So everybody
    who sees a mark knows how old the start is, whatever its scheduler says. No mark is a secret.

    Parameters
    ----------
    hub_id
        The id of the Hub; empty if it has none.
    now
        The time in seconds since the epoch.
    """
    start = f"{int(now) % 2**32:08x}{secrets.token_hex(4)}"
    return f"{hub_id}-{start}" if hub_id else start


def hub_of_mark(mark: str) -> str:
    """Return the id of the Hub in a mark; empty if it has none."""
    return mark.rpartition("-")[0]


def start_of_mark(mark: str) -> float:
    """Return when the start of a mark with a Hub id began, in seconds since the epoch."""
    return float(int(mark.rpartition("-")[2][:8], 16))


def is_mark(value: object) -> bool:
    """Return whether a value is a mark."""
    return isinstance(value, str) and re.fullmatch(MARK, value) is not None


def probe_file(mark: str) -> str:
    """Return the name of the file that the doctor's probe makes in the home of its account."""
    return f".unispawner-probe-{mark}"


@dataclass(frozen=True)
class JobSpec:
    """A job to submit.

    ``environment`` contains secrets: it is written into a private file of the user and nowhere
    else. ``custom_attributes`` look like ``{"slurm.qos": "high"}``; as in PSI/J, those of other
    schedulers are ignored. ``prologue`` and ``epilogue`` are shell commands that run before and
    after the server. By its ``mark`` a job is found if the answer to its submission was lost. An
    empty ``directory`` means the user's home. ``signal_before_end`` is how many seconds before its
    end the scheduler should announce it with a signal; 0 means never.

    Raises
    ------
    InvalidJobError
        If a value can't be written into a job's script; the message names the field.
    """

    name: str = "jupyter"
    executable: str = ""
    arguments: tuple[str, ...] = ()
    directory: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    stdout_path: str = ""
    resources: ResourceSpec = field(default_factory=ResourceSpec)
    duration: timedelta | None = None
    queue_name: str = ""
    account: str = ""
    reservation_id: str = ""
    qos: str = ""
    custom_attributes: Mapping[str, Attribute] = field(default_factory=dict)
    prologue: str = ""
    epilogue: str = ""
    mark: str = ""
    signal_before_end: int = 0

    def __post_init__(self) -> None:
        for name in (*_LINES, *_TEXTS):
            if getattr(self, name) is None:  # PSI/J uses None for what is not set
                object.__setattr__(self, name, "")
        object.__setattr__(self, "arguments", tuple(self.arguments))
        for name in _LINES:
            _check_line(name, getattr(self, name))
        for name in _TEXTS:
            _check_text(name, getattr(self, name))
        for argument in self.arguments:
            _check_text("arguments", argument)
        if not self.name:
            raise InvalidJobError("name: it is empty, but a job needs a name")
        if self.mark and not is_mark(self.mark):
            raise InvalidJobError(
                f"mark: {self.mark!r} must be 16 hexadecimal digits, perhaps "
                "behind a Hub's id and a hyphen"
            )
        if not _is_int(self.signal_before_end) or not 0 <= self.signal_before_end <= LONGEST_SIGNAL:
            raise InvalidJobError(
                f"signal_before_end: {self.signal_before_end!r} must be a whole number of seconds "
                f"from 0 to {LONGEST_SIGNAL}"
            )
        _check_environment(self.environment)
        for key, value in self.custom_attributes.items():
            _check_attribute(key, value)

    def attributes_for(self, scheduler: str) -> list[tuple[str, Attribute]]:
        """Return the custom attributes of one scheduler, without its prefix.

        A list becomes several pairs with the same key; an attribute that is False is left out.
        """
        result: list[tuple[str, Attribute]] = []
        for key, value in self.custom_attributes.items():
            prefix, _, name = key.partition(".")
            if prefix.lower() == scheduler and value is not False:
                values = value if isinstance(value, list) else [value]
                result += [(name, one) for one in values]
        return result

    def left_out(self, scheduler: str) -> frozenset[str]:
        """Return the options of one scheduler whose attribute is False: no directive is written."""
        names = [key for key, value in self.custom_attributes.items() if value is False]
        pairs = [name.partition(".") for name in names]
        return frozenset(name for prefix, _, name in pairs if prefix.lower() == scheduler)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-serialisable data, with the environment and so with secrets."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> JobSpec:
        """Return the job in data of :meth:`to_dict`; every field is checked again.

        Raises
        ------
        InvalidJobError
            If a key is unknown, or if a value is wrong.
        """
        _check_keys(cls, data, "job")
        values = dict(data)
        for name, kind in _CONTAINERS.items():
            values[name] = values.get(name) or kind()
            if not isinstance(values[name], kind):
                raise InvalidJobError(f"{name}: it must be of type {kind.__name__}")
        resources = values["resources"]
        _check_keys(ResourceSpec, resources, "resources")
        values["resources"] = ResourceSpec(**resources)
        if values.get("duration") is not None:
            values["duration"] = _read_seconds(values["duration"])
        return cls(**values)


_CONTAINERS = {"arguments": list, "environment": dict, "custom_attributes": dict, "resources": dict}
"""The types of the fields that are not texts or numbers, in data of JSON."""
_TEXTS = ("prologue", "epilogue")
"""Text of several lines."""
_LINES = tuple(f.name for f in fields(JobSpec) if f.type == "str" and f.name not in _TEXTS)
"""All other text: each is a part of one line of the job's script, where a line break would begin
another directive."""


def _read_seconds(value: Any) -> timedelta:
    try:
        return parse_duration(timedelta(seconds=float(value)))
    except (TypeError, ValueError, OverflowError):
        raise InvalidJobError("duration: it must be a number of seconds") from None


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, ResourceSpec):
        return {f.name: getattr(value, f.name) for f in fields(value)}
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def _check_keys(cls: type, data: Mapping[str, Any], what: str, *more: str) -> None:
    known = {*(f.name for f in fields(cls)), *more}
    unknown = sorted(str(key) for key in data if key not in known)
    if unknown:
        raise InvalidJobError(
            f"{what}: unknown key {', '.join(map(repr, unknown))}; known keys: "
            f"{', '.join(sorted(known))}"
        )


def _is_text(value: object) -> bool:
    """Return whether a value is text that can be written into a file and read by a shell."""
    try:
        return isinstance(value, str) and b"\0" not in value.encode()
    except UnicodeEncodeError:  # bytes in the Hub's environment that are not UTF-8
        return False


def _check_text(name: str, value: object) -> None:
    if not _is_text(value):
        raise InvalidJobError(f"{name}: {value!r} must be text without NUL characters")


def _check_line(name: str, value: object) -> None:
    _check_text(name, value)
    if CONTROL.search(str(value)):
        raise InvalidJobError(
            f"{name}: {value!r} must not contain line breaks or control characters"
        )


def is_variable(name: object) -> bool:
    """Return whether a shell can set and export a variable of that name."""
    return bool(_VARIABLE.fullmatch(str(name))) and name not in _READ_ONLY_VARIABLES


def _check_environment(environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        if not is_variable(name):
            raise InvalidJobError(
                f"environment: {name!r} is not the name of a variable that a shell can set"
            )
        if not _is_text(value):
            # The value may be a secret, so that only the variable is named.
            raise InvalidJobError(
                f"environment: the value of {name} must be text without NUL characters"
            )


def _check_attribute(key: str, value: Attribute) -> None:
    if not isinstance(key, str) or not _ATTRIBUTE.fullmatch(key):
        raise InvalidJobError(
            f"custom_attributes: {key!r} must be SCHEDULER.OPTION, like slurm.qos"
        )
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str):
            _check_line(f"custom_attributes[{key!r}]", one)
        elif not isinstance(one, bool | int | float):
            raise InvalidJobError(
                f"custom_attributes[{key!r}]: {one!r} must be text, a number, True or False"
            )
