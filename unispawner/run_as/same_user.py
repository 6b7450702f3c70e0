"""The way without a user boundary: the agent runs as the Hub's own account."""

from __future__ import annotations

import os

from ..errors import AgentError
from .accounts import Account
from .base import RunAs


class SameUser(RunAs):
    """For a Hub that one person runs alone, or whose users share the Hub's account.

    With ``allow_shared_account`` the servers of all Hub users run under the Hub's own account.
    Every user can then read and change the files, tokens and servers of all the others, and the
    Hub's database.
    """

    name = "same_user"

    def command(self, account: Account) -> list[str]:
        """Return the agent's command as it is; only the Hub's own account is accepted."""
        if account.uid != os.getuid():
            raise AgentError(
                f"The Hub runs as uid {os.getuid()}, and with c.UniSpawner.run_as = 'same_user' it "
                f"can't run jobs as {account.name} (uid {account.uid}). Set run_as to 'sudo'; or "
                "set c.UniSpawner.allow_shared_account = True, which runs the servers of all users "
                "under the Hub's own account: they then have no protection from each other."
            )
        return self.agent
