"""Hub API for jobs: a job's launcher reports that it runs, where its server listens, and its end.

Only the scheduler's word counts for a job's state. What a job says of itself makes the Hub ask
earlier, and takes the route from a server that has ended.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from jupyterhub import orm
from jupyterhub.apihandlers.base import APIHandler
from tornado import web

from .. import metrics, tasks
from ..errors import InvalidJobError, SchedulerUnavailable
from ..job import is_mark
from . import bookkeeping, tls
from .allowance import Allowance
from .hosts import is_own_address

BODY_LIMIT = 4096
"""Bytes."""
LOWEST_PORT = 1024
REPORTS_AT_ONCE = 60
"""How many reports a server may send without a pause."""
_REFUSED = {400: "BadRequest", 403: "NotAServer", 413: "BadRequest", 429: "TooOften"}
"""What the metrics call the reports that are refused with these statuses."""
_PATIENCE = 120.0
"""How long (seconds) a port waits until the scheduler has said where its job runs."""


@dataclass
class Report:
    """Where a job says that its server listens.

    It is not frozen: while a report waits, a later one of the same job may replace its port.

    Attributes
    ----------
    port
        From 1024 to 65535.
    host
        A name or an address that the job has for its node; None if it leaves that to the scheduler.
    from_here
        True if a process of the Hub's own host sent it.
    peer
        The address that it came from; empty if a proxy has forwarded it.
    mark
        The mark of the job, which is not a secret: a server may have two jobs with the same token,
        and what it says is checked against the job that it names. Empty from an older launcher.
    """

    port: int
    host: str | None = None
    from_here: bool = False
    peer: str = ""
    mark: str = ""


@dataclass(frozen=True)
class ServerEnd:
    """What a job says of the end of its server.

    Attributes
    ----------
    host
        The name or address that the job has for its node.
    port
        Where the server listened; None if it never did.
    status
        The server's exit status; None if the job does not say.
    mark
        See :class:`Report`.
    signalled
        Whether a signal had asked the job to end before: then its user has not shut it down.
    """

    host: str
    port: int | None = None
    status: int | None = None
    mark: str = ""
    signalled: bool = False


class TakesReports(Protocol):
    """A spawner whose jobs report."""

    token_id: int | None
    user: Any

    @property
    def allowance(self) -> Allowance:
        """How many reports its server may send."""

    async def take_report(self, report: Report) -> None:
        """Take where the server listens.

        Raises
        ------
        SchedulerUnavailable
            If it is not known yet where the job runs: the job should report again.
        InvalidJobError
            If the host is not the job's, or the job is not the server's.
        """

    async def take_begin(self, host: str, peer: str = "", mark: str = "") -> dict[str, str]:
        """Take note that the job says that it runs, from an address; return the answer.

        With ``internal_ssl`` the answer is the server's ``certificate``. Only then this waits, and
        raises what :meth:`take_report` raises.
        """

    async def take_end(self, end: ServerEnd) -> None:
        """Take a server's end: when this returns, no user is sent to its port any more."""


class _Handler(APIHandler):
    """Authenticated by a server's own token; any other token is answered with 403."""

    def on_finish(self) -> None:
        """Count a request that is refused before any job is asked about it."""
        super().on_finish()
        if error := _REFUSED.get(self.get_status()):
            metrics.REPORTS_REFUSED.labels("unknown", "", error).inc()

    def check_xsrf_cookie(self) -> None:
        """Do nothing: only the token in the header counts, and no browser adds one by itself."""

    def get_current_user_token(self) -> Any:
        """Return the user whose token this is, without a note of when the token was used.

        JupyterHub's own method commits such a note at once, for which the whole Hub waits. The
        server's own requests make the same note.
        """
        token = self.get_token()
        if token is None or token.user is None:
            return None
        return self.users[token.user]

    def _spawner(self) -> TakesReports:
        """Return the spawner whose server has this very token."""
        spawner: TakesReports | None = bookkeeping.spawner_of_token(self, bookkeeping.has_token)
        if spawner is None:
            raise web.HTTPError(
                403, "This is not the token of a server that is starting or running."
            )
        tls.check_client(self.request, spawner.user.name)
        if not spawner.allowance.take():
            error = web.HTTPError(429, "This server reports too often.")
            error.headers = {"Retry-After": "2"}  # type: ignore[attr-defined] # JupyterHub sends it
            raise error
        return spawner

    def _read_body(self) -> dict[str, Any]:
        if len(self.request.body) > BODY_LIMIT:
            raise web.HTTPError(413, f"The report is longer than {BODY_LIMIT} bytes.")
        try:
            body: Any = json.loads(self.request.body)
        except (ValueError, RecursionError):
            raise web.HTTPError(400, "The report is not valid JSON.") from None
        return body if isinstance(body, dict) else {}

    def _read_host(self, body: dict[str, Any]) -> str:
        host = body.get("host")
        if not isinstance(host, str) or not 0 < len(host) <= 253:
            raise web.HTTPError(400, "host must be a name or an address of 1 to 253 characters.")
        return host

    def _read_port(self, body: dict[str, Any]) -> int:
        port = body.get("port")
        if type(port) is not int or not LOWEST_PORT <= port <= 65535:
            raise web.HTTPError(400, f"port must be a number from {LOWEST_PORT} to 65535.")
        return port

    def _read_mark(self, body: dict[str, Any]) -> str:
        mark = body.get("mark")
        return str(mark) if is_mark(mark) else ""

    def _peer(self) -> str:
        """Return the address of the process that sends this; empty if a proxy has forwarded it.

        JupyterHub's own proxy runs here, and names its client in a header.
        """
        peer = self.request.connection.context.address
        forwarded = any(name.startswith("X-Forwarded-") for name in self.request.headers)
        return str(peer[0]) if isinstance(peer, tuple) and not forwarded else ""

    def _from_here(self) -> bool:
        """Return whether a process of the Hub's own host sends this, and not through the proxy."""
        peer = self._peer()
        return bool(peer) and is_own_address(peer)


