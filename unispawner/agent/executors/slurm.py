"""Slurm through PSI/J."""

from __future__ import annotations

from pathlib import Path

from psij import Job as PsijJob
from psij.executors.batch.slurm import SlurmExecutorConfig, SlurmJobExecutor

from ...errors import AgentError
from ...schedulers.slurm import Slurm
from .base import BatchExecutor


class Executor(BatchExecutor, SlurmJobExecutor):
    """PSI/J's executor with a rendered script; ``--parsable`` prints ``id`` or ``id;cluster``."""

    scheduler: Slurm
    _NAME_ = "slurm"
    config_class = SlurmExecutorConfig

    def get_submit_command(self, job: PsijJob, submit_file_path: Path) -> list[str]:
        """Return the sbatch command."""
        path = str(submit_file_path.absolute())
        return self.scheduler.at_cluster("sbatch", "--parsable", path)

    def get_cancel_command(self, native_id: str) -> list[str]:
        """Return the scancel command; PSI/J's has ``-Q``, which hides why scancel failed."""
        return self.scheduler.at_cluster("scancel", native_id)

    def read_job_id(self, line: str) -> str:
        """Return the id, without the cluster's name.

        Raises
        ------
        AgentError
            If the job is on another cluster than the one that was asked for.
        """
        job_id, _, cluster = line.partition(";")
        wanted = self.scheduler.cluster_name
        if (
            self.scheduler.job_id.fullmatch(job_id)
            and cluster
            and wanted not in ("", cluster.lower())
        ):
            raise AgentError(
                f"{self.scheduler.title}: sbatch has submitted the job to another cluster:",
                output=line,
            )
        return job_id
