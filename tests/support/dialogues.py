"""Holds a scheduler's dialogue with answers that a test has prepared."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from unispawner.errors import UniSpawnerError
from unispawner.schedulers.base import Dialogue, Reply, advance

T = TypeVar("T")
Answer = Reply | UniSpawnerError | tuple[str, str, int] | Callable[[list[str]], str]
"""What a command does: its reply, its error, its standard output, standard error and exit status,
or a function that returns its standard output."""


def hold(dialogue: Dialogue[T], *answers: Answer) -> tuple[T, list[list[str]]]:
    """Give each command of a dialogue the next answer; return the result and the commands."""
    commands: list[list[str]] = []
    reply: Reply | UniSpawnerError | None = None
    left = list(answers)
    try:
        while True:
            commands.append(advance(dialogue, reply))
            assert left, f"the test has no answer for {commands[-1]}"
            reply = _reply(commands[-1], left.pop(0))
    except StopIteration as stop:
        assert not left, f"the dialogue did not use these answers: {left}"
        result: T = stop.value
        return result, commands


def _reply(command: list[str], answer: Answer) -> Reply | UniSpawnerError:
    if isinstance(answer, Reply | UniSpawnerError):
        return answer
    stdout, stderr, status = (answer(command), "", 0) if callable(answer) else answer
    return Reply(tuple(command), status, stdout, stderr)
