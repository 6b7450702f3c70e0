"""The Hub's API that continues a running server: see docs/hand-over.md.

``POST /hub/api/unispawner/servers/{user}[/{name}]/continue`` extends the job's time limit or begins
a second job; ``POST …/switch`` moves the server to its second job, when that is ready; ``DELETE
…/continue`` ends the second job, and the first goes on.
"""

from __future__ import annotations

import asyncio
from typing import Any

from jupyterhub.scopes import needs_scope
from tornado import web

from .. import tasks
from ..errors import UniSpawnerError
from ..texts import say
from . import bookkeeping
from .api import ServerHandler
from .continuation import NOT_OFFERED, TooOften
from .failures import Refusal, SpawnFailure

PATIENCE = 20.0
"""How long (seconds) an answer waits for the scheduler's. The page reads the status afterwards."""


class ContinueHandler(ServerHandler):
    """Continues a server, for whoever has the scope ``servers``.

    The server's own token does not have it: a job must not prolong itself. Answers 200 when that is
    done, 202 while it is under way, and with the status as ``GET …/servers/{user}[/{name}]`` does;
    400, 409 or 424 with the reason if it is refused, and 429 if the user does it too often.
    """

    def get(self, user_name: str, server_name: str | None = "", action: str = "") -> None:
        """Reply with the status of a server that has the name of an action."""
        if server_name:
            raise web.HTTPError(405)
        super().get(user_name, action)

    async def post(self, user_name: str, server_name: str | None, action: str) -> None:
        """Continue the server, or move it to its second job."""
        server_name = server_name or ""
        hand_over = self._find(user_name, server_name)
        work = hand_over.go_on if action == "continue" else hand_over.switch
        await self._do(work(), user_name, server_name)

    async def delete(self, user_name: str, server_name: str | None, action: str) -> None:
        """End the second job."""
        server_name = server_name or ""
        if action != "continue":
            raise web.HTTPError(405)
        hand_over = self._find(user_name, server_name)
        await self._do(hand_over.give_up(), user_name, server_name)

    def _find(self, user_name: str, server_name: str) -> Any:
        self._check_control(user_name, server_name)
        spawner = bookkeeping.find_spawner(self.find_user(user_name), server_name)
        if spawner is None:
            raise Refusal(404, say("There is no such server, or you may not start it."))
        hand_over = getattr(bookkeeping.inner(spawner), "hand_over", None)
        if hand_over is None:
            raise Refusal(409, NOT_OFFERED)
        return hand_over

    @needs_scope("servers")  # type: ignore[untyped-decorator] # JupyterHub's
    def _check_control(self, user_name: str, server_name: str) -> None:
        """Raise 404 if the sender may not start this server."""

    async def _do(self, work: Any, user_name: str, server_name: str) -> None:
        """Wait a while for some work, which goes on afterwards, and reply with the status."""
        task = tasks.start(work, f"continuation of {user_name}'s server {server_name}")
        await asyncio.wait({task}, timeout=PATIENCE)
        if task.done():
            try:
                task.result()
            except TooOften as error:
                raise Refusal(429, error.message, retry_after=60) from None
            except UniSpawnerError as error:
                raise SpawnFailure(error) from None
        self.set_status(200 if task.done() else 202)
        self._reply_status(user_name, server_name)
