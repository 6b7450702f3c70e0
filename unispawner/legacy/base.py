"""BatchSpawnerBase: batchspawner's class, with its traits, hooks, messages and order of calls.

A site's subclass of batchspawner's works unchanged. What is ours lies underneath, and only where
there is a real Hub: the job's secrets are in a private file (:mod:`.private_files`), what finds the
job again is saved at once, a start survives a restart of the Hub, and a stop ends when the
scheduler has taken it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from jupyterhub.spawner import Spawner

from .. import tasks
from ..errors import JobEndedError, SubmitError, UniSpawnerError
from ..servers import database as saving
from ..servers import start_check as hub_start
from ..servers.address import DEAD_ADDRESS, move_route
from ..servers.resume import Resumption
from ..web import reports as handlers
from ..web.bookkeeping import front
from ..web.failures import BatchFailure
from ..web.hosts import check_exec_host
from ..web.server_status import WithStatus
from . import private_files
from .checks import check_config
from .commands import LONGEST_LOGGED, BatchCommands, JobStatus, is_job_id
from .private_files import SavedJob

_LOOK_AGAIN = 5.0
"""Seconds between queries while a job runs whose server has not reported."""
_HOST_TRIES = 20
"""Queries in a row that may give no host of a running job."""
_STOP_TRIES = 10
_LONGEST_WORDS = 300
"""Characters of a scheduler's answer that a user is shown."""
_LONGEST_PAUSE = 60.0
"""Seconds between attempts to cancel a job."""


