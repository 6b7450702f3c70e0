"""A start that a Hub restart interrupted goes on in its place.

JupyterHub knows only servers that run and servers that don't. After a restart it asks each spawner
that has a server row ``poll()`` and then ``get_url()``, and waits for HTTP there; meanwhile the
spawner is pending "check", for which progress answers 400 and DELETE 500. So ``get_url()`` makes
of the wait what it is: a pending spawn, with a future that progress and cancel know how to handle.
What was tried is in tests/test_restart.py. This is the only use of JupyterHub's private attributes.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from . import tasks
from .errors import UniSpawnerError
from .failures import SpawnFailure

if TYPE_CHECKING:
    from .spawner import UniSpawner

DEAD_ADDRESS = ("127.0.0.1", 1)
"""Where nothing listens, and where no user could: port 1 of the Hub's own loopback."""
_CHECK_SECONDS = 2
"""How long JupyterHub waits for HTTP at the dead address once a start is over without a server."""


class Resumption:
    """One interrupted start."""

    def __init__(self, spawner: UniSpawner) -> None:
        self.spawner = spawner
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stops = 0
        self._check_over = asyncio.Event()

    async def get_url(self) -> str:
        """Wait for the report; return the server's URL, or a dead one if there won't be any.

        It must not raise: that would end the Hub, or leave the spawner in "check" for ever. At the
        dead address JupyterHub's own check fails within seconds, and it cleans up.
        """
        spawner = self.spawner
        spawner._spawn_future = self.future
        spawner._spawn_pending = True
        self.future.add_done_callback(self._cancelled)
        waiting = tasks.start(self._wait(), f"resumed start of {spawner._log_name}")
        await asyncio.wait({waiting, self.future}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done() and (url := waiting.result()):
            return str(url)
        waiting.cancel()
        spawner.http_timeout = _CHECK_SECONDS
        return str(spawner.server.url)

    async def _wait(self) -> str:
        try:
            return await self.spawner.wait_ready()
        except UniSpawnerError as error:
            tell(self.spawner, error, self.future)
            return ""

    def _cancelled(self, future: asyncio.Future[None]) -> None:
        """Let DELETE go on: it has cancelled the future, and stops one second later.

        ``stop_single_user`` refuses while anything is pending, and ``user.stop`` asks a done future
        for its exception, which raises for a cancelled one.
        """
        if future.cancelled():
            self.spawner._spawn_pending = False
            self.spawner._check_pending = False
            self.spawner._spawn_future = None

    async def stopping(self) -> None:
        """Let two stops end together: DELETE's and that of JupyterHub's own check.

        The check fails at the dead address a second after DELETE has begun to stop. Were the server
        gone by then, and the user had started another, the check would stop that one.
        """
        if not self.future.cancelled():
            return
        self._stops += 1
        if self._stops > 1:
            self._check_over.set()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._check_over.wait(), _CHECK_SECONDS + 3)

    def ready(self) -> None:
        """Called when JupyterHub has found the server up."""
        if not self.future.done():
            tasks.start(self._add_route(), f"route of {self.spawner._log_name}")

    async def _add_route(self) -> None:
        """Add the route, which JupyterHub would do at its next check of all routes, in 300 s.

        Until then the spawn is pending, so that nobody is sent to an address without a route.
        """
        spawner = self.spawner
        try:
            await spawner.user.settings["proxy"].add_user(spawner.user, spawner.name)
        except Exception as error:  # the proxy isn't up yet: the Hub adds all routes when it is
            spawner.log.info("The route of %s is added later: %s", spawner._log_name, error)
        finally:
            spawner._spawn_pending = False
            spawner._spawn_future = None
            if not self.future.done():
                self.future.set_result(None)


def tell(
    spawner: UniSpawner, error: UniSpawnerError, future: asyncio.Future[None] | None = None
) -> None:
    """Have JupyterHub's pages say why a server is gone: they show the last start's exception."""
    if future is None:
        future = asyncio.get_running_loop().create_future()
    if not future.done():
        future.set_exception(SpawnFailure(error))
        future.exception()  # it is told on the page; asyncio need not say that nobody asked
    spawner._spawn_future = future
    spawner._spawn_pending = False


async def move_route(spawner: UniSpawner, host: str, port: int) -> None:
    """Send a ready server's users to another address at once.

    For a job that the scheduler runs again: its old address may be another user's by now.
    """
    server = spawner.server
    if server is None:
        return
    server.ip, server.port = host, port
    spawner.commit()
    if spawner.ready:
        await spawner.user.settings["proxy"].add_user(spawner.user, spawner.name)
