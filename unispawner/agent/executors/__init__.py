"""Executors, which submit a script to a scheduler and cancel jobs; each has its own module.

Most of them are PSI/J executors. Grid Engine's uses DRMAA or qsub, and that of a set of templates
runs the set's commands.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Protocol

from ...job import JobSpec
from ...schedulers import NAMES, Scheduler, scheduler_class


class ScriptExecutor(Protocol):
    """What the agent needs from an executor."""

    def submit_script(self, spec: JobSpec, script: str, directory: Path) -> str:
        """Submit a script and return the job's id; ``directory`` is the job's private folder."""

    def cancel_id(self, job_id: str, *, force: bool) -> None:
        """Cancel a job of the user; it is not an error if the job has ended."""

    def check(self) -> str:
        """Return in a few words what the executor works with; raise AgentError if it can't work."""


_LOADED_LATE = {"htcondor", "template"}
PRELOADED = tuple(name for name in NAMES if name not in _LOADED_LATE)
"""Executors that can be loaded before a process becomes its user: see :func:`preload`."""


@contextmanager
def without_plugins() -> Iterator[None]:
    """Keep PSI/J, if it is imported meanwhile, from its search for plugins.

    PSI/J would run every ``psij-descriptors/*.py`` on ``sys.path``, to learn of classes that our
    executors do not need: each names its class of PSI/J's itself.
    """
    search = pkgutil.iter_modules
    pkgutil.iter_modules = lambda *_, **__: iter(())
    try:
        yield
    finally:
        pkgutil.iter_modules = search


def load_psij() -> None:
    """Import PSI/J without its search for plugins."""
    with without_plugins():
        import_module("psij")


def preload() -> None:
    """Load all schedulers, PSI/J, and those executors that only define classes: no instance."""
    for name in NAMES:
        scheduler_class(name)
    load_psij()
    for name in PRELOADED:
        import_module(f".{name}", __name__)


def get_executor(scheduler: Scheduler) -> ScriptExecutor:
    """Return the executor for a scheduler; only this imports PSI/J, where the executor needs it."""
    with without_plugins():
        module = import_module(f".{scheduler.name}", __name__)
    executor: ScriptExecutor = module.Executor(scheduler)
    return executor
