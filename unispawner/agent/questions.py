"""Answers a question about a scheduler, as whoever runs this process.

A broker answers so on the submit host. A Hub without a broker starts this module as a process of
its own where answers are large, because reading them would hold up the Hub: ``python -I -m
unispawner.agent.questions`` reads a question from standard input and writes a reply, ``{"version":
1, "result": …}`` or ``{"version": 1, "error": …}``, to standard output. Its environment is that of
the scheduler's commands.
"""

from __future__ import annotations

import json
import os
import socket
import traceback
from collections.abc import Mapping
from typing import Any

from ..errors import AgentError, SchedulerUnavailable, UniSpawnerError
from ..schedulers.base import QUERY_ENVIRONMENT, QUERY_LIMIT, QUERY_TIMEOUT, Reply
from ..schedulers.questions import Question, answer
from .commands import run
from .protocol import take_stdin, take_stdout, write_reply

QUESTION_LIMIT = 16 * 1024**2
"""How many bytes a question may have."""


def main() -> None:
    """Answer the question on standard input. The exit status is 0 if a reply was written."""
    write_reply(take_stdout(), lambda: answer_question(take_stdin(QUESTION_LIMIT + 1)))


def answer_question(raw: bytes) -> dict[str, Any]:
    """Return the answer to a question in JSON; its commands run in this process's environment.

    Raises
    ------
    UniSpawnerError
        If it is not a question, if the scheduler does not answer, or if its answer can't be read.
    """
    try:
        if len(raw) > QUESTION_LIMIT:
            raise AgentError(f"The question has more than {QUESTION_LIMIT} bytes.")
        question = Question.from_dict(_read(raw))
        found = answer(question, _run)
        if question.name == "find_address" and found["result"] in ("", *question.arguments):
            found["result"] = _resolve(*question.arguments)
        return found
    except UniSpawnerError:
        raise
    except Exception as error:  # such as a bug in a parser
        traceback.print_exc()
        raise SchedulerUnavailable(f"The question could not be answered: {error!r}") from error


def _resolve(host: str) -> str:
    """Return the address that this host's name service has for a node; empty if it has none.

    A Hub on another host may not be able to resolve the names of the cluster's nodes.
    """
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, ValueError):
        return ""


def _read(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise AgentError("The question is not JSON.") from None


def _run(command: list[str], settings: Mapping[str, str]) -> Reply:
    # What the administrator has set by hand comes before what follows from other settings.
    environment = {**settings, **os.environ, **QUERY_ENVIRONMENT}
    return run(command, environment=environment, timeout=QUERY_TIMEOUT, output_limit=QUERY_LIMIT)


if __name__ == "__main__":
    main()
