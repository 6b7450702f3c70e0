"""Looks accounts up in this host's directory service, which may be slow or hang."""

from __future__ import annotations

import asyncio
import grp
import pwd
import time
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..errors import AgentError

# A directory service that hangs blocks threads: only these, not those of asyncio's own pool.
_THREADS = ThreadPoolExecutor(4, "unispawner-accounts")
LOOKUP_TIMEOUT = 10.0
"""How long (seconds) getpwnam may take."""
LOOP_WAIT = 0.005
"""How long (seconds) the event loop itself waits for an answer.

Nearly all directory services answer from a file or a cache, much faster than that. When a whole
class starts, it would take seconds until the event loop comes back to the start that has asked.
"""
SLOW = 0.05
"""After a look-up that took so long (seconds), the event loop does not wait for the next one."""


@dataclass(frozen=True)
class Entry:
    """What a directory service knows of an account.

    Attributes
    ----------
    uid_name
        The name that it has for the uid; empty if that is ``name``.
    """

    name: str
    uid: int
    home: str
    uid_name: str = ""


def slow_directory(name: str) -> AgentError:
    """Return the error for a look-up that takes too long."""
    return AgentError(
        f"The account {name!r} could not be looked up within {LOOKUP_TIMEOUT:g} s. The "
        "directory service may be slow: try again later."
    )


class _Directory:
    """This host's directory service: whether its last answer was slow."""

    slow = False


async def look_up(name: str) -> Entry | None:
    """Return the entry of a name on this host; None if there is none. It runs in a thread.

    Raises
    ------
    AgentError
        If it takes too long.
    """
    lookup = _THREADS.submit(_look_up, name)
    done, _ = futures.wait({lookup}, 0 if _Directory.slow else LOOP_WAIT)
    if not done:
        # tasks.wait_for_event says why this is not asyncio.wait_for.
        await asyncio.wait({asyncio.wrap_future(lookup)}, timeout=LOOKUP_TIMEOUT)
        if not lookup.done():
            _Directory.slow = True
            raise slow_directory(name)
    try:
        return lookup.result()
    except (KeyError, ValueError):
        return None


async def has_group(name: str) -> bool:
    """Return whether this host has a group; also True if that can't be found out in time."""
    lookup = asyncio.get_running_loop().run_in_executor(_THREADS, grp.getgrnam, name)
    await asyncio.wait({lookup}, timeout=LOOKUP_TIMEOUT)
    try:
        return not lookup.done() or bool(lookup.result())
    except (KeyError, ValueError):
        return False


def _look_up(name: str) -> Entry:
    began = time.monotonic()
    entry = pwd.getpwnam(name)
    try:
        uid_name = pwd.getpwuid(entry.pw_uid).pw_name
    except KeyError:
        uid_name = entry.pw_name
    _Directory.slow = time.monotonic() - began > SLOW
    return Entry(
        entry.pw_name, entry.pw_uid, entry.pw_dir, "" if uid_name == entry.pw_name else uid_name
    )
