"""PBS through PSI/J's executor ``pbs``."""

from __future__ import annotations

import re
from pathlib import Path

from psij import Job as PsijJob
from psij.executors.batch.pbs import PBSJobExecutor
from psij.executors.batch.pbs_base import PBSExecutorConfig

from .base import BatchExecutor, RenderedJob


class Executor(BatchExecutor, PBSJobExecutor):
    """PSI/J's executor with a rendered script."""

    _NAME_ = "pbs"
    config_class = PBSExecutorConfig

    def get_submit_command(self, job: PsijJob, submit_file_path: Path) -> list[str]:
        """Return the qsub command.

        Without ``-f`` qsub leaves a process behind for a minute, which would submit the next job.
        """
        return ["qsub", "-f", *login_shell(job), str(submit_file_path.absolute())]

    def get_cancel_command(self, native_id: str) -> list[str]:
        """Return the qdel command."""
        return ["qdel", native_id]


def login_shell(job: PsijJob) -> list[str]:
    """Return qsub's option for the shell that starts the script, unless the script sets it.

    The script's first line runs the script, but the account's login shell starts it. On a cluster
    that is used from the web, an account may have a login shell that refuses that. A MOM that was
    built without SHELL_INVOKE even has that shell read the script.
    """
    assert isinstance(job, RenderedJob)
    shell = job.script.partition("\n")[0].removeprefix("#!").partition(" ")[0]
    given = re.search(r"^#PBS -S ", job.script, re.MULTILINE)
    return [] if given else ["-S", shell]
