"""What our executors share.

PSI/J (0.9.11) brings the way of a job to a scheduler: submit, cancel, the commands and their order.
Its script templates drop the job's name, GPUs and log, quote attributes twice and always set a
walltime, so the script is rendered by :mod:`unispawner.script.rendering` and handed over as it is;
its commands have no time-out, so they run through :mod:`unispawner.agent.commands`. Its polling
thread never gets to run: the agent has ended before its first turn.
"""

from __future__ import annotations

import abc
from importlib.metadata import version
from pathlib import Path
from typing import IO

from psij import Job as PsijJob
from psij import JobSpec as PsijJobSpec
from psij.executors.batch.batch_scheduler_executor import (
    BatchSchedulerExecutor,
    BatchSchedulerExecutorConfig,
)

from ...errors import AgentError
from ...job import JobSpec
from ...schedulers import Scheduler
from ..commands import run

_NEVER = 10**6


class RenderedJob(PsijJob):
    """A PSI/J job that brings its own script."""

    def __init__(self, spec: JobSpec, script: str) -> None:
        super().__init__(
            PsijJobSpec(
                name=spec.name,
                executable=spec.executable,
                arguments=list(spec.arguments),
                directory=Path(spec.directory),
            )
        )
        self.script = script


class BatchExecutor(BatchSchedulerExecutor, abc.ABC):
    """Mixed in before one of PSI/J's batch executors."""

    scheduler: Scheduler

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        # The default work directory is that of the home which the process had when it imported
        # psij; submit_script sets the right one.
        super().__init__(url=None, config=self.config_class(initial_queue_polling_delay=_NEVER))

    config_class: type[BatchSchedulerExecutorConfig] = BatchSchedulerExecutorConfig

    def submit_script(self, spec: JobSpec, script: str, directory: Path) -> str:
        """Submit through PSI/J; the script's file is gone when this returns."""
        self.work_directory = directory
        job = RenderedJob(spec, script)
        try:
            self.submit(job)
        finally:
            (directory / f"{job.id}.job").unlink(missing_ok=True)
        return str(job.native_id)

    def cancel_id(self, job_id: str, *, force: bool) -> None:
        """Cancel through PSI/J; the scheduler itself kills what doesn't end."""
        job = PsijJob()
        job._native_id = job_id  # attach() would do this and start polling
        self._cancelling = True
        self.cancel(job)

    def check(self) -> str:
        """Return PSI/J's name and version."""
        return f"PSI/J {version('psij-python')}"

    _cancelling = False

    def generate_submit_script(
        self, job: PsijJob, context: dict[str, object], submit_file: IO[str]
    ) -> None:
        """Write the rendered script."""
        assert isinstance(job, RenderedJob)
        submit_file.write(job.script)

    def _create_script_context(self, job: PsijJob) -> dict[str, object]:
        return {}  # PSI/J would write its launcher's files into the user's directory here

    standard_input = ""
    """What the submit command reads."""

    def _run_command(self, cmd: list[str]) -> str:
        reply = run(cmd, standard_input="" if self._cancelling else self.standard_input)
        if reply.exit_status:
            error = (
                self.scheduler.cancel_error(reply)
                if self._cancelling
                else self.scheduler.submit_error(reply)
            )
            if error is not None:
                raise error
        return reply.stdout

    def job_id_from_submit_output(self, out: str) -> str:
        """Return the job's id; what a site's plugin prints around it is passed over."""
        for line in reversed(out.strip().splitlines()):
            job_id = self.read_job_id(line.strip())
            if self.scheduler.job_id.fullmatch(job_id):
                return job_id
        # Not a SubmitError: there may well be a job, which the Hub then looks for.
        raise AgentError(f"{self.scheduler.title} gave no job id:", output=out)

    def read_job_id(self, line: str) -> str:
        """Return the id in a line of the submit command's output; anything if there is none."""
        return line


__all__ = ["BatchExecutor", "RenderedJob"]
