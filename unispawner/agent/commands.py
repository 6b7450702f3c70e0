"""Runs a scheduler's command on the user's side: no shell, a time-out, capped output."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence

from ..errors import AgentError, SchedulerUnavailable
from ..schedulers.base import Reply

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


def login_umask(definitions: str = "/etc/login.defs") -> int:
    """Return the umask of a login (login.defs(5)): Slurm gives a job that of its submit command.

    022 where the file says nothing; a login shell's profile may change it again, in the job, too.
    """
    value = _setting(r"^\s*UMASK\s+([0-7]{1,4})\b", definitions)
    return int(value, 8) if value else 0o022


def login_language(*definitions: str) -> str:
    """Return the LANG of a login (locale.conf(5), or Debian's file), C.UTF-8 if none is set."""
    files = definitions or ("/etc/default/locale", "/etc/locale.conf")
    found = (_setting(r"""^\s*LANG=["']?([A-Za-z0-9_.@-]+)""", file) for file in files)
    return next(filter(None, found), "C.UTF-8")


def _setting(pattern: str, path: str) -> str:
    """Return the first group of a pattern in a file; empty if it isn't there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            match = re.search(pattern, file.read(), re.MULTILINE)
    except OSError:
        return ""
    return match[1] if match else ""
