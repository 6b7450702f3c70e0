"""The old configuration: what it sets, and what each of its spawners reads of that."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from traitlets.config import Config, Configurable
from traitlets.config.loader import LazyConfigValue, PyFileConfigLoader
from traitlets.utils.importstring import import_item

from ...errors import InvalidJobError

SCHEDULERS: Mapping[str, str] = {
    "TorqueSpawner": "torque",
    "MoabSpawner": "torque",
    "PBSSpawner": "pbs",
    "SlurmSpawner": "slurm",
    "MultiSlurmSpawner": "slurm",
    "GridengineSpawner": "gridengine",
    "CondorSpawner": "htcondor",
    "LsfSpawner": "lsf",
}
"""The scheduler of each of batchspawner's classes; its base classes have none."""

NAMES = (
    *SCHEDULERS,
    *("BatchSpawnerBase", "BatchSpawnerRegexStates", "UserEnvMixin", "JobStatus"),
    *("format_template", "WrapSpawner", "ProfilesSpawner"),
)
"""What unispawner has in place of batchspawner's and wrapspawner's, under the same names."""

_HOMES = ("unispawner.legacy", "unispawner.profiles.spawner")
MODULES = (
    *("batchspawner", "batchspawner.batchspawner", "batchspawner.api"),
    *("wrapspawner", "wrapspawner.wrapspawner"),
)


def legacy(name: str) -> Any:
    """Return what unispawner has in place of a name of batchspawner's or wrapspawner's, or None."""
    if name not in NAMES:
        return None
    found = (getattr(import_module(home), name, None) for home in _HOMES)
    return next((one for one in found if one is not None), None)


class _StandIn(ModuleType):
    """batchspawner or wrapspawner, with unispawner's classes."""

    __path__: list[str] = []
    __all__ = list(NAMES)

    def __getattr__(self, name: str) -> Any:
        found = legacy(name)
        if found is None:
            raise AttributeError(f"unispawner has no {name} in place of {self.__name__}'s")
        return found


@contextmanager
def _modules(replaced: Mapping[str, ModuleType | None]) -> Iterator[None]:
    before = {name: sys.modules[name] for name in replaced if name in sys.modules}
    sys.modules.update(replaced)  # type: ignore[arg-type]  # None: that import fails
    try:
        yield
    finally:
        for name in replaced:
            sys.modules.pop(name, None)
        sys.modules.update(before)


def load(path: Path, *, stand_ins: bool, beside: Path | None = None) -> Config:
    """Run a configuration file as JupyterHub does.

    Parameters
    ----------
    stand_ins
        True lets it import batchspawner and wrapspawner, which need not be here; False lets it
        import neither, even if they are.
    beside
        The folder where files that it loads are; its own by default.

    Raises
    ------
    InvalidJobError
        For whatever the file raises, with the line.
    """
    modules = {name: _StandIn(name) if stand_ins else None for name in MODULES}
    loader = PyFileConfigLoader(str(path.absolute()), str(beside or path.absolute().parent))
    try:
        # What it prints is not ours to put among a report, or a configuration.
        with _modules(modules), redirect_stdout(sys.stderr):
            config: Config = loader.load_config()
            return config
    except (Exception, SystemExit) as error:  # the file is a program
        line = getattr(error, "lineno", None) or _line(error.__traceback__, loader.full_filename)
        raise InvalidJobError(
            f"{path}{f', line {line}' if line else ''}: {type(error).__name__}: {error}"
        ) from None


def _line(trace: TracebackType | None, file: str) -> int | None:
    """Return the line of a file at which something was raised, or was called that raised."""
    line = None
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == file else line
        trace = trace.tb_next
    return line


@dataclass(frozen=True)
class SpawnerClass:
    """A spawner's class as a configuration names it.

    Attributes
    ----------
    cls
        The class, or ours in its place; None if it is not here.
    """

    name: str
    cls: type | None

    @classmethod
    def of(cls, value: object) -> SpawnerClass:
        """Return the class that a configuration's value stands for."""
        if isinstance(value, type):
            return cls(value.__name__, value)
        name = str(value)
        module, _, last = name.rpartition(".")
        if module.partition(".")[0] in ("batchspawner", "wrapspawner", "unispawner"):
            return cls(last, legacy(last))
        try:
            with _modules({one: _StandIn(one) for one in MODULES}):
                return cls(name, import_item(name) if module else None)
        except Exception:  # whatever a module of the site's raises; it is looked into no further
            return cls(name, None)

    @property
    def is_legacy(self) -> bool:
        """True for one of batchspawner's or wrapspawner's own classes, and no site's subclass."""
        return self.cls is not None and self.cls is legacy(self.cls.__name__)

    def derives_from(self, name: str) -> bool:
        """Return whether it is one of those that a class of batchspawner's is the base of."""
        return self.cls is not None and issubclass(self.cls, legacy(name))

    @property
    def scheduler(self) -> str:
        """The scheduler, if it is one of batchspawner's own classes that has one; else empty."""
        return SCHEDULERS.get(self.name, "") if self.is_legacy else ""


@dataclass(frozen=True)
class Found:
    """A setting that was found.

    Attributes
    ----------
    section
        The class for which it is set; empty in a profile.
    origin
        How a person finds it: ``c.SlurmSpawner.req_memory``, ``profile "gpu": req_memory``.
    expression
        What gives its value in the old file.
    """

    name: str
    value: Any
    section: str
    origin: str
    expression: str


class Settings:
    """What a spawner reads of a configuration, with traitlets' inheritance.

    Attributes
    ----------
    own
        What is set for a class of batchspawner's, or in the profile.
    general
        What is set for all spawners.
    beaten
        Settings that another one beats.
    """

    def __init__(self, cls: Any, config: Config, profile: Iterable[Found] = ()) -> None:
        self.cls = cls
        self.own: dict[str, Found] = {}
        self.general: dict[str, Found] = {}
        self.beaten: list[tuple[Found, Found]] = []
        base = legacy("BatchSpawnerBase")
        for one in reversed(cls.__mro__):
            section = one.__name__
            if issubclass(one, Configurable) and section in config:
                into = self.own if issubclass(one, base) else self.general
                for name, value in config[section].items():
                    origin = f"c.{section}.{name}"
                    self._add(into, Found(name, value, section, origin, origin))
        for found in profile:
            self._add(self.own, found)

    def _add(self, into: dict[str, Found], found: Found) -> None:
        before = into.get(found.name)
        if isinstance(found.value, LazyConfigValue):  # c.SlurmSpawner.args.append(…)
            trait = self.cls.class_traits().get(found.name)
            initial = before.value if before else trait.default() if trait else None
            found = replace(found, value=found.value.get_value(initial))
        elif before:
            self.beaten.append((before, found))
        into[found.name] = found

    def find(self, name: str) -> Found | None:
        """Return what counts for a setting; None if nothing sets it."""
        return self.own.get(name) or self.general.get(name)

    def default(self, name: str) -> Any:
        """Return batchspawner's default of a trait."""
        return self.cls.class_traits()[name].default_value