class BatchSpawnerBase(WithStatus, BatchCommands, Spawner):
    """Runs each user's server as a batch job, by commands that are templates.

    A subclass gives ``batch_script``, ``batch_submit_cmd``, ``batch_query_cmd`` and
    ``batch_cancel_cmd``, and writes :meth:`state_ispending`, :meth:`state_isrunning` and
    :meth:`state_gethost`.
    """

    resumption: Resumption | None = None

    def __init__(self, **kwargs: Any) -> None:
        self.saved = SavedJob()
        self._submission: asyncio.Task[Exception | None] | None = None
        self._stop: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._restored = self._unheard = self._gone = False
        self._reported_here = False
        self._no_id = self._base_url = ""
        super().__init__(**kwargs)

    @classmethod
    async def check_config(cls, config: Any) -> None:
        """Make sure that a configuration can work, before there is anybody to start a server.

        Raises
        ------
        InvalidJobError
            For a template or a pattern that can't be right.
        """
        await check_config(cls, config)

    # -- state ---------------------------------------------------------------------------------

    @property
    def token_id(self) -> int | None:
        """The id of the server's API token; None if there is no server."""
        return self.saved.token_id

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a server that was there when the Hub ended; batchspawner's own state will do."""
        super().load_state(state)
        # Of batchspawner, or of whatever was there before; an error would end the Hub.
        job_id = str(state.get("job_id") or "")
        self.job_id = job_id if is_job_id(job_id) else ""
        if self.job_id != job_id:
            self.log.warning("%s: %.300r is no job id", self._log_name, job_id)
        self.job_status = str(state.get("job_status") or "")
        self.saved = SavedJob.from_dict(state.get("unispawner"))
        self._restored = bool(self.saved.mark)

    def get_state(self) -> dict[str, Any]:
        """Return what is saved: batchspawner's two entries, and one of ours in a real Hub."""
        state = super().get_state()
        ours = {
            "job_id": self.job_id,
            "job_status": self.job_status[:LONGEST_LOGGED],
            "unispawner": self.saved.to_dict(),
        }
        return {**state, **{name: value for name, value in ours.items() if value}}

    def clear_state(self) -> None:
        """Forget the job, and remove its private files."""
        if self.saved.stopping and self.saved.mark:
            return saving.leave_to_the_next_hub(self, self._base_url)
        if self.saved.mark:
            what = f"clean-up for {self._log_name}"
            tasks.start(private_files.clean_up(self, self.saved), what)
            saving.revoke_token(self, self.saved.token_id)
        if self.resumption is not None:
            self.resumption.stopped.set()
        super().clear_state()
        self.job_id = self.job_status = ""
        self.saved, self.resumption, self._restored = SavedJob(), None, False
        if self._following is not None:
            self._following.cancel()  # or it would follow the next job
        self._submission = self._stop = self._following = None
        self._gone = False

    # -- start ---------------------------------------------------------------------------------

    async def start(self) -> tuple[str, int]:
        """Submit the job; return host and port when its server has reported.

        Cancelling this does not cancel the job: a Hub that shuts down does that, too.
        """
        self.ip = self.traits()["ip"].default_value
        self.port = self.traits()["port"].default_value
        if self.server:
            self.server.port = self.port
        try:
            self._submission = tasks.start(self._submit(), f"submission for {self._log_name}")
            if error := await asyncio.shield(self._submission):
                raise error
            if not self.job_id:
                raise SubmitError(
                    "Jupyter batch job submission failure (no jobid in output). "
                    f"c.{type(self).__name__}.batch_submit_cmd, {self.batch_submit_cmd!r}, "
                    f"printed: {self._no_id!r}"
                )
            return await self._ready(), self.port
        except (AssertionError, NotImplementedError):
            raise  # the class is not complete
        except UniSpawnerError as error:
            raise BatchFailure(error) from error
        except RuntimeError as error:  # run_command's: the scheduler's own words
            words = str(error) or f"{self.batch_submit_cmd!r} failed and printed nothing"
            raise BatchFailure(SubmitError(words)) from error
        except Exception as error:  # a bug, ours or a subclass's: no bare 500 for that
            self.log.exception("%s: the start failed", self._log_name)
            message = f"The start failed: {type(error).__name__}: {error}"
            raise BatchFailure(UniSpawnerError(message)) from error

    async def _submit(self) -> Exception | None:
        """Submit, and save the job's id before anything else is awaited; return what went wrong."""
        try:
            await self.submit_batch_script()
        except Exception as error:  # a subclass's own, too: whoever waits raises it
            result: Exception | None = error
        else:
            result = None
        if not self.job_id:
            saved, self.saved = self.saved, SavedJob()
            # A job that was submitted after all finds no environment and ends at once.
            await private_files.clean_up(self, saved)
        if self.in_hub:
            saving.commit(self)
        return result

    async def _ready(self) -> str:
        """Return the address of the server when it has reported.

        Raises
        ------
        JobEndedError
            If the job ends first.
        """
        host = await self._exec_host()
        self.ip = host
        await self._wait_for_port()
        if self.in_hub:
            host = await check_exec_host(host, here=self._reported_here)
            saving.commit(self)
        self.log.info("Notebook server job %s started at %s:%s", self.job_id, self.ip, self.port)
        return host

    async def _exec_host(self) -> str:
        """Return the job's host, as soon as it runs."""
        tries = 0
        while True:
            status = await self.query_job_status()
            if status is JobStatus.RUNNING:
                if host := self.state_gethost():
                    return host
                tries += 1
                if tries >= _HOST_TRIES:
                    raise JobEndedError(
                        f"The job {self.job_id} runs, but its host can't be read "
                        f"(c.{type(self).__name__}.state_exechost_re):",
                        output=self.job_status[:_LONGEST_WORDS],
                    )
            elif status is JobStatus.PENDING:
                self.log.debug("Job %s still pending", self.job_id)
            elif status is JobStatus.UNKNOWN:
                self.log.debug("Job %s still unknown", self.job_id)
            else:
                raise self._disappeared()
            await asyncio.sleep(self.startup_poll_interval)

    async def _wait_for_port(self) -> None:
        """Return when the server has reported; ask now and then whether its job still runs."""
        asked = time.monotonic()
        while self.port == 0:
            await asyncio.sleep(self.startup_poll_interval)
            if hasattr(self, "mock_port"):
                self.port = self.mock_port
            elif time.monotonic() - asked > _LOOK_AGAIN:
                if await self.query_job_status() is JobStatus.NOTFOUND:
                    raise self._disappeared()
                asked = time.monotonic()

    def _disappeared(self) -> JobEndedError:
        words = self.job_status[:LONGEST_LOGGED]
        self.log.warning("Job %s neither pending nor running.\n%s", self.job_id, words)
        # Some schedulers' commands print of one job, some all of a user's.
        words = self.job_status if len(self.job_status) < _LONGEST_WORDS else ""
        self.clear_state()
        return JobEndedError(
            "The Jupyter batch job has disappeared while pending in the queue or died immediately "
            "after starting.",
            output=words,
        )

    async def take_report(self, host: str | None, port: int, *, here: bool) -> None:
        """Take the port that the job's server listens on.

        Parameters
        ----------
        host
            Counts for nothing: the host is the scheduler's, as the site's patterns read it, which
            may be another name of the node than the node has for itself.
        here
            True if the report came from the Hub's own host.
        """
        self.port, self._reported_here = port, here
        self.saved.port = port
        saving.commit(self)
        # One at a time, however often a job reports: it takes the last port.
        if front(self).ready and (self._following is None or self._following.done()):
            self._following = tasks.start(self._follow(), f"route of {self._log_name}")

    async def _follow(self) -> None:
        """Send users to where a job that was run again has its server now."""
        try:
            host = await check_exec_host(await self._exec_host(), here=self._reported_here)
        except UniSpawnerError as error:
            self.log.warning("%s: %s", self._log_name, error)
            return
        await move_route(self, host, self.port)

    def commit(self) -> bool:
        """Save the state now; False if the database refuses."""
        return saving.commit(self)

    # -- poll, stop ----------------------------------------------------------------------------

    async def poll(self) -> int | None:
        """Ask for the job: None while there is one, or the scheduler does not answer; else 1."""
        if self._submission is not None and not self._submission.done():
            return None
        if self._restored and self.saved.stopping:
            await self.stop()
        status = await self._ask()
        if status is JobStatus.NOTFOUND:
            self.saved.stopping = False
            self.clear_state()
            return 1
        if status is JobStatus.PENDING and self.saved.port:
            self.log.warning("%s: job %s waits again", self._log_name, self.job_id)
            self.saved.port = 0
            if front(self).ready:
                await move_route(self, *DEAD_ADDRESS)  # the port may be another user's by now
        if self._restored and not self.saved.port and self.resumption is None:
            self.resumption = Resumption(self)
        return None

    async def _ask(self) -> JobStatus:
        """Ask for the job and raise nothing: JupyterHub takes that for a server that is gone."""
        try:
            return await self.query_job_status()
        except Exception:  # of a template, of a subclass's own code
            self.log.exception("%s: job %s can't be asked for", self._log_name, self.job_id)
            return JobStatus.UNKNOWN

    async def stop(self, now: bool = False) -> None:
        """Cancel the job; without ``now``, return when it is gone.

        In a real Hub it tries until the scheduler takes it: JupyterHub forgets a server whose stop
        has returned or raised.
        """
        if self.resumption is not None:
            await self.resumption.stopping()
        if self._submission is not None and not self._submission.done():
            await asyncio.wait({self._submission})
        self.log.info("Stopping server job %s", self.job_id)
        if not self.in_hub:
            await self.cancel_batch_job()
        elif self.job_id:
            if self._stop is None or self._stop.done():
                self._stop = tasks.start(self._cancel(), f"stop of {self._log_name}")
            await asyncio.shield(self._stop)
        if now:
            return
        for _ in range(_STOP_TRIES):
            status = await self._ask()
            gone = status not in (JobStatus.RUNNING, JobStatus.UNKNOWN)
            if gone and not (self.in_hub and status is JobStatus.PENDING):
                return
            await asyncio.sleep(1)
        if self.job_id:
            self.log.warning(
                "Notebook server job %s at %s:%s possibly failed to terminate",
                self.job_id,
                self.ip,
                self.port,
            )

    async def _cancel(self) -> None:
        """Run the cancel command until it succeeds, or the job is gone by itself."""
        self.saved.stopping = bool(self.saved.mark)
        self._base_url = self.server.base_url if self.server else self._base_url
        saving.commit(self)
        pause = 2.0
        while self.job_id:  # else it is gone, and forgotten: without an id bkill takes another job
            try:
                await self.cancel_batch_job()
                break
            except Exception as error:  # of a directory that is down, of a subclass's own code
                self.log.warning("Job %s is not cancelled yet: %r", self.job_id, error)
            if await self._ask() is JobStatus.NOTFOUND:
                break
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        self.saved.stopping = False
        saving.commit(self)

    # -- after a restart -----------------------------------------------------------------------

    async def get_url(self) -> str:
        """Return where the server is; after a restart, wait for one that has not reported yet."""
        if self.resumption is None:
            return str(await super().get_url())
        return await self.resumption.get_url()

    async def wait_ready(self) -> str:
        """Return the server's URL when it has reported.

        Raises
        ------
        JobEndedError
            If the job ends first, or ``start_timeout`` is over.
        """
        left = self.saved.waiting_since + self.start_timeout - time.time()
        try:
            host = await asyncio.wait_for(self._ready(), max(1.0, left))
        except asyncio.TimeoutError:
            message = f"The server did not start within {self.start_timeout} s."
            raise JobEndedError(message) from None
        scheme = "https" if self.internal_ssl else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    def start_polling(self) -> None:
        """Begin to poll: JupyterHub has found the server up."""
        super().start_polling()
        self._restored = False
        if self.resumption is not None:
            self.resumption.ready()

    # -- progress ------------------------------------------------------------------------------

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield once a second what the last query has told."""
        while True:
            if self.state_ispending():
                yield {"message": "Pending in queue..."}
            elif self.state_isrunning():
                yield {"message": "Cluster job running... waiting to connect"}
                return
            else:
                yield {"message": "Unknown status..."}
            await asyncio.sleep(1)


handlers.register()
hub_start.watch()
