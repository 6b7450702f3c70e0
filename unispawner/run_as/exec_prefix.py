"""The way of batchspawner: a shell runs ``exec_prefix``, which becomes the user."""

from __future__ import annotations

import os
import re
import shlex

from ..errors import AgentError
from ..submit_host.host import Finished
from .accounts import Account
from .base import RunAs
from .command_prefix import run_like

_UID = re.compile(r"(?<!\S)--uid[= ]")
"""An option of sbatch, with which root submits a job of another user."""


class ExecPrefix(RunAs):
    """Puts the site's own prefix before the agent's command. Only the legacy classes use it.

    Parameters
    ----------
    prefix
        Shell text with this user's values filled in, such as ``sudo -E -u alice`` or
        ``ssh login1 sudo -u alice``.
    submit_command
        The site's submit command, filled in. If the command itself becomes the user, as in
        ``sudo -E -u alice sbatch``, and ``prefix`` does not, the agent runs in the same way.
    """

    name = "exec_prefix"

    def __init__(self, prefix: str, agent_python: str, submit_command: str = "") -> None:
        super().__init__(agent_python)
        self.prefix = prefix.strip()
        self.submit_command = submit_command

    def command(self, account: Account) -> list[str]:
        """Return the shell that runs the prefix and the agent.

        Raises
        ------
        AgentError
            If neither the prefix nor the submit command becomes the user.
        """
        line = self.line(shlex.join(self.agent), account)
        if line is None:
            raise AgentError(
                f"agent_prefix: exec_prefix is empty, and the submit command does not show how it "
                f"becomes {account.name}: {self.submit_command!r}. So the Hub can't write "
                f"{account.name}'s private files. Set agent_prefix to what runs a command as the "
                'user, such as "sudo -n -u {username}".'
            )
        return ["/bin/sh", "-c", line]

    def line(self, command: str, account: Account | None = None) -> str | None:
        """Return the shell text that runs a command as the account; None if there is no way."""
        if not run_like(f"{self.prefix} true", "true"):
            found = run_like(self.submit_command, command)
            if found is not None:
                return f"{self.prefix} {found}".strip()
        if self.prefix:
            return f"{self.prefix} {command}"
        if account is None:
            return None
        if os.getuid() == 0 and _UID.search(self.submit_command):
            return f"runuser -u {shlex.quote(account.name)} -- {command}"
        return command if account.uid == os.getuid() else None

    def check_own_account(self, account: Account) -> None:
        """Refuse the Hub's own account where servers of other accounts run, too.

        Raises
        ------
        AgentError
            If the account is the Hub's own and commands become another account.
        """
        if account.uid == os.getuid() and self.line("true") is not None:
            raise AgentError(
                f"{account.name} is the Hub's own account, and a server that runs as it could read "
                "all secrets of the Hub. Log in under another name; a Hub for one person only can "
                "set exec_prefix = ''."
            )

    def explain(self, account: Account, finished: Finished) -> str:
        """Return which command has to work, and why."""
        agent = shlex.join(self.agent)
        where = "exec_prefix" if self.prefix else "The beginning of batch_submit_cmd"
        line = self.line(agent, account)
        return (
            f"{where} does not let the Hub write {account.name}'s private files, which keep "
            f"the server's token out of the job's script. `{line}` has to work. "
            f"If it uses sudo, sudoers needs a line for {agent}, like the line for the "
            "submit command: `unispawner doctor --sudoers` prints it. If another command runs "
            "programs as the user, set agent_prefix to it."
        )
