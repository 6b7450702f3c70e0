"""Asks questions whose answers are large in a process of its own.

Reading fifty thousand rows takes most of a second. Another thread is no help: regular expressions,
JSON and XML are read with the interpreter's lock held, so that the Hub's event loop waits. The
process of :mod:`unispawner.agent.questions` runs the commands and reads their output; its reply
holds only what was asked for.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..command import Finished
from ..errors import AgentError
from ..schedulers import NAMES, Scheduler, scheduler_class
from ..schedulers.questions import Answer, Question, decode
from .dialogue import Runner
from .replies import parse_reply, reported_error

LARGE = 1024**2
"""How many bytes of a command's output the Hub's own process reads, in a few milliseconds."""
TIMEOUT = 120.0
"""How long (seconds) all commands of a question may take; each has a limit of its own."""
REPLY_LIMIT = 16 * 1024**2
"""How many bytes a reply may have."""

_FOLDER = str(Path(__file__).resolve().parents[2])
_COMMAND = (
    *(sys.executable, "-I", "-c"),
    # The folder is needed where PYTHONPATH has told the Hub where we are: -I ignores it.
    "import sys; sys.path.append(sys.argv[1]); from unispawner.agent.questions import main; main()",
    _FOLDER,
)


def can_be_asked_elsewhere(scheduler: Scheduler) -> bool:
    """Return whether another process can make this scheduler from its name and its settings."""
    return scheduler.name in NAMES and scheduler_class(scheduler.name) is type(scheduler)


async def ask(question: Question, host: Runner, environment: Mapping[str, str]) -> Answer:
    """Ask a question in a process of its own.

    Raises
    ------
    UniSpawnerError
        If the scheduler does not answer, or its answer can't be read.
    """
    done = await host.run(
        _COMMAND,
        environment=environment,
        timeout=TIMEOUT,
        output_limit=REPLY_LIMIT,
        urgent=True,
        standard_input=json.dumps(question.to_dict()).encode(),
    )
    return await asyncio.to_thread(_read, question.name, done)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Let Python look for garbage later: it would look through all objects of the Hub meanwhile.

    A large answer makes so many objects that Python looks several times, each time with its lock
    held and nobody else at work. A thread that ends earlier than another one only ends the pause.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _read(name: str, done: Finished) -> Answer:
    with _no_garbage_collection():
        return _read_at_once(name, done)


def _read_at_once(name: str, done: Finished) -> Answer:
    reply = parse_reply(done.stdout)
    if reply is None:
        raise AgentError(
            "The process that reads a scheduler's large answers failed:",
            command=_COMMAND,
            exit_status=done.exit_status,
            output=done.stderr.decode("utf-8", "replace"),
        )
    if (error := reported_error(reply)) is not None:
        raise error
    return decode(name, reply.get("result"))
