"""With ``internal_ssl``: the certificates that one job's server gets, for the node it runs on."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import InvalidJobError, SchedulerUnavailable
from ..monitor.monitor import Monitor
from ..monitor.tracked_job import TrackedJob
from ..web import tls, words
from ..web.allowance import Allowance
from . import certificates
from .address import ask_for_host, find_names
from .job import ServerJob
from .state import ServerState

AT_ONCE = 10
"""How many certificates a job gets without a pause: it may be run again, and answers get lost."""
PAUSE = 10.0
"""Seconds between two certificates of a job after those."""


class NodeCertificates:
    """The certificates of one job; without ``internal_ssl`` a job has no key, and gets none.

    A job may ask as often as it reports. So one question at a time is looked into, and what comes
    of it is signed at a bounded rate: each may mean a question to the scheduler, a call of the
    site's own function, and the work of a signature.

    Parameters
    ----------
    job
        The job.
    is_ending
        Called with the job as the monitor follows it: returns whether it gets none any more.
    """

    def __init__(
        self, job: ServerJob[ServerState], is_ending: Callable[[TrackedJob], bool]
    ) -> None:
        self._job = job
        self._is_ending = is_ending
        self._busy = False
        self.allowance = Allowance(AT_ONCE, PAUSE)

    @property
    def needed(self) -> bool:
        """True if the job has a key, so that its server has to show it."""
        return bool(self._job.state.public_key)

    async def issue(self, job: TrackedJob, monitor: Monitor, host: str, peer: str) -> str:
        """Return a certificate for the host on which the scheduler says that the job runs.

        The job may have been run before, or the answer may have been lost: each is a new one.

        Parameters
        ----------
        job
            The job as the monitor follows it.
        host, peer
            The host that the job reports, and the address that the report comes from.

        Raises
        ------
        SchedulerUnavailable
            If the job should ask again a little later.
        InvalidJobError
            If it does not run there, is being ended, or a setting of the site is wrong.
        """
        if self._busy:
            raise SchedulerUnavailable(words.REPORT_UNDER_CHECK)
        self._busy = True
        try:
            return await self._issue(job, monitor, host, peer)
        finally:
            self._busy = False

    async def _issue(self, job: TrackedJob, monitor: Monitor, host: str, peer: str) -> str:
        spawner = self._job.spawner
        self._refuse_if_ending(job)
        await ask_for_host(job, monitor)
        self._refuse_if_ending(job)
        asker = spawner.user.name
        names = await find_names(job, host, spawner.host_map, monitor, asker=asker, peer=peer)
        if not self.allowance.take():
            raise SchedulerUnavailable(words.TOO_MANY_CERTIFICATES)
        names += await certificates.find_sites_names(spawner)
        self._refuse_if_ending(job)  # it may have been stopped meanwhile
        return certificates.sign(spawner, self._job.state.public_key, names)

    def _refuse_if_ending(self, job: TrackedJob) -> None:
        if self._is_ending(job):
            raise InvalidJobError(words.ENDING)

    async def check_server(self, address: str, port: int) -> None:
        """Return if what listens there has the job's key, or the job has none.

        Raises
        ------
        InvalidJobError, SchedulerUnavailable
            As :func:`unispawner.web.tls.check_server` does.
        """
        if self.needed:
            context = certificates.make_context(self._job.spawner)
            await tls.check_server(address, port, self._job.state.public_key, context)
