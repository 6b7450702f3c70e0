"""Which accounts a child may become, and how it becomes one. Only children look accounts up."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import AgentError
from .memory import forbid_looking, leave_keyring

_NOBODY = {65534, 2**32 - 2}
"""The uids of ``nobody``: NFS shows files of unknown owners as theirs."""


@dataclass(frozen=True)
class Rules:
    """What the broker's own arguments, and whoever started it, allow.

    Attributes
    ----------
    uid
        The uid that the broker runs as: 0, or that of an ordinary user who started it.
    starter
        The uid of the account that started the broker: through sudo, the account that ran sudo.
    group
        The group of the accounts that a child may become; empty means every group.
    min_uid
        The lowest uid that a child may become.
    path, environment
        Folders and variables of the commands that answer questions.
    """

    uid: int
    starter: int
    group: str = ""
    min_uid: int = 1000
    path: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def by_root(self) -> bool:
        """True if root itself started the broker."""
        return self.uid == 0 and self.starter == 0


def find_account(name: str, rules: Rules) -> tuple[pwd.struct_passwd, list[int]] | None:
    """Look an account up; return its entry and its groups, or None if there is no such account.

    Raises
    ------
    AgentError
        If the rules refuse it.
    """
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):
        return None
    if entry.pw_uid in _NOBODY:
        raise AgentError(f"The account {entry.pw_name} belongs to nobody and can't run servers.")
    if entry.pw_uid == 0 or entry.pw_uid < rules.min_uid:
        raise AgentError(
            f"The account {entry.pw_name} has uid {entry.pw_uid}. The broker refuses uid 0 and "
            f"uids below {rules.min_uid} (--min-uid)."
        )
    if rules.uid == 0 and entry.pw_uid == rules.starter:
        raise AgentError(
            f"{entry.pw_name} is the account that started the broker: a server that runs as it "
            "could read all secrets of the Hub. Log in under another name."
        )
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    if rules.group:
        _check_group(entry, groups, rules.group)
    return entry, groups


def _check_group(entry: pwd.struct_passwd, groups: Sequence[int], group: str) -> None:
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError:
        raise AgentError(
            f"--group: there is no group {group!r} on the submit host, so nobody can run servers. "
            "Create it there, or name another group both in c.UniSpawner.broker_group and in the "
            "line of sudoers."
        ) from None
    if gid not in groups:
        raise AgentError(
            f"The account {entry.pw_name} is not in the group {group} on the submit host. Only "
            "members of this group can run servers (--group): add the account to it."
        )


def find_user(name: str, rules: Rules) -> tuple[pwd.struct_passwd, list[int]]:
    """Look up the account that a request of kind ``agent`` names.

    Raises
    ------
    AgentError
        If there is no such account, or if the broker can't or must not become it.
    """
    found = find_account(name, rules)
    if found is None:
        raise AgentError(f"There is no account {name!r} on the submit host {os.uname().nodename}.")
    if rules.uid and found[0].pw_uid != rules.uid:
        raise AgentError(
            f"The broker runs as uid {rules.uid}, not as root, and can't run jobs as "
            f"{found[0].pw_name} (uid {found[0].pw_uid}). Start it through sudo: `unispawner "
            "doctor --sudoers` prints the line."
        )
    return found


def find_starter(rules: Rules) -> tuple[pwd.struct_passwd, list[int]]:
    """Look up the account that started the broker: questions are asked as this account."""
    entry = pwd.getpwuid(rules.starter)
    return entry, os.getgrouplist(entry.pw_name, entry.pw_gid)


def describe(name: str, rules: Rules) -> dict[str, Any] | None:
    """Return what the Hub needs to know about an account; None if there is no such account.

    Raises
    ------
    AgentError
        If the rules refuse it.
    """
    found = find_account(name, rules)
    if found is None:
        return None
    entry = found[0]
    try:
        uid_name = pwd.getpwuid(entry.pw_uid).pw_name
    except KeyError:
        uid_name = entry.pw_name
    return {
        "name": entry.pw_name,
        "uid": entry.pw_uid,
        "home": entry.pw_dir,
        "uid_name": "" if uid_name == entry.pw_name else uid_name,
    }


def become(entry: pwd.struct_passwd, groups: Sequence[int]) -> None:
    """Become an account completely, and for good.

    Raises
    ------
    AgentError
        If that did not work in every respect.
    """
    uid, gid = entry.pw_uid, entry.pw_gid
    if os.geteuid() == 0:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        if set(os.getgroups()) != set(groups):
            raise AgentError(f"The broker did not get the groups of {entry.pw_name}.")
    if os.getresuid() != (uid,) * 3 or (uid and os.getresgid() != (gid,) * 3):
        raise AgentError(f"The broker did not become {entry.pw_name}.")
    if uid:
        _check_root_is_lost(entry.pw_name)
        leave_keyring()
    forbid_looking()


def _check_root_is_lost(name: str) -> None:
    """Check that nothing, such as a capability, leads back to root."""
    attempts: tuple[Callable[[], None], ...] = (
        lambda: os.setresuid(-1, 0, -1),
        lambda: os.setresuid(0, 0, 0),
        lambda: os.setgroups([0]),
    )
    for attempt in attempts:
        try:
            attempt()
        except PermissionError:
            continue
        raise AgentError(f"The broker became {name}, but could become root again.")
