"""Runs a scheduler's commands on the user's side: no shell, a time-out, capped output."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TypeVar

from ..command import Command
from ..errors import UniSpawnerError
from ..schedulers.base import QUERY_ENVIRONMENT, Dialogue, Reply, advance
from .login import login_umask

T = TypeVar("T")

TIMEOUT = 30.0
"""How long (seconds) one command may take; the agent as a whole has another limit."""
OUTPUT_LIMIT = 32 * 1024**2
"""How many bytes a command may print; more is an error, because a part is not an answer."""


def run(
    command: Sequence[str],
    *,
    standard_input: str = "",
    environment: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
    output_limit: int = OUTPUT_LIMIT,
) -> Reply:
    """Run a command with the umask of a login, and return its reply.

    Parameters
    ----------
    environment
        Variables in addition to the agent's own.
    timeout
        How long (seconds) it may take.
    output_limit
        How many bytes it may print to standard output.

    Raises
    ------
    AgentError
        If there is no such command, or if it prints too much.
    SchedulerUnavailable
        If it does not end in time.
    """
    done = Command(
        command,
        {**os.environ, **(environment or {})},
        standard_input.encode(),
        output_limit,
        timeout,
        directory=None,
        new_session=False,
        umask=login_umask(),
    ).run()
    return Reply(
        tuple(command),
        done.exit_status,
        done.stdout.decode("utf-8", "replace"),
        done.stderr.decode("utf-8", "replace"),
        seconds=done.seconds,
    )


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
