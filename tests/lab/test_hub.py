"""What the extension of Jupyter's server asks the Hub, and how."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler
from unispawner_lab.hub import Hub, NoAnswer, NotKnown


class FakeHub:
    """Answers with what a test wants, and keeps the requests."""

    def __init__(self) -> None:
        self.status, self.body = 200, b"{}"
        self.asked: list[tuple[str, str | None]] = []
        listener, self.port = bind_unused_port()
        self.listener = listener

    def serve(self, context: ssl.SSLContext | None = None) -> HTTPServer:
        fake = self

        class Handler(RequestHandler):
            def get(self) -> None:
                fake.asked.append((self.request.uri or "", self.request.headers["Authorization"]))
                self.set_status(fake.status)
                if fake.status == 302:
                    self.set_header("Location", f"http://localhost:{fake.port}/elsewhere")
                self.finish(fake.body)

        server = HTTPServer(Application([(".*", Handler)]), ssl_options=context)
        server.add_socket(self.listener)
        return server

    def environment(self, scheme: str = "http") -> dict[str, str]:
        return {
            "JUPYTERHUB_API_URL": f"{scheme}://127.0.0.1:{self.port}/hub/api",
            "JUPYTERHUB_API_TOKEN": "secret",
            "JUPYTERHUB_USER": "ada/x y",
            "JUPYTERHUB_SERVER_NAME": "gpu",
        }


@pytest.fixture
async def fake() -> AsyncIterator[FakeHub]:
    found = FakeHub()
    server = found.serve()
    yield found
    server.stop()
    await server.close_all_connections()


def hub_of(environment: dict[str, str]) -> Hub:
    hub = Hub.from_environment(environment)
    assert hub is not None
    return hub


async def test_the_question(fake: FakeHub) -> None:
    """The Hub is asked about this very server, with the server's own token."""
    fake.body = b'{"state": "running", "time_left": 7.5}'
    status = await hub_of(fake.environment()).status()
    assert {"state": "running", "time_left": 7.5} == status
    assert [("/hub/api/unispawner/servers/ada%2Fx%20y/gpu", "token secret")] == fake.asked
    unnamed = {**fake.environment(), "JUPYTERHUB_SERVER_NAME": ""}
    assert hub_of(unnamed).address.endswith("/servers/ada%2Fx%20y")


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_hub_without_unispawner(fake: FakeHub, status: int) -> None:
    """A Hub that has no such address, or refuses it, is not taken for one that is down."""
    fake.status = status
    with pytest.raises(NotKnown):
        await hub_of(fake.environment()).status()


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b""), (503, b"{}"), (200, b"<html>"), (200, b"[]"), (200, b"\xff"), (200, b"[" * 99999)],
)
async def test_a_hub_that_can_not_answer_now(fake: FakeHub, status: int, body: bytes) -> None:
    """An error of the Hub's, and an answer that makes no sense, may be better the next time."""
    fake.status, fake.body = status, body
    with pytest.raises(NoAnswer):
        await hub_of(fake.environment()).status()


async def test_the_token_goes_nowhere_else(fake: FakeHub) -> None:
    """A redirection is not followed: the token is for the Hub's own address."""
    fake.status = 302
    with pytest.raises(NoAnswer, match="302"):
        await hub_of(fake.environment()).status()
    assert 1 == len(fake.asked)


async def test_a_hub_that_is_away() -> None:
    """A Hub that does not listen has no answer."""
    fake = FakeHub()
    fake.listener.close()
    with pytest.raises(NoAnswer):
        await hub_of(fake.environment()).status()


async def test_an_answer_that_is_too_long(fake: FakeHub) -> None:
    """What is longer than a status can be is not read."""
    fake.body = b" " * 300_000
    with pytest.raises(NoAnswer):
        await hub_of(fake.environment()).status()


@pytest.mark.parametrize(
    "missing", ["JUPYTERHUB_API_URL", "JUPYTERHUB_API_TOKEN", "JUPYTERHUB_USER"]
)
def test_without_jupyterhub(missing: str) -> None:
    """A server that no Hub has started has nobody to ask."""
    environment = {
        "JUPYTERHUB_API_URL": "http://127.0.0.1:1/hub/api",
        "JUPYTERHUB_API_TOKEN": "secret",
        "JUPYTERHUB_USER": "ada",
    }
    del environment[missing]
    assert Hub.from_environment(environment) is None


async def test_internal_ssl(tmp_path: Path) -> None:
    """With internal_ssl both sides show the certificates that JupyterHub has made, and a Hub with
    another authority's certificate gets no token."""
    certipy = pytest.importorskip("certipy").Certipy(store_dir=str(tmp_path))
    for name in ("hub", "user"):
        certipy.create_ca(f"{name}-ca")
        certipy.create_signed_pair(name, f"{name}-ca", alt_names=["IP:127.0.0.1"])
    files = {name: certipy.store.get_record(name)["files"] for name in certipy.store.store}
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files["user-ca"]["cert"])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(files["hub"]["cert"], files["hub"]["key"])
    fake = FakeHub()
    server = fake.serve(context)
    environment = {
        **fake.environment("https"),
        "JUPYTERHUB_SSL_KEYFILE": files["user"]["key"],
        "JUPYTERHUB_SSL_CERTFILE": files["user"]["cert"],
        "JUPYTERHUB_SSL_CLIENT_CA": files["hub-ca"]["cert"],
    }
    assert {} == await hub_of(environment).status()
    environment["JUPYTERHUB_SSL_CLIENT_CA"] = files["user-ca"]["cert"]
    with pytest.raises(NoAnswer):
        await hub_of(environment).status()
    assert 1 == len(fake.asked)
    server.stop()
    await server.close_all_connections()
