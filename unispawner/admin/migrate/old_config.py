"""What the old configuration sets: the class of a spawner, and all settings that it reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from traitlets.config import Config, Configurable
from traitlets.config.loader import LazyConfigValue
from traitlets.utils.importstring import import_item

from ...legacy import BatchSpawnerBase
from ...schedulers import scheduler_class
from ..config_file import OLD_PACKAGES
from .load import stand_ins
from .names import counterpart
from .site_files import forget_modules

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


@dataclass(frozen=True)
class SpawnerClass:
    """The class of a spawner, as a configuration names it.

    Attributes
    ----------
    cls
        The class, or unispawner's counterpart; None if it can't be imported.
    why
        Why there is no class.
    """

    name: str
    cls: type | None
    why: str = ""

    @classmethod
    def from_value(cls, value: object) -> SpawnerClass:
        """Return the class that a configuration's value names."""
        if isinstance(value, type):
            return cls(value.__name__, value)
        name = str(value)
        module, _, last = name.rpartition(".")
        if module.partition(".")[0] in (*OLD_PACKAGES, "unispawner"):
            found = counterpart(last)
            return cls(last, found, "" if found else f"unispawner has no counterpart of {name}")
        if not module:  # an entry point of another spawner
            return cls(name, None)
        try:
            with stand_ins(), forget_modules():
                return cls(name, import_item(name))
        except (Exception, SystemExit) as error:  # a module of the site's may raise anything
            return cls(
                name, None, f"{name} can't be imported here: {type(error).__name__}: {error}"
            )

    @property
    def is_legacy(self) -> bool:
        """True for batchspawner's and wrapspawner's own classes, False for a site's subclass."""
        return self.cls is not None and self.cls is counterpart(self.cls.__name__)

    def derives_from(self, base: type) -> bool:
        """Return whether the class is known and is ``base`` or a subclass of it."""
        return self.cls is not None and issubclass(self.cls, base)

    @property
    def scheduler(self) -> str:
        """The scheduler of one of batchspawner's own classes; empty for every other class."""
        return SCHEDULERS.get(self.name, "") if self.is_legacy else ""


@dataclass(frozen=True)
class OldSetting:
    """A setting of the old file.

    Attributes
    ----------
    section
        The class for which it is set; empty in a profile.
    origin
        Its name for people: ``c.SlurmSpawner.req_memory``, ``profile "gpu": req_memory``.
    expression
        The Python expression that gives its value at the end of the old file.
    """

    name: str
    value: Any
    section: str
    origin: str
    expression: str

    @property
    def is_empty(self) -> bool:
        """True if the value says nothing."""
        return self.value is None or self.value in ("", [], {})


class SpawnerSettings:
    """All settings that one of batchspawner's own classes reads, with traitlets' inheritance.

    Attributes
    ----------
    own
        What is set for batchspawner's classes, or in the profile.
    general
        What is set for all spawners (``c.Spawner``).
    overridden
        Pairs of a setting and another of the same name that takes precedence.
    """

    def __init__(self, cls: Any, config: Config, profile: Iterable[OldSetting] = ()) -> None:
        self.cls = cls
        self.scheduler = SCHEDULERS[cls.__name__]
        self.title = scheduler_class(self.scheduler).title
        self.own: dict[str, OldSetting] = {}
        self.general: dict[str, OldSetting] = {}
        self.overridden: list[tuple[OldSetting, OldSetting]] = []
        for one in reversed(cls.__mro__):
            section = one.__name__
            if issubclass(one, Configurable) and section in config:
                into = self.own if issubclass(one, BatchSpawnerBase) else self.general
                for name, value in config[section].items():
                    origin = f"c.{section}.{name}"
                    self._add(into, OldSetting(name, value, section, origin, origin))
        for setting in profile:
            self._add(self.own, setting)

    def _add(self, into: dict[str, OldSetting], setting: OldSetting) -> None:
        before = into.get(setting.name)
        if isinstance(setting.value, LazyConfigValue):  # c.SlurmSpawner.args.append(…)
            trait = self.cls.class_traits().get(setting.name)
            initial = before.value if before else trait.default() if trait else None
            setting = replace(setting, value=setting.value.get_value(initial))
        elif before:
            self.overridden.append((before, setting))
        into[setting.name] = setting

    @property
    def recognized(self) -> dict[str, OldSetting]:
        """Those of ``own`` that batchspawner reads: it ignores a misspelt name.

        A profile's dictionary sets any trait, a configuration only those that are configurable.
        """
        every = self.cls.class_traits()
        configurable = self.cls.class_traits(config=True)
        return {
            name: setting
            for name, setting in self.own.items()
            if name in (configurable if setting.section else every)
        }

    def find(self, name: str) -> OldSetting | None:
        """Return the setting of this name that takes effect; None if nothing sets it."""
        return self.own.get(name) or self.general.get(name)

    def default(self, name: str) -> Any:
        """Return batchspawner's default of a trait."""
        return self.cls.class_traits()[name].default_value
