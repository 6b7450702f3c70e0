"""The Hub for the probe's job: it takes the job's reports, and nothing else.

The doctor may listen at the Hub's own address while the Hub is down. Servers of that Hub then come
to it with their reports and questions. They get 503, as from a web server before a Hub that
restarts, and try again; anything else could end them.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any

import jupyterhub
from tornado import httpserver, web
from tornado.iostream import IOStream

LARGEST = 64 * 1024
"""How many bytes a report may have."""
CONNECTIONS_SECONDS = 30.0
"""How long (seconds) a request may take to come."""
MOST_CONNECTIONS = 200
"""How many connections may be open: the doctor needs files for its own programs, too."""


class Listener:
    """Listens for one job.

    Attributes
    ----------
    reports
        The job's reports, each with the time at which it came. Nothing of them is checked yet.
    """

    def __init__(self, path: str, token: str, tls: ssl.SSLContext | None = None) -> None:
        self.reports: asyncio.Queue[tuple[Any, float]] = asyncio.Queue(16)
        routes: list[Any] = [
            (f"{path}/?", _Version),
            (f"{path}/unispawner/report", _Report, {"listener": self, "token": token}),
            (".*", _Later),
        ]
        # What a stranger sends wrong is of no interest, and tornado would print it.
        logging.getLogger("tornado").addHandler(logging.NullHandler())
        self._http = _Server(
            web.Application(routes, log_function=lambda _: None),
            ssl_options=tls,
            max_buffer_size=2 * LARGEST,
            max_body_size=LARGEST,
            max_header_size=LARGEST,
            idle_connection_timeout=CONNECTIONS_SECONDS,
            body_timeout=CONNECTIONS_SECONDS,
        )

    def start(self, listening: socket.socket) -> None:
        """Begin to answer on a socket that listens."""
        self._http.add_socket(listening)

    async def close(self) -> None:
        """Stop listening, and close the connections."""
        self._http.stop()
        await self._http.close_all_connections()


class _Server(httpserver.HTTPServer):
    """A server that closes what is too many connections, as a host does that is overloaded."""

    _open = 0

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        if self._open >= MOST_CONNECTIONS:
            stream.close()
            return
        self._open += 1
        super().handle_stream(stream, address)

    def on_close(self, server_conn: object) -> None:
        self._open -= 1
        super().on_close(server_conn)


class _Handler(web.RequestHandler):
    def refuse(self) -> None:
        """Answer as a Hub that restarts."""
        self.set_status(503)
        self.set_header("Retry-After", "5")
        self.finish({"message": "The Hub does not run at the moment."})

    def write_error(self, status_code: int, **_: Any) -> None:
        self.finish({"message": f"HTTP {status_code}"})


class _Version(_Handler):
    def get(self) -> None:
        self.finish({"version": jupyterhub.__version__})


class _Later(_Handler):
    def prepare(self) -> None:
        self.refuse()


class _Report(_Handler):
    def initialize(self, listener: Listener, token: str) -> None:
        self._listener, self._token = listener, token

    def post(self) -> None:
        given = self.request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"token {self._token}".encode()):
            self.refuse()
            return
        try:
            body = json.loads(self.request.body)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, Mapping):
            self.send_error(400)
            return
        if not self._listener.reports.full():
            self._listener.reports.put_nowait((body, time.time()))
        self.finish({})
