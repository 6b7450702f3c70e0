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
    reply: Reply | UniSpawnerError | None = None
    while True:
        # Not on the event loop: reading a thousand rows takes some milliseconds.
        command, result = await asyncio.to_thread(_step, dialogue, reply)
        if command is None:
            assert result is not None
            return result[0]
        try:
            reply = await _run(command, host, environment, output_limit)
        except UniSpawnerError as error:
            if isinstance(error, AnswerTooLarge) and output_limit < QUERY_LIMIT:
                dialogue.close()
                raise
            reply = error


async def _run(
    command: list[str], host: Runner, environment: Mapping[str, str], output_limit: int
) -> Reply:
    done = await host.run(
        command,
        environment={**environment, **QUERY_ENVIRONMENT},
        timeout=QUERY_TIMEOUT,
        output_limit=output_limit,
        urgent=True,
    )
    return Reply(
        tuple(command),
        done.exit_status,
        done.stdout.decode("utf-8", "replace"),
        done.stderr.decode("utf-8", "replace"),
    )


def _step(
    dialogue: Dialogue[T], reply: Reply | UniSpawnerError | None
) -> tuple[list[str], None] | tuple[None, tuple[T]]:
    """Return the dialogue's next command, or its result."""
    try:
        return advance(dialogue, reply), None
    except StopIteration as stop:
        return None, (stop.value,)
