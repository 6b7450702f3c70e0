"""Where a legacy server on the Hub's own host listens, and whether it still does."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from typing import Any

from ..errors import InvalidJobError, UniSpawnerError
from ..servers.job import ServerJob
from ..servers.state import DEAD_ADDRESS
from ..web import own_host
from ..web.hosts import is_own_address, own_addresses
from ..web.own_host import OwnServer, Place


class BatchPlace:
    """The place of a legacy server on the Hub's own host; empty while it is on another.

    The host comes from the site's query, whose answer the user can have written. So the port must
    be one on which the job's account listens: :mod:`unispawner.web.own_host`.
    """

    def __init__(self, job: ServerJob[Any]) -> None:
        self._job = job
        self._place: Place | None = None

    async def find(self, address: str, port: int) -> str:
        """Return the address at which the proxy reaches a server; wait until it listens.

        batchspawner-singleuser reports its port before its server listens. An address of another
        host is returned as it is.

        Raises
        ------
        InvalidJobError
            If the port can't be shown to be this server's within ``http_timeout``.
        """
        own = await asyncio.to_thread(own_addresses)
        spawner, self._place = self._job.spawner, None
        if not is_own_address(address):
            return address
        deadline = time.monotonic() + spawner.http_timeout
        server, names = await self._make_server(port), {ipaddress.ip_address(address)}
        while True:
            try:
                place = await asyncio.to_thread(own_host.find_place, server, names, own)
            except InvalidJobError:
                if time.monotonic() > deadline or port in server.reserved:
                    raise
            else:
                self._place = place
                return place.address
            await asyncio.sleep(spawner.startup_poll_interval)

    async def look_again(self) -> None:
        """Send users to the dead address if the server on this host listens no more."""
        job, known, server = self._job, self._place, self._job.server
        if not job.state.port or server is None or (server.ip, server.port) == DEAD_ADDRESS:
            return
        try:
            if not await asyncio.to_thread(is_own_address, server.ip):
                return
        except ValueError:  # a name: batchspawner has started this server
            return
        if known is None or known.address != server.ip:  # the Hub was restarted
            known = Place(server.ip, frozenset())
        try:
            expected = await self._make_server(server.port)
        except UniSpawnerError:  # the directory is down: nothing is known, and nothing changes
            return
        self._place = await asyncio.to_thread(own_host.still_listens, expected, known)
        if self._place is None and job.state.port:
            job.forget_address()

    async def _make_server(self, port: int) -> OwnServer:
        job = self._job
        account = (await job.client()).account
        settings = job.spawner.user.settings
        own = await asyncio.to_thread(own_addresses)
        return OwnServer(
            port=port,
            uids=frozenset({account.uid}),
            account=account.name,
            reserved=own_host.reserved_ports(settings),
            proxy_here=own_host.proxy_is_here(settings, own),
        )
