"""The end of a server's job: it is cancelled until the scheduler has confirmed that."""

from __future__ import annotations

import asyncio

from ... import tasks
from ...monitor.cancel import cancel_until_ended
from .. import endings
from ..database import session_of
from ..second_job import PairedJob
from .restart import JobRestart


class JobEnd:
    """Cancels a job, and knows when it is certain that its end comes."""

    def __init__(self, job: PairedJob, restart: JobRestart) -> None:
        self._job = job
        self._restart = restart
        self._confirmation: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> bool:
        """True while the scheduler has to confirm the end."""
        return self._confirmation is not None and not self._confirmation.done()

    async def cancel(self) -> None:
        """Cancel the job and its second one: see :meth:`.ScheduledJob.cancel`."""
        second = tasks.start(self._job.second.end(), f"end of the second job of {self._job.name}")
        await self._cancel_this()
        await asyncio.wait({second})

    async def _cancel_this(self) -> None:
        if self._job.tracked is None and self._job.state.mark:
            await self._restart.attach()
        job = self._job.tracked
        if job is None:
            return
        if self._confirmation is None or self._confirmation.done():
            self._confirmation = tasks.start(self.confirm(), f"end of a job of {self._job.name}")
        confirmation, may_record = self._confirmation, True
        while not confirmation.done():
            if job.cancelled and job.server_ended and may_record and self._job.second.job is None:
                may_record = await self._record(confirmation)
                if may_record:
                    return
            news = tasks.start(job.wait_change(1.0), f"news of a job of {self._job.name}")
            await asyncio.wait({news, confirmation}, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
        confirmation.result()  # raises what kept it from its end

    async def _record(self, confirmation: asyncio.Task[None]) -> bool:
        """Save that the job is being ended; return False if the database refuses."""
        spawner, mark = self._job.spawner, self._job.state.mark
        database = session_of(spawner)
        self._job.recorded = await endings.record(spawner, mark)
        if self._job.recorded and confirmation.done():  # it did not know of the record yet
            await endings.forget(database, mark, spawner.log)
        return self._job.recorded

    async def confirm(self) -> None:
        """Cancel the job until the scheduler confirms that, and remove its private files."""
        if self._job.tracked is None:
            await self._restart.attach()
        job = self._job.tracked
        if job is None:
            return
        # The database's session: when this ends, the spawner may have been forgotten.
        database, mark = session_of(self._job.spawner), self._job.state.mark
        job.stopping = True
        self._job.monitor.track(job)
        await cancel_until_ended(job, self._job.monitor)
        await self._job.clean_up()
        if self._job.recorded:
            await endings.forget(database, mark, self._job.spawner.log)
            self._job.monitor.untrack(job)
