"""The agent's side of the protocol.

A request is an object with ``version``, ``action``, ``account``, ``uid``, ``min_uid``,
``scheduler``, ``scheduler_options``, ``scheduler_path``, ``scheduler_environment``, ``state_dir``
and ``timeout`` (seconds), and with the arguments of the action. A reply is ``{"version": 1,
"result": …}`` or ``{"version": 1, "error": …}``; the error has the form of
:meth:`unispawner.errors.UniSpawnerError.to_dict`.
"""

from __future__ import annotations

import json
import math
import os
import pwd
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from ..errors import AgentError, UniSpawnerError
from .login import login_language

VERSION = 1
REQUEST_LIMIT = 8 * 1024**2
"""How many bytes a request may have; an environment and a prologue are small."""


def main() -> None:
    """Serve one request. The exit status is 0 if a reply was written."""
    write_reply(take_stdout(), lambda: serve(read_request(take_stdin(REQUEST_LIMIT + 1))))


def write_reply(reply_to: int, work: Callable[[], Any]) -> None:
    """Write the result of some work, or its error, as the reply; close the reply's descriptor."""
    try:
        reply = {"version": VERSION, "result": work()}
    except UniSpawnerError as error:
        reply = {"version": VERSION, "error": error.to_dict()}
    except _OutOfTime as error:
        reply = {"version": VERSION, "error": AgentError(str(error)).to_dict()}
    except Exception as error:  # the Hub's side gets a reply whatever happened
        failure = AgentError(f"The agent failed: {type(error).__name__}: {error}")
        reply = {"version": VERSION, "error": failure.to_dict()}
    text = json.dumps(reply)
    signal.setitimer(signal.ITIMER_REAL, 0)  # half a reply would be worse than a late one
    with os.fdopen(reply_to, "w", encoding="utf-8") as stream:
        stream.write(text)


def take_stdout() -> int:
    """Return a copy of standard output for the reply; all other output goes to standard error.

    PSI/J's file cleaner prints, and a scheduler's command may print, too.
    """
    reply_to = os.dup(1)
    os.dup2(2, 1)
    return reply_to


def take_stdin(most: int) -> bytes:
    """Read up to ``most`` bytes of standard input, and leave it empty."""
    raw = sys.stdin.buffer.read(most)
    # No command that the agent starts may read from the Hub.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    return raw


def read_request(raw: bytes) -> dict[str, Any]:
    """Return the request.

    Raises
    ------
    AgentError
        If it is too large, can't be read, or is of another version of the protocol.
    """
    if len(raw) > REQUEST_LIMIT:
        raise AgentError(
            f"The Hub's request has more than {REQUEST_LIMIT} bytes: the environment, the prologue "
            "or the epilogue is too large."
        )
    try:
        request = json.loads(raw)
        if request["version"] != VERSION:
            raise AgentError(
                f"The Hub uses version {request['version']!r:.20} of the protocol, but the "
                f"unispawner that c.UniSpawner.agent_python runs uses version {VERSION}. Install "
                "the same unispawner for both."
            )
        return dict(request)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        # Not the error's own text: it may show the request, which holds the token of a server.
        raise AgentError(f"The request could not be read: {type(error).__name__}.") from None


def serve(request: dict[str, Any], *, most: float = math.inf) -> Any:
    """Serve a request in a process that runs as the user, and return the result.

    Parameters
    ----------
    most
        How long (seconds) it may take, if the request itself allows more.

    Raises
    ------
    UniSpawnerError
        The error of the action, or why there is none.
    """
    entry = _check_account(request)
    limit_time(min(float(request["timeout"]), most))
    _clean_environment(entry, request)
    os.umask(0o077)
    # As at a login, and whatever the Hub's limit is: no crash writes secrets into a core file.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    from .actions import ACTIONS

    action = ACTIONS.get(request["action"])
    if action is None:
        raise AgentError(
            f"action: unknown action {request['action']!r}; known actions: {', '.join(ACTIONS)}"
        )
    return action(request, entry)


def _check_account(request: dict[str, Any]) -> pwd.struct_passwd:
    """Check that this is the account that the Hub means, and that it may run servers."""
    entry = pwd.getpwuid(os.getuid())
    if os.getuid() != request["uid"] or os.geteuid() != os.getuid():
        raise AgentError(
            f"The agent runs as {entry.pw_name} (uid {os.getuid()}) instead of "
            f"{request['account']} (uid {request['uid']}). Check c.UniSpawner.run_as or, "
            "with a class of batchspawner's, exec_prefix."
        )
    if os.getuid() == 0 or os.getuid() < request["min_uid"]:
        raise AgentError(
            f"The account {entry.pw_name} has uid {os.getuid()}. Uid 0 and uids below "
            f"c.UniSpawner.min_uid = {request['min_uid']} can't run servers."
        )
    return entry


class _OutOfTime(BaseException):
    """The time limit has passed. No code that catches errors may catch this and go on."""


def limit_time(seconds: float) -> None:
    """Make the agent end itself in time: a Hub that is not root can't kill what sudo started."""

    def out_of_time(*_: Any) -> NoReturn:
        raise _OutOfTime(
            f"The agent did not finish within {round(seconds, 1):g} s (c.UniSpawner.agent_timeout)."
        )

    signal.signal(signal.SIGALRM, out_of_time)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _clean_environment(entry: pwd.struct_passwd, request: dict[str, Any]) -> None:
    """Replace the environment, so that no variable of sudo's or the Hub's reaches a job."""
    path = [*request["scheduler_path"], "/usr/local/bin", "/usr/bin", "/bin"]
    os.environ.clear()
    os.environ.update(
        {
            "HOME": entry.pw_dir,
            "LANG": login_language(),
            "LOGNAME": entry.pw_name,
            "PATH": ":".join(path),
            "SHELL": entry.pw_shell or "/bin/sh",
            "USER": entry.pw_name,
            **request["scheduler_environment"],
        }
    )
    home = entry.pw_dir if os.path.isdir(entry.pw_dir) else "/"
    try:
        os.chdir(home)
    except OSError:
        os.chdir("/")
