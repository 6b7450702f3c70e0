"""Weaknesses of other programs that matter to a Hub, and what a configuration trades away."""

from __future__ import annotations

import asyncio
import re
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import jupyterhub
from traitlets.config import Config

from ...errors import UniSpawnerError
from ...legacy import BatchSpawnerBase
from ...servers.spawner import UniSpawner

NAMED_SERVERS_FIXED = (6, 0, 2)
"""JupyterHub up to 6.0.1: CVE-2026-108752."""
SLURM_FIXED = ((25, 5, 9), (26, 5, 4))
"""The releases of two lines with the fixes of the advisories of 2026-09-02."""
PROXY_FIXED = (5, 0, 0)
_PROXY = "configurable-http-proxy"
_PATIENCE = 20.0
"""How long (seconds) a program may take to print its version."""


@dataclass
class Found:
    """What the administrator should change, and what was chosen and weakens the protection."""

    doubts: list[str] = field(default_factory=list)
    trades: list[str] = field(default_factory=list)


async def find_weaknesses(config: Config, spawners: Iterable[Any]) -> Found:
    """Return the weaknesses of this configuration that are known."""
    found, hub, ours = Found(), config.JupyterHub, list(spawners)
    version = read_version(jupyterhub.__version__)
    if hub.get("allow_named_servers") and version and version < NAMED_SERVERS_FIXED:
        found.doubts.append(
            f"JupyterHub {jupyterhub.__version__} with allow_named_servers has CVE-2026-108752: "
            "the user alice-prod can get at alice's server prod; install 6.0.2 or later"
        )
    found.doubts += filter(None, [await _check_proxy(hub)])
    for scheduler in {id(one.monitor()): one for one in ours if _asks_slurm(one)}.values():
        found.doubts += filter(None, [await _check_slurm(scheduler)])
    if not hub.get("subdomain_host"):
        found.trades.append(
            "c.JupyterHub.subdomain_host is not set, so the Hub and the servers of all users have "
            "one origin in a browser"
        )
    shells = {one.job_shell for one in ours if isinstance(one, UniSpawner)}
    if any(re.search(r"\s(-l|--login)\b", shell) for shell in shells):
        found.trades.append(
            "c.UniSpawner.job_shell is a login shell, which reads its user's own start-up files"
        )
    return found


def _asks_slurm(spawner: Any) -> bool:
    try:
        ours = isinstance(spawner, UniSpawner) and not isinstance(spawner, BatchSpawnerBase)
        return ours and spawner.get_scheduler().name == "slurm"
    except UniSpawnerError:
        return False  # the check of the scheduler reports it


async def _check_slurm(spawner: UniSpawner) -> str:
    """Return what is wrong with a Slurm that hides jobs, where the Hub should be an operator."""
    monitor = spawner.monitor()
    try:
        identity = await monitor.host.ask(
            monitor.scheduler, "identify", environment=monitor.environment
        )
        version = read_version(identity.answer if identity else "")
        if version is None or is_fixed(version) or not await monitor.hides_jobs():
            return ""
    except UniSpawnerError:
        return ""  # the check of the scheduler reports it
    return (
        f"{monitor.scheduler.title} {'.'.join(map(str, version))} hides jobs (PrivateData), so the "
        "Hub's account should be an operator; before 25.05.9 and 26.05.4 an operator can make "
        "itself an administrator. Update Slurm, or ask whose packages these are whether they have "
        "the fixes of 2026-09-02"
    )


def is_fixed(version: tuple[int, ...]) -> bool:
    """Return whether a Slurm has the fixes; of a line without a known one, the next line counts."""
    old, new = SLURM_FIXED
    return version >= new or (version >= old and version[:2] == old[:2])


async def _check_proxy(hub: Config) -> str:
    """Return what is wrong with the proxy that JupyterHub starts by default."""
    if "proxy_class" in hub:
        return ""
    version = read_version(await find_proxy_version())
    if version is None or version >= PROXY_FIXED:
        return ""
    return (
        f"{_PROXY} {'.'.join(map(str, version))} breaks under some hundreds of people whose "
        f"browsers have left their connections open; npm install -g {_PROXY}@5"
    )


async def find_proxy_version() -> str:
    """Return what JupyterHub's default proxy says of its version; empty if it says nothing."""
    if (path := shutil.which(_PROXY)) is None:
        return ""
    try:
        process = await asyncio.create_subprocess_exec(
            path, "--version", stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
        )
    except OSError:
        return ""
    try:
        output, _ = await asyncio.wait_for(process.communicate(), _PATIENCE)
    except asyncio.TimeoutError:
        process.kill()
        await process.wait()
        return ""
    return output[:100].decode("utf-8", "replace").strip()


def read_version(text: str) -> tuple[int, ...] | None:
    """Return the first three numbers of a version; None if there is none."""
    match = re.search(r"(\d{1,5})\.(\d{1,5})(?:\.(\d{1,5}))?", text, re.ASCII)
    return tuple(int(part or 0) for part in match.groups()) if match else None
