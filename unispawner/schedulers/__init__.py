"""Everything that is particular to one scheduler: commands, directives, parsers, settings.

The modules are pure and need the standard library only. Both sides of the user boundary import this
package, and it imports neither of them. The module of a scheduler defines one subclass of
:class:`~unispawner.schedulers.base.Scheduler` and names it ``SCHEDULER``. Where a scheduler needs
several modules, their names begin with its own: ``NAME_jobs``, ``NAME_inventory``.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ..errors import InvalidJobError
from .base import Scheduler

NAMES = ("flux", "gridengine", "htcondor", "local", "lsf", "pbs", "slurm", "template", "torque")
"""All schedulers, by the names that ``c.UniSpawner.scheduler`` takes."""


def scheduler_class(name: str) -> type[Scheduler]:
    """Return the class of a scheduler; only its own module is imported.

    Raises
    ------
    InvalidJobError
        If the name is unknown; the message lists the known names.
    """
    if name not in NAMES:
        raise InvalidJobError(f"scheduler: {name!r} must be one of {', '.join(NAMES)}")
    cls: type[Scheduler] = import_module(f".{name}", __name__).SCHEDULER
    return cls


def get_scheduler(name: str, options: Mapping[str, Any] | None = None) -> Scheduler:
    """Return a scheduler with its settings.

    Two schedulers with the same name and settings are equal.

    Raises
    ------
    InvalidJobError
        If the name is unknown, or the scheduler does not have one of the settings.
    """
    cls = scheduler_class(name)
    known = [setting.name for setting in cls.settings()]
    if unknown := sorted(set(options or ()) - set(known)):
        raise InvalidJobError(
            f"scheduler {name}: unknown setting {unknown[0]!r}; known settings: "
            f"{', '.join(known) or 'none'}"
        )
    return cls(**(options or {}))


__all__ = ["NAMES", "Scheduler", "get_scheduler", "scheduler_class"]
