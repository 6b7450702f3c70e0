"""The form's button that stops a server, with a Hub's own application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from support.hub_app import Hub, Server, hub_app, starting_server
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

pytestmark = [
    pytest.mark.hub,
    pytest.mark.filterwarnings("ignore:The `version` property of an event schema"),
]


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with hub_app(tmp_path) as found:
        yield found


@pytest.fixture
async def server(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    async with starting_server(hub, monkeypatch) as found:
        await found.submitted()
        yield found


async def send(hub: Hub, method: str = "POST", path: str = "ada/", **headers: str) -> HTTPResponse:
    return await AsyncHTTPClient().fetch(
        hub.url.replace("/api", f"/unispawner/cancel/{path}"),
        method=method,
        body=urlencode({"x": "y"}) if method == "POST" else None,
        headers={"Content-Type": "application/x-www-form-urlencoded", **headers},
        follow_redirects=False,
        raise_error=False,
    )


@pytest.mark.threat(
    who="other user",
    tries="They stop somebody else's server by the form, or have its user's browser do so.",
    stopped_by="The form needs what the API needs: delete:servers, and _xsrf with a cookie.",
)
async def test_who_may_cancel(hub: Hub, server: Server) -> None:
    """Another user, a link, and a form of another site stop nothing."""
    bob = hub.user("bob").new_api_token()
    reading = hub.user("ada").new_api_token(scopes=["read:servers!user=ada"])
    for token in (bob, reading):
        assert 403 <= (await send(hub, Authorization=f"token {token}")).code <= 404
    own = hub.user("ada").new_api_token()
    assert 405 == (await send(hub, "GET", Authorization=f"token {own}")).code
    cookie = "jupyterhub-hub-login=x; jupyterhub-session-id=y"
    assert 403 == (await send(hub, Cookie=cookie)).code
    assert 404 == (await send(hub, path="nobody/", Authorization=f"token {own}")).code
    assert not server.start.done()


async def test_a_server_that_does_not_run(hub: Hub) -> None:
    """To cancel a server that is gone meanwhile leads home, as if it had been cancelled."""
    own = hub.user("ada").new_api_token()
    answer = await send(hub, Authorization=f"token {own}")
    assert (302, "/hub/home") == (answer.code, answer.headers["Location"])
