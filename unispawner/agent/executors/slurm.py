"""Slurm through PSI/J."""

from __future__ import annotations

from pathlib import Path

from psij import Job as PsijJob
from psij.executors.batch.slurm import SlurmExecutorConfig, SlurmJobExecutor

from .base import BatchExecutor


class Executor(BatchExecutor, SlurmJobExecutor):
    """PSI/J's executor with a rendered script; ``--parsable`` prints ``id`` or ``id;cluster``."""

    _NAME_ = "slurm"
    config_class = SlurmExecutorConfig

    def get_submit_command(self, job: PsijJob, submit_file_path: Path) -> list[str]:
        """Return the sbatch command."""
        return ["sbatch", "--parsable", str(submit_file_path.absolute())]

    def get_cancel_command(self, native_id: str) -> list[str]:
        """Return the scancel command; PSI/J's has ``-Q``, which hides why scancel failed."""
        return ["scancel", native_id]

    def read_job_id(self, line: str) -> str:
        """Return the id, without the cluster's name."""
        return line.partition(";")[0]
