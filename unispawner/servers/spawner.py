"""UniSpawner: from a click to a job and back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from jupyterhub.spawner import Spawner
from traitlets import TraitError

from .. import tasks
from ..errors import InvalidJobError, JobEndedError, UniSpawnerError
from ..job import JobInfo, JobState
from ..monitor.cancel import cancel_until_ended
from ..monitor.monitor import Monitor, TrackedJob, get_monitor
from ..run_as import get_run_as
from ..run_as.accounts import Account, find_account
from ..run_as.client import AgentClient
from ..settings.job import JobSettings
from ..submit_host.host import HOST
from ..web import progress
from ..web import reports as handlers
from ..web.bookkeeping import front
from ..web.failures import SpawnFailure
from ..web.server_status import WithStatus
from . import address as report
from . import database as saving
from . import resume, submission
from . import start_check as hub_start
from .state import ServerState

_LOG_LINES = 20


class UniSpawner(WithStatus, JobSettings, Spawner):
    """Runs each user's server as a job under the user's own account."""

    state: ServerState
    """What is saved of the server; empty if there is none."""

    def __init__(self, **kwargs: Any) -> None:
        self.state = ServerState()
        self.job: TrackedJob | None = None
        self._submission: asyncio.Task[None] | None = None
        self.attachment: asyncio.Task[None] | None = None
        self._stop: asyncio.Task[None] | None = None
        self.resumption: resume.Resumption | None = None
        self._starting = False
        self._restored = False
        self._cleaned = False
        self._base_url = ""
        super().__init__(**kwargs)

    # -- state ---------------------------------------------------------------------------------

    @property
    def token_id(self) -> int | None:
        """The id of the server's API token; None if there is no server."""
        return self.state.token_id

    def get_state(self) -> dict[str, Any]:
        """Return what is saved: see :class:`unispawner.servers.state.ServerState`."""
        return {**super().get_state(), **self.state.to_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a server that was there when the Hub ended."""
        super().load_state(state)
        self.state = ServerState.from_dict(state)
        if self.state.mark:  # as they were for this server; its next start has new ones
            try:
                self.set_trait("scheduler", self.state.scheduler)
                self.take_options(self.state.scheduler_options)
                self.get_scheduler()
            except (TraitError, UniSpawnerError) as error:  # anything else would end the Hub
                self.log.error("%s: its scheduler is no more: %s", self._log_name, error)
                self.state = ServerState()
        self._restored = bool(self.state.mark)
        if self._restored:
            self.scheduler_path = self.state.scheduler_path
            self.scheduler_environment = self.state.scheduler_environment
            self.state_dir = self.state.state_dir or self.state_dir

    def clear_state(self) -> None:
        """Forget the server, and revoke its token, which JupyterHub can't after a restart."""
        if self.state.stopping and not (self.job and self.job.over) and self.state.mark:
            return saving.leave_to_the_next_hub(self, self._base_url)
        saving.revoke_token(self, self.token_id)
        if self.job is not None:
            self.monitor().untrack(self.job)
        if self.resumption is not None:
            self.resumption.stopped.set()
        self.state, self.job, self._submission, self._stop = ServerState(), None, None, None
        self._restored, self._cleaned = False, False
        self.attachment, self.resumption = None, None
        super().clear_state()

    def commit(self) -> bool:
        """Save the state now; False, with a line in the log, if the database refuses."""
        return saving.commit(self)

    def session(self) -> Any:
        """Return the Hub's database session; None for a spawner that belongs to nobody."""
        return saving.session(self)

    # -- start ---------------------------------------------------------------------------------

    async def start(self) -> str:
        """Submit the job and wait until its server has reported; return the server's URL.

        Cancelling this does not cancel the job: a Hub that shuts down does that, too.
        """
        self._starting = True
        try:
            spec = await submission.prepare(self)
            what = f"submission for {self._log_name}"
            self._submission = tasks.start(submission.submit(self, spec), what)
            await asyncio.shield(self._submission)
            return await self.wait_ready()
        except UniSpawnerError as error:
            raise SpawnFailure(error) from error
        except Exception as error:  # a bug, ours or the configuration's: no bare 500 for that
            self.log.exception("%s: the start failed", self._log_name)
            message = f"The start failed: {type(error).__name__}: {error}"
            raise SpawnFailure(UniSpawnerError(message)) from error
        finally:
            self._starting = False

    async def wait_ready(self) -> str:
        """Return the server's URL when it has reported.

        Raises
        ------
        JobEndedError
            If the job ends first, or runs for ``report_timeout`` without a report.
        """
        deadline = self.state.waiting_since + self.start_timeout
        running_since: float | None = None
        if self.attachment is not None:  # a restarted Hub is looking the job up
            await asyncio.wait({self.attachment})
        assert self.job is not None
        while not self.state.port:
            job, now = self.job, time.monotonic()
            if job.final or (job.info and job.info.stuck):
                raise await self.ended()
            if self._restored and time.time() > deadline:
                raise JobEndedError(f"The server did not start within {self.start_timeout} s.")
            if job.info is None or job.info.state is not JobState.RUNNING:
                running_since = None
                await job.wait_change(30.0)
                continue
            running_since = running_since or now
            left = running_since + self.report_timeout - now
            if left <= 0:
                raise await self._never_reported(job)
            await job.wait_change(left)
        return report.url(self.state)

    async def ended(self) -> JobEndedError:
        """Return the error that tells why the job is no more."""
        assert self.job is not None
        message = progress.ended(self.job, self.get_scheduler().title)
        return JobEndedError(message, output=await self._log_tail(self.state.mark))

    async def _never_reported(self, job: TrackedJob) -> JobEndedError:
        url = self.get_env().get("JUPYTERHUB_API_URL", "")
        message = progress.never_reported(job, self.report_timeout, url)
        return JobEndedError(message, output=await self._log_tail(self.state.mark))

    async def _log_tail(self, mark: str) -> str:
        """Return the end of a job's log, read as the user."""
        try:
            return await (await self.client()).log_tail(mark, _LOG_LINES)
        except UniSpawnerError as error:
            return f"(the job's log can't be read: {error.message})"

    async def take_report(self, host: str | None, port: int, *, here: bool) -> None:
        """Take where the server listens: see :func:`unispawner.servers.address.take_report`."""
        await report.take_report(self, host, port)

    # -- poll, stop ----------------------------------------------------------------------------

    async def poll(self) -> int | None:
        """Return None while there is a server, starting or running; else its exit status.

        Answers from memory. Only the first time after a restart it waits, a few seconds at most,
        for the scheduler to be heard.
        """
        if self._starting and not (self.job and self.job.final):
            return None
        if self._submission is not None and not self._submission.done():
            return None
        if not self.state.mark:
            return 0
        if self._restored and not (self.job and self.job.info):
            await resume.first_answer(self)
            if not self.state.mark:  # it was stopped meanwhile
                return 0
        if self.job is None or not self.job.over:
            return None
        return _exit_status(self.job.info)

    def _job_changed(self, job: TrackedJob, before: JobInfo | None) -> None:
        """Follow a job that is run again, and let the Hub know at once of one that has ended."""
        if job is not self.job or job.info is None:
            return
        if job.info.state.final:
            if not job.stopping:
                title = self.get_scheduler().title
                self.log.warning("%s: %s", self._log_name, progress.ended(job, title))
            self.start_clean_up(job.client)
            if front(self)._poll_callback is not None:
                tasks.start(self._server_ended(job), f"end of {self._log_name}")
        elif job.info.stuck and self.state.port and not job.stopping:
            # Its server is no more and the job would stay for ever: it is as good as ended.
            title = self.get_scheduler().title
            self.log.warning("%s: %s", self._log_name, progress.ended(job, title))
            report.forget_address(self, job)
            if self._stop is None or self._stop.done():
                self._tell_end(job)
                self._stop = tasks.start(self._stop_job(), f"end of {self._log_name}")
        elif self.state.port and not job.stopping and report.has_moved(job, before, job.info):
            report.forget_address(self, job)

    async def _server_ended(self, job: TrackedJob) -> None:
        """Let JupyterHub know that a job has ended, and its pages why unless it was by itself."""
        if not job.stopping and job.info and job.info.state is not JobState.COMPLETED:
            self._tell_end(job)
        await resume.notify_end(self)

    def _tell_end(self, job: TrackedJob) -> None:
        """Have JupyterHub's pages tell why a ready server is no more, and soon its last words."""
        if not front(self).ready:
            return
        message = progress.ended(job, self.get_scheduler().title)
        told, mark = resume.tell_end(self, JobEndedError(message)), self.state.mark

        async def tell_log() -> None:
            error = JobEndedError(message, output=await self._log_tail(mark))
            resume.tell_end(self, error, told)

        tasks.start(tell_log(), f"log of {self._log_name}")

    async def stop(self, now: bool = False) -> None:
        """Cancel the job and return when the scheduler confirms that it has ended.

        Tries until it succeeds and raises nothing: JupyterHub forgets a server whose stop has
        returned or raised, and would leave the job to itself.
        """
        if self.resumption is not None:
            await self.resumption.stopping()
        if self._stop is None or self._stop.done():
            self._stop = tasks.start(self._stop_job(), f"stop of {self._log_name}")
        await asyncio.shield(self._stop)

    async def _stop_job(self) -> None:
        self.state.stopping = True
        self._base_url = self.server.base_url if self.server else self._base_url
        self.commit()
        if self._submission is not None and not self._submission.done():
            await asyncio.wait({self._submission})
        if self.job is None and self.state.mark:
            await resume.attach(self)
        job = self.job
        if job is None:
            return
        job.stopping = True
        self.monitor().track(job)
        await cancel_until_ended(job, self.monitor())
        await self.clean_up(job.client, self.state.mark)

    def start_clean_up(self, client: AgentClient) -> None:
        """Remove the job's private files in the background, once."""
        if not self._cleaned:
            self._cleaned = True
            what = f"clean-up for {self._log_name}"
            tasks.start(self.clean_up(client, self.state.mark), what)

    async def clean_up(self, client: AgentClient, mark: str) -> None:
        """Remove a job's private files; what can't be removed now is swept later."""
        self._cleaned = True
        try:
            await client.cleanup(mark)
        except UniSpawnerError as error:
            self.log.warning("%s: files are left for later: %s", self._log_name, error)

    # -- after a restart -----------------------------------------------------------------------

    async def get_url(self) -> str:
        """Return where the server is; after a restart, wait for one that has not reported yet."""
        if self.state.port:
            return report.url(self.state)
        if not self._restored:
            return str(await super().get_url())
        if self.resumption is None:  # it had reported, and its job has just been queued again
            self.resumption = resume.Resumption(self)
        return await self.resumption.get_url()

    def start_polling(self) -> None:
        """Begin to poll: JupyterHub has found the server up."""
        super().start_polling()
        if self.resumption is not None:
            self.resumption.ready()

    # -- progress ------------------------------------------------------------------------------

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what has changed: position, reason and estimated start; then the host."""
        last = None
        while True:
            if self.job is None:  # which scheduler "auto" is may not be known yet
                event = progress.event(None, None, "the cluster")
            else:
                title = self.get_scheduler().title
                event = progress.event(self.job, self.monitor().problem, title)
            if event != last:
                yield event
            last = event
            if self.job is None:
                await asyncio.sleep(0.1)
            else:
                await self.job.wait_change(60.0)

    # -- what it is made of --------------------------------------------------------------------

    def track(self, client: AgentClient, job_id: str, *, submitted: bool = False) -> None:
        """Follow a job of ours from now on."""
        self.job = TrackedJob(job_id, client, on_change=self._job_changed)
        self.job.reported = bool(self.state.port)
        self.monitor().track(self.job, submitted=submitted)

    def monitor(self) -> Monitor:
        """Return the monitor of the scheduler, which all its spawners share."""
        environment = self.command_environment()
        return get_monitor(self.get_scheduler(), HOST, environment, self.status_interval)

    async def client(self) -> AgentClient:
        """Return the way to the agent of the server's account."""
        return self.agent_client(await find_account(self.state.account, self.min_uid))

    def agent_client(self, account: Account) -> AgentClient:
        """Return the way to an account's agent."""
        state_dir = self.state_dir.replace("{username}", account.name)
        if "{" in state_dir:
            raise InvalidJobError(
                f"c.UniSpawner.state_dir: {self.state_dir!r}: only {{username}} is known in braces"
            )
        return AgentClient(
            account=account,
            scheduler=self.get_scheduler(),
            run_as=get_run_as(
                self.run_as,
                agent_python=self.agent_python,
                allow_shared_account=self.allow_shared_account,
            ),
            host=HOST,
            state_dir=state_dir,
            min_uid=self.min_uid,
            scheduler_path=tuple(filter(None, self.scheduler_path.split(":"))),
            scheduler_environment=self.scheduler_environment,
            seconds=self.agent_timeout,
        )


def _exit_status(info: JobInfo | None) -> int:
    """Return a job's exit status; one that failed before its script ran has none of its own."""
    failed = info is not None and info.state is JobState.FAILED
    return (info.exit_code if info else 0) or int(failed)


handlers.register()
hub_start.watch()
