"""Holds a scheduler's dialogue: runs its commands on the submit host, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TypeVar

from ..errors import UniSpawnerError
from ..schedulers.base import Dialogue, Reply, advance
from .host import SubmitHost

T = TypeVar("T")

QUERY_TIMEOUT = 12.0
"""Seconds for one command; squeue gives up by itself after ten."""
QUERY_LIMIT = 64 * 1024**2
"""Bytes; a row has about a hundred, but of PBS a few thousand."""


async def hold_dialogue(
    dialogue: Dialogue[T], host: SubmitHost, environment: Mapping[str, str]
) -> T:
    """Run the commands that a dialogue yields, and return its result.

    Raises
    ------
    UniSpawnerError
        If a command can't be run or does not end, or what the dialogue makes of its reply.
    """
    reply: Reply | UniSpawnerError | None = None
    while True:
        # Off the loop: to read fifty thousand rows takes most of a second.
        command, result = await asyncio.to_thread(_step, dialogue, reply)
        if command is None:
            assert result is not None
            return result[0]
        try:
            reply = await _run(command, host, environment)
        except UniSpawnerError as error:
            reply = error


async def _run(command: list[str], host: SubmitHost, environment: Mapping[str, str]) -> Reply:
    done = await host.run(
        command,
        environment=environment,
        timeout=QUERY_TIMEOUT,
        output_limit=QUERY_LIMIT,
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
    """Return the next command, or the result."""
    try:
        return advance(dialogue, reply), None
    except StopIteration as stop:
        return None, (stop.value,)
