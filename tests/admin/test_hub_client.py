"""What the client of ``unispawner probe`` and of the demo sends to which place; no Hub."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from unispawner.admin.hub_client import HubClient

HUB = "https://hub.example.org/jupyter/"


class Place(RequestHandler):
    """Notes what it gets, and sends a reader of ``/go`` to where ``to`` leads."""

    seen: list[HTTPHeaders]
    to: str

    def get(self, path: str) -> None:
        self.seen.append(self.request.headers)
        self.set_cookie("session", "secret")
        if path == "go":
            self.redirect(self.to)


def listen(to: str = "") -> tuple[str, list[HTTPHeaders], HTTPServer]:
    """Return the address of a new place, what it has got, and its server."""
    seen: list[HTTPHeaders] = []
    handler = type("OnePlace", (Place,), {"seen": seen, "to": to})
    socket, port = bind_unused_port()
    server = HTTPServer(Application([(r"/(.*)", handler)]))
    server.add_sockets([socket])
    return f"http://127.0.0.1:{port}/", seen, server


@pytest.fixture
async def places() -> AsyncIterator[tuple[str, list[HTTPHeaders], list[HTTPHeaders]]]:
    elsewhere, seen_elsewhere, other = listen()
    hub, seen, server = listen(elsewhere)
    yield hub, seen, seen_elsewhere
    for one in (other, server):
        one.stop()
        await one.close_all_connections()


@pytest.mark.threat(
    who="user",
    tries="The server of a probe, or a page before the Hub, leads the probe to a place of theirs, "
    "to get its token and its cookies.",
    stopped_by="Both are sent only to the scheme, host and port that they are for.",
)
async def test_a_redirect_to_another_place(
    places: tuple[str, list[HTTPHeaders], list[HTTPHeaders]],
) -> None:
    """A redirect is followed, without the token and without the cookies."""
    hub, seen, elsewhere = places
    async with HubClient(hub) as client:
        client._authorization = {"Authorization": "token secret"}
        await client.request("GET", "")
        assert 200 == (await client.request("GET", "go")).code
    assert ["token secret"] * 2 == [one["Authorization"] for one in seen]
    assert "session=" in seen[1]["Cookie"]
    assert 1 == len(elsewhere)
    assert "Authorization" not in elsewhere[0]
    assert "" == elsewhere[0].get("Cookie", "")


@pytest.mark.parametrize(
    ("url", "is_sent"),
    [
        ("https://hub.example.org/user/ann/", True),
        ("https://HUB.example.org:443/", True),
        ("wss://hub.example.org/user/ann/api/kernels/1/channels", True),
        ("http://hub.example.org/user/ann/", False),
        ("ws://hub.example.org/", False),
        ("https://hub.example.org:8443/", False),
        ("https://hub.example.org.evil.example/", False),
        ("https://hub.example.org@evil.example/", False),
        ("ftp://hub.example.org/", False),
    ],
)
def test_where_the_token_goes(url: str, is_sent: bool) -> None:
    """The scheme counts as well: a token is not sent without TLS to a Hub that has it."""
    client = HubClient.__new__(HubClient)
    client.base_url, client._authorization = HUB, {"Authorization": "token secret"}
    assert is_sent == bool(client._authorization_for(url))
