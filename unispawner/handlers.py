"""Hub API: where a job's launcher reports the host and port of its server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jupyterhub import orm
from jupyterhub.apihandlers import default_handlers
from jupyterhub.apihandlers.base import APIHandler
from tornado import web

from .errors import InvalidJobError, SchedulerUnavailable
from .report import take_report

if TYPE_CHECKING:
    from .spawner import UniSpawner

BODY_LIMIT = 4096
"""Bytes."""
LOWEST_PORT = 1024


class ReportHandler(APIHandler):
    """``POST /hub/api/unispawner/report`` with ``{"host": …, "port": …}``; nothing else counts.

    Authenticated by the server's own token and by no other: 403. Answers 200; 503 with Retry-After
    while the scheduler has not yet told where the job runs; 400 for a body that makes no sense;
    409 for a host that isn't the job's.
    """

    async def post(self) -> None:
        """Take a report."""
        spawner = self._spawner()
        host, port = self._read_body()
        try:
            await take_report(spawner, host, port)
        except InvalidJobError as error:
            self.log.warning("%s: report refused: %s", spawner._log_name, error)
            raise web.HTTPError(409, str(error)) from None
        except SchedulerUnavailable as error:
            self.set_header("Retry-After", "1")
            self.set_status(503)
            self.finish(json.dumps({"status": 503, "message": str(error)}))
            return
        self.finish("{}")

    def check_xsrf_cookie(self) -> None:
        """Do nothing: only the token in the header counts, and a browser adds none by itself."""

    def _spawner(self) -> UniSpawner:
        """Return the spawner whose server has this very token."""
        from .spawner import UniSpawner

        token = self.get_token()
        if isinstance(token, orm.APIToken) and token.user is not None:
            for spawner in self._user_from_orm(token.user).spawners.values():
                if isinstance(spawner, UniSpawner) and spawner.token_id == token.id:
                    return spawner
        raise web.HTTPError(403, "This is not the token of a server that is starting or running.")

    def _read_body(self) -> tuple[str, int]:
        if len(self.request.body) > BODY_LIMIT:
            raise web.HTTPError(413, "The report is too large.")
        try:
            body: Any = json.loads(self.request.body)
        except (ValueError, RecursionError):
            raise web.HTTPError(400, "The report is no JSON.") from None
        host = body.get("host") if isinstance(body, dict) else None
        port = body.get("port") if isinstance(body, dict) else None
        if not isinstance(host, str) or not 0 < len(host) <= 253:
            raise web.HTTPError(400, "host must be a name or an address.")
        if type(port) is not int or not LOWEST_PORT <= port <= 65535:
            raise web.HTTPError(400, f"port must be a number from {LOWEST_PORT} to 65535.")
        return host, port


def register() -> None:
    """Make the handlers part of the Hub: called when the spawner is imported."""
    path = r"/api/unispawner/report"
    if path not in (entry[0] for entry in default_handlers):
        default_handlers.append((path, ReportHandler))
