"""PSI/J executors: the glue between a rendered script and a scheduler's submit and cancel."""

from __future__ import annotations

from importlib import import_module

from ...schedulers import Scheduler
from .base import ScriptExecutor


def get_executor(scheduler: Scheduler) -> ScriptExecutor:
    """Return the executor for a scheduler; this is what imports PSI/J."""
    executor: ScriptExecutor = import_module(f".{scheduler.name}", __name__).Executor(scheduler)
    return executor
