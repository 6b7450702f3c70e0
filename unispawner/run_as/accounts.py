"""System accounts: which one a job runs under."""

from __future__ import annotations

import asyncio
import pwd
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..errors import AgentError

# What sudo would read as an option, as "#uid", or as a group is no name, whatever NSS says.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\$-]{0,255}", re.ASCII)
# A directory service that hangs keeps threads: these, and not those that others need.
_THREADS = ThreadPoolExecutor(4, "unispawner-accounts")
_NOBODY = {65534, 2**32 - 2}
LOOKUP_TIMEOUT = 10.0
"""Seconds: the directory service behind getpwnam may be slow."""


@dataclass(frozen=True)
class Account:
    """A system account as the directory spells it.

    Attributes
    ----------
    uid_name
        The name that the directory gives for the uid, and schedulers print; empty if it is
        ``name``. The two differ where an account has several names.
    """

    name: str
    uid: int
    home: str
    uid_name: str = ""

    def owns(self, owner: str) -> bool:
        """Return whether a scheduler's word for a job's owner means this account."""
        return owner in (self.name, self.uid_name or self.name)


async def find_account(name: str, min_uid: int, *, same_name: bool = False) -> Account:
    """Return the account of that name, looked up off the event loop.

    Parameters
    ----------
    same_name
        Refuse an account that the directory spells otherwise than in upper or lower case: two Hub
        users (``bob@a.example``, ``bob@b.example``) must not become one account unnoticed.

    Raises
    ------
    AgentError
        If there is none, it is root's, or its uid is below ``min_uid``.
    """
    try:
        lookup = asyncio.get_running_loop().run_in_executor(_THREADS, _look_up, name)
        await asyncio.wait({lookup}, timeout=LOOKUP_TIMEOUT)  # not wait_for: see tasks.py
        if not lookup.done():
            raise asyncio.TimeoutError
        entry, uid_name = lookup.result()
    except asyncio.TimeoutError:
        raise AgentError(
            f"The account {name!r} could not be looked up within {LOOKUP_TIMEOUT:g} s; the "
            "directory service may be slow. Try again."
        ) from None
    except (KeyError, ValueError):
        raise AgentError(
            f"There is no account {name!r} on the Hub's host. If accounts are named differently "
            "from Hub users, the administrator sets c.UniSpawner.account_name."
        ) from None
    if not _NAME.fullmatch(entry.pw_name) or entry.pw_name.isdigit():
        raise AgentError(f"The account name {entry.pw_name!r} can't be used.")
    if same_name and entry.pw_name.lower() != name.lower():
        raise AgentError(
            f"The directory knows the Hub user {name!r} as {entry.pw_name!r}. If that is right, "
            "the administrator says so with c.UniSpawner.account_name."
        )
    if entry.pw_uid in _NOBODY:
        raise AgentError(f"The account {entry.pw_name} is nobody's and runs no servers.")
    if entry.pw_uid == 0 or entry.pw_uid < min_uid:
        raise AgentError(
            f"The account {entry.pw_name} has uid {entry.pw_uid}; uid 0 and uids below "
            f"c.UniSpawner.min_uid = {min_uid} don't run servers."
        )
    return Account(entry.pw_name, entry.pw_uid, entry.pw_dir, uid_name)


def _look_up(name: str) -> tuple[pwd.struct_passwd, str]:
    entry = pwd.getpwnam(name)
    try:
        uid_name = pwd.getpwuid(entry.pw_uid).pw_name
    except KeyError:
        uid_name = entry.pw_name
    return entry, "" if uid_name == entry.pw_name else uid_name
