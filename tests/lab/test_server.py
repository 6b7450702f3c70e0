"""The extension in a real Jupyter server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LAB = Path(__file__).parents[2] / "unispawner-lab"
# A real server, with the extension enabled as the wheel's data files enable it.
SERVER = """
import asyncio, json, os, sys
from jupyter_server.serverapp import ServerApp
from tornado.httpclient import AsyncHTTPClient

app = ServerApp()
app.initialize(["--no-browser", "--allow-root", "--port=0", "--ServerApp.base_url=/user/ada/",
                "--IdentityProvider.token=browser"], new_httpserver=False)

async def ask():
    from tornado.httpserver import HTTPServer
    from tornado.testing import bind_unused_port
    listener, port = bind_unused_port()
    HTTPServer(app.web_app).add_socket(listener)
    answers = []
    for headers in ({"Authorization": "token browser"}, {}, {"Authorization": "token secret"}):
        url = f"http://127.0.0.1:{port}/user/ada/unispawner/time-left"
        answer = await AsyncHTTPClient().fetch(
            url, headers=headers, raise_error=False, follow_redirects=False)
        answers.append([answer.code, answer.body.decode(), dict(answer.headers)])
    print("ANSWERS", json.dumps(answers), flush=True)

app.io_loop.run_sync(ask)
os._exit(0)
"""
HUB = {
    "JUPYTERHUB_API_URL": "http://127.0.0.1:1/hub/api",
    "JUPYTERHUB_API_TOKEN": "secret",
    "JUPYTERHUB_USER": "ada",
}


def ask_a_server(folder: Path, **environment: str) -> list[tuple[int, str, dict[str, str]]]:
    """Return the answers to the right token, to none, and to the token for the Hub."""
    config = folder / "etc" / "jupyter_server_config.d"
    config.mkdir(parents=True)
    (config / "lab.json").write_text((LAB / "jupyter-config" / "unispawner_lab.json").read_text())
    done = subprocess.run(
        [sys.executable, "-c", SERVER],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(LAB),
            "PYTHONDONTWRITEBYTECODE": "1",
            "JUPYTER_CONFIG_PATH": str(folder / "etc"),
            **environment,
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    print(done.stderr)  # shown if the test fails
    (line,) = [one for one in done.stdout.splitlines() if one.startswith("ANSWERS ")]
    return [(code, body, headers) for code, body, headers in json.loads(line[8:])]


@pytest.mark.filterwarnings("ignore")
def test_who_may_ask(tmp_path: Path) -> None:
    """Below the server's own base_url, only the server's own login is answered: no other user, and
    not the token for the Hub. No answer has that token."""
    right, nobody, hubs = ask_a_server(tmp_path, **HUB)
    assert 200 == right[0]
    assert {"time_left", "end", "reason", "warnings"} == set(json.loads(right[1]))
    assert "no-store" == right[2]["Cache-Control"]
    assert {403} == {nobody[0], hubs[0]}
    assert "secret" not in str([right, nobody, hubs])


def test_without_jupyterhub(tmp_path: Path) -> None:
    """A server of no Hub has no such address, and starts as without the extension."""
    assert 404 == ask_a_server(tmp_path)[0][0]
