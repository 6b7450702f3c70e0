"""All that is known of each scheduler, a file each; pure, standard library only.

Both sides of the user boundary import this package and it imports neither of them. A module here
defines one subclass of :class:`~unispawner.schedulers.base.Scheduler` and names it ``SCHEDULER``.
"""

from __future__ import annotations

from importlib import import_module

from ..errors import InvalidJobError
from .base import Scheduler

NAMES = ("local", "slurm")
"""The schedulers there are, as ``c.UniSpawner.scheduler`` names them."""


def get_scheduler(name: str) -> Scheduler:
    """Return the scheduler of that name, importing only its own file.

    Raises
    ------
    InvalidJobError
        If there is none of that name; the message lists those there are.
    """
    if name not in NAMES:
        raise InvalidJobError(f"scheduler: {name!r} is none of {', '.join(NAMES)}")
    scheduler: Scheduler = import_module(f".{name}", __name__).SCHEDULER
    return scheduler


__all__ = ["NAMES", "Scheduler", "get_scheduler"]
