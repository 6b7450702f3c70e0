"""HTCondor for every PSI/J program: ``psij.JobExecutor.get_instance("htcondor")``.

While PSI/J (0.9.11) is imported, it loads this file by its path, because of the file
psij-descriptors/htcondor.py. Therefore all imports are absolute.

This is a complete batch executor: submit, cancel, status, list, attach. The job's environment is
never in its ClassAd, which every user can read. It is written into the script, a file of mode 0700.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from psij import (
    InvalidJobException,
    Job,
    JobState,
    JobStatus,
    ResourceSpecV1,
    SubmitException,
)
from psij.executors.batch.batch_scheduler_executor import (
    BatchSchedulerExecutor,
    BatchSchedulerExecutorConfig,
    InvalidJobStateError,
)

from unispawner.errors import InvalidJobError, SchedulerUnavailable
from unispawner.job import JobInfo, JobSpec, ResourceSpec
from unispawner.job import JobState as OurState
from unispawner.schedulers.base import Meaning, Reply
from unispawner.schedulers.htcondor import HTCondor

STATES = {
    OurState.QUEUED: JobState.QUEUED,
    OurState.RUNNING: JobState.ACTIVE,
    OurState.SUSPENDED: JobState.ACTIVE,
    OurState.COMPLETED: JobState.COMPLETED,
    OurState.CANCELED: JobState.CANCELED,
    OurState.FAILED: JobState.FAILED,
    # HTCondor would keep a held job for ever, and only its HoldReason says what is wrong.
    OurState.HELD: JobState.FAILED,
}
TIMEOUT = 60.0
"""How long (seconds) one command may take."""
_HTCONDOR = HTCondor()


class HTCondorExecutorConfig(BatchSchedulerExecutorConfig):
    """The configuration of every batch executor."""


class HTCondorJobExecutor(BatchSchedulerExecutor):
    """Runs PSI/J jobs on HTCondor, each on one node, with a file system that the nodes share.

    ``JobAttributes.custom_attributes`` named ``htcondor.<command>`` are commands of the submit
    description: ``{"htcondor.concurrency_limits": "licence", "htcondor.+WantGPULab": True}``.
    """

    _NAME_ = "htcondor"

    def __init__(
        self, url: str | None = None, config: HTCondorExecutorConfig | None = None
    ) -> None:
        super().__init__(url=url, config=config or HTCondorExecutorConfig())
        self._asked: list[str] = []

    # -- submit --------------------------------------------------------------------------------

    def generate_submit_script(
        self, job: Job, context: dict[str, object], submit_file: IO[str]
    ) -> None:
        """Write the submit description, and the script into the same directory.

        Raises
        ------
        InvalidJobException
            If HTCondor does not support what the job asks for.
        """
        try:
            spec = _our_spec(job)
            _HTCONDOR.check_supported(spec)
            lines = _HTCONDOR.directives(spec)
        except InvalidJobError as error:
            raise InvalidJobException(error.message) from error
        script = self._script_path(job)
        _write_private(script, self._script(job, context))
        # Only this lets the job know the number of its cluster.
        lines += [
            f"executable = {_HTCONDOR.value(str(script), 'work_directory')}",
            "arguments = $(ClusterId)",
        ]
        submit_file.write("\n".join([*lines, "queue", ""]))

    def _script(self, job: Job, context: dict[str, object]) -> str:
        assert job.spec is not None
        environment = dict(os.environ) if job.spec.inherit_environment else {}
        environment.update({key: str(value) for key, value in (job.spec.environment or {}).items()})
        psij: Any = context["psij"]
        launch: list[str] = psij["launch_command"]
        output = shlex.quote(str(self.work_directory)) + "/$1"
        lines = ["#!/bin/bash"]
        lines += [f"export {key}={shlex.quote(text)}" for key, text in _variables(environment)]
        if job.spec.directory is not None:
            lines += [f"cd {shlex.quote(str(job.spec.directory))} || exit 1"]
        # PSI/J searches the output and the exit status by the native id.
        lines += [f"exec &>> {output}.out", shlex.join(launch), "status=$?"]
        return "\n".join([*lines, f"echo $status > {output}.ec", "exit $status", ""])

    def _script_path(self, job: Job) -> Path:
        return Path(self.work_directory).absolute() / f"{job.id}.sh"

    def get_submit_command(self, job: Job, submit_file_path: Path) -> list[str]:
        """Return the condor_submit command, which prints only the job's number."""
        return ["condor_submit", "-terse", str(submit_file_path.absolute())]

    def job_id_from_submit_output(self, out: str) -> str:
        """Return the cluster's number in ``8.0 - 8.0``."""
        return read_job_id(out)

    # -- cancel --------------------------------------------------------------------------------

    def get_cancel_command(self, native_id: str) -> list[str]:
        """Return the condor_rm command.

        For a bare cluster, its error would not say whether the job has ended or is another user's.
        """
        return ["condor_rm", f"{native_id}.0"]

    def process_cancel_command_output(self, exit_code: int, out: str) -> None:
        """Distinguish a job that has ended from a refusal."""
        if _HTCONDOR.meaning(Reply(("condor_rm",), exit_code, out)) is Meaning.GONE:
            raise InvalidJobStateError()
        raise SubmitException(f"HTCondor did not cancel the job: {out}")

    # -- status --------------------------------------------------------------------------------

    def get_status_command(self, native_ids: Collection[str]) -> list[str]:
        """Return the condor_q command for these jobs."""
        self._asked = list(native_ids)
        return _HTCONDOR.status_command(native_ids)

    def parse_status_output(self, exit_code: int, out: str) -> dict[str, JobStatus]:
        """Read condor_q's answer, and ask the history for jobs that it lacks.

        Raises
        ------
        SchedulerUnavailable
            If the answer can't be read, or is an error.
        """
        asked = self._asked
        jobs = _HTCONDOR.read_status(Reply(("condor_q",), exit_code, out))
        if missing := [native_id for native_id in asked if native_id not in jobs]:
            jobs.update(self._history(missing))
        for native_id, info in jobs.items():
            if info.stuck and native_id in asked:
                self._remove(native_id)
        return {native_id: _status(info) for native_id, info in jobs.items()}

    def _history(self, native_ids: list[str]) -> dict[str, JobInfo]:
        """Return what the history knows; PSI/J takes a job that is in neither for completed."""
        command = _HTCONDOR.history_command(native_ids)
        try:
            return _HTCONDOR.read_status(Reply(tuple(command), 0, self._run_command(command)))
        except (OSError, SchedulerUnavailable, subprocess.CalledProcessError):
            return {}

    def _remove(self, native_id: str) -> None:
        """Remove a held job from the queue: it is reported as failed, and must never run."""
        try:
            self._run_command(self.get_cancel_command(native_id))
        except (OSError, subprocess.CalledProcessError):
            pass  # the next status query tries again

    # -- list ----------------------------------------------------------------------------------

    def get_list_command(self) -> list[str]:
        """Return the condor_q command for the caller's own jobs."""
        return ["condor_q", "-json", "-attributes", "ClusterId"]

    def parse_list_output(self, out: str) -> list[str]:
        """Return the numbers of the clusters; condor_q prints nothing if there is no job."""
        rows = _HTCONDOR.read_rows(Reply(("condor_q",), 0, out))
        return list(dict.fromkeys(str(row["ClusterId"]) for row in rows))

    def _run_command(self, cmd: list[str]) -> str:
        """Run a command as PSI/J does, but with a time-out: a frozen schedd never answers."""
        try:
            done = subprocess.run(cmd, capture_output=True, text=True, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            words = f"{cmd[0]} did not answer within {TIMEOUT:g} s"
            raise subprocess.CalledProcessError(124, cmd, output=words) from None
        if done.returncode:
            words = "\n".join(filter(None, (done.stdout, done.stderr))) or "(no output)"
            raise subprocess.CalledProcessError(done.returncode, cmd, output=words)
        return done.stdout

    def _clean_submit_script(self, job: Job) -> None:
        super()._clean_submit_script(job)
        assert isinstance(self.config, BatchSchedulerExecutorConfig)
        if not self.config.keep_files:
            self._script_path(job).unlink(missing_ok=True)


def read_job_id(output: str) -> str:
    """Return the cluster's number in the line ``8.0 - 8.0`` of condor_submit; else the output.

    A site's wrapper may print a notice, too.
    """
    found = re.findall(r"^[ \t]*(\d+)\.\d+ - \d+\.\d+[ \t\r]*$", output, re.ASCII | re.MULTILINE)
    return found[-1] if found else output.strip()


def _our_spec(job: Job) -> JobSpec:
    """Return what a PSI/J job asks the scheduler for; what the job does is in its script."""
    assert job.spec is not None
    asked, attributes = job.spec.resources, job.spec.attributes
    resources = ResourceSpec()
    if isinstance(asked, ResourceSpecV1):
        names = (
            *("node_count", "process_count", "processes_per_node", "cpu_cores_per_process"),
            *("gpu_cores_per_process", "memory"),
        )
        values: dict[str, Any] = {name: getattr(asked, name, None) for name in names}
        resources = ResourceSpec(**values, exclusive_node_use=bool(asked.exclusive_node_use))
    own: dict[str, Any] = dict(attributes.custom_attributes or {})
    return JobSpec(
        name=job.spec.name or "psij",
        resources=resources,
        duration=attributes.duration if isinstance(attributes.duration, timedelta) else None,
        queue_name=attributes.queue_name or "",
        account=attributes.account or "",
        reservation_id=attributes.reservation_id or "",
        custom_attributes={key: value for key, value in own.items() if "." in key},
    )


def _status(info: JobInfo) -> JobStatus:
    return JobStatus(
        STATES.get(info.state, JobState.QUEUED),
        message=info.message or None,
        exit_code=info.exit_code,
    )


def _variables(environment: dict[str, str]) -> list[tuple[str, str]]:
    """Return the variables that a shell can export: those whose names are identifiers."""
    return [(key, text) for key, text in environment.items() if key.isidentifier()]


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
