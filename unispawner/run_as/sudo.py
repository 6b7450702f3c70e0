"""sudo, for a Hub that is an ordinary service user."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..errors import AgentError, InvalidJobError
from ..submit_host.host import Finished
from .accounts import Account
from .base import RunAs

_REFUSED = re.compile(r"^sudo: |may not run sudo|not allowed to (execute|run)", re.MULTILINE)


class Sudo(RunAs):
    """``sudo -n -H -u ACCOUNT -- <one fixed command>``: no ``-E``, nothing of the user's in it."""

    name = "sudo"

    def command(self, account: Account) -> list[str]:
        """Return the sudo command for an account whose name getpwnam gave."""
        if account.uid == os.getuid():
            raise AgentError(
                f"{account.name} is the Hub's own account: a server there could read all its "
                "secrets. (A Hub for one person sets c.UniSpawner.run_as = 'same_user'.)"
            )
        return ["sudo", "-n", "-H", "-u", account.name, "--", *self.agent]

    def explain(self, account: Account, finished: Finished) -> str:
        """Tell a refusing sudo from an agent that failed."""
        text = finished.stderr.decode("utf-8", "replace")
        if finished.exit_status == 1 and _REFUSED.search(text):
            return (
                f"sudo does not let the Hub act as {account.name}. Is the account in the group of "
                "the sudoers line, and does the line name the Python that the Hub uses? The "
                "administrator sees the right line with `unispawner doctor --sudoers`."
            )
        return super().explain(account, finished)

    def sudoers_line(self, hub_account: str, group: str, *, setenv: bool = False) -> str:
        """Return the line for /etc/sudoers.d that lets the Hub run the agent, and nothing else.

        Parameters
        ----------
        hub_account
            The account the Hub runs as.
        group
            The group of the accounts that may have servers.
        setenv
            Let the Hub's ``sudo -E`` through, as batchspawner's exec_prefix has it.
        """
        if re.search(r"[\\*?\[\]!\"]", self.agent_python):
            raise InvalidJobError(
                f"agent_python: sudoers can't name {self.agent_python!r}; use another path"
            )
        words = [str(Path(self.agent_python).absolute()), *self.agent[1:]]
        command = " ".join(map(_escape, words))
        tags = "NOPASSWD:SETENV:" if setenv else "NOPASSWD:"
        return f"{_escape(hub_account)} ALL=(%{_escape(group)}) {tags} {command}"


def _escape(word: str) -> str:
    """Escape what sudoers(5) would take for a separator, a wildcard or a comment."""
    return re.sub(r"([\\,:= *?\[\]!#\"])", r"\\\1", word)
