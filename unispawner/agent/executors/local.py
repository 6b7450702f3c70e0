"""Processes on this host through PSI/J."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from psij import JobExecutor, JobExecutorConfig
from psij.executors.local import LocalJobExecutor

from ...errors import CancelError, SubmitError
from ...job import MARK_VARIABLE, JobSpec
from ...schedulers import Scheduler
from ...schedulers.local import start_time
from ..files import write_private
from ..login import login_umask


class Executor(LocalJobExecutor):
    """PSI/J's executor with two changes: a job outlives the agent, and its output goes to a file.

    PSI/J reads the job's output through a pipe, which breaks when the agent ends.
    """

    _NAME_ = "local"

    def __init__(self, scheduler: Scheduler) -> None:
        # Not super(): PSI/J's executor would start a thread that waits for the processes.
        JobExecutor.__init__(self, config=JobExecutorConfig.DEFAULT)
        self.scheduler = scheduler

    def submit_script(self, spec: JobSpec, script: str, directory: Path) -> str:
        """Start the script as the leader of its own session."""
        path = directory / "script"
        write_private(path, script)
        shell = script.partition("\n")[0].removeprefix("#!").split(" ")
        try:
            with open(spec.stdout_path, "ab") as log:
                process = subprocess.Popen(
                    [*shell, str(path)],
                    cwd=spec.directory,
                    env={**os.environ, MARK_VARIABLE: spec.mark},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    umask=login_umask(),
                )
        except OSError as error:
            raise SubmitError(
                f"The job could not be started: {error.filename}: {error.strerror}."
            ) from None
        return f"{process.pid}.{start_time(process.pid)}"

    def check(self) -> str:
        """Return what starts the processes."""
        return "PSI/J's local executor"

    def cancel_id(self, job_id: str, *, force: bool) -> None:
        """Signal the whole process group, unless its leader's process id has been reused."""
        pid, _, start = job_id.partition(".")
        if start_time(int(pid)) != start:
            return
        try:
            os.killpg(int(pid), signal.SIGKILL if force else signal.SIGTERM)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise CancelError(f"Job {job_id} can't be ended: {error.strerror}.") from None
