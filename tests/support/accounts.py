"""Ordinary accounts of this host for tests."""

from __future__ import annotations

import os
import pwd

import pytest

LOWEST, HIGHEST = 1000, 60_000
"""The uids that Linux distributions give to people; `nobody` has a higher one."""

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root")


def own_account() -> pwd.struct_passwd:
    """Return the account that runs the tests."""
    return pwd.getpwuid(os.getuid())


def ordinary_accounts(count: int) -> list[pwd.struct_passwd]:
    """Return ordinary accounts, alice and bob of ci/ first; skip the test if there are fewer than
    ``count``."""
    found = [entry for entry in pwd.getpwall() if LOWEST <= entry.pw_uid < HIGHEST]
    if len(found) < count:
        pytest.skip(f"needs {count} ordinary accounts")
    return sorted(found, key=lambda entry: entry.pw_name not in ("alice", "bob"))[:count]


def ordinary_account() -> pwd.struct_passwd:
    """Return the account that runs the tests, or an ordinary one if root runs them.

    A directory service need not list the own account, so it comes first.
    """
    own = own_account()
    return own if LOWEST <= own.pw_uid < HIGHEST else ordinary_accounts(1)[0]
