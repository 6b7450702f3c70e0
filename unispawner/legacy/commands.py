"""The commands of a legacy job: templates that a shell runs, as batchspawner does it.

From top to bottom: how a template is filled in and run, and the submission, the query and the
cancellation; last, what a subclass writes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyterhub.spawner import set_user_setuid
from tornado import web

from ..errors import InvalidJobError, UniSpawnerError
from ..job import MARK_VARIABLE
from ..script.filling import format_template
from ..servers.search_paths import drop_unsettable
from ..submit_host.host import HOST
from ..web import bookkeeping, words
from . import environment, options
from .directives import drop_empty
from .filling import cannot_fill, read_template
from .job import BatchJob
from .job_id import JobId, NoJobId, read_id
from .lost_job import SHOW_VARIABLES
from .status import LONGEST_LOGGED, CommandFailed, JobStatus, for_log
from .user_options import TakesOptions

OUTPUT_LIMIT = 4 * 1024**2
"""How many bytes a command may print. Its user may have written them, and they are parsed on the
event loop. Grid Engine's list of a thousand jobs has half a MiB."""


class BatchCommands(TakesOptions):
    """How a job is submitted, queried and cancelled."""

    server_job: BatchJob
    _unanswered = False
    """True if the last query failed and its output says nothing about the job."""
    _gone = False
    """True if the last query said that the job no longer exists."""
    _output_without_id = ""
    """What the submit command printed, if no job id could be read from it."""
    _no_id = ""
    """Why no job id could be read, beside that there is none."""
    _id = JobId()
    """The words of ``job_id``."""

    hides_environment = False
    """True if the scheduler shows the environment of a submission to the job's owner only."""
    left_to_the_account: tuple[str, ...] = ()
    """Variables that the submit command does not have in a Hub, because the server's values must
    not reach the Hub's shell, and the Hub's values must not reach the job."""

    @property
    def in_hub(self) -> bool:
        """True if the spawner belongs to a running Hub, False if a test has made it.

        Tests of a site's subclass set ``mock_port`` instead of running a server that reports.
        """
        return bool(self.user and self.user.settings.get("hub")) and not hasattr(self, "mock_port")

    # -- templates and commands ----------------------------------------------------------------

    def get_req_subvars(self) -> dict[str, Any]:
        """Return the fields of templates: the value of each trait ``req_xyz`` as ``xyz``."""
        subvars = {
            name[4:]: getattr(self, name) for name in self.trait_names() if name.startswith("req_")
        }
        if subvars.get("keepvars_extra"):
            subvars["keepvars"] += "," + subvars["keepvars_extra"]
        return subvars

    def cmd_formatted_for_batch(self) -> str:
        """Return the text that ``{cmd}`` stands for: the command that starts the server."""
        return " ".join([self.batchspawner_singleuser_cmd, *self.cmd, *self.get_args()])

    async def _get_batch_script(self, **subvars: Any) -> str:
        """Return the job's script; a subclass may replace this method."""
        return format_template(read_template(self, "batch_script"), **subvars)

    def fill_command(self, trait: str) -> str:
        """Return ``exec_prefix``, or another trait that begins a command, filled in."""
        return self._fill(trait, {**self.get_req_subvars(), "username": self.req_username})

    def fill_line(self, trait: str, subvars: Mapping[str, Any]) -> str:
        """Return ``exec_prefix`` and the command of a trait, both filled in."""
        return f"{self._fill('exec_prefix', subvars)} {self._fill(trait, subvars)}"

    def _fill(self, trait: str, subvars: Mapping[str, Any]) -> str:
        """Return a template for a shell, filled in: the user's name is quoted."""
        username = options.quote("username", str(subvars.get("username", "")))
        return self.fill_safely(trait, {**subvars, "username": username})

    async def run_command(
        self, cmd: str, input: str | None = None, env: Mapping[str, str] | None = None
    ) -> str:
        """Run a shell line and return what it prints.

        Parameters
        ----------
        input
            The text on its standard input; empty by default.
        env
            Its environment. Default: the Hub's variables that hold no secret.

        Raises
        ------
        RuntimeError
            If the line fails, with what it wrote to standard error, or if it takes longer than
            ``command_timeout``.
        """
        public = environment.of_commands(self.public_environment)
        try:
            done = await HOST.run(
                ["/bin/sh", "-c", cmd],
                environment=public if env is None else env,
                standard_input=(input or "").encode(),
                timeout=self.command_timeout,
                output_limit=OUTPUT_LIMIT,
                group=self.user.name,
                directory=_find_directory(),
            )
        except UniSpawnerError as error:
            self.log.error("%s: %s", cmd, error.message)
            failed = CommandFailed(error.message)
            failed.ended = False
            raise failed from None
        if done.exit_status != 0:
            error_output = done.stderr.decode("utf-8", "replace").strip()
            self.log.error("Subprocess returned exitcode %s", done.exit_status)
            self.log.error("%s", for_log(error_output))
            raise CommandFailed(error_output)
        return done.stdout.decode("utf-8", "replace").strip()

    # -- submit, query, cancel -----------------------------------------------------------------

    def parse_job_id(self, output: str) -> str:
        """Return the job's id from what the submit command printed; a subclass may replace this."""
        return output

    async def submit_batch_script(self) -> str:
        """Submit the job; return its id, or an empty text if no id could be read.

        Raises
        ------
        RuntimeError
            If the submit command fails, with what it wrote to standard error.
        InvalidJobError
            If the script or the command can't be filled in.
        """
        subvars = self.get_req_subvars()
        if self.in_hub and subvars.get("keepvars") and self.scheduler_name in SHOW_VARIABLES:
            subvars["keepvars"] += f",{MARK_VARIABLE}"
        cmd = self.fill_line("batch_submit_cmd", subvars)
        script = await self.fill_script(subvars)
        self.log.info("Spawner script options: %s", subvars)
        self.log.info("Spawner submitting command: %s", cmd)
        self.log.debug("Spawner submitting script:\n%s", script)
        all_env = drop_unsettable(self.get_env(), self.log)
        env = {name: str(value) for name, value in all_env.items()}
        public = environment.of_submission(env, self.find_public_names(env))
        if self.in_hub:
            for name in self.left_to_the_account:
                public.pop(name, None)
            script = await self.server_job.stage(script, public)
        public.update(self.server_job.note_submission(script))
        out = await self.run_command(cmd, input=script, env=public)
        self.job_id = self._read_job_id(out)
        return self.job_id

    def find_public_names(self, env: Mapping[str, str]) -> set[str]:
        """Return the names of the server's variables whose values the submit command may have."""
        names = set(self.public_environment)
        if self.hides_environment:
            names |= environment.strings_of_config(self.config, type(self), env)
        return names

    async def fill_script(self, subvars: dict[str, Any]) -> str:
        """Return the script, filled in; add to its fields what they lack: options and ``cmd``.

        Raises
        ------
        InvalidJobError
            If the script can't be filled in, or an option can't be used.
        """
        taken = {*subvars, "cmd"}
        subvars["cmd"] = self.cmd_formatted_for_batch()
        subvars.update(await self._fields_from_options(taken))
        return await self._make_script(subvars)

    async def _make_script(self, subvars: Mapping[str, Any]) -> str:
        try:
            script = await self._get_batch_script(**subvars)
            script, empty = drop_empty(script)
        except web.HTTPError:  # a subclass's own words for the user
            raise
        except Exception as error:  # the template's, or of a subclass's own code
            raise cannot_fill(self, "batch_script", error) from error
        if empty:
            self.log.info("The script's directives without a value are left out: %s", empty)
        return script

    def _read_job_id(self, out: str) -> str:
        """Return the id of a job that was submitted; empty, and the reason kept, if none is found.

        The words of the id are kept for the commands.
        """
        self._no_id, found = "", JobId()
        try:
            self.log.info("Job submitted. output: %s", for_log(out))
            found = read_id(self.parse_job_id(out), out)
        except NoJobId as error:
            self._no_id = words.legacy_refused_id(type(self).__name__, str(error))
        except Exception as error:  # a subclass's own code may raise anything
            self._no_id = words.legacy_unparsed_id(type(self).__name__, error)
        if not found.words:
            self.log.error("Job submission failed. %s", for_log(self._no_id) or "No job id.")
            self._output_without_id = out[:LONGEST_LOGGED]
        self._id = found
        return str(found)

    def _quoted_job_id(self) -> str:
        """Return the id for a shell line; a subclass may have set ``job_id`` itself."""
        job_id = str(self.job_id)
        return (self._id if str(self._id) == job_id else JobId(tuple(job_id.split()))).quoted

    async def query_job_status(self) -> JobStatus:
        """Run the query command; keep its output in ``job_status`` and return what it means."""
        if not self.job_id:
            self.job_status = ""
            return JobStatus.NOTFOUND
        failed = await self._run_query()
        status = self._read_status(failed)
        unanswered = failed and status is JobStatus.UNKNOWN
        if unanswered and self._gone:  # a failure does not bring a job back
            status, unanswered = JobStatus.NOTFOUND, False
        if unanswered and not self._unanswered:  # logged once
            output = for_log(self.job_status)
            self.log.warning(
                "Job %s could not be queried and keeps its last state: %s", self.job_id, output
            )
        self._gone, self._unanswered = status is JobStatus.NOTFOUND, unanswered
        return status

    async def _run_query(self) -> bool:
        """Run the query command; keep its output in ``job_status`` and return whether it failed."""
        try:
            subvars = {**self.get_req_subvars(), "job_id": self._quoted_job_id()}
            cmd = self.fill_line("batch_query_cmd", subvars)
            self.log.debug("Spawner querying job: %s", cmd)
            self.job_status = await self.run_command(cmd)
        except InvalidJobError:
            raise  # the template is wrong; the error shows it
        except RuntimeError as error:
            self.job_status = str(error.args[0]) if error.args else ""
            return True
        except Exception:  # {homedir} while the directory is down, or a subclass's own code
            self.log.exception("Error querying job %s", self.job_id)
            self.job_status = ""
            return True
        return False

    def _read_status(self, failed: bool) -> JobStatus:
        """Return what ``job_status`` means.

        Parameters
        ----------
        failed
            Whether the query command failed: then output that no pattern matches says nothing
            about the job.
        """
        try:
            if self.state_isrunning():
                return JobStatus.RUNNING
            if self.state_ispending():
                return JobStatus.PENDING
            if self.state_isunknown():
                return JobStatus.UNKNOWN
        except (AssertionError, NotImplementedError):
            raise  # the class is not complete
        except Exception as error:  # a subclass's own parser does not know this output
            self.log.warning(
                "%s: the output of the query command can't be read: %s: %r",
                bookkeeping.log_name(self),
                error,
                self.job_status[:LONGEST_LOGGED],
            )
            return JobStatus.UNKNOWN
        if failed and not re.search(self.state_notfound_re or r"(?!)", self.job_status):
            return JobStatus.UNKNOWN
        return JobStatus.NOTFOUND

    async def cancel_batch_job(self) -> None:
        """Run the cancel command.

        Raises
        ------
        RuntimeError
            If it fails, with what it wrote to standard error.
        """
        cmd = self._cancel_line()
        self.log.info("Cancelling job %s: %s", self.job_id, cmd)
        await self.run_command(cmd)

    def cancel_line_for_later(self) -> str:
        """Return the cancel command for the job, as a shell line that may run when this is not the
        spawner's job any more; empty if a subclass cancels in its own way."""
        own = type(self).cancel_batch_job is not BatchCommands.cancel_batch_job
        return "" if own else self._cancel_line()

    def _cancel_line(self) -> str:
        subvars = {**self.get_req_subvars(), "job_id": self._quoted_job_id()}
        return self.fill_line("batch_cancel_cmd", subvars)

    # -- what a subclass writes or calls ---------------------------------------------------------

    def make_preexec_fn(self, name: str) -> Any:
        """Return a function that makes a child process the user's; for subclasses that fork."""
        return set_user_setuid(name)

    def state_ispending(self) -> Any:
        """Return whether ``job_status`` says that the job waits."""
        raise NotImplementedError("Subclass must provide implementation")

    def state_isrunning(self) -> Any:
        """Return whether ``job_status`` says that the job runs."""
        raise NotImplementedError("Subclass must provide implementation")

    def state_isunknown(self) -> Any:
        """Return whether ``job_status`` says that the scheduler did not answer."""
        return None

    def state_gethost(self) -> str | None:
        """Return the job's host, which is in ``job_status``; None if it is not there."""
        raise NotImplementedError("Subclass must provide implementation")


def _find_directory() -> str:
    """Return the directory that commands run in: the Hub's own if users may enter it, else "/"."""
    try:
        here = Path.cwd()
        open_to_all = all(path.stat().st_mode & 0o001 for path in (here, *here.parents))
    except OSError:
        return "/"
    return str(here) if open_to_all else "/"
