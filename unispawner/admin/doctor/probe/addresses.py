"""Where the nodes reach the Hub, and where the doctor listens in its place."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.utils import url_path_join
from traitlets.config import Config

from ....errors import InvalidJobError

WILDCARDS = ("", "*", "0.0.0.0", "::")  # noqa: S104 (only compared with)
_DEFAULT_PORT = 8081


@dataclass(frozen=True)
class HubAddress:
    """Where a configuration's Hub listens for nodes, and the URL that they use.

    Attributes
    ----------
    host, port
        Where the Hub listens.
    url
        The URL of its API, as its servers get it.
    """

    host: str
    port: int
    url: str

    @property
    def scheme(self) -> str:
        return urlsplit(self.url).scheme

    @property
    def path(self) -> str:
        """The path of the API."""
        return urlsplit(self.url).path

    def with_port(self, port: int) -> HubAddress:
        """Return the same host with another port, which nodes reach without a web server."""
        parts = urlsplit(self.url)
        name = parts.hostname or ""
        if self.host not in WILDCARDS and parts.port != self.port:
            name = self.host  # the URL is that of a web server before the Hub
        host = f"[{name}]" if ":" in name else name
        return replace(self, port=port, url=f"{parts.scheme}://{host}:{port}{parts.path}")


def find_hub(config: Config, spawner: Any) -> HubAddress:
    """Return where the Hub of a configuration is, as JupyterHub computes it.

    Raises
    ------
    InvalidJobError
        If the Hub listens on a Unix socket, or on no port.
    """
    hub = config.JupyterHub
    scheme = "https" if hub.get("internal_ssl") else "http"
    host, port = str(hub.get("hub_ip", "127.0.0.1")), hub.get("hub_port", _DEFAULT_PORT)
    if given := str(hub.get("hub_bind_url", "")):
        parts = urlsplit(given)
        if "unix" in parts.scheme:
            raise InvalidJobError(
                f"c.JupyterHub.hub_bind_url: {given!r} is a Unix socket, which no node reaches; "
                "set it to an address of this host"
            )
        host, port = parts.hostname or "", parts.port or _DEFAULT_PORT
    prefix = url_path_join("/", str(hub.get("base_url", "/")), "hub", "api")
    name = str(hub.get("hub_connect_ip", "")) or host
    name = socket.gethostname() if name in WILDCARDS else name
    shown = hub.get("hub_connect_port", 0) or port
    url = f"{scheme}://{f'[{name}]' if ':' in name else name}:{shown}{prefix}"
    if other := hub.get("hub_connect_url"):
        url = url_path_join(str(other), prefix)
    if other := getattr(spawner, "hub_connect_url", None):
        url = url_path_join(str(other), prefix)
    return HubAddress(host, int(port), url)


def listen(hub: HubAddress) -> tuple[socket.socket, bool]:
    """Return a socket that listens where the Hub would, and whether that port was free.

    If it is not free, the Hub runs: then the socket has another port of the same address.

    Raises
    ------
    InvalidJobError
        If this host can't listen at the address.
    """
    try:
        return _bind(hub.host, hub.port), True
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise _unusable(hub, error) from None
    try:
        return _bind(hub.host, 0), False
    except OSError as error:
        raise _unusable(hub, error) from None


def _bind(host: str, port: int) -> socket.socket:
    address = None if host in WILDCARDS else host
    entries = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # Where the Hub listens everywhere, tornado takes IPv4, too; the name leads there in any case.
    family, kind, _, _, where = min(entries, key=lambda entry: entry[0] != socket.AF_INET)
    listening = socket.socket(family, kind)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
        listening.listen(32)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


def _unusable(hub: HubAddress, error: OSError) -> InvalidJobError:
    return InvalidJobError(
        f"c.JupyterHub.hub_ip: this host can't listen at {hub.host or 'all addresses'} "
        f"({error.strerror or error}), so nor can a Hub here; set it to the address of this host "
        "at which the nodes reach it, and run the doctor on the Hub's host"
    )