class ReportHandler(_Handler):
    """``POST /hub/api/unispawner/report``: what a job says; nothing else in the body counts.

    ``{"event": "begun", "host": …}`` as soon as it runs, answered with a ``certificate`` where
    ``internal_ssl`` is on; ``{"event": "ready", "host": …, "port": …}`` when its server listens
    (jobs of older versions send no event); ``{"event": "ended", "host": …, "port": …, "status":
    …}`` when the server has ended, without a port if it never listened, and with ``"signalled":
    true`` if a signal had asked for that. Each may have the ``mark`` of its job.

    Answers 200; 503 with Retry-After while the scheduler has not said yet where the job runs; 400
    for a body that makes no sense; 409 for a host that is not the job's; 429 for too many reports.
    """

    async def post(self) -> None:
        """Take a report."""
        spawner = self._spawner()
        body = self._read_body()
        event, host = body.get("event", "ready"), self._read_host(body)
        mark = self._read_mark(body)
        if event == "begun":
            await self._take(spawner, spawner.take_begin(host, self._peer(), mark))
        elif event == "ended":
            port = self._read_port(body) if body.get("port") is not None else None
            status = body.get("status")
            status = status if type(status) is int and 0 <= status <= 255 else None
            signalled = body.get("signalled") is True
            await spawner.take_end(ServerEnd(host, port, status, mark, signalled))
            self.finish("{}")
        elif event == "ready":
            report = Report(self._read_port(body), host, self._from_here(), self._peer(), mark)
            await self._take(spawner, spawner.take_report(report))
        else:
            raise web.HTTPError(400, 'event must be "begun", "ready" or "ended".')

    async def _take(self, spawner: TakesReports, taking: Awaitable[dict[str, str] | None]) -> None:
        """Answer with what was made of a report, or that the job has to report again."""
        try:
            answer = await taking
        except InvalidJobError as error:
            self.log.warning(
                "%s: the server's report was refused: %s", bookkeeping.log_name(spawner), error
            )
            raise web.HTTPError(409, str(error)) from None
        except SchedulerUnavailable as error:
            self.set_header("Retry-After", "1")
            self.set_status(503)
            self.finish(json.dumps({"status": 503, "message": str(error)}))
            return
        self.finish(json.dumps(answer or {}))


class PortHandler(_Handler):
    """``POST /hub/api/batchspawner`` with ``{"port": …}``; nothing else counts.

    Nodes that run batchspawner-singleuser send this once, before their server listens, and ignore
    the answer. The host is the scheduler's. Answers 201.
    """

    async def post(self) -> None:
        """Take a port."""
        foreign = bookkeeping.spawner_of_token(self, _is_foreign)
        spawner = None if foreign else self._spawner()
        port = self._read_port(self._read_body())
        if spawner is None:
            foreign.port = port  # type: ignore[union-attr] # the one is there if the other is not
        else:
            waiting, here = _waiting.get(spawner), self._from_here()
            if waiting is not None:
                waiting.port, waiting.from_here, waiting.peer = port, here, self._peer()
            else:
                report = _waiting[spawner] = Report(port, from_here=here, peer=self._peer())
                name = bookkeeping.log_name(spawner)
                tasks.start(_take_when_known(spawner, report), f"port of {name}")
        self.set_status(201)
        self.finish(json.dumps({"message": "BatchSpawner data configured"}))


def _is_foreign(spawner: Any, token: orm.APIToken) -> bool:
    """Return whether a token is that of a server of batchspawner's own class, or of a subclass.

    While a site moves, both may be there, and this handler replaces batchspawner's. Spawners of
    other classes know their ports themselves.
    """
    packages = {cls.__module__.partition(".")[0] for cls in type(spawner).__mro__}
    return "batchspawner" in packages and bool(token.match(spawner.api_token))


_waiting: WeakKeyDictionary[TakesReports, Report] = WeakKeyDictionary()
"""For each server, the report that waits until the scheduler has said where the job runs. Each
server has a single task that waits, however often its job reports; the last port counts."""


async def _take_when_known(spawner: TakesReports, report: Report) -> None:
    deadline = time.monotonic() + _PATIENCE
    try:
        while True:
            port = report.port
            try:
                await spawner.take_report(report)
                if report.port == port:
                    return
            except SchedulerUnavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(1)
    finally:
        del _waiting[spawner]
