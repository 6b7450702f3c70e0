"""The commands of a legacy job: templates, filled in and run by a shell, as batchspawner does."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyterhub.spawner import set_user_setuid
from jupyterhub.utils import maybe_future

from ..errors import InvalidJobError, UniSpawnerError
from ..script.filling import format_template
from ..submit_host.host import HOST
from ..web import bookkeeping
from ..web.failures import BatchFailure
from . import environment, options
from .filling import fill_in
from .job import BatchJob
from .status import LONGEST_LOGGED, CommandFailed, JobStatus, is_job_id
from .traits import BatchTraits

OUTPUT_LIMIT = 4 * 1024**2
"""Bytes of a command's output, which its user may have written: it is read on the event loop. A
thousand jobs of Grid Engine's take half of one MiB."""
_offered: dict[tuple[object, ...], set[str]] = {}
"""The names of options that a site's ``options_from_form`` has made of a form's fields. By class,
user and form: another profile, or another user, may be offered less."""


class BatchCommands(bookkeeping.ChecksUserOptions, BatchTraits):
    """How a job is submitted, asked for and cancelled."""

    server_job: BatchJob
    _unheard = False
    """True if the last query failed in a way that says nothing of the job; it is logged once."""
    _gone = False
    """True if the last query said that the job is gone."""
    _no_id = ""
    """What the submit command printed, if no job id could be read from it."""

    @property
    def in_hub(self) -> bool:
        """True if the spawner is a Hub's, and not one that a test has made by itself.

        Tests of site subclasses set ``mock_port`` in place of a report: no server will run.
        """
        return bool(self.user and self.user.settings.get("hub")) and not hasattr(self, "mock_port")

    # -- templates -----------------------------------------------------------------------------

    def get_req_subvars(self) -> dict[str, Any]:
        """Return what templates may name: each trait ``req_xyz`` as ``xyz``."""
        subvars = {
            name[4:]: getattr(self, name) for name in self.trait_names() if name.startswith("req_")
        }
        if subvars.get("keepvars_extra"):
            subvars["keepvars"] += "," + subvars["keepvars_extra"]
        return subvars

    def cmd_formatted_for_batch(self) -> str:
        """Return the text that ``{cmd}`` stands for."""
        return " ".join([self.batchspawner_singleuser_cmd, *self.cmd, *self.get_args()])

    async def _get_batch_script(self, **subvars: Any) -> str:
        """Return the job's script; a subclass may make its own."""
        return format_template(self.batch_script, **subvars)

    def _command(self, trait: str, subvars: Mapping[str, Any]) -> str:
        """Return a command behind ``exec_prefix``, both filled in."""
        username = options.quote("username", str(subvars.get("username", "")))
        safe = {**subvars, "username": username}
        return " ".join(fill_in(self, name, safe) for name in ("exec_prefix", trait))

    def formatted_exec_prefix(self) -> str:
        """Return what becomes the user, filled in."""
        username = options.quote("username", self.req_username)
        return fill_in(self, "exec_prefix", {**self.get_req_subvars(), "username": username})

    async def run_command(
        self, cmd: str, input: str | None = None, env: Mapping[str, str] | None = None
    ) -> str:
        """Run a shell line and return what it prints.

        Parameters
        ----------
        input
            What it reads; nothing by default.
        env
            Its environment. Default: that of the Hub's which is no secret.

        Raises
        ------
        RuntimeError
            With what it wrote to standard error, if it fails or takes over ``command_timeout``.
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
                directory=_directory(),
            )
        except UniSpawnerError as error:
            self.log.error("%s: %s", cmd, error.message)
            raise CommandFailed(error.message) from None
        if done.exit_status != 0:
            words = done.stderr.decode("utf-8", "replace").strip()
            self.log.error("Subprocess returned exitcode %s", done.exit_status)
            self.log.error(words)
            raise CommandFailed(words)
        return done.stdout.decode("utf-8", "replace").strip()

    # -- what a user chooses -------------------------------------------------------------------

    async def run_options_from_form(self, form_data: dict[str, Any]) -> Any:
        """Hand over to the site's ``options_from_form`` what the form has fields for, no more."""
        form = await self._form()
        given = {name: form_data[name] for name in form_data if name in form.names}
        with self._plain_where_run(given, form):
            result = await maybe_future(super().run_options_from_form(given))
        if isinstance(result, Mapping):
            _offered.setdefault(self._form_key(form), set()).update(result)
        return result

    def options_from_query(self, query_data: dict[str, Any]) -> Any:
        """Take what a link asks for as a form's: anybody can have a user follow one.

        JupyterHub 5 leaves the prefix of ``?opt-…`` to us.
        """
        return self.run_options_from_form(
            {name.removeprefix("opt-"): values for name, values in query_data.items()}
        )

    async def check_applied_options(
        self, user_options: dict[str, Any], apply: Callable[[dict[str, Any]], Awaitable[None]]
    ) -> None:
        """Check what ``apply_user_options`` sets from options that may come by the REST API."""
        if not (user_options and self.apply_user_options):
            await apply(user_options)
            return
        try:
            with self._plain_where_run(user_options, await self._form()):
                await apply(user_options)
        except InvalidJobError as error:
            raise BatchFailure(error) from error

    @contextmanager
    def _plain_where_run(self, given: Mapping[str, Any], form: options.Form) -> Iterator[None]:
        """Have a site's own code set traits of commands from what was typed, if that is plain.

        Else they stay as they were. The spawner may be started another time, and it is the Hub's
        own shell that reads its commands.
        """
        names = [name for name in self.trait_names() if name.startswith(("req_", "batch"))]
        before = {name: getattr(self, name) for name in (*names, "exec_prefix")}
        try:
            yield
            if any(getattr(self, name) != value for name, value in before.items()):
                options.check_plain(given, form)
        except Exception:
            for name, value in before.items():
                if getattr(self, name) != value:
                    setattr(self, name, value)
            raise

    def _form_key(self, form: options.Form) -> tuple[object, ...]:
        return type(self), self.user.name, frozenset(form.names)

    async def _form(self) -> options.Form:
        form = options.read_form(await self.get_options_form() or "")
        form.names.update(self.user_option_keys)
        return form

    async def _fields_from_options(self, taken: set[str]) -> dict[str, str]:
        """Return what the user's options put into the script."""
        chosen = dict(self.user_options or {})
        if not chosen:
            return {}
        form = await self._form()
        offered = {*form.names, *_offered.get(self._form_key(form), ())}
        found, refused = options.fields_from_options(chosen, taken, offered)
        if refused:
            self.log.warning(
                "%s: the user's options %s are passed over: no form offers them "
                "(c.%s.user_option_keys)",
                bookkeeping.log_name(self),
                ", ".join(map(repr, refused)),
                type(self).__name__,
            )
        return found

    # -- submit, query, cancel -----------------------------------------------------------------

    def parse_job_id(self, output: str) -> str:
        """Return the job's id from what the submit command printed; may be overridden."""
        return output

    async def submit_batch_script(self) -> str:
        """Submit; return the job's id, which is empty if none could be read.

        Raises
        ------
        RuntimeError
            With its words, if the submit command fails.
        """
        subvars = self.get_req_subvars()
        taken = {*subvars, "cmd"}
        cmd = self._command("batch_submit_cmd", subvars)
        subvars["cmd"] = self.cmd_formatted_for_batch()
        subvars.update(await self._fields_from_options(taken))
        script = await self._script(subvars)
        self.log.info("Spawner script options: %s", subvars)
        self.log.info("Spawner submitting command: %s", cmd)
        self.log.debug("Spawner submitting script:\n%s", script)
        env = {name: str(value) for name, value in self.get_env().items()}
        if self.in_hub:
            script = await self.server_job.stage(script)
        public = environment.of_submission(env, self.public_environment)
        out = await self.run_command(cmd, input=script, env=public)
        self.job_id = self._read_job_id(out)
        return self.job_id

    async def _script(self, subvars: Mapping[str, Any]) -> str:
        try:
            return await self._get_batch_script(**subvars)
        except Exception as error:  # of the template, or of a subclass's own code
            raise InvalidJobError(
                f"c.{type(self).__name__}.batch_script can't be filled in: "
                f"{type(error).__name__}: {error}\n{self.batch_script}"
            ) from error

    def _read_job_id(self, out: str) -> str:
        try:
            self.log.info("Job submitted. output: %s", out[:LONGEST_LOGGED])
            job_id = self.parse_job_id(out)
            if not job_id or is_job_id(job_id):
                return job_id or ""
        except Exception as error:  # a subclass's own, in whatever way
            self.log.error("Job submission failed. %s: %s", type(error).__name__, error)
        else:
            self.log.error("Job submission failed. %r is no job id", job_id[:LONGEST_LOGGED])
        self._no_id = out[:LONGEST_LOGGED]
        return ""

    async def query_job_status(self) -> JobStatus:
        """Ask for the job; leave the answer in ``job_status`` and return what it means."""
        if not self.job_id:
            self.job_status = ""
            return JobStatus.NOTFOUND
        failed = False
        try:
            subvars = {**self.get_req_subvars(), "job_id": self.job_id}
            cmd = self._command("batch_query_cmd", subvars)
            self.log.debug("Spawner querying job: %s", cmd)
            self.job_status = await self.run_command(cmd)
        except InvalidJobError:
            raise  # of the template, with its text
        except RuntimeError as error:
            failed, self.job_status = True, str(error.args[0]) if error.args else ""
        except Exception:  # a directory that is down has no home; or whatever a subclass raises
            self.log.exception("Error querying job %s", self.job_id)
            failed, self.job_status = True, ""
        status = self._judge(failed)
        if failed and status is JobStatus.UNKNOWN and self._gone:
            status = JobStatus.NOTFOUND  # that a job is gone is not undone by a failure
        self._gone = status is JobStatus.NOTFOUND
        if failed and status is JobStatus.UNKNOWN and not self._unheard:
            words = self.job_status[:LONGEST_LOGGED]
            self.log.warning("Job %s keeps its last state: %s", self.job_id, words)
        self._unheard = failed and status is JobStatus.UNKNOWN
        return status

    def _judge(self, failed: bool) -> JobStatus:
        """Return what ``job_status`` means; a failure that no pattern knows tells nothing."""
        try:
            if self.state_isrunning():
                return JobStatus.RUNNING
            if self.state_ispending():
                return JobStatus.PENDING
            if self.state_isunknown():
                return JobStatus.UNKNOWN
        except (AssertionError, NotImplementedError):
            raise  # the class is not complete
        except Exception as error:  # a subclass's own parser met what it does not know
            words = self.job_status[:LONGEST_LOGGED]
            self.log.warning("%s: %r can't be read: %s", bookkeeping.log_name(self), words, error)
            return JobStatus.UNKNOWN
        if failed and not re.search(self.state_notfound_re or r"(?!)", self.job_status):
            return JobStatus.UNKNOWN
        return JobStatus.NOTFOUND

    async def cancel_batch_job(self) -> None:
        """Run the cancel command.

        Raises
        ------
        RuntimeError
            With its words, if it fails.
        """
        cmd = self._command("batch_cancel_cmd", {**self.get_req_subvars(), "job_id": self.job_id})
        self.log.info("Cancelling job %s: %s", self.job_id, cmd)
        await self.run_command(cmd)

    def make_preexec_fn(self, name: str) -> Any:
        """Return what a child process does first to become a user; for subclasses that fork."""
        return set_user_setuid(name)

    def state_ispending(self) -> Any:
        """Return whether ``job_status`` says that the job waits."""
        raise NotImplementedError("Subclass must provide implementation")

    def state_isrunning(self) -> Any:
        """Return whether ``job_status`` says that the job runs."""
        raise NotImplementedError("Subclass must provide implementation")

    def state_isunknown(self) -> Any:
        """Return whether ``job_status`` says that the scheduler could not answer."""
        return None

    def state_gethost(self) -> str | None:
        """Return the host in ``job_status``; None if it has none."""
        raise NotImplementedError("Subclass must provide implementation")


def _directory() -> str:
    """Return where commands run: where the Hub does, if users may be there, too."""
    try:
        here = Path.cwd()
        open_to_all = all(path.stat().st_mode & 0o001 for path in (here, *here.parents))
    except OSError:
        return "/"
    return str(here) if open_to_all else "/"
