"""All that is known of each scheduler, a file each; pure, standard library only.

Both sides of the user boundary import this package and it imports neither of them. A module here
defines one subclass of :class:`~unispawner.schedulers.base.Scheduler` and names it ``SCHEDULER``.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ..errors import InvalidJobError
from .base import Scheduler

NAMES = ("gridengine", "htcondor", "local", "lsf", "pbs", "slurm", "template", "torque")
"""The schedulers there are, as ``c.UniSpawner.scheduler`` names them."""


def scheduler_class(name: str) -> type[Scheduler]:
    """Return the class of that name, importing only its own file.

    Raises
    ------
    InvalidJobError
        If there is none of that name; the message lists those there are.
    """
    if name not in NAMES:
        raise InvalidJobError(f"scheduler: {name!r} is none of {', '.join(NAMES)}")
    cls: type[Scheduler] = import_module(f".{name}", __name__).SCHEDULER
    return cls


def get_scheduler(name: str, options: Mapping[str, Any] | None = None) -> Scheduler:
    """Return the scheduler of that name, with settings of its own.

    Two with the same name and settings are equal.

    Raises
    ------
    InvalidJobError
        If there is none of that name, or a setting is none of its.
    """
    try:
        return scheduler_class(name)(**(options or {}))
    except TypeError as error:
        raise InvalidJobError(f"scheduler {name}: {error}") from None


__all__ = ["NAMES", "Scheduler", "get_scheduler", "scheduler_class"]
