"""How the watcher of the faults finds out who listens at a route."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from support import watch

LISTENS = """
import socket, time
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
time.sleep(600)
"""


@pytest.fixture
def listening() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Give a process that listens, and its address."""
    with subprocess.Popen(
        [sys.executable, "-I", "-c", LISTENS],
        stdout=subprocess.PIPE,
        text=True,
        env={"JUPYTERHUB_USER": "ada", "UNISPAWNER_MARK": "m"},
    ) as process:
        assert process.stdout
        yield process, f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.kill()


def test_who_listens(listening: tuple[subprocess.Popen[str], str]) -> None:
    """A server is known by its environment."""
    process, url = listening
    found = watch.find_listener(url)
    assert found
    assert ("ada", "m", process.pid) == (found.server and found.server.user, found.mark, found.pid)


def test_a_server_that_is_just_killed(
    listening: tuple[subprocess.Popen[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is killed while it is looked at is nobody, and not a foreign program."""
    process, url = listening
    read = watch.environment_of

    def kill_first(pid: int) -> dict[str, str]:
        if pid == process.pid:
            process.kill()
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return read(pid)

    monkeypatch.setattr(watch, "environment_of", kill_first)
    assert watch.find_listener(url) is None


def test_a_program_that_is_no_server(
    listening: tuple[subprocess.Popen[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program without the environment of a server is a foreign listener."""
    process, url = listening
    monkeypatch.setattr(watch, "environment_of", lambda pid: {})
    found = watch.find_listener(url)
    assert found
    assert (None, process.pid) == (found.server, found.pid)
