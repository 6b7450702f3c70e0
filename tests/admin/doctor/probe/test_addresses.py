"""Where the nodes reach a Hub, and where the doctor listens for them."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest
from traitlets.config import Config

from unispawner.admin.doctor.probe.addresses import HubAddress, find_hub, listen
from unispawner.errors import InvalidJobError

NAME = socket.gethostname()


@pytest.mark.parametrize(
    ("settings", "host", "port", "url"),
    [
        ({}, "127.0.0.1", 8081, "http://127.0.0.1:8081/hub/api"),
        ({"hub_ip": "0.0.0.0"}, "0.0.0.0", 8081, f"http://{NAME}:8081/hub/api"),
        (
            {"hub_ip": "10.0.0.1", "hub_port": 9, "base_url": "/jupyter/"},
            *("10.0.0.1", 9, "http://10.0.0.1:9/jupyter/hub/api"),
        ),
        (
            {"hub_ip": "", "hub_connect_ip": "hub.example", "internal_ssl": True},
            *("", 8081, "https://hub.example:8081/hub/api"),
        ),
        (
            {"hub_bind_url": "http://10.0.0.1:8000", "hub_connect_url": "https://hub.example"},
            *("10.0.0.1", 8000, "https://hub.example/hub/api"),
        ),
        ({"hub_ip": "fd00::1"}, "fd00::1", 8081, "http://[fd00::1]:8081/hub/api"),
    ],
)
def test_the_address_of_a_hub(settings: dict[str, Any], host: str, port: int, url: str) -> None:
    """The address is computed as JupyterHub computes it."""
    found = find_hub(Config(JupyterHub=settings), SimpleNamespace(hub_connect_url=None))
    assert HubAddress(host, port, url) == found


def test_a_spawners_own_address_of_the_hub() -> None:
    """A profile whose nodes reach the Hub at another URL gets that URL."""
    found = find_hub(Config(), SimpleNamespace(hub_connect_url="http://other:80"))
    assert "http://other:80/hub/api" == found.url


def test_a_unix_socket() -> None:
    """A Hub that listens on a Unix socket is reached from no node, and the message says so."""
    config = Config(JupyterHub={"hub_bind_url": "http+unix://%2Frun%2Fhub.sock"})
    with pytest.raises(InvalidJobError, match="hub_bind_url: .* is a Unix socket"):
        find_hub(config, SimpleNamespace(hub_connect_url=None))


def test_a_port_that_the_hub_has() -> None:
    """While the Hub has its port, the doctor has another one at the same address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        hub = HubAddress("127.0.0.1", port, f"http://127.0.0.1:{port}/hub/api")
        other, free = listen(hub)
        with other:
            assert (False, True) == (free, other.getsockname()[1] != port)
            where = hub.with_port(other.getsockname()[1])
            assert f"http://127.0.0.1:{other.getsockname()[1]}/hub/api" == where.url


def test_behind_a_web_server() -> None:
    """The doctor's other port is not behind the web server that is before the Hub."""
    hub = HubAddress("10.0.0.1", 8081, "https://hub.example/hub/api")
    assert "https://10.0.0.1:99/hub/api" == hub.with_port(99).url


def test_an_address_of_another_host() -> None:
    """An address that this host does not have is named, with the setting."""
    with pytest.raises(InvalidJobError, match="hub_ip: this host can't listen at 192.0.2.1"):
        listen(HubAddress("192.0.2.1", 0, "http://192.0.2.1:1/hub/api"))
