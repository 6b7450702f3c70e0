"""batchspawner's way: whatever ``exec_prefix`` says, by a shell, becomes the user."""

from __future__ import annotations

import shlex

from ..submit_host.host import Finished
from .accounts import Account
from .base import RunAs


class ExecPrefix(RunAs):
    """The site's own prefix before our one fixed command; for the legacy classes alone.

    Parameters
    ----------
    prefix
        Shell text, as filled in for this user: ``sudo -E -u alice``, ``ssh login1 sudo -u alice``.
    """

    name = "exec_prefix"

    def __init__(self, prefix: str, agent_python: str) -> None:
        super().__init__(agent_python)
        self.prefix = prefix

    def command(self, account: Account) -> list[str]:
        """Return the shell that runs the prefix and the agent."""
        return ["/bin/sh", "-c", f"{self.prefix} {shlex.join(self.agent)}"]

    def explain(self, account: Account, finished: Finished) -> str:
        """Say what the prefix must be allowed to run."""
        return (
            f"exec_prefix does not let the Hub write {account.name}'s private files: the server's "
            f"token must not be in the job's script. `{self.prefix} {shlex.join(self.agent)}` has "
            f"to work; with sudo, by a line like the one for the submit command that names "
            f"{shlex.join(self.agent)} (`unispawner doctor --sudoers` prints it)."
        )
