"""Runs a scheduler's command on the user's side: no shell, a time-out, capped output."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from ..errors import AgentError, SchedulerUnavailable
from ..schedulers.base import Reply
from .login import login_umask

TIMEOUT = 30.0
"""Seconds for one command; the agent as a whole has a limit of its own."""
OUTPUT_LIMIT = 4 * 1024**2
"""Characters."""


def run(command: Sequence[str]) -> Reply:
    """Run a command with the user's login umask and return what it said.

    Raises
    ------
    AgentError
        If there is no such command.
    SchedulerUnavailable
        If it doesn't end in time.
    """
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            text=True,
            errors="replace",
            umask=login_umask(),
        )
    except (FileNotFoundError, PermissionError) as error:
        raise AgentError(
            f"{command[0]}: {error.strerror}. If it is not on the usual path, set "
            "c.UniSpawner.scheduler_path to its directory.",
            command=command,
        ) from None
    except subprocess.TimeoutExpired:
        raise SchedulerUnavailable(
            f"{command[0]} did not answer within {TIMEOUT:g} s.", command=command
        ) from None
    return Reply(
        tuple(command), done.returncode, done.stdout[:OUTPUT_LIMIT], done.stderr[:OUTPUT_LIMIT]
    )
