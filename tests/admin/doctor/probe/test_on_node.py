"""The probe's program: as on a node, run by a Python without packages."""

from __future__ import annotations

import ast
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from unispawner.admin.doctor.probe import on_node
from unispawner.admin.doctor.probe.run import _BOOT, job_text

TOKEN = "0123456789abcdef"


def test_the_text() -> None:
    """The program is valid Python 3.6 and fits into one variable of a process."""
    ast.parse(Path(on_node.__file__).read_text(), feature_version=(3, 6))
    assert len(job_text().encode()) < 120_000


@contextmanager
def hub() -> Iterator[tuple[str, list[bytes]]]:
    """Give the URL of a Hub's API, and what is sent to it."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    data = connection.recv(100_000)
                    received.append(data)
                    body = b'{"version": "6.1"}'
                    length = str(len(body)).encode()
                    if data:
                        connection.sendall(
                            b"HTTP/1.1 200 OK\r\nContent-Length: " + length + b"\r\n\r\n" + body
                        )

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/hub/api", received
        listening.shutdown(socket.SHUT_RDWR)


@contextmanager
def running(url: str, command: list[str], **more: str) -> Iterator[subprocess.Popen[str]]:
    environment = {
        "PATH": os.environ["PATH"],
        "JUPYTERHUB_API_URL": url,
        "JUPYTERHUB_API_TOKEN": TOKEN,
        "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:0/",
        on_node.HUB: url,
        on_node.SECONDS: "60",
        on_node.PROBE: job_text(),
        **more,
    }
    arguments = [sys.executable, "-I", "-c", _BOOT, "--host", "literal:127.0.0.1", "--", *command]
    with subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def read(process: subprocess.Popen[str], last: str = "end") -> dict[str, dict[str, Any]]:
    """Return the findings in the log, up to the last one."""
    found: dict[str, dict[str, Any]] = {}
    assert process.stderr
    for line in process.stderr:
        row = json.loads(line.removeprefix(on_node.PREFIX))
        found[row["name"]] = row
        if row["name"] == last:
            return found
    raise AssertionError(found)


def test_a_healthy_node(tmp_path: Path) -> None:
    """Everything is found, written to the log, sent to the Hub with the token, and no token is
    in the log; a question on the port gets the answer that only the probe can give."""
    singleuser = tmp_path / "jupyterhub-singleuser"
    singleuser.write_text("#!/bin/sh\necho 6.1.1\n")
    singleuser.chmod(0o755)
    with hub() as (url, received), running(url, [str(singleuser)], HOME=str(tmp_path)) as process:
        found = read(process)
        assert all(one["ok"] for one in found.values()), found
        assert "6.1.1" == found["version"]["text"]
        assert "6.1" == found["doctor-http"]["text"]
        assert TOKEN not in json.dumps(found)
        with socket.create_connection(("127.0.0.1", found["port"]["port"]), 10) as connection:
            connection.sendall(b"question\n")
            assert on_node.sign(TOKEN, b"question") == connection.recv(200).decode().strip()
        (report,) = [one for one in received if one.startswith(b"POST /hub/api/unispawner/report ")]
        assert f"Authorization: token {TOKEN}".encode() in report


@pytest.mark.parametrize(
    ("url", "name", "kind"),
    [
        ("http://name.invalid:80/hub/api", "doctor-name", None),
        ("http://127.0.0.1:1/hub/api", "doctor-connect", "refused"),
    ],
)
def test_a_hub_that_is_not_reached(tmp_path: Path, url: str, name: str, kind: str | None) -> None:
    """The step that fails is in the log, and the probe comes to its end."""
    with running(url, ["no-such-command"], HOME=str(tmp_path / "missing")) as process:
        found = read(process, "report")
    assert (False, kind) == (found[name]["ok"], found[name].get("kind"))
    assert (False, False, "missing") == (
        found["program"]["ok"],
        found["home"]["ok"],
        found["home"]["kind"],
    )


def test_the_probe_ends_by_itself(tmp_path: Path) -> None:
    """A probe whose doctor is gone ends after its time."""
    with hub() as (url, _), running(url, ["sh"], HOME=str(tmp_path), **{on_node.SECONDS: "1"}) as p:
        assert p.wait(30) != 0
