"""Runs a scheduler's commands on the user's side: no shell, a time-out, capped output."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import TypeVar

from ..errors import AgentError, SchedulerUnavailable, UniSpawnerError
from ..schedulers.base import QUERY_ENVIRONMENT, Dialogue, Reply, advance
from .login import login_umask

T = TypeVar("T")

TIMEOUT = 30.0
"""How long (seconds) one command may take; the agent as a whole has another limit."""
OUTPUT_LIMIT = 32 * 1024**2
"""How many characters a command may print; more is an error, because a part is not an answer."""


def run(
    command: Sequence[str],
    *,
    standard_input: str = "",
    environment: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> Reply:
    """Run a command with the umask of a login, and return its reply.

    Parameters
    ----------
    environment
        Variables in addition to the agent's own.
    timeout
        How long (seconds) it may take.

    Raises
    ------
    AgentError
        If there is no such command, or if it prints too much.
    SchedulerUnavailable
        If it does not end in time.
    """
    try:
        done = subprocess.run(
            list(command),
            input=standard_input,
            capture_output=True,
            timeout=timeout,
            encoding="utf-8",
            errors="replace",
            umask=login_umask(),
            env={**os.environ, **(environment or {})},
        )
    except OSError as error:
        raise AgentError(
            f"{command[0]}: {error.strerror}. If it is in another directory than usual, set "
            "c.UniSpawner.scheduler_path to that directory.",
            command=command,
        ) from None
    except subprocess.TimeoutExpired:
        raise SchedulerUnavailable(
            f"{command[0]} did not answer within {timeout:g} s.", command=command
        ) from None
    if max(len(done.stdout), len(done.stderr)) > OUTPUT_LIMIT:
        raise AgentError(
            f"{command[0]} printed more than {OUTPUT_LIMIT} characters.", command=command
        )
    return Reply(tuple(command), done.returncode, done.stdout, done.stderr)


def hold_dialogue(dialogue: Dialogue[T], passed_over: list[str] | None = None) -> T:
    """Run the commands that a scheduler's dialogue yields, and return its result.

    Parameters
    ----------
    passed_over
        A list that gets the lines of the answers that could not be read.
    """
    reply: Reply | UniSpawnerError | None = None
    replies: list[Reply] = []
    while True:
        try:
            command = advance(dialogue, reply)
        except StopIteration as stop:
            result: T = stop.value
            if passed_over is not None:
                passed_over += [line for one in replies for line in one.passed_over]
            return result
        try:
            reply = run(command, environment=QUERY_ENVIRONMENT)
            replies.append(reply)
        except UniSpawnerError as error:
            reply = error
