"""sudo, for a Hub that is an ordinary service user."""

from __future__ import annotations

import re
from pathlib import Path

from ..accounts import Account
from ..submit_host import Finished
from .base import RunAs


class Sudo(RunAs):
    """``sudo -n -H -u ACCOUNT -- <one fixed command>``: no ``-E``, nothing of the user's in it."""

    name = "sudo"

    def command(self, account: Account) -> list[str]:
        """Return the sudo command for an account whose name getpwnam gave."""
        return ["sudo", "-n", "-H", "-u", account.name, "--", *self.agent]

    def explain(self, account: Account, finished: Finished) -> str:
        """Tell a refusing sudo from an agent that failed."""
        text = finished.stderr.decode("utf-8", "replace")
        if finished.exit_status == 1 and re.search(r"^sudo: |may not run sudo", text, re.MULTILINE):
            return (
                f"sudo does not let the Hub act as {account.name}. "
                "The administrator runs `unispawner doctor --sudoers` for the line it needs."
            )
        return super().explain(account, finished)

    def sudoers_line(self, hub_account: str, group: str) -> str:
        """Return the line for /etc/sudoers.d that lets the Hub run the agent, and nothing else.

        Parameters
        ----------
        hub_account
            The account the Hub runs as.
        group
            The group of the accounts that may have servers.
        """
        words = [str(Path(self.agent_python).absolute()), *self.agent[1:]]
        command = " ".join(re.sub(r"([\\,:= *?\[\]!#\"])", r"\\\1", word) for word in words)
        return f"{hub_account} ALL=(%{group}) NOPASSWD: {command}"
