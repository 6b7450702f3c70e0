"""``unispawner demo``: what it refuses, what it prints, and what other users can see of it."""

from __future__ import annotations

import os
import re
import socket
import stat
import sys
from pathlib import Path

import pytest

from unispawner.admin import demo
from unispawner.run_as import WAYS

PROXY = [sys.executable, "proxy"]
"""A proxy's command that exists; no test here starts it."""


@pytest.fixture
def as_uid_1000(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_account", lambda: "ann")


def free_port() -> int:
    with socket.create_server((demo.LOOPBACK, 0)) as one:
        return int(one.getsockname()[1])


def test_root_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As root the demo refuses to run and names ci/quickstart, which root can run."""
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert 1 == demo.main(["--check"])
    assert "ci/quickstart" in capsys.readouterr().err


@pytest.mark.usefixtures("as_uid_1000")
def test_busy_port_says_how_to_take_another(tmp_path: Path) -> None:
    """A port that is in use is an error that names the option to set."""
    with socket.create_server((demo.LOOPBACK, 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(demo.DemoError, match=rf"port {port} .* in use.*--port \d+"):
            demo.DemoHub(port, PROXY, tmp_path)


@pytest.mark.usefixtures("as_uid_1000")
def test_missing_proxy_says_where_it_comes_from(tmp_path: Path) -> None:
    """If the proxy is missing, the error names the commands that install it."""
    with pytest.raises(demo.DemoError, match="npm install -g configurable-http-proxy"):
        demo.DemoHub(free_port(), ["no-such-proxy"], tmp_path)


@pytest.mark.usefixtures("as_uid_1000")
def test_password_is_private_and_fresh(tmp_path: Path) -> None:
    """The password is new each time, and no other user can read the file that holds it."""
    passwords = set()
    for _ in range(2):
        hub = demo.DemoHub(free_port(), PROXY, tmp_path)
        config = tmp_path / "jupyterhub_config.py"
        assert 0o600 == stat.S_IMODE(config.stat().st_mode)
        assert repr(hub.password) in config.read_text()
        passwords.add(hub.password)
    assert 2 == len(passwords)


@pytest.mark.usefixtures("as_uid_1000")
def test_everything_listens_on_loopback(tmp_path: Path) -> None:
    """The Hub, the servers and the proxy's API listen on 127.0.0.1, so no other machine gets in."""
    demo.DemoHub(free_port(), PROXY, tmp_path)
    lines = (tmp_path / "jupyterhub_config.py").read_text().splitlines()
    settings = dict(line.split(" = ", 1) for line in lines if line.startswith("c."))
    for name in ("c.UniSpawner.ip", "c.JupyterHub.hub_ip"):
        assert "'127.0.0.1'" == settings[name]
    for name in ("c.JupyterHub.bind_url", "c.ConfigurableHTTPProxy.api_url"):
        assert settings[name].startswith("'http://127.0.0.1:")


@pytest.mark.usefixtures("as_uid_1000")
def test_greeting_names_the_account_and_ways_that_exist(tmp_path: Path) -> None:
    """The greeting names the account that servers run as, and only existing values of run_as."""
    hub = demo.DemoHub(free_port(), PROXY, tmp_path)
    greeting = hub.greeting()
    for text in (hub.url, hub.password, "the account ann,", str(tmp_path)):
        assert text in greeting
    named = re.findall(r'run_as = ("?\w+"?)', demo.GREETING + demo.CONFIG)
    assert named
    assert set() == set(named) - {f'"{way}"' for way in WAYS}
    assert 'c.UniSpawner.run_as = "same_user"' in greeting
