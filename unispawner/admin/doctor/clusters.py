"""Finds what people, or the Hub itself, could confuse where a Hub has several clusters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from ...errors import UniSpawnerError
from ...monitor.monitor import Monitor
from ...servers.spawner import UniSpawner
from ...settings.host_map import map_host

_SHOWN = 3


def find_clusters(spawners: Iterable[UniSpawner]) -> dict[Monitor, UniSpawner]:
    """Return a spawner for each cluster whose nodes are other hosts than the Hub's."""
    found: dict[Monitor, UniSpawner] = {}
    for one in spawners:
        try:
            if not one.get_scheduler().loopback:
                found.setdefault(one.monitor(), one)
        except UniSpawnerError:
            continue  # the check of the scheduler reports it
    return found


async def find_doubts(clusters: Mapping[Monitor, UniSpawner]) -> list[str]:
    """Return what should be looked at; none if nothing is known."""
    names = Counter(one.cluster_title() or one.get_scheduler().name for one in clusters.values())
    doubts = [
        f"cluster: {number} clusters are called {name!r} in the Hub's pages, API and log; give "
        "each a name in the config of its profiles, as in {'cluster': 'big'}"
        for name, number in names.items()
        if number > 1
    ]
    try:
        shared = await _find_shared_hosts(clusters)
    except UniSpawnerError as error:
        return [*doubts, f"the nodes are not known: {error.message}"]
    if shared:
        more = ", ..." if len(shared) > _SHOWN else ""
        doubts.append(
            f"host_map: several clusters have nodes called {', '.join(shared[:_SHOWN])}{more}, and "
            "the Hub can resolve a name to one address only. If they are different hosts, give the "
            "profiles of each cluster a host_map with the names or addresses of its own nodes"
        )
    return doubts


async def _find_shared_hosts(clusters: Mapping[Monitor, UniSpawner]) -> list[str]:
    """Return the names, after ``host_map``, that nodes of several clusters have."""
    found: Counter[str] = Counter()
    for monitor, one in clusters.items():
        hosts = (await monitor.inventory.get()).hosts
        found.update({await map_host(one.host_map, host) for host in hosts})
    return sorted(name for name, number in found.items() if number > 1)
