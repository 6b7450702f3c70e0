"""BatchSpawnerBase: batchspawner's class, with its traits, hooks, messages and order of calls.

A site's subclass of batchspawner's class works unchanged. In a real Hub, unispawner adds: the job's
secrets are in a private file (:mod:`.private_files`); what finds the job again is saved at once; a
start survives a restart of the Hub; a stop goes on until the scheduler has accepted it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from jupyterhub.spawner import Spawner
from tornado import web

from ..errors import SubmitError
from ..servers import event_log
from ..servers.job_spawner import JobSpawner
from ..web import bookkeeping, words
from ..web.failures import BatchFailure, failures_of_start
from .checks import check_config
from .commands import BatchCommands
from .job import BatchJob, BatchState
from .job_id import JobId, NoJobId, is_plain, outputs_for, read_id
from .status import LONGEST_LOGGED, CommandFailed, JobStatus

_STOP_TRIES = 10
"""How often a stop asks whether the job has ended, once a second."""


class BatchSpawnerBase(JobSpawner, BatchCommands, Spawner):
    """Runs each user's server as a batch job, with commands that are templates.

    A subclass sets ``batch_script``, ``batch_submit_cmd``, ``batch_query_cmd`` and
    ``batch_cancel_cmd``, and writes :meth:`state_ispending`, :meth:`state_isrunning` and
    :meth:`state_gethost`.
    """

    server_job: BatchJob

    def new_job(self) -> BatchJob:
        """Return the job of a server that has not been started."""
        return BatchJob(self)

    @classmethod
    async def check_config(cls, config: Any) -> None:
        """Check a configuration when the Hub starts, before any user starts a server.

        Raises
        ------
        InvalidJobError
            If a template or a pattern is wrong.
        """
        await check_config(cls, config)

    # -- state ---------------------------------------------------------------------------------

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a server that ran when the Hub ended; it may have been batchspawner's."""
        super().load_state(state)
        ours = BatchState.from_dict(state.get("unispawner"))
        # batchspawner or another spawner may have saved the state. An error here ends the Hub.
        saved = state.get("job_id")
        self._id = self._load_job_id(saved, ours.job_words)
        self.job_id = str(self._id)
        if saved and not self.job_id:
            name = bookkeeping.log_name(self)
            self.log.warning(
                "%s: the saved job id %.300r is not a job id, so the server is forgotten",
                name,
                saved,
            )
        self.job_status = str(state.get("job_status") or "")
        self.server_job = BatchJob(self, ours)

    def _load_job_id(self, saved: object, job_words: list[str]) -> JobId:
        """Return the id in a saved state; without words if it can't be used in a command.

        Parameters
        ----------
        job_words
            The words of the id, if this was checked before it was saved. batchspawner checks
            nothing: then it must be what ``parse_job_id`` makes of plain words.
        """
        if job_words and " ".join(job_words) == saved:
            return JobId(tuple(job_words))
        try:
            found = read_id(saved, "")
        except NoJobId:
            return JobId()
        if all(map(is_plain, found.words)):
            return found
        return found if any(map(self._makes(found), outputs_for(found.words))) else JobId()

    def _makes(self, job_id: JobId) -> Callable[[str], bool]:
        """Return whether ``parse_job_id`` makes an id of an output, as a function."""

        def makes(output: str) -> bool:
            try:
                return read_id(self.parse_job_id(output), output) == job_id
            except Exception:  # a subclass's own code may raise anything
                return False

        return makes

    def get_state(self) -> dict[str, Any]:
        """Return what is saved: batchspawner's entries and, in a real Hub, an entry of ours."""
        state = super().get_state()
        ours = {
            "job_id": self.job_id,
            "job_status": self.job_status[:LONGEST_LOGGED],
            "unispawner": self.server_job.state.to_dict(),
        }
        return {**state, **{name: value for name, value in ours.items() if value}}

    def clear_state(self) -> None:
        """Forget the job, and remove its private files."""
        job = self.server_job
        super().clear_state()
        if self.server_job is not job:
            self.job_id = self.job_status = ""
            self._gone = False

    # -- start ---------------------------------------------------------------------------------

    async def start(self) -> tuple[str, int]:
        """Submit the job; return host and port when its server has reported.

        If this is cancelled, the job goes on: a Hub that shuts down cancels it, too.
        """
        self.ip = self.traits()["ip"].default_value
        self.port = self.traits()["port"].default_value
        if self.server_job.server:
            self.server_job.server.port = self.port
        # Of a class that is not complete, and what a subclass has for JupyterHub to show.
        unchanged = (AssertionError, NotImplementedError, web.HTTPError)
        job, name = self.server_job, bookkeeping.log_name(self)
        failures = failures_of_start(self.log, name, BatchFailure, unchanged)
        with failures, event_log.start_noted(job):
            return await self._start(job)

    async def _start(self, job: BatchJob) -> tuple[str, int]:
        cls = type(self).__name__
        try:
            if error := await job.submit(self._submit(job)):
                raise error
            if not self.job_id:
                command, output = self.batch_submit_cmd, self._output_without_id
                raise SubmitError(words.legacy_no_job_id(cls, command, output, self._no_id))
            return await job.wait_host(), self.port
        except (NotImplementedError, web.HTTPError):
            raise
        except RuntimeError as error:  # run_command's: the scheduler's own words
            silent = f"c.{cls}.batch_submit_cmd: {self.batch_submit_cmd!r} failed without a message"
            raise SubmitError(str(error) or silent) from error

    async def _submit(self, job: BatchJob) -> Exception | None:
        """Submit the job and save its id before anything else is awaited; return the error."""
        try:
            await self.submit_batch_script()
        except Exception as error:  # the caller raises it, a subclass's own errors, too
            result: Exception | None = error
        else:
            result = None
        if not self.job_id:
            printed = str(result) if result else self._output_without_id
            ended = isinstance(result, CommandFailed) and result.ended
            await job.discard(printed, again=not ended)
        if self.in_hub:
            job.state.job_words = list(self._id.words) if self.job_id == str(self._id) else []
            if self.job_id:
                event_log.note_submitted(job)
            job.commit()
        return result

    # -- poll, stop ----------------------------------------------------------------------------

    async def poll(self) -> int | None:
        """Query the job: return 1 if it has ended, None if it exists or no scheduler answers."""
        job = self.server_job
        if job.submitting:
            return None
        if job.restored and job.state.stopping:
            await self.stop()
        if job.restored and job.state.mark and not self.job_id:
            await job.end_lost()  # the Hub died before it knew the id
        status = await job.ask()
        if not (job.is_current() or bookkeeping.is_known(self)):
            return None  # a late answer: JupyterHub would stop the next server for it
        if status is JobStatus.NOTFOUND:
            job.show_end()
            if not job.state.stopping:
                await job.cancel_unseen()
            job.state.stopping = False
            self.clear_state()
            return 1
        if status is JobStatus.PENDING and job.state.port:
            job.forget_address()
        elif status is JobStatus.RUNNING:
            await job.own_place.look_again()
        if job.unfinished:
            job.resume()
        return None

    async def stop(self, now: bool = False) -> None:
        """Cancel the job; unless ``now`` is set, wait about ten seconds for its end.

        In a real Hub the cancel command is repeated until it succeeds: JupyterHub forgets a server
        when its stop has returned or raised.
        """
        if self.in_hub:
            await self.server_job.stop()
        else:
            await self.server_job.wait_submitted()
            self.log.info("Stopping server job %s", self.job_id)
            await self.cancel_batch_job()
        if now:
            return
        for _ in range(_STOP_TRIES):
            status = await self.server_job.ask()
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

    # -- progress ------------------------------------------------------------------------------

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the job's state of the last query once a second."""
        while True:
            if self.state_ispending():
                yield {"message": words.LEGACY_PENDING}
            elif self.state_isrunning():
                yield {"message": words.LEGACY_RUNNING}
                return
            else:
                yield {"message": words.LEGACY_UNKNOWN}
            await asyncio.sleep(1)
