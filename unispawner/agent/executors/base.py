"""What the executors that use PSI/J share.

PSI/J (0.9.11) knows how a job gets to a scheduler: submit, cancel, the commands and their order.
Two parts of it are replaced. Its templates of scripts leave out the job's name, GPUs and log, quote
attributes twice and always set a time limit; so the script comes from
:mod:`unispawner.script.rendering`. Its commands have no time-out; so they run through
:mod:`unispawner.agent.commands`. Its polling thread is never started.
"""

from __future__ import annotations

import abc
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

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


class _NoPolling:
    """Takes the place of PSI/J's thread, which asks the scheduler about jobs."""

    def register_job(self, job: PsijJob) -> None:
        """Do nothing: the Hub's monitor asks about jobs."""


class RenderedJob(PsijJob):
    """A PSI/J job with a script that is already rendered."""

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
    """A mix-in that comes before one of PSI/J's batch executors."""

    scheduler: Scheduler

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        # Not super(): PSI/J's executors also read and parse their own template of a script. Its
        # default work directory is in the home that the process had when it imported psij;
        # submit_script sets the right one.
        BatchSchedulerExecutor.__init__(self, url=None, config=self.config_class())

    config_class: type[BatchSchedulerExecutorConfig] = BatchSchedulerExecutorConfig

    def _start_queue_poll_thread(self) -> Any:
        return _NoPolling()

    def submit_script(self, spec: JobSpec, script: str, directory: Path) -> str:
        """Submit through PSI/J; the script's file is removed before this returns."""
        self.work_directory = directory
        job = RenderedJob(spec, script)
        try:
            self.submit(job)
        finally:
            (directory / f"{job.id}.job").unlink(missing_ok=True)
        return str(job.native_id)

    def cancel_id(self, job_id: str, *, force: bool) -> None:
        """Cancel through PSI/J; the scheduler itself kills a job that does not end."""
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
        return {}  # PSI/J would write files of its launcher into the user's directory

    standard_input = ""
    """The standard input of the submit command."""

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
        elif reply.stdout.strip() and not reply.stdout.endswith("\n") and not self._cancelling:
            # A cut id is another job's id. Not a SubmitError: the Hub searches the job by its mark.
            raise AgentError(
                f"{self.scheduler.title}'s submit command printed a line without an end:",
                output=reply.stdout,
            )
        return reply.stdout

    def job_id_from_submit_output(self, out: str) -> str:
        """Return the job's id; what a site's plugin prints around it is ignored."""
        for line in reversed(out.strip().splitlines()):
            job_id = self.read_job_id(line.strip())
            if self.scheduler.job_id.fullmatch(job_id):
                return job_id
        # Not a SubmitError, because the job may exist: the Hub then searches it.
        raise AgentError(f"{self.scheduler.title} printed no job id:", output=out)

    def read_job_id(self, line: str) -> str:
        """Return the id in a line of the submit command's output, or any text if it has none."""
        return line


__all__ = ["BatchExecutor", "RenderedJob"]
