"""HTCondor through the PSI/J executor of this package."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import IO

from psij import Job as PsijJob

from ...errors import InvalidJobError
from ...job import JobSpec
from ...schedulers.htcondor import HTCondor
from ..files import write_script
from .base import BatchExecutor
from .psij_htcondor import HTCondorExecutorConfig, HTCondorJobExecutor, read_job_id

_LOGIN = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "USER")
"""The variables that a login sets and HTCondor does not; none of them is a secret."""


class Executor(BatchExecutor, HTCondorJobExecutor):
    """Runs the script where it is; the submit description is removed after the submission."""

    _NAME_ = "htcondor"
    config_class = HTCondorExecutorConfig
    _spec: JobSpec

    def submit_script(self, spec: JobSpec, script: str, directory: Path) -> str:
        """Submit a job; the script's file is needed until the job has ended.

        Raises
        ------
        InvalidJobError
            If the account's name has a blank: the schedd gives each shadow a list of accounts,
            which such a name breaks, and from then on nobody's job starts (HTCondor 23.9).
        """
        check_account(pwd.getpwuid(os.getuid()).pw_name)
        write_script(directory, script)
        self._spec = spec
        return super().submit_script(spec, script, directory)

    def generate_submit_script(
        self, job: PsijJob, context: dict[str, object], submit_file: IO[str]
    ) -> None:
        """Write the submit description."""
        assert isinstance(self.scheduler, HTCondor)
        executable = self.scheduler.value(str(self.work_directory / "script"), "state_dir")
        lines = [*self.scheduler.directives(self._spec), f"executable = {executable}"]
        submit_file.write("\n".join([*lines, f"environment = {_environment()}", "queue", ""]))

    def get_submit_command(self, job: PsijJob, submit_file_path: Path) -> list[str]:
        """Return the condor_submit command, which prints only the job's number."""
        assert isinstance(self.scheduler, HTCondor)
        return self.scheduler.at_schedd("condor_submit", "-terse", str(submit_file_path.absolute()))

    def get_cancel_command(self, native_id: str) -> list[str]:
        """Return the condor_rm command; see HTCondorJobExecutor."""
        assert isinstance(self.scheduler, HTCondor)
        return self.scheduler.at_schedd("condor_rm", f"{native_id}.0")

    def read_job_id(self, line: str) -> str:
        """Return the number of the HTCondor cluster."""
        return read_job_id(line)


def check_account(name: str) -> None:
    """Refuse an account that would stop the schedd.

    Raises
    ------
    InvalidJobError
        If its name has a blank.
    """
    if " " in name:
        raise InvalidJobError(
            f"account_name: {name!r} has a blank, and HTCondor starts no jobs at all once it has "
            "met such an account. Use an account without a blank"
        )


def _environment() -> str:
    """Return a login's variables in the new syntax of condor_submit(1): '' and "" are quotes."""
    variables = {name: os.environ[name] for name in _LOGIN if name in os.environ}
    for name, value in variables.items():
        if "\n" in value:
            raise InvalidJobError(
                f"environment: the account's {name} contains a line break, which a submit "
                "description can't express"
            )
    quoted = (f"{name}='{_double(value)}'" for name, value in variables.items())
    return f'"{" ".join(quoted)}"'


def _double(value: str) -> str:
    return value.replace("'", "''").replace('"', '""').replace("$", "$(DOLLAR)")
