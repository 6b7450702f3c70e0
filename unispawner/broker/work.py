"""What a child does with its one request: see ``docs/broker.md`` for the order of the steps."""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
import traceback
from typing import Any, NoReturn

from ..agent.protocol import limit_time, read_request, serve, write_reply
from ..agent.questions import answer_question
from ..errors import AgentError
from ..frames import HOST_NAME
from .accounts import Rules, become, describe, find_starter, find_user
from .incoming import Request
from .memory import forbid_looking

ALARM_AFTER = 1.0
"""How long (seconds) after its deadline a child that does not end itself gets SIGALRM."""
MOST_ADDRESSES = 64
"""How many addresses of a name are returned."""
_REPLY = 3
"""The descriptor of the reply."""
_HANDLED = (signal.SIGALRM, signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def work(request: Request, reply: int, errors: int, rules: Rules, limits: Any) -> NoReturn:
    """Serve a request in a new process, and end it.

    Parameters
    ----------
    reply, errors
        The files in memory for standard output and standard error.
    limits
        The limits on open files that the broker itself got.
    """
    status = 1
    try:
        os.setsid()
        forbid_looking()
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        _reset_signals()
        left = request.deadline - time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, max(left, 0.0) + ALARM_AFTER)
        body = _take_body(request)
        _keep_only(reply, errors)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        _ask_to_be_killed_like_others()
        _serve(request, body, rules)
        status = 0
    except BaseException:
        traceback.print_exc()  # to standard error, which the answer holds
    finally:
        os._exit(status)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in _HANDLED:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _take_body(request: Request) -> bytes:
    """Read the body, and remove it from the kernel's memory."""
    os.lseek(request.body, 0, os.SEEK_SET)
    body = b""
    while chunk := os.read(request.body, request.length + 1):
        body += chunk
    os.truncate(request.body, 0)
    return body


def _keep_only(reply: int, errors: int) -> None:
    """Close all descriptors but standard input, output and error, and the reply's.

    Standard input is empty. Only the reply itself goes to its descriptor, which no command
    inherits: standard output is standard error.
    """
    reply, errors = (os.dup(descriptor) for descriptor in (reply, errors))
    while reply <= _REPLY or errors <= _REPLY:  # until dup2 below overwrites neither
        reply, errors = os.dup(reply), os.dup(errors)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(errors, 1)
    os.dup2(errors, 2)
    os.dup2(reply, _REPLY, inheritable=False)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > _REPLY:
            try:
                os.close(int(name))
            except OSError:
                pass  # the descriptor of the listing itself


def _ask_to_be_killed_like_others() -> None:
    """Undo what may protect the Hub's service when memory runs out."""
    try:
        with open("/proc/self/oom_score_adj", "r+", encoding="ascii") as file:
            if int(file.read()) < 0:
                file.seek(0)
                file.write("0")
    except OSError:
        pass  # an ordinary user's broker may not write it


def _serve(request: Request, body: bytes, rules: Rules) -> None:
    def find_result() -> Any:
        if request.kind == "agent":
            return _be_the_agent(request, body, rules)
        if request.kind == "question":
            return _answer_question(request, body, rules)
        if request.kind == "name":
            return _resolve_name(request, body, rules)
        return describe(request.account, rules)

    write_reply(_REPLY, find_result)


def _be_the_agent(request: Request, body: bytes, rules: Rules) -> Any:
    become(*find_user(request.account, rules))
    left = max(request.deadline - time.monotonic(), 0.1)
    return serve(read_request(body), most=left)


def _answer_question(request: Request, body: bytes, rules: Rules) -> Any:
    become(*find_starter(rules))
    limit_time(max(request.deadline - time.monotonic(), 0.1))
    os.environ.clear()
    os.environ.update(question_environment(rules))
    os.chdir("/")
    return answer_question(body)


def _resolve_name(request: Request, body: bytes, rules: Rules) -> Any:
    become(*find_starter(rules))
    # A name service that hangs is C code, in which no Python handler runs: the signal itself
    # has to end this process.
    signal.setitimer(signal.ITIMER_REAL, max(request.deadline - time.monotonic(), 0.1))
    return resolve_name(body)


def resolve_name(raw: bytes) -> list[str]:
    """Return the addresses that this host's name service has for a node; none if it has none.

    Raises
    ------
    AgentError
        If it is not the name of a host: a job may have made it up.
    """
    name = raw.decode("ascii", "replace")
    if not HOST_NAME.fullmatch(name):
        raise AgentError(f"{name[:300]!r} is not the name of a host.")
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        return []
    # A scope ("fe80::1%eth0") is not a part of the address.
    addresses = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found)
    return list(addresses)[:MOST_ADDRESSES]


def question_environment(rules: Rules) -> dict[str, str]:
    """Return the variables of the commands that answer questions."""
    path = ":".join(filter(None, (rules.path, "/usr/local/bin:/usr/bin:/bin")))
    return {"PATH": path, "LANG": "C.UTF-8", **rules.environment}
