"""The methods that JupyterHub calls, as far as all spawners whose servers are jobs share them."""

from __future__ import annotations

import abc
import asyncio
from typing import TYPE_CHECKING, Any

from ..errors import InvalidJobError
from ..web import words
from ..web.allowance import Allowance
from ..web.reports import Report, ServerEnd
from ..web.server_status import WithStatus
from . import database, hub_start
from .job import ServerJob

if TYPE_CHECKING:
    from jupyterhub.spawner import Spawner as _Base
else:  # JupyterHub refuses a subclass of Spawner that can't start, stop and poll
    _Base = object


class JobSpawner(WithStatus, _Base):
    """A mixin: a spawner with a :class:`.job.ServerJob`. It comes before Spawner in the bases.

    Attributes
    ----------
    server_job
        The job of the server. There is always one; its state is empty if there is no server.
    route_lock
        Held while the proxy is told where the server is.
    """

    server_job: ServerJob[Any]

    def __init__(self, **kwargs: Any) -> None:
        self.server_job = self.new_job()
        self.route_lock = asyncio.Lock()
        super().__init__(**kwargs)

    @abc.abstractmethod
    def new_job(self) -> ServerJob[Any]:
        """Return the job of a server that has not been started."""

    @property
    def token_id(self) -> int | None:
        """The id of the server's API token; None if there is no server."""
        token_id: int | None = self.server_job.state.token_id
        return token_id

    @property
    def token_created(self) -> float:
        """When that token was made, in seconds since the epoch; 0 if that is not known."""
        return float(self.server_job.state.token_created)

    @property
    def allowance(self) -> Allowance:
        """How many reports its server may send."""
        return self.server_job.allowance

    def clear_state(self) -> None:
        """Forget the server, and revoke its token, which JupyterHub can't after a restart."""
        if self.server_job.forget():
            database.remove_copy(self)
            database.revoke_token(self, database.find_spare_token(self))
            self.server_job = self.new_job()
            super().clear_state()

    def run_post_stop_hook(self) -> Any:
        """Run the hook, which may take its time: a stop that was cut short is saved before."""
        self.server_job.leave_stop()
        return super().run_post_stop_hook()

    def commit(self) -> bool:
        """Save the state now; return False, and log why, if the database refuses."""
        return self.server_job.commit()

    async def take_report(self, report: Report) -> None:
        """Take where the server listens: see :class:`unispawner.web.reports.TakesReports`."""
        await self._job_of(report.mark).take_report(report)

    async def take_begin(self, host: str, peer: str = "", mark: str = "") -> dict[str, str]:
        """Take note of a job that runs: see :class:`unispawner.web.reports.TakesReports`."""
        return await self._job_of(mark).take_begin(host, peer)

    async def take_end(self, end: ServerEnd) -> None:
        """Take a server's end: see :class:`unispawner.web.reports.TakesReports`."""
        job = self.server_job.of_mark(end.mark)
        if job is not None:  # else no user is sent to it any more
            await job.take_end(end)

    def _job_of(self, mark: str) -> ServerJob[Any]:
        job = self.server_job.of_mark(mark)
        if job is None:
            raise InvalidJobError(words.OTHER_JOB)
        return job

    async def get_url(self) -> str:
        """Return where the server is; after a restart, wait for one that has not reported yet."""
        job = self.server_job
        if job.url:
            # Any other text than the row's own makes JupyterHub warn and commit, for each server.
            server = job.server
            same = server is not None and server.url == f"{job.url}{server.base_url}"
            return str(server.url) if same else job.url
        if job.unfinished or job.resumption is not None:
            return await job.resume().get_url()
        return str(await super().get_url())

    def start_polling(self) -> None:
        """Begin to poll: JupyterHub has found the server up."""
        super().start_polling()
        self.server_job.note_ready()


hub_start.add_to_hub()
