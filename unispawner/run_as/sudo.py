"""The way through sudo, for a Hub that runs as an ordinary service account."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..errors import AgentError, InvalidJobError
from ..submit_host.host import Finished
from .accounts import Account
from .base import RunAs

REFUSED = re.compile(r"^sudo: |may not run sudo|not allowed to (execute|run)", re.MULTILINE)
"""What sudo prints if it does not run a command."""


class Sudo(RunAs):
    """Runs ``sudo -n -H -u ACCOUNT -- AGENT``.

    AGENT is always the same words, so that one line of sudoers is enough. There is no ``-E``: no
    variable of the Hub's environment reaches the agent.
    """

    name = "sudo"

    def command(self, account: Account) -> list[str]:
        """Return the sudo command for an account whose name comes from getpwnam."""
        if account.uid == os.getuid():
            raise AgentError(
                f"{account.name} is the Hub's own account, and a server that runs as it could read "
                "all secrets of the Hub. Log in under another name; a Hub for one person only can "
                "set c.UniSpawner.run_as = 'same_user'."
            )
        return ["sudo", "-n", "-H", "-u", account.name, "--", *self.agent]

    def explain(self, account: Account, finished: Finished) -> str:
        """Return what to do about a refusal by sudo, or the general message for other failures."""
        text = finished.stderr.decode("utf-8", "replace")
        if finished.exit_status == 1 and "sudo: unable to execute" in text:
            return (
                f"agent_python: {account.name} can't run {self.agent_python}. Users must be able "
                "to read the virtual environment and each folder above it: `unispawner doctor` "
                "shows which one they can't read."
            )
        if finished.exit_status == 1 and REFUSED.search(text):
            return (
                f"sudo does not let the Hub act as {account.name}. The account must be in the "
                f"group that the sudoers line names, and the line must name {self.agent_python}. "
                "The administrator can print the right line with `unispawner doctor --sudoers`. If "
                "c.UniSpawner.run_as is not set, the broker's line is enough; restart the Hub then."
            )
        return super().explain(account, finished)

    def never_ran(self, finished: Finished) -> bool:
        """Return whether sudo has refused to run the agent."""
        text = finished.stderr.decode("utf-8", "replace")
        refused = finished.exit_status == 1 and REFUSED.search(text) is not None
        return refused or super().never_ran(finished)

    def sudoers_line(self, hub_account: str, group: str, *, setenv: bool = False) -> str:
        """Return the line for /etc/sudoers.d that lets the Hub run the agent.

        The Hub's account is trusted: with a link to the same Python it can run other code, too.

        Parameters
        ----------
        hub_account
            The account that the Hub runs as.
        group
            The group of the accounts that may have servers.
        setenv
            Also allow ``sudo -E``, which batchspawner's default exec_prefix uses.

        Raises
        ------
        InvalidJobError
            If the path of the agent's Python holds a character that sudoers can't take literally.
        """
        check_word("agent_python", self.agent_python)
        words = [str(Path(self.agent_python).absolute()), *self.agent[1:]]
        command = " ".join(map(escape, words))
        tags = "NOPASSWD:SETENV:" if setenv else "NOPASSWD:"
        return f"{escape(hub_account)} ALL=(%{escape(group)}) {tags} {command}"


def check_word(setting: str, word: str) -> None:
    """Check that a word can stand in sudoers and means only itself.

    Raises
    ------
    InvalidJobError
        If it can't; the message names the setting.
    """
    if re.search(r"[\\*?\[\]!\"\n]", word):
        raise InvalidJobError(
            f"{setting}: {word!r} has a character that sudoers can't take "
            'literally (one of \\ " * ? [ ] !); use another path'
        )


def escape(word: str) -> str:
    """Escape the characters that sudoers(5) reads as separators, wildcards or comments."""
    return re.sub(r"([\\,:= *?\[\]!#\"])", r"\\\1", word)
