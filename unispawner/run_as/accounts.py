"""The system accounts under which jobs run, and which of them are refused."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import AgentError
from ..submit_host.host import HOST, SubmitHost

# sudo reads "-x" as an option, "#0" as a uid and "%x" as a group: such names never reach it, even
# if the directory service knows them. Directories have names like "DOM\\alice", "DOM+alice",
# "alice@ad.site" and "alice smith".
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.@+\\$ -]{0,254}[A-Za-z0-9_.@+$-])?", re.ASCII)
_NOBODY = {65534, 2**32 - 2}
"""The uids of ``nobody``: NFS shows files of unknown owners as theirs."""


@dataclass(frozen=True)
class Account:
    """A system account, with its name as the directory service spells it.

    Attributes
    ----------
    uid_name
        The name that the directory service returns for the uid, and that schedulers print; empty
        if that is ``name``. The two differ where several names have the same uid.
    """

    name: str
    uid: int
    home: str
    uid_name: str = ""

    def owns(self, owner: str) -> bool:
        """Return whether a job's owner, as a scheduler names it, is this account."""
        return owner in (self.name, self.uid_name or self.name)


async def find_account(
    name: str, min_uid: int, *, same_name: bool = False, host: SubmitHost = HOST
) -> Account:
    """Return the account of that name on the submit host.

    Parameters
    ----------
    same_name
        Refuse an account whose name in the directory differs from ``name`` by more than upper and
        lower case: otherwise two Hub users (``bob@a.example``, ``bob@b.example``) could get the
        same account without anybody noticing.
    host
        Where jobs are submitted: that host's accounts count.

    Raises
    ------
    AgentError
        If the account does not exist or can't be looked up, if its name can't be used, or if its
        uid is 0, that of ``nobody``, or below ``min_uid``.
    SchedulerUnavailable
        If there is no connection to the submit host.
    """
    entry = await host.find_entry(name)
    if entry is None:
        raise AgentError(
            f"There is no account {name!r} on {host.place}. If accounts have other names than "
            "Hub users, the administrator sets c.UniSpawner.account_name."
        )
    account = Account(entry.name, entry.uid, entry.home, entry.uid_name)
    if not _NAME.fullmatch(account.name) or account.name.isdigit():
        raise AgentError(
            f"The account name {account.name!r} can't be used: sudo could read it as an option, a "
            "uid or a group. The administrator sets c.UniSpawner.account_name to use another."
        )
    if same_name and account.name.lower() != name.lower():
        raise AgentError(
            f"The directory service has the Hub user {name!r} as {account.name!r}. If that is the "
            "right account, the administrator sets c.UniSpawner.account_name to return it."
        )
    if account.uid in _NOBODY:
        raise AgentError(f"The account {account.name} belongs to nobody and can't run servers.")
    if account.uid == 0 or account.uid < min_uid:
        raise AgentError(
            f"The account {account.name} has uid {account.uid}. Uid 0 and uids below "
            f"c.UniSpawner.min_uid = {min_uid} can't run servers."
        )
    return account
