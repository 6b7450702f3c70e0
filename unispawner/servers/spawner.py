"""UniSpawner: from a click to a job and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from jupyterhub.spawner import Spawner
from jupyterhub.utils import maybe_future
from traitlets import TraitError

from .. import metrics
from ..errors import InvalidJobError, SubmitError, UniSpawnerError
from ..monitor import figures
from ..monitor.monitor import Monitor, get_monitor
from ..run_as.accounts import Account
from ..run_as.client import AgentClient
from ..settings.continuing import ContinuationSettings
from ..settings.job import JobSettings
from ..settings.names import fill_folder
from ..texts import all_as_read
from ..web import bookkeeping, words
from ..web.failures import failures_of_start
from ..web.start_time import StartAnswer
from . import event_log, start_time, submission
from .hand_over import HandOver
from .job_spawner import JobSpawner
from .scheduled_job import ScheduledJob
from .state import ServerState
from .usable import UsableByUser


class UniSpawner(JobSpawner, JobSettings, ContinuationSettings, Spawner):
    """Runs each user's server as a job under the user's own account.

    Attributes
    ----------
    hand_over
        What continues the server before its job ends.
    """

    server_job: ScheduledJob

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hand_over = HandOver(self)

    def new_job(self) -> ScheduledJob:
        """Return the job of a server that has not been started."""
        return ScheduledJob(self)

    # -- state ---------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Return what is saved: see :class:`unispawner.servers.state.ServerState`."""
        return {**super().get_state(), **self.server_job.to_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Load the state of a server that existed when the Hub ended."""
        super().load_state(state)
        saved = ServerState.from_dict(state)
        if saved.mark:  # as they were for this server; its next start has new ones
            try:
                self.set_trait("scheduler", saved.scheduler)
                self.take_options(saved.scheduler_options)
                self.get_scheduler()
            except (TraitError, UniSpawnerError) as error:  # anything else would end the Hub
                self.log.error(
                    "%s: the scheduler of its saved state, %r, no longer exists, so its job %s "
                    "can't be followed: %s",
                    bookkeeping.log_name(self),
                    saved.scheduler,
                    saved.job_id,
                    error,
                )
                saved = ServerState()
        if saved.mark:
            self.submit_host = saved.submit_host or self.submit_host
            self.keep_broker()
            self.scheduler_path = saved.scheduler_path
            self.scheduler_environment = saved.scheduler_environment
            self.state_dir = saved.state_dir or self.state_dir
        self.server_job = ScheduledJob(self, saved)
        self.server_job.second.restore()

    # -- internal_ssl ----------------------------------------------------------------------------

    async def create_certs(self) -> dict[str, str]:
        """Make no files on this host: each job gets a key of its own, see ``certificates``.

        Only a site that moves JupyterHub's files itself has them, with the names of
        ``ssl_alt_names``.
        """
        if type(self).move_certs is Spawner.move_certs:
            return {}
        paths: dict[str, str] = await maybe_future(super().create_certs())
        return paths

    @property
    def needs_identity(self) -> bool:
        """True if the job gets a key and certificates of ours."""
        return bool(self.internal_ssl and not self.cert_paths)

    # -- start, poll, stop -----------------------------------------------------------------------

    async def start(self) -> str:
        """Submit the job and wait until its server has reported; return the server's URL.

        Cancelling this does not cancel the job: a Hub that shuts down does that, too.
        """
        job = self.server_job
        with failures_of_start(self.log, job.name), job.start_under_way():
            spec, identity = await submission.prepare(job)
            event_log.note_accepted(job, spec, job.state.requested)
            try:
                await job.submit(submission.submit(job, spec, identity))
            except SubmitError:  # maybe an account or a queue is no longer the user's
                self.usable.forget()
                raise
            return await job.wait_ready()

    async def poll(self) -> int | None:
        """Return None while there is a server, starting or running; else its exit status."""
        while True:
            job = self.server_job
            status = await job.poll()
            if status is None or job is self.server_job:
                return status  # otherwise its second job has the route, or there is no server

    async def stop(self, now: bool = False) -> None:
        """Cancel the job and return when the scheduler confirms that it has ended.

        It tries until it succeeds and raises nothing: JupyterHub forgets a server whose stop has
        returned or raised, and would leave the job to itself.
        """
        await self.server_job.stop()

    # -- progress ------------------------------------------------------------------------------

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what has changed: position, reason and estimated start; then the host."""
        last = None
        while True:
            job, tracked = self.server_job, self.server_job.tracked
            if tracked is None:  # which scheduler "auto" is may not be known yet
                event = words.progress_event(None, None, "")
                if job.lost is not None:
                    event["message"] = words.looking_for(job.lost)
            else:
                event = words.progress_event(tracked, job.monitor.problem, job.title)
            if event != last:
                yield all_as_read(event)
            last = event
            if tracked is None:
                await asyncio.sleep(0.1)
            else:
                await tracked.wait_change(60.0)

    async def find_start_time(self, user_options: Mapping[str, Any]) -> StartAnswer:
        """Return when a server would start that is started now; see :mod:`.start_time`.

        Raises
        ------
        InvalidJobError
            If there are options: without profiles the site's own code knows what they mean.
        UniSpawnerError
            If the settings make no job.
        """
        if user_options:
            raise InvalidJobError("user_options: must be {}, because this Hub has no profiles")
        estimate = await start_time.estimate_start(self)
        return StartAnswer(estimate, scheduler=self.get_scheduler().title)

    @property
    def usable(self) -> UsableByUser:
        """What the user may use of the cluster, as far as it is known."""
        return UsableByUser(self)

    # -- what it is made of --------------------------------------------------------------------

    def monitor(self) -> Monitor:
        """Return the monitor of the scheduler, which all its spawners share."""
        environment = self.command_environment()
        return get_monitor(
            self.get_scheduler(),
            self.get_host(),
            environment,
            self.status_interval,
            self.min_query_interval,
        )

    def agent_client(self, account: Account) -> AgentClient:
        """Return the way to an account's agent.

        Raises
        ------
        InvalidJobError
            If ``state_dir`` or ``log_dir`` is not the path of a folder.
        """
        state = self.server_job.state
        state_dir = state.state_dir or self.state_dir_text()
        log_dir = state.log_dir if state.mark else self.log_dir
        return AgentClient(
            account=account,
            scheduler=self.get_scheduler(),
            run_as=self.get_run_as(),
            host=self.get_host(),
            state_dir=fill_folder(state_dir, account.name),
            log_dir=fill_folder(log_dir, account.name),
            logs_kept=self.logs_kept,
            trusted_parents=tuple(self.trusted_parents),
            min_uid=self.min_uid,
            scheduler_path=tuple(filter(None, self.scheduler_path.split(":"))),
            scheduler_environment=self.scheduler_environment,
            seconds=self.agent_timeout,
        )


metrics.add_source(figures.collect)
