"""Any scheduler, by the commands of a set of templates."""

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
from ..files import write_private


class Executor:
    """Runs the set's commands as words, without a shell; the script goes to standard input.

    To a submit command that names ``{script}`` it goes as a file, which is needed until the job is
    final.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        assert isinstance(scheduler, Template)
        self.scheduler = scheduler

    def submit_script(self, spec: JobSpec, script: str, directory: Path) -> str:
        """Submit, and find the job's id in what the command prints."""
        entry = pwd.getpwuid(os.getuid())
        dialect = self.scheduler.dialect
        values = job_fields(spec, dialect, Place(str(directory), entry.pw_name, entry.pw_dir))
        if "script" in find_mentioned(dialect.submit):
            write_private(directory / "script", script)
            (directory / "script").chmod(0o700)
            script = ""
        reply = run(submit_command(dialect, values), standard_input=script)
        if reply.exit_status:
            raise self.scheduler.submit_error(reply)
        return self._job_id(reply)

    def _job_id(self, reply: Reply) -> str:
        """Return the id: the last that ``submitted`` finds, or all that was printed."""
        pattern = self.scheduler.dialect.pattern("submitted")
        found = [reply.stdout.strip()]
        if pattern:
            found = [match[1] for match in re.finditer(pattern, reply.stdout, re.MULTILINE)]
        if found and self.scheduler.job_id.fullmatch(found[-1] or ""):
            return found[-1]
        # Not a SubmitError: there may well be a job, though nothing can be done about it.
        raise AgentError(
            "The submit command gave no job id (template: [patterns] submitted"
            f"{f' = {pattern}' if pattern else ', without which all of it is the id'}):",
            command=reply.command,
            output=reply.text,
        )

    def cancel_id(self, job_id: str, *, force: bool) -> None:
        """Cancel by the set's command; the scheduler itself kills what doesn't end."""
        reply = run(self.scheduler.command(self.scheduler.dialect.cancel, job_id))
        if reply.exit_status and (error := self.scheduler.cancel_error(reply)) is not None:
            raise error

    def check(self) -> str:
        """Return where the set is."""
        return f"the templates in {self.scheduler.dialect.folder}"
