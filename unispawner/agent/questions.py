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
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from ..errors import AgentError, SchedulerUnavailable, UniSpawnerError
from ..schedulers.base import QUERY_ENVIRONMENT, QUERY_LIMIT, QUERY_TIMEOUT, Reply
from ..schedulers.questions import Question, answer
from .commands import run

VERSION = 1
QUESTION_LIMIT = 16 * 1024**2
"""How many bytes a question may have."""


def main() -> None:
    """Answer the question on standard input. The exit status is 0 if a reply was written."""
    raw = sys.stdin.buffer.read(QUESTION_LIMIT + 1)
    reply_to = os.dup(1)
    os.dup2(2, 1)  # all other output goes to standard error
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    with os.fdopen(reply_to, "w", encoding="utf-8") as stream:
        json.dump(reply_to_question(raw[: QUESTION_LIMIT + 1]), stream)


def reply_to_question(raw: bytes) -> dict[str, Any]:
    """Return the reply to a question in JSON; its commands run in this process's environment."""
    try:
        if len(raw) > QUESTION_LIMIT:
            raise AgentError(f"The question has more than {QUESTION_LIMIT} bytes.")
        question = Question.from_dict(_read(raw))
        found = answer(question, _run)
        if question.name == "find_address" and found["result"] in ("", *question.arguments):
            found["result"] = _resolve(*question.arguments)
        return {"version": VERSION, "result": found}
    except UniSpawnerError as error:
        return {"version": VERSION, "error": error.to_dict()}
    except Exception as error:  # such as a bug in a parser
        traceback.print_exc()
        failure = SchedulerUnavailable(f"The question could not be answered: {error!r}")
        return {"version": VERSION, "error": failure.to_dict()}


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
