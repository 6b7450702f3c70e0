"""TORQUE through PSI/J's executor ``pbs_classic``."""

from __future__ import annotations

from pathlib import Path

from psij import Job as PsijJob
from psij.executors.batch.pbs_base import PBSExecutorConfig
from psij.executors.batch.pbs_classic import PBSClassicJobExecutor

from .base import BatchExecutor
from .pbs import login_shell


class Executor(BatchExecutor, PBSClassicJobExecutor):
    """PSI/J's executor with a rendered script."""

    _NAME_ = "pbs_classic"
    config_class = PBSExecutorConfig

    def get_submit_command(self, job: PsijJob, submit_file_path: Path) -> list[str]:
        """Return the qsub command."""
        return ["qsub", *login_shell(job), str(submit_file_path.absolute())]

    def get_cancel_command(self, native_id: str) -> list[str]:
        """Return the qdel command."""
        return ["qdel", native_id]
