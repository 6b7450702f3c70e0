"""What ``c.JupyterHub.internal_ssl`` needs: a certificate that a server on any node can show.

JupyterHub makes a server's certificate before the server starts, when nobody knows its node yet.
So the certificate names the addresses of all nodes. Its three files travel with the job's request
to the agent, which writes them into the job's private folder: no secret is in the job's script.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from ..errors import InvalidJobError, UniSpawnerError
from ..monitor.monitor import Monitor
from ..settings.host_map import map_host
from ..web.hosts import find_addresses

MOST_NODES = 3000
"""How many nodes a certificate names: each takes about 20 bytes, and a client reads 100 KiB."""
LIFETIME = 600.0
"""How long (seconds) the addresses of a cluster's nodes are reused."""
_AT_ONCE = 4
"""How many names are resolved at a time."""

_known: WeakKeyDictionary[Monitor, tuple[float, list[str]]] = WeakKeyDictionary()
"""The names of each cluster's nodes, and when they were looked up (time.monotonic)."""


def read_certificates(paths: Mapping[str, str]) -> dict[str, str]:
    """Return the text of a server's key, certificate and authorities, by JupyterHub's names.

    It does not wait: JupyterHub writes the files anew for another server of the same user.
    """
    return {name: Path(path).read_text(encoding="ascii") for name, path in paths.items()}


async def find_alt_names(spawner: Any) -> list[str]:
    """Return the addresses of all nodes, as a certificate names them: ``IP:10.0.0.1``.

    A node whose name can't be resolved is left out. No server can be reached there anyway.

    Raises
    ------
    InvalidJobError
        If there are more than ``MOST_NODES``.
    UniSpawnerError
        If the scheduler does not list its nodes.
    """
    await spawner.find_scheduler()
    monitor: Monitor = spawner.monitor()
    looked_up, names = _known.get(monitor, (float("-inf"), []))
    if time.monotonic() - looked_up < LIFETIME:
        return names
    hosts = (await monitor.inventory.get()).hosts
    if len(hosts) > MOST_NODES:
        raise InvalidJobError(
            f"ssl_alt_names: the cluster has {len(hosts)} nodes, too many to be in each server's "
            f"certificate (at most {MOST_NODES}). Set c.UniSpawner.ssl_alt_names to the addresses "
            'of the nodes on which servers run, such as ["IP:10.0.0.1"].'
        )
    turns = asyncio.Semaphore(_AT_ONCE)

    async def look_up(host: str) -> set[str]:
        async with turns:
            try:
                name = await map_host(spawner.host_map, host)
                return await find_addresses(name, lambda: monitor.find_address(host))
            except UniSpawnerError:
                return set()

    found = await asyncio.gather(*map(look_up, sorted(hosts)))
    names = sorted({f"IP:{address}" for addresses in found for address in addresses})
    _known[monitor] = time.monotonic(), names
    return names
