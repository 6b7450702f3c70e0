"""Where a server on the Hub's own host listens, and whether it still does."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable

from ..errors import UniSpawnerError
from ..web import own_host, words
from ..web.hosts import is_own_address, own_addresses
from ..web.own_host import Address, OwnServer, Place
from ..web.per_hub import PerHub
from ..web.reports import Report
from .job import ServerJob
from .state import DEAD_ADDRESS, ServerState

ELSEWHERE_LASTS = 600.0
"""How long (seconds) an address is taken for another host's once it has been found to be that."""
_ELSEWHERE: PerHub[dict[str, float]] = PerHub(dict)
"""Until when (time.monotonic) addresses of nodes are known not to be of this host. All servers
share it: after a restart each of thousands would ask for itself."""


class OwnPlace:
    """The place of a job's server on the Hub's own host; empty while it is on another.

    A port of this host that its server has left may be anybody's next. So each ``poll()`` looks
    again, and a route whose server is gone leads to the dead address. The job goes on: its server
    may come back, and then so does the route.

    Parameters
    ----------
    job
        The job.
    note
        Called with the words that explain to the user why the route leads nowhere; empty when it
        leads to the server again.
    """

    def __init__(self, job: ServerJob[ServerState], note: Callable[[str], None]) -> None:
        self._job = job
        self._note = note
        self._place: Place | None = None
        self._left: tuple[Place, int] | None = None

    def forget(self) -> None:
        """Forget the place: the job runs elsewhere."""
        self._place = self._left = None

    async def find(self, report: Report, names: set[Address], own: set[Address]) -> str:
        """Return the address at which the proxy reaches a server that has reported.

        Raises
        ------
        InvalidJobError
            If the port can't be shown to be this server's.
        """
        server = await self._make_server(report.port, own, from_here=report.from_here)
        place = await asyncio.to_thread(own_host.find_place, server, names, own)
        self._place, self._left = place, None
        return place.address

    async def look_again(self) -> None:
        """Send users to the dead address if the server listens no more, and back if it does."""
        state = self._job.state
        if not self._job.spawner.submits_here:
            return  # no job runs on the Hub's own host
        if self._left is not None and not state.port:
            await self._return(*self._left)
        elif state.port and await self._is_here(state.host):
            known = self._place
            if known is None or known.address != state.host:  # the Hub was restarted
                known = Place(state.host, frozenset())
            if (place := await self._look(known, state.port)) is not None:
                self._place = place
            elif state.port:
                await self._leave(known, state.port)

    async def _is_here(self, host: str) -> bool:
        """Return whether an address is of this host; most are not."""
        now = time.monotonic()
        elsewhere = _ELSEWHERE.of(self._job.spawner.user.settings)
        if now < elsewhere.get(host, now):
            return False
        here = await asyncio.to_thread(is_own_address, host)
        if not here:
            elsewhere[host] = now + ELSEWHERE_LASTS
        return here

    async def _look(self, place: Place, port: int) -> Place | None:
        """Return the place as it is now; None if the server is not there."""
        own = await asyncio.to_thread(own_addresses)
        try:
            server = await self._make_server(port, own, again=bool(place.inodes))
        except UniSpawnerError:  # the directory is down: nothing is known, and nothing changes
            return place
        return await asyncio.to_thread(own_host.still_listens, server, place)

    async def _leave(self, place: Place, port: int) -> None:
        job = self._job
        job.spawner.log.warning(
            "%s: the server no longer listens at %s port %s of this host, so its route leads "
            "nowhere until it does",
            job.name,
            place.address,
            port,
        )
        self._place, self._left = None, (place, port)
        job.state.host, job.state.port = "", 0
        job.commit()
        self._note(words.LISTENS_NO_MORE)
        await job.move_route(*DEAD_ADDRESS)

    async def _return(self, place: Place, port: int) -> None:
        job = self._job
        if (now := await self._look(place, port)) is None or self._left is None or job.state.port:
            return
        job.spawner.log.info("%s: the server listens again", job.name)
        self._place, self._left = now, None
        job.state.host, job.state.port = place.address, port
        job.commit()
        self._note("")
        await job.move_route(place.address, port)

    async def _make_server(
        self, port: int, own: Iterable[Address], *, from_here: bool = True, again: bool = False
    ) -> OwnServer:
        """Return what must be true of the server.

        Where the Hub runs under the same account, the uid does not distinguish the server from the
        Hub's own services, or from other people's servers under that account. Then the job's mark
        must be in the environment of the process, which the Hub may read. Several users may share
        another account as well (``account_name``): only root can see the mark there. Without it, a
        port that was left is at least not taken for the server's again.

        Parameters
        ----------
        again
            True if the sockets of the server are known.
        """
        job, spawner = self._job, self._job.spawner
        account = (await job.client()).account
        settings = spawner.user.settings
        me, may_share = os.geteuid(), spawner.account_name is not None
        needs_mark = account.uid == me or (may_share and (again or me == 0))
        return OwnServer(
            port=port,
            uids=frozenset({account.uid}),
            account=account.name,
            from_here=from_here,
            reserved=own_host.reserved_ports(settings),
            mark=job.state.mark if needs_mark else "",
            proxy_here=own_host.proxy_is_here(settings, set(own)),
        )
