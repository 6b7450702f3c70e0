"""The way of batchspawner: a shell runs ``exec_prefix``, which becomes the user."""

from __future__ import annotations

import shlex

from ..submit_host.host import Finished
from .accounts import Account
from .base import RunAs


class ExecPrefix(RunAs):
    """Puts the site's own prefix before the agent's command. Only the legacy classes use it.

    Parameters
    ----------
    prefix
        Shell text with this user's values filled in, such as ``sudo -E -u alice`` or
        ``ssh login1 sudo -u alice``.
    """

    name = "exec_prefix"

    def __init__(self, prefix: str, agent_python: str) -> None:
        super().__init__(agent_python)
        self.prefix = prefix

    def command(self, account: Account) -> list[str]:
        """Return the shell that runs the prefix and the agent."""
        return ["/bin/sh", "-c", f"{self.prefix} {shlex.join(self.agent)}"]

    def explain(self, account: Account, finished: Finished) -> str:
        """Return which command exec_prefix must be able to run, and why."""
        agent = shlex.join(self.agent)
        return (
            f"exec_prefix does not let the Hub write {account.name}'s private files, which keep "
            f"the server's token out of the job's script. `{self.prefix} {agent}` has to work. "
            f"If exec_prefix uses sudo, sudoers needs a line for {agent}, like the one for the "
            "submit command: `unispawner doctor --sudoers` prints it."
        )
