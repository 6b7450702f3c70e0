"""A network that is cut between the Hub and the nodes; only this Hub's own ports are touched."""

from __future__ import annotations

import asyncio
import subprocess
from urllib.parse import urlsplit

from .cell import Cell

_FIRST_RULE = 1000
"""The preference of our rules: after the local addresses, before all routes."""


async def cut(cell: Cell) -> None:
    """Drop what the Hub sends to nodes, and what this host sends to the user's server."""
    network = f"{cell.hub.hub_ip.rpartition('.')[0]}.0/24"
    rules = [["to", network, "ipproto", "tcp", "sport", str(cell.hub.hub_port)]]
    for path, target in (await cell.hub.routes()).items():
        port = urlsplit(target).port
        if path.startswith(f"/user/{cell.user}") and port and port > 1:
            rules.append(["to", network, "ipproto", "tcp", "dport", str(port)])
    for rule in rules:
        await _ip_rule("add", rule)
    cell.rules = rules


async def mend(cell: Cell) -> None:
    for rule in cell.rules:
        await _ip_rule("del", rule)
    cell.rules = []


async def _ip_rule(action: str, rule: list[str]) -> None:
    command = ["ip", "rule", action, "pref", str(_FIRST_RULE), *rule, "blackhole"]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
