"""LSF through PSI/J."""

from __future__ import annotations

import re
from pathlib import Path

from psij import Job as PsijJob
from psij.executors.batch.lsf import LsfExecutorConfig, LsfJobExecutor

from ...job import JobSpec
from .base import BatchExecutor


class Executor(BatchExecutor, LsfJobExecutor):
    """PSI/J's executor, with the script on bsub's standard input, since bsub reads no file."""

    _NAME_ = "lsf"
    config_class = LsfExecutorConfig

    def submit_script(self, spec: JobSpec, script: str, directory: Path) -> str:
        """Submit a job."""
        self.standard_input = script
        return super().submit_script(spec, script, directory)

    def get_submit_command(self, job: PsijJob, submit_file_path: Path) -> list[str]:
        """Return the bsub command; PSI/J's has the file's name, which bsub would run."""
        return ["bsub"]

    def read_job_id(self, line: str) -> str:
        """Return the id in ``Job <1> is submitted to default queue <normal>.``"""
        match = re.search(r"\bJob <(\d+)>", line, re.ASCII)
        return match[1] if match else ""
