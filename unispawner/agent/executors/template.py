"""Any scheduler, with the commands of a set of templates."""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path

from ...errors import AgentError
from ...job import JobSpec
from ...schedulers import Scheduler
from ...schedulers.base import Reply
from ...schedulers.template import Template
from ...schedulers.template_fields import find_mentioned
from ...script.from_template import Place, job_fields, submit_command
from ..commands import run
from ..files import write_script


class Executor:
    """Runs the set's commands as words, without a shell, and the script on standard input.

    If the submit command has the field ``{script}``, the script is a file instead, which is needed
    until the job has ended.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        assert isinstance(scheduler, Template)
        self.scheduler = scheduler

    def submit_script(self, spec: JobSpec, script: str, directory: Path) -> str:
        """Submit a job, and find its id in the output of the command."""
        entry = pwd.getpwuid(os.getuid())
        dialect = self.scheduler.dialect
        values = job_fields(spec, dialect, Place(str(directory), entry.pw_name, entry.pw_dir))
        if "script" in find_mentioned(dialect.submit):
            write_script(directory, script)
            script = ""
        reply = run(submit_command(dialect, values), standard_input=script)
        if reply.exit_status:
            raise self.scheduler.submit_error(reply)
        return self._job_id(reply)

    def _job_id(self, reply: Reply) -> str:
        """Return the last id that the pattern ``submitted`` finds, or the whole output."""
        pattern = self.scheduler.dialect.pattern("submitted")
        found = [reply.stdout.strip()]
        if pattern:
            found = [match[1] for match in re.finditer(pattern, reply.stdout, re.MULTILINE)]
        if found and self.scheduler.job_id.fullmatch(found[-1] or ""):
            return found[-1]
        # Not a SubmitError, because the job may exist, though nobody can find it.
        rule = (
            f"[patterns] submitted = {pattern} finds none"
            if pattern
            else "without the pattern submitted, the whole output is the id"
        )
        raise AgentError(
            f"template: the submit command printed no job id; {rule}:",
            command=reply.command,
            output=reply.text,
        )

    def cancel_id(self, job_id: str, *, force: bool) -> None:
        """Cancel with the set's command; the scheduler itself kills a job that does not end."""
        reply = run(self.scheduler.command(self.scheduler.dialect.cancel, job_id))
        if reply.exit_status and (error := self.scheduler.cancel_error(reply)) is not None:
            raise error

    def check(self) -> str:
        """Return the folder of the set."""
        return f"the templates in {self.scheduler.dialect.folder}"
