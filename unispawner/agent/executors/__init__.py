"""Executors, which submit a script to a scheduler and cancel jobs; each has its own module.

Most of them are PSI/J executors. Grid Engine's uses DRMAA or qsub, and that of a set of templates
runs the set's commands.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol

from ...job import JobSpec
from ...schedulers import Scheduler


class ScriptExecutor(Protocol):
    """What the agent needs from an executor."""

    def submit_script(self, spec: JobSpec, script: str, directory: Path) -> str:
        """Submit a script and return the job's id; ``directory`` is the job's private folder."""

    def cancel_id(self, job_id: str, *, force: bool) -> None:
        """Cancel a job of the user; it is not an error if the job has ended."""

    def check(self) -> str:
        """Return in a few words what the executor works with; raise AgentError if it can't work."""


def get_executor(scheduler: Scheduler) -> ScriptExecutor:
    """Return the executor for a scheduler; only this imports PSI/J."""
    module = import_module(f".{scheduler.name}", __name__)
    executor: ScriptExecutor = module.Executor(scheduler)
    return executor
