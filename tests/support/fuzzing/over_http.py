"""Target: a job's report as bytes on a connection, read by tornado and by the Hub's own handler."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import threading
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from tornado.httpserver import HTTPServer
from tornado.web import Application

from unispawner.web.reports import BODY_LIMIT, LOWEST_PORT, ReportHandler

from .messages import REPORTS, in_bytes
from .mutations import changed_bytes, json_values
from .target import Target

PATIENCE = 10.0
"""How long (seconds) an answer may take on a busy machine: no input is meant to come near it."""
_ANSWERS = {200, 400, 404, 405, 411, 413, 415, 431, 501, 503}


class _Handler(ReportHandler):
    """The Hub's handler; who sends the report is known without a database."""

    def initialize(self, taken: list[Any]) -> None:
        self.taken = taken

    async def prepare(self) -> None:
        """Do nothing: JupyterHub looks for a user in its database here."""

    def set_default_headers(self) -> None:
        """Do nothing: JupyterHub adds what its settings say."""

    def _spawner(self) -> Any:
        taken = self.taken

        async def take(what: Any) -> None:
            taken.append(what)

        async def begin(host: str, peer: str, mark: str) -> dict[str, str]:
            taken.append(SimpleNamespace(host=host, port=None))
            return {}

        return SimpleNamespace(take_report=take, take_end=take, take_begin=begin)


class _Server:
    """The server, in a thread of its own from the first input on."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.port = 0
        started = threading.Event()
        threading.Thread(target=self._run, args=(started,), daemon=True).start()
        started.wait()

    def _run(self, started: threading.Event) -> None:
        async def serve() -> None:
            routes = [(r"/hub/api/unispawner/report", _Handler, {"taken": self.taken})]
            settings = {"log_function": lambda _: None, "db": SimpleNamespace(dirty=False)}
            server = HTTPServer(
                Application(routes, **settings),  # type: ignore[arg-type] # tornado's own types
                max_buffer_size=2**20,
            )
            listener = socket.create_server(("127.0.0.1", 0))
            listener.setblocking(False)
            server.add_socket(listener)
            self.port = listener.getsockname()[1]
            started.set()
            await asyncio.Event().wait()

        for name in ("tornado.general", "tornado.access"):  # they log each bad request
            logging.getLogger(name).disabled = True
        asyncio.run(serve())

    def exchange(self, sent: bytes) -> bytes:
        """Return all that is answered to a client which sends this and nothing more."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as client:
            answer = b""
            try:
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)
                while part := client.recv(65536):
                    answer += part
            except TimeoutError:
                raise
            except OSError:  # it need not read a request to its end
                pass
            return answer


_servers: list[_Server] = []


@st.composite
def requests(draw: DrawFn) -> str:
    """Make a request: most have the right frame, and anything in it."""
    body = draw(in_bytes(st.sampled_from(REPORTS) | json_values()))
    length = draw(st.sampled_from((len(body), len(body), len(body), 0, -1, 2**40, BODY_LIMIT)))
    chunked = f"{len(body):x}\r\n{body}\r\n0\r\n\r\n"
    frame, content = draw(
        st.sampled_from(
            (
                (f"Content-Length: {length}\r\n", body),
                ("Transfer-Encoding: chunked\r\n", chunked),
                (f"Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n", chunked),
                (f"Content-Length: {length}\r\nContent-Length: {len(body)}\r\n", body),
                ("", body),
            )
        )
    )
    kind = draw(st.sampled_from(("application/json", "multipart/form-data; boundary=x", "")))
    method = draw(st.sampled_from(("POST", "POST", "POST", "GET", "PUT", "HEAD")))
    start = f"{method} /hub/api/unispawner/report HTTP/1.1\r\nHost: hub\r\n"
    whole = f"{start}Content-Type: {kind}\r\n{frame}Connection: close\r\n\r\n{content}"
    return draw(changed_bytes(st.just(whole))) if draw(st.booleans()) else whole


def run_request(value: str) -> None:
    """Send a request: it is answered, never with 500, and what is taken has the right kinds."""
    if not _servers:
        _servers.append(_Server())
    server = _servers[0]
    server.taken.clear()
    answer = server.exchange(value.encode("latin-1"))
    statuses = {int(found) for found in re.findall(rb"^HTTP/1\.1 (\d{3})", answer, re.MULTILINE)}
    assert statuses <= _ANSWERS
    for what in list(server.taken):
        assert isinstance(what.host, str)
        assert what.port is None or LOWEST_PORT <= what.port <= 65535


TARGETS = (Target("report-over-http", requests(), run_request),)
