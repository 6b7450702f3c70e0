"""The doctor in the Hub's place: what it answers to the probe's job, and to others."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import jupyterhub
import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from unispawner.admin.doctor.probe.listener import LARGEST, Listener

PATH = "/hub/api"


@pytest.fixture
async def listener() -> AsyncIterator[tuple[Listener, str]]:
    """Give a listener, and its URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    result = Listener(PATH, "right")
    result.start(listening)
    yield result, f"http://127.0.0.1:{listening.getsockname()[1]}"
    await result.close()


async def post(url: str, body: Any, token: str = "right") -> HTTPResponse:
    text = body if isinstance(body, str) else json.dumps(body)
    headers = {"Authorization": f"token {token}"}
    client = AsyncHTTPClient(force_instance=True)
    return await client.fetch(
        url, method="POST", body=text, headers=headers, raise_error=False, request_timeout=10
    )


async def test_a_report(listener: tuple[Listener, str]) -> None:
    """A report with the probe's token is taken, with the time at which it came."""
    found, url = listener
    answer = await post(f"{url}{PATH}/unispawner/report", {"event": "probe"})
    body, arrived = found.reports.get_nowait()
    assert (200, {"event": "probe"}, True) == (answer.code, body, arrived > 0)


async def test_the_version(listener: tuple[Listener, str]) -> None:
    """It answers with a version where a Hub does."""
    answer = await AsyncHTTPClient().fetch(f"{listener[1]}{PATH}/")
    assert {"version": jupyterhub.__version__} == json.loads(answer.body)


@pytest.mark.threat(
    who="node",
    tries="It sends reports without the probe's token to the doctor that listens in the Hub's "
    "place, or huge ones, or opens many connections.",
    stopped_by="Without the token nothing is taken, a report has a largest size, and the number of "
    "connections is limited.",
)
@pytest.mark.parametrize(
    ("path", "token", "body"),
    [
        (f"{PATH}/unispawner/report", "wrong", {"event": "ready"}),
        (f"{PATH}/unispawner/report", "", {"event": "ended"}),
        (f"{PATH}/users/alice/activity", "other", {}),
        ("/", "right", {}),
    ],
)
async def test_others(
    listener: tuple[Listener, str], path: str, token: str, body: dict[str, Any]
) -> None:
    """Servers of the Hub that is down are asked to try again later, so that none of them ends."""
    answer = await post(f"{listener[1]}{path}", body, token)
    assert (503, "5") == (answer.code, answer.headers["Retry-After"])
    assert listener[0].reports.empty()


@pytest.mark.parametrize("body", ["[" * 5000, "{", "5", '"x"'])
async def test_a_report_that_is_none(listener: tuple[Listener, str], body: str) -> None:
    """A body that is no mapping is refused."""
    answer = await post(f"{listener[1]}{PATH}/unispawner/report", body)
    assert (400, True) == (answer.code, listener[0].reports.empty())


async def test_a_huge_report(listener: tuple[Listener, str]) -> None:
    """A report above the largest size is not taken."""
    answer = await post(f"{listener[1]}{PATH}/unispawner/report", {"x": "y" * LARGEST})
    assert answer.code != 200
    assert listener[0].reports.empty()


async def test_many_connections(
    listener: tuple[Listener, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too many connections is closed at once; when others end, there is room again."""
    monkeypatch.setattr("unispawner.admin.doctor.probe.listener.MOST_CONNECTIONS", 3)
    port = int(listener[1].rpartition(":")[2])
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
    assert b"" == await asyncio.wait_for(opened[3][0].read(), 10)
    for _, writer in opened:
        writer.close()
    for _ in range(1000):
        if (answer := await post(f"{listener[1]}/", {})).code == 503:
            break
        await asyncio.sleep(0.01)
    assert 503 == answer.code


async def test_nothing_of_strangers_is_printed(
    listener: tuple[Listener, str], capfd: pytest.CaptureFixture[str]
) -> None:
    """A request that can't be read prints nothing on the administrator's terminal."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(listener[1][17:]))
    kind = "Content-Type: multipart/form-data; boundary="
    writer.write(f"POST /x HTTP/1.1\r\nHost: x\r\n{kind}\r\nContent-Length: 2\r\n\r\n--".encode())
    assert b"400" in await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    assert "" == capfd.readouterr().err
