"""No boundary: the agent runs as the Hub itself."""

from __future__ import annotations

import os

from ..errors import AgentError
from .accounts import Account
from .base import RunAs


class SameUser(RunAs):
    """For a Hub of one person's own, or one shared account.

    With ``allow_shared_account``, every Hub user's server runs under the Hub's account: each can
    read and change all files, tokens and servers of all the others, and the Hub's own database.
    """

    name = "same_user"

    def command(self, account: Account) -> list[str]:
        """Return the bare agent's command, for the Hub's own account only."""
        if account.uid != os.getuid():
            raise AgentError(
                f"The Hub runs as uid {os.getuid()} and can't run jobs as {account.name} (uid "
                f"{account.uid}) with c.UniSpawner.run_as = 'same_user'. Set it to 'sudo', or set "
                "c.UniSpawner.allow_shared_account = True to run everyone's servers under the "
                "Hub's own account: users then have no protection from each other."
            )
        return self.agent
