"""What an open page learns of the Hub when its server does not answer, with a real Hub's own
application."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.hub_app import Hub, Server, hub_app, starting_server
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from unispawner.errors import JobEndedError
from unispawner.web.failures import SpawnFailure
from unispawner.web.server_status import ServerStatus
from unispawner.web.session_end import REASON_LIMIT, describe_end

pytestmark = [
    pytest.mark.hub,
    pytest.mark.filterwarnings("ignore:The `version` property of an event schema"),
]


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hub]:
    async with hub_app(tmp_path_factory.mktemp("hub")) as found:
        yield found


@pytest.fixture
async def server(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    async with starting_server(hub, monkeypatch) as found:
        yield found


async def get(hub: Hub, path: str, **headers: str) -> HTTPResponse:
    url = hub.url.replace("/hub/api", f"/hub/unispawner/session-end/{path}")
    return await AsyncHTTPClient().fetch(
        url, headers=headers, raise_error=False, follow_redirects=False
    )


def login_of(hub: Hub, name: str) -> dict[str, str]:
    """Return the headers of a browser in which a user has logged in."""
    from tornado.web import create_signed_value

    user: Any = hub.user(name)
    value = create_signed_value(b"x" * 32, "jupyterhub-hub-login", user.cookie_id)
    return {"Cookie": f"jupyterhub-hub-login={value.decode()}"}


async def test_a_server_that_waits(hub: Hub, server: Server) -> None:
    """A user reads with the login of the Hub's pages why their server does not answer, in the form
    of the server's own answer."""
    await server.submitted()
    server.spawner._spawn_pending = True
    response = await get(hub, "ada", **login_of(hub, "ada"))
    server.spawner._spawn_pending = False
    assert 200 == response.code
    found = json.loads(response.body)
    assert (None, None, []) == tuple(found[name] for name in ("time_left", "end", "warnings"))
    assert server.spawner.server_job.state.job_id in found["reason"]
    assert "no-store" == response.headers["Cache-Control"]
    assert "Access-Control-Allow-Origin" not in response.headers
    assert 404 == (await get(hub, "ada/other", **login_of(hub, "ada"))).code


async def test_a_server_that_is_not_there(hub: Hub) -> None:
    """A server that was stopped says so."""
    found = json.loads((await get(hub, "bea", **login_of(hub, "bea"))).body)
    assert "It was stopped, or it has ended by itself." == found["reason"]


async def test_somebody_else(hub: Hub) -> None:
    """Without a login, and with another user's, there is no answer; nor with a token, which this
    address does not take."""
    hub.user("ada")
    token = hub.user("ada").new_api_token()
    assert 404 == (await get(hub, "ada", **login_of(hub, "eve"))).code
    assert 404 == (await get(hub, "ada")).code
    assert 404 == (await get(hub, "nobody", **login_of(hub, "eve"))).code
    assert 404 == (await get(hub, "ada", Authorization=f"token {token}")).code


def test_the_reason_of_a_server_that_runs() -> None:
    """While the server runs, it is the network that is broken: the Hub has no reason."""
    assert "" == describe_end(ServerStatus("ada", "", "running", "The server is ready"))


def test_a_long_reason() -> None:
    """A long reason is cut: the Hub's page has it whole."""
    reason = describe_end(ServerStatus("ada", "", "failed", "x" * 10_000))
    assert REASON_LIMIT + 2 == len(reason)


@pytest.mark.threat(
    who="other user",
    tries="A page of their server, which somebody opens, asks the Hub why that user's own server "
    "has ended, and reads the end of its log.",
    stopped_by="The answer has only what the Hub says, and no line that a program has printed.",
)
def test_a_reason_with_the_end_of_a_log() -> None:
    """What a program has printed is left to the Hub's page."""
    error = JobEndedError("Job 7 has ended.", output="http://n1:1/?token=secret\nbye")
    reason = describe_end(ServerStatus("ada", "", "failed", SpawnFailure(error).message))
    assert "Job 7 has ended. …" == reason
