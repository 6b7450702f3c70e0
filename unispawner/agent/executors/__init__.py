"""The glue between a rendered script and a scheduler's submit and cancel, a file each.

All but Grid Engine's, which is DRMAA, are PSI/J executors.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol

from ...job import JobSpec
from ...schedulers import Scheduler


class ScriptExecutor(Protocol):
    """What the agent needs of an executor."""

    def submit_script(self, spec: JobSpec, script: str, directory: Path) -> str:
        """Submit a rendered script and return the job's id; ``directory`` is for its files."""

    def cancel_id(self, job_id: str, *, force: bool) -> None:
        """Cancel a job of the user's; one that is gone already is fine."""

    def check(self) -> str:
        """Return what it works with, in a few words; raise AgentError if that is not to be had."""


def get_executor(scheduler: Scheduler) -> ScriptExecutor:
    """Return the executor for a scheduler; this is what imports PSI/J."""
    module = import_module(f".{scheduler.name}", __name__)
    executor: ScriptExecutor = module.Executor(scheduler)
    return executor
