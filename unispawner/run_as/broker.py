"""The way through the broker, one process that becomes each user: see docs/broker.md."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import AgentError
from ..submit_host.brokered import BrokeredHost
from ..submit_host.host import Finished, SubmitHost
from .accounts import Account
from .base import RunAs
from .sudo import REFUSED, check_word, escape

GROUP = "jupyterhub-users"
"""The group whose members may have servers, if the configuration names none."""


@dataclass(frozen=True)
class BrokerCommand:
    """The command that starts the broker. It is always the same: see :meth:`words`.

    Attributes
    ----------
    python
        The Python on the submit host that has unispawner.
    group
        The group of the accounts that may have servers; empty for all, which only root can start.
    path, environment
        Folders and variables for the scheduler's commands that answer the Hub's questions.
    """

    python: str
    group: str = ""
    min_uid: int = 1000
    path: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        """The command, as root or an ordinary account runs it."""
        words = [self.python, "-I", "-m", "unispawner.broker"]
        if self.group:
            words += ["--group", self.group]
        words += ["--min-uid", str(self.min_uid)]
        if self.path:
            words += ["--path", self.path]
        for name, value in sorted(self.environment.items()):
            words += ["--environment", f"{name}={value}"]
        return words

    @property
    def script_words(self) -> list[str]:
        """The command as a line of sudoers names it: by the script beside the Python.

        A line that names Python itself would let the Hub's account run any code as root through a
        link to it: see docs/broker.md.
        """
        return [str(Path(self.python).parent / "unispawner-broker"), *self.words[4:]]

    @property
    def with_sudo(self) -> list[str]:
        """The command of an ordinary account that sudo lets run the broker as root."""
        return ["sudo", "-n", "--", *self.script_words]

    def sudoers_line(self, hub_account: str) -> str:
        """Return the line for /etc/sudoers.d that lets the Hub start the broker.

        Raises
        ------
        InvalidJobError
            If a word holds a character that sudoers can't take literally.
        """
        words = self.script_words
        names = {
            words[0]: "agent_python",
            self.path: "scheduler_path",
            self.group: "broker_group",
        }
        for word in words:
            check_word(names.get(word, "scheduler_environment"), word)
        command = " ".join(map(escape, words))
        return f"{escape(hub_account)} ALL=(root) NOPASSWD: {command}"


class Broker(RunAs):
    """Has the broker run the agent as the account.

    Parameters
    ----------
    remote
        True if the broker is on another host, whose accounts count.
    """

    name = "broker"

    def __init__(
        self, agent_python: str, allow_shared_account: bool = False, *, remote: bool = False
    ) -> None:
        super().__init__(agent_python, allow_shared_account)
        self.remote = remote

    def command(self, account: Account) -> list[str]:
        """Return the agent's command, which the broker runs without starting a new Python.

        Raises
        ------
        AgentError
            If the account is the Hub's own.
        """
        if not self.remote and account.uid == os.getuid():
            raise AgentError(
                f"{account.name} is the Hub's own account, and a server that runs as it could read "
                "all secrets of the Hub. Log in under another name; a Hub for one person only can "
                "set c.UniSpawner.run_as = 'same_user'."
            )
        return self.agent

    async def exchange(
        self, host: SubmitHost, account: Account, body: bytes, seconds: float
    ) -> Finished:
        """Send a request through the broker's connection."""
        if not isinstance(host, BrokeredHost):
            raise AgentError(f"run_as: {host.place} has no broker.")
        return await host.run_agent(account.name, body, seconds)

    def explain(self, account: Account, finished: Finished) -> str:
        """Return what to do about an agent that ended without a reply."""
        status = finished.exit_status
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return (
            f"The broker's process for {account.name} ended with {how} and without a valid reply. "
            "The administrator can try it with `unispawner doctor --account "
            f"{account.name}`."
        )


def explain_start(exit_status: int | None, printed: str, began: bytes) -> str:
    """Return what to do about a broker of this host that could not be started."""
    if REFUSED.search(printed):
        return (
            "run_as: sudo does not let the Hub start the broker. The line in sudoers must have "
            "NOPASSWD and exactly this command: `unispawner doctor --sudoers` prints it."
        )
    if "others could change what runs as root" in printed:
        return (
            "agent_python: the broker does not run as root with this Python, because others than "
            "root could change it. Install Python and unispawner as root in a folder of root's, or "
            "set c.UniSpawner.run_as = 'sudo'."
        )
    if "No module named" in printed and "unispawner" in printed:
        return (
            "agent_python: this Python has no unispawner, or an older one without the broker. "
            "Install the Hub's version of unispawner there, or set c.UniSpawner.agent_python to "
            "the Python of the Hub."
        )
    if re.search(r"sudo: .*: command not found|unable to execute", printed):
        return "agent_python: this Python can't be run. Set it to one that exists on this host."
    return ""
