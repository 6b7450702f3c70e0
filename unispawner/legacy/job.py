"""The job of a legacy server: the site's own commands submit, query and cancel it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .. import tasks
from ..errors import JobEndedError, UniSpawnerError
from ..job import MARK_VARIABLE, SEARCH_PATHS, JobInfo, JobState
from ..run_as.accounts import Account, find_account
from ..run_as.client import AgentClient
from ..servers import database, event_log
from ..servers.job import ServerJob
from ..servers.search_paths import drop_hubs_paths, drop_unsettable
from ..servers.state import DEAD_ADDRESS, SavedState
from ..web import bookkeeping, words
from ..web.hosts import check_exec_host
from ..web.reports import Report, ServerEnd
from ..web.server_status import JobFacts
from . import private_files
from .lost_job import SEARCH_PAUSES, cancel_jobs, find_scheduler, make_search_client
from .own_place import BatchPlace
from .status import LONGEST_LOGGED, LONGEST_SHOWN, JobStatus, for_log

_QUERY_PAUSE = 5.0
"""How long (seconds) to wait between queries of a running job whose server has not reported."""
_HOST_TRIES = 20
"""How many queries in a row may report a running job without its host."""
_LATER_CANCELS = (20.0, 40.0)
"""The pauses (seconds) before each further cancellation of a job, or search for one, that a query
lacked."""
_SUBMIT_COMMANDS = ("exec_prefix", "batch_submit_cmd")
_FIRST_PAUSE = 2.0
_LONGEST_PAUSE = 60.0
"""How long (seconds) to wait between attempts to cancel a job: at first, and at most."""


@dataclass
class BatchState(SavedState):
    """What is saved of a legacy server beside batchspawner's own ``job_id`` and ``job_status``.

    Attributes
    ----------
    from_here
        True if a process of the Hub's own host has sent the report of ``port``.
    job_words
        The words of ``job_id``, which were checked against what the submit command printed.
    """

    from_here: bool = False
    job_words: list[str] = field(default_factory=list)


class BatchJob(ServerJob[BatchState]):
    """A job that a site's commands run.

    The job's id and the output of the last query are attributes of the spawner, as in batchspawner,
    because a site's subclass reads and sets them there. The methods that run commands and read
    their output are the spawner's, too, because a subclass may replace them.
    """

    def __init__(self, spawner: object, state: BatchState | None = None) -> None:
        super().__init__(spawner, state or BatchState())
        self._following: asyncio.Task[None] | None = None
        self.own_place = BatchPlace(self)
        self._submitted: str | None = None
        self._ended_well = False

    @property
    def over(self) -> bool:
        """Always False: only a query of ``poll()`` finds out."""
        return False

    def stop_following(self) -> None:
        """Stop looking for the job's host."""
        if self._following is not None:
            self._following.cancel()  # otherwise it follows the next job

    def facts(self) -> JobFacts:
        """Return the job's id, and whether the last query said that it waits."""
        waits = self.spawner.job_status and self.spawner.state_ispending()
        info = JobInfo(self.state.account, JobState.QUEUED if waits else JobState.RUNNING)
        return JobFacts(job_id=self.spawner.job_id, info=info)

    # -- private files ---------------------------------------------------------------------------

    async def client(self) -> AgentClient:
        """Return the client of the agent for the job's account."""
        account = await find_account(self.state.account, self.spawner.min_uid)
        return private_files.make_client(
            self.spawner, account, self.spawner.fill_command, self.state.state_dir
        )

    async def _account(self) -> Account:
        """Return the account that the job runs as.

        Raises
        ------
        AgentError
            If it does not exist or may not run servers.
        """
        spawner = self.spawner
        account = await find_account(spawner.req_username, spawner.min_uid)
        if database.has_other_users(spawner):
            private_files.find_run_as(spawner, spawner.fill_command).check_own_account(account)
        return account

    async def stage(self, script: str, submitted: Mapping[str, str]) -> str:
        """Write the private files as the user; return the script that runs their wrapper.

        When this returns, the state that finds the job again is saved.

        Parameters
        ----------
        submitted
            The environment of the submit command.

        Raises
        ------
        InvalidJobError
            If the script does not start a server.
        AgentError
            If the account does not exist, or its files can't be written.
        """
        spawner = self.spawner
        token = database.find_token(spawner)
        self.state = BatchState(
            mark=secrets.token_hex(8),
            last_event=self.state.last_event,
            account=(await self._account()).name,
            state_dir=spawner.state_dir,
            token_id=token.id,
            token_created=token.created,
            waiting_since=time.time(),
        )
        try:
            script = await self._write_files(await self.client(), script, submitted)
        except UniSpawnerError:
            await self.discard()
            raise
        if self.server:
            self.server.ip, self.server.port = DEAD_ADDRESS
        self.commit()
        return script

    async def _write_files(
        self, client: AgentClient, script: str, submitted: Mapping[str, str]
    ) -> str:
        spawner = self.spawner
        environment = {name: str(value) for name, value in spawner.get_env().items()}
        wrapper = await client.stage(
            self.state.mark,
            drop_hubs_paths(drop_unsettable(environment, spawner.log)),
            python=spawner.launcher_python,
            options=["--host", "fqdn"],
            submitted={
                name: value
                for name, value in submitted.items()
                if value and (name in environment or name in SEARCH_PATHS)
            },
        )
        own = private_files.own_programs(script)
        missing = await client.missing(own) if own else ()
        return private_files.complete_script(spawner, script, wrapper, missing)

    def note_submission(self, script: str) -> dict[str, str]:
        """Take note that the submit command is run next; return variables for its environment."""
        self._submitted = script
        return {MARK_VARIABLE: self.state.mark} if self.state.mark else {}

    async def discard(self, output: str = "", *, again: bool = False) -> None:
        """Forget a failed submission, remove its private files, and cancel its job if there is one.

        Parameters
        ----------
        output
            What the submit command has printed.
        again
            Look for the job some seconds later, too, if it is not found: a command that was killed
            may have submitted it.
        """
        if self._submitted is not None:
            await self.end_lost(SEARCH_PAUSES if again else (), output)
        await self.clean_up()
        self._submitted = None
        self.state = BatchState(last_event=self.state.last_event)

    # -- a job whose id is not known -------------------------------------------------------------

    async def end_lost(
        self, pauses: Sequence[float] | None = None, output: str | None = None
    ) -> bool:
        """Begin to find the job by its mark, and to cancel it; return False if nobody can.

        This does not wait: the user sees at once why a start has failed.

        Parameters
        ----------
        pauses
            How long (seconds) to wait before each further search, if the job is not found. Default:
            twice, because what made a query wrong may make the first search wrong, too.
        output
            What the submit command has printed; None to log nothing if there is no job.
        """
        mark, reason, client = self.state.mark, "its scheduler is not known", None
        if not mark:
            return False
        try:
            client = await self._search_client()
        except Exception as error:  # of a template, or of a directory service that is down, too
            reason = str(error)
        if client is not None:
            pauses = _LATER_CANCELS if pauses is None else pauses
            search = self._cancel_marked(client, mark, pauses, output)
            tasks.start(search, f"lost job of {self.name}")
        elif output is not None:
            self._warn_of_lost(reason, output)
        return client is not None

    async def _cancel_marked(
        self, client: AgentClient, mark: str, pauses: Sequence[float], output: str | None
    ) -> None:
        title = client.scheduler.title
        for pause in (0.0, *pauses):
            await asyncio.sleep(pause)
            reason = f"{title} shows no such job"
            try:
                if job_ids := ", ".join(await cancel_jobs(client, mark)):
                    self.spawner.log.warning(
                        "%s: the start has failed, but %s has its job %s, which is cancelled",
                        self.name,
                        title,
                        job_ids,
                    )
                    return
            except UniSpawnerError as error:
                reason = str(error)
        if output is not None:
            self._warn_of_lost(reason, output)

    def _warn_of_lost(self, reason: str, output: str) -> None:
        self.spawner.log.warning(
            "%s: no job of the failed submission was found (%s). If there is one, it ends as soon "
            "as it runs, because its private files are removed. The submit command printed: %r",
            self.name,
            reason,
            output[:LONGEST_LOGGED],
        )

    async def _search_client(self) -> AgentClient | None:
        """Return the agent's client for the scheduler of the site's commands, if that is known."""
        spawner = self.spawner
        commands = {name: spawner.fill_command(name) for name in _SUBMIT_COMMANDS}
        query = str(spawner.batch_query_cmd)
        name = find_scheduler(commands["batch_submit_cmd"], query, spawner.scheduler_name)
        if not name:
            return None
        texts = {**commands, "script": self._submitted or ""}
        return make_search_client(await self.client(), name, texts, spawner.get_env())

    # -- ready or not ----------------------------------------------------------------------------

    async def wait_ready(self) -> str:
        """Return the server's URL when it has reported.

        Raises
        ------
        JobEndedError
            If the job ends first, or ``start_timeout`` is over.
        """
        self.spawner.port = self.state.port  # of a report before the restart
        left = self.state.waiting_since + self.spawner.start_timeout - time.time()
        try:
            host = await asyncio.wait_for(self.wait_host(), max(1.0, left))
        except asyncio.TimeoutError:
            raise JobEndedError(words.not_in_time(self.spawner.start_timeout)) from None
        scheme = "https" if self.spawner.internal_ssl else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.spawner.port}"

    async def wait_host(self) -> str:
        """Return the host of the server when it has reported its port.

        Raises
        ------
        JobEndedError
            If the job ends first.
        """
        spawner = self.spawner
        host = await self._exec_host()
        spawner.ip = host
        await self._wait_for_port()
        if spawner.in_hub:
            host = await self._check_host(host)
            self.commit()
        spawner.log.info(
            "Notebook server job %s started at %s:%s", spawner.job_id, spawner.ip, spawner.port
        )
        return host

    async def _check_host(self, exec_host: str) -> str:
        """Return the address at which the Hub reaches the server on the query's host."""
        state = self.state
        address = await check_exec_host(exec_host, here=state.from_here, asker=state.account)
        return await self.own_place.find(address, self.spawner.port)

    async def _exec_host(self) -> str:
        """Return the job's host as soon as it runs."""
        spawner, tries = self.spawner, 0
        while True:
            status = await spawner.query_job_status()
            if status is JobStatus.RUNNING:
                if host := spawner.state_gethost():
                    event_log.note_started(self, str(host))
                    return str(host)
                tries += 1
                if tries >= _HOST_TRIES:
                    message = words.legacy_no_host(type(spawner).__name__, spawner.job_id)
                    raise JobEndedError(message, output=spawner.job_status[:LONGEST_SHOWN])
            elif status is JobStatus.PENDING:
                spawner.log.debug("Job %s still pending", spawner.job_id)
            elif status is JobStatus.UNKNOWN:
                spawner.log.debug("Job %s still unknown", spawner.job_id)
            else:
                raise await self._disappeared()
            await asyncio.sleep(spawner.startup_poll_interval)

    async def _wait_for_port(self) -> None:
        """Return when the server has reported; until then, query its job every few seconds."""
        spawner, asked = self.spawner, time.monotonic()
        while spawner.port == 0:
            await asyncio.sleep(spawner.startup_poll_interval)
            if hasattr(spawner, "mock_port"):
                spawner.port = spawner.mock_port
            elif time.monotonic() - asked > _QUERY_PAUSE:
                if await spawner.query_job_status() is JobStatus.NOTFOUND:
                    raise await self._disappeared()
                asked = time.monotonic()

    async def _disappeared(self) -> JobEndedError:
        spawner = self.spawner
        output = spawner.job_status
        spawner.log.warning(
            "Job %s neither pending nor running.\n%s", spawner.job_id, for_log(output)
        )
        # Some query commands print a single job, others all jobs of the user.
        output = output if len(output) < LONGEST_SHOWN else ""
        # The id, the site's query or its pattern may be wrong.
        if spawner.in_hub and not await self.end_lost():
            await self.cancel_unseen()
        event_log.note_end(self, "failed", words.LEGACY_DISAPPEARED)
        spawner.clear_state()
        return JobEndedError(words.LEGACY_DISAPPEARED, output=output)

    # -- where the server is ---------------------------------------------------------------------

    async def take_report(self, report: Report) -> None:
        """Take the port that the job's server listens on.

        The report's host is ignored. The site's patterns read the host from the query, and that
        name of the node may differ from the node's own.
        """
        spawner, self._ended_well = self.spawner, False
        spawner.port = report.port
        self.state.port, self.state.from_here = report.port, report.from_here
        self.state.reported_host = report.host or ""
        self.commit()
        # A single task at a time, however often a job reports: it takes the last port.
        idle = self._following is None or self._following.done()
        if bookkeeping.outer(spawner).ready and idle:
            self._following = tasks.start(self._follow(), f"route of {self.name}")

    async def _follow(self) -> None:
        """Send users to the new address of a server whose job was run again."""
        try:
            host = await self._check_host(await self._exec_host())
        except UniSpawnerError as error:
            self.spawner.log.warning(
                "%s: the route to the server is not changed: %s",
                self.name,
                error,
            )
            return
        await self.move_route(host, self.spawner.port)
        event_log.note_ready(self)

    # -- the end ---------------------------------------------------------------------------------

    async def take_end(self, end: ServerEnd) -> None:
        """Send users to the dead address, and take note of a server that its user has shut down.

        Slurm's scancel, and the end of a job's time, let a server end in order, too.
        """
        await super().take_end(end)
        self._ended_well = end.status == 0 and not end.signalled

    def show_end(self) -> None:
        """Show on JupyterHub's pages that the job of a server is gone.

        JupyterHub says nothing if the server was ready, and only logs it if it was there when the
        Hub ended. batchspawner says nothing either. No scheduler is asked for the reason: the
        site's own query prints only whether there is a job.
        """
        spawner = self.spawner
        lost = self.restored and bool(self.state.mark)  # its Hub died before it knew the job's id
        shown = not (spawner.job_id or lost)  # an earlier poll has forgotten it
        if shown or self._ended_well or self.state.stopping or not spawner.in_hub:
            return
        error = JobEndedError(words.legacy_ended(spawner.job_id))
        if bookkeeping.outer(spawner).ready:
            bookkeeping.report_ended_server(spawner, error)
        elif self.restored and self.resumption is None:
            bookkeeping.report_failed_start(spawner, error)

    def forget(self) -> bool:
        """Let go of the job: see the base class. Why it has ended is known only of a stop."""
        if not super().forget():
            return False
        well = "ended" if self._ended_well else "unknown"
        event_log.note_end(self, "stopped" if self.stop_asked else well, cause=self.stopped_by)
        return True

    async def ask(self) -> JobStatus:
        """Query the job and raise nothing: JupyterHub takes an error for the end of the server."""
        try:
            status: JobStatus = await self.spawner.query_job_status()
        except Exception:  # a template's, or of a subclass's own code
            job_id = self.spawner.job_id
            self.spawner.log.exception(
                "%s: the state of job %s could not be queried", self.name, job_id
            )
            return JobStatus.UNKNOWN
        return status

    async def cancel_unseen(self) -> None:
        """Cancel a job that only a query says is gone, at once and twice later; raise nothing.

        A query that prints nothing or nonsense looks like one about a job that has ended, and so
        does a state that the site's patterns do not know. The cancel command may then fail in the
        same way, and nobody else would look after the job.
        """
        spawner = self.spawner
        if not (spawner.in_hub and spawner.job_id) or self._ended_well:
            return
        await self._cancel_once()
        try:
            line = spawner.cancel_line_for_later()
        except Exception as error:  # a template's, or of a subclass's own code
            spawner.log.debug("Job %s can't be cancelled later: %r", spawner.job_id, error)
            return
        if line:
            name = f"end of job {spawner.job_id} that was not listed"
            tasks.start(self._cancel_later(line), name)

    async def _cancel_later(self, line: str) -> None:
        for pause in _LATER_CANCELS:
            await asyncio.sleep(pause)
            try:
                await self.spawner.run_command(line)
            except Exception as error:  # the job has ended, as was to be expected
                self.spawner.log.debug("%s: %r", line, error)

    async def _cancel_once(self) -> None:
        """Run the cancel command for a job that should not exist; raise nothing."""
        try:
            await self.spawner.cancel_batch_job()
        except Exception as error:  # the job has ended, as was to be expected, or a subclass's own
            self.spawner.log.debug("Job %s could not be cancelled: %r", self.spawner.job_id, error)

    async def cancel(self) -> None:
        """Run the cancel command until it succeeds or the job has ended by itself."""
        spawner, pause = self.spawner, _FIRST_PAUSE
        spawner.log.info("Stopping server job %s", spawner.job_id)
        # A forgotten job has no id, and LSF's bkill without an id kills another job.
        while spawner.job_id and self.is_current():
            try:
                await spawner.cancel_batch_job()
                break
            except Exception as error:  # the directory is down, or a subclass's own code
                spawner.log.warning(
                    "Job %s could not be cancelled yet; trying again: %r", spawner.job_id, error
                )
            if await self.ask() is JobStatus.NOTFOUND:
                break
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        self.state.stopping = False
        if self.state.mark:
            self.commit()
