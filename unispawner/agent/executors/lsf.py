"""LSF through PSI/J."""

from __future__ import annotations

import re
from pathlib import Path

from psij import Job as PsijJob
from psij.executors.batch.lsf import LsfExecutorConfig, LsfJobExecutor

from ...job import JobSpec
from ...schedulers.lsf import Lsf
from .base import BatchExecutor


class Executor(BatchExecutor, LsfJobExecutor):
    """PSI/J's executor, with the script on bsub's standard input: bsub reads no file."""

    _NAME_ = "lsf"
    config_class = LsfExecutorConfig
    scheduler: Lsf

    def submit_script(self, spec: JobSpec, script: str, directory: Path) -> str:
        """Submit; the job is given its log (see :meth:`Lsf.preamble`)."""
        directives, _, rest = script.partition("\n\n")  # the first empty line, which is ours
        lines = [directives, "", *self.scheduler.preamble(spec), rest]
        self.standard_input = "\n".join(lines)
        return super().submit_script(spec, self.standard_input, directory)

    def get_submit_command(self, job: PsijJob, submit_file_path: Path) -> list[str]:
        """Return the bsub command; PSI/J names the file, which bsub would run as a command."""
        return ["bsub"]

    def read_job_id(self, line: str) -> str:
        """Return the id in ``Job <1> is submitted to default queue <normal>.``"""
        match = re.search(r"\bJob <(\d+)>", line, re.ASCII)
        return match[1] if match else ""
