"""A sudo that runs shell commands of a test, and the output of such commands."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from unispawner.run_as import get_run_as
from unispawner.run_as.accounts import Account
from unispawner.run_as.client import AgentClient
from unispawner.schedulers import get_scheduler
from unispawner.submit_host.host import SubmitHost

PYTHON = "/opt/py/bin/python"
"""The agent's Python in the commands; it is never run."""


class FakeSudo:
    """Makes clients whose sudo is a shell script.

    Parameters
    ----------
    folder
        The folder for the script; it must be the first on sudo's PATH.
    account
        The account of the clients.

    Attributes
    ----------
    arguments, environment, input
        Files to which the script writes its arguments, its environment and its input.
    """

    def __init__(self, folder: Path, account: Account) -> None:
        self.script = folder / "sudo"
        self.account = account
        self.arguments = folder / "arguments"
        self.environment = folder / "environment"
        self.input = folder / "input"

    def __call__(self, text: str, seconds: float = 30.0) -> AgentClient:
        """Return a client whose sudo runs these shell commands."""
        self.script.write_text(
            "#!/bin/sh\n"
            f"printf '%s\\n' \"$@\" >{self.arguments}\n"
            f"env >{self.environment}\n"
            f"cat >{self.input}\n"
            f"{text}\n"
        )
        self.script.chmod(0o755)
        return AgentClient(
            account=self.account,
            scheduler=get_scheduler("slurm"),
            run_as=get_run_as("sudo", agent_python=PYTHON, allow_shared_account=False),
            host=SubmitHost(),
            seconds=seconds,
        )


def print_text(text: str, status: int = 0, error: str = "") -> str:
    """Return shell commands that print a text and an error, and end with a status."""
    return f"printf %s {shlex.quote(text)}; printf %s {shlex.quote(error)} >&2; exit {status}"


def reply_with(result: Any) -> str:
    """Return shell commands that print the agent's reply with this result."""
    return print_text(json.dumps({"version": 1, "result": result}))
