"""Hub API: where a job's launcher reports the host and port of its server."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from jupyterhub import orm
from jupyterhub.apihandlers import default_handlers
from jupyterhub.apihandlers.base import APIHandler
from tornado import web

from .. import tasks
from ..errors import InvalidJobError, SchedulerUnavailable
from . import api
from .bookkeeping import serving
from .hosts import is_own

BODY_LIMIT = 4096
"""Bytes."""
LOWEST_PORT = 1024
_PATIENCE = 120.0
"""Seconds for which a port waits until the scheduler has said where its job runs."""


class ReportTaker(Protocol):
    """A spawner whose jobs report."""

    _log_name: str
    token_id: int | None

    async def take_report(self, host: str | None, port: int, *, here: bool) -> None:
        """Take where the server listens; see :func:`unispawner.servers.address.take_report`."""


class _Handler(APIHandler):
    """Authenticated by a server's own token and by no other: 403."""

    def check_xsrf_cookie(self) -> None:
        """Do nothing: only the token in the header counts, and a browser adds none by itself."""

    def _spawner(self) -> ReportTaker:
        """Return the spawner whose server has this very token."""
        token = self.get_token()
        if isinstance(token, orm.APIToken) and token.user is not None:
            for spawner in map(serving, self._user_from_orm(token.user).spawners.values()):
                if getattr(spawner, "token_id", None) == token.id:
                    taker: ReportTaker = spawner
                    return taker
        raise web.HTTPError(403, "This is not the token of a server that is starting or running.")

    def _read_body(self) -> dict[str, Any]:
        if len(self.request.body) > BODY_LIMIT:
            raise web.HTTPError(413, "The report is too large.")
        try:
            body: Any = json.loads(self.request.body)
        except (ValueError, RecursionError):
            raise web.HTTPError(400, "The report is no JSON.") from None
        return body if isinstance(body, dict) else {}

    def _read_port(self, body: dict[str, Any]) -> int:
        port = body.get("port")
        if type(port) is not int or not LOWEST_PORT <= port <= 65535:
            raise web.HTTPError(400, f"port must be a number from {LOWEST_PORT} to 65535.")
        return port

    def _from_here(self) -> bool:
        """Return whether a process of the Hub's own host sends this, and not by way of the proxy.

        The proxy runs here, too, but says for whom it asks.
        """
        peer = self.request.connection.context.address
        forwarded = any(name.startswith("X-Forwarded-") for name in self.request.headers)
        return isinstance(peer, tuple) and not forwarded and is_own(str(peer[0]))


class ReportHandler(_Handler):
    """``POST /hub/api/unispawner/report`` with ``{"host": …, "port": …}``; nothing else counts.

    Answers 200; 503 with Retry-After while the scheduler has not yet told where the job runs; 400
    for a body that makes no sense; 409 for a host that isn't the job's.
    """

    async def post(self) -> None:
        """Take a report."""
        spawner = self._spawner()
        body = self._read_body()
        host = body.get("host")
        if not isinstance(host, str) or not 0 < len(host) <= 253:
            raise web.HTTPError(400, "host must be a name or an address.")
        port = self._read_port(body)
        try:
            await spawner.take_report(host, port, here=self._from_here())
        except InvalidJobError as error:
            self.log.warning("%s: report refused: %s", spawner._log_name, error)
            raise web.HTTPError(409, str(error)) from None
        except SchedulerUnavailable as error:
            self.set_header("Retry-After", "1")
            self.set_status(503)
            self.finish(json.dumps({"status": 503, "message": str(error)}))
            return
        self.finish("{}")


class PortHandler(_Handler):
    """``POST /hub/api/batchspawner`` with ``{"port": …}``; nothing else counts.

    From nodes that run batchspawner-singleuser, which says this once, before its server listens,
    and looks at no answer. The host is the scheduler's. Answers 201.
    """

    async def post(self) -> None:
        """Take a port."""
        foreign = self._foreign_spawner()
        spawner = None if foreign else self._spawner()
        port = self._read_port(self._read_body())
        if spawner is None:
            foreign.port = port
        else:
            waiting = spawner in _told
            _told[spawner] = port, self._from_here()
            if not waiting:
                tasks.start(_take_when_known(spawner), f"port of {spawner._log_name}")
        self.set_status(201)
        self.finish(json.dumps({"message": "BatchSpawner data configured"}))

    def _foreign_spawner(self) -> Any:
        """Return the spawner of this token if it is of batchspawner's own class, else None.

        While a site moves, both may be there, and this handler is in the place of that one's.
        """
        token = self.get_token()
        if isinstance(token, orm.APIToken) and token.user is not None:
            for spawner in map(serving, self._user_from_orm(token.user).spawners.values()):
                if not hasattr(spawner, "token_id") and token.match(spawner.api_token):
                    return spawner
        return None


_told: WeakKeyDictionary[ReportTaker, tuple[int, bool]] = WeakKeyDictionary()
"""What was told last, and whether from here, while the scheduler has not said where the job runs.
One task a server waits with it, however often a job tells it."""


async def _take_when_known(spawner: ReportTaker) -> None:
    deadline = time.monotonic() + _PATIENCE
    try:
        while True:
            port, here = _told[spawner]
            try:
                await spawner.take_report(None, port, here=here)
                if _told[spawner] == (port, here):
                    return
            except SchedulerUnavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(1)
    finally:
        del _told[spawner]


def register() -> None:
    """Make the handlers part of the Hub: called when a spawner is imported.

    They come first: batchspawner, which a configuration may still import, has a handler that lets a
    server's token set any attribute of its spawner.
    """
    ours = [
        (r"/api/unispawner/report", ReportHandler),
        (r"/api/batchspawner", PortHandler),
        *api.HANDLERS,
    ]
    default_handlers[:] = ours + [entry for entry in default_handlers if entry not in ours]
