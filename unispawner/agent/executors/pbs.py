"""PBS through PSI/J's executor ``pbs``."""

from __future__ import annotations

import re
from pathlib import Path

from psij import Job as PsijJob
from psij.executors.batch.pbs import PBSJobExecutor
from psij.executors.batch.pbs_base import PBSExecutorConfig

from .base import BatchExecutor, RenderedJob


class Executor(BatchExecutor, PBSJobExecutor):
    """PSI/J's executor with our script."""

    _NAME_ = "pbs"
    config_class = PBSExecutorConfig

    def get_submit_command(self, job: PsijJob, submit_file_path: Path) -> list[str]:
        """Return the qsub command.

        Without ``-f`` qsub leaves a process behind for a minute, to submit the next job.
        """
        return ["qsub", "-f", *login_shell(job), str(submit_file_path.absolute())]

    def get_cancel_command(self, native_id: str) -> list[str]:
        """Return the qdel command."""
        return ["qdel", native_id]


def login_shell(job: PsijJob) -> list[str]:
    """Return the option for the shell that starts the script, unless the script has it itself.

    The script is run by its own first line, but it is the account's shell that runs it, as a login
    shell: on a cluster for the web that may be one that refuses to. An MOM built otherwise (without
    SHELL_INVOKE) gives the script to that shell to read.
    """
    assert isinstance(job, RenderedJob)
    shell = job.script.partition("\n")[0].removeprefix("#!").partition(" ")[0]
    given = re.search(r"^#PBS -S ", job.script, re.MULTILINE)
    return [] if given else ["-S", shell]
