"""Holds a dialogue with a scheduler: its commands run on the submit host, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from ..command import Finished
from ..errors import UniSpawnerError
from ..schedulers.base import (
    QUERY_ENVIRONMENT,
    QUERY_LIMIT,
    QUERY_TIMEOUT,
    AnswerTooLarge,
    Dialogue,
    Reply,
    advance,
)

T = TypeVar("T")


class Runner(Protocol):
    """What runs commands: see :class:`.host.SubmitHost`."""

    async def run(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        timeout: float,
        output_limit: int,
        standard_input: bytes = b"",
        urgent: bool = False,
    ) -> Finished:
        """Run a command to its end."""


async def hold_dialogue(
    dialogue: Dialogue[T],
    host: Runner,
    environment: Mapping[str, str],
    output_limit: int = QUERY_LIMIT,
) -> T:
    """Run the commands that a dialogue yields, and return its result.

    Parameters
    ----------
    environment
        The commands' environment, to which the variables of ``QUERY_ENVIRONMENT`` are added.
    output_limit
        How many bytes a command may print. A dialogue can go on after more than ``QUERY_LIMIT``; a
        lower limit ends it.

    Raises
    ------
    AnswerTooLarge
        If a command prints more than ``output_limit``, and that is less than ``QUERY_LIMIT``.
    UniSpawnerError
        If a command can't be run or does not end in time, or if the dialogue raises it.
    """
    command: list[str] = []
    done: Finished | UniSpawnerError | None = None
    while True:
        # Not on the event loop: reading a thousand rows takes some milliseconds.
        following, result = await asyncio.to_thread(_step, dialogue, command, done)
        if following is None:
            assert result is not None
            return result[0]
        command = following
        try:
            done = await host.run(
                command,
                environment={**environment, **QUERY_ENVIRONMENT},
                timeout=QUERY_TIMEOUT,
                output_limit=output_limit,
                urgent=True,
            )
        except UniSpawnerError as error:
            if isinstance(error, AnswerTooLarge) and output_limit < QUERY_LIMIT:
                dialogue.close()
                raise
            done = error


def _step(
    dialogue: Dialogue[T], command: list[str], done: Finished | UniSpawnerError | None
) -> tuple[list[str], None] | tuple[None, tuple[T]]:
    """Return the dialogue's next command, or its result, after the last command has ended."""
    reply: Reply | UniSpawnerError | None
    if isinstance(done, Finished):
        stdout, stderr = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
        reply = Reply(tuple(command), done.exit_status, stdout, stderr, seconds=done.seconds)
    else:
        reply = done
    try:
        return advance(dialogue, reply), None
    except StopIteration as stop:
        return None, (stop.value,)
