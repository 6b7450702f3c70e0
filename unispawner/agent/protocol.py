"""The agent's end of the wire.

A request is an object with ``version``, ``action``, ``account``, ``uid``, ``min_uid``,
``scheduler``, ``scheduler_options``, ``scheduler_path``, ``scheduler_environment``, ``state_dir``
and ``timeout`` (seconds), and what the action takes. A reply is ``{"version": 1, "result": …}`` or
``{"version": 1, "error": …}``, the error as :meth:`unispawner.errors.UniSpawnerError.to_dict`.
"""

from __future__ import annotations

import json
import os
import pwd
import resource
import signal
import sys
from typing import Any, NoReturn

from ..errors import AgentError, UniSpawnerError
from .login import login_language

VERSION = 1
REQUEST_LIMIT = 8 * 1024**2
"""Bytes; an environment and a prologue are small."""


def main() -> None:
    """Serve one request. Ends with status 0 whenever a reply could be written."""
    reply_to = _take_stdout()
    try:
        reply = {"version": VERSION, "result": _serve(_read_request())}
    except UniSpawnerError as error:
        reply = {"version": VERSION, "error": error.to_dict()}
    except _OutOfTime as error:
        reply = {"version": VERSION, "error": AgentError(str(error)).to_dict()}
    except Exception as error:  # whatever it is, the Hub's side should be told, not left in silence
        failure = AgentError(f"The user's side failed: {type(error).__name__}: {error}")
        reply = {"version": VERSION, "error": failure.to_dict()}
    with os.fdopen(reply_to, "w", encoding="utf-8") as stream:
        json.dump(reply, stream)


def _take_stdout() -> int:
    """Keep standard output for the reply alone; whatever else prints goes to standard error.

    PSI/J's file cleaner prints, and so may a scheduler's command.
    """
    reply_to = os.dup(1)
    os.dup2(2, 1)
    return reply_to


def _read_request() -> dict[str, Any]:
    raw = sys.stdin.buffer.read(REQUEST_LIMIT + 1)
    # Nothing that we start shall read from the Hub.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if len(raw) > REQUEST_LIMIT:
        raise AgentError(f"The request is larger than {REQUEST_LIMIT} bytes.")
    try:
        request = json.loads(raw)
        if request["version"] != VERSION:
            raise AgentError(
                f"The Hub speaks version {request['version']} of the protocol and agent_python's "
                f"unispawner version {VERSION}: install the same unispawner for both."
            )
    except (ValueError, KeyError, TypeError) as error:
        raise AgentError(f"The request could not be read: {error!r}") from None
    return dict(request)


def _serve(request: dict[str, Any]) -> Any:
    entry = _check_account(request)
    _limit_time(float(request["timeout"]))
    _clean_environment(entry, request)
    os.umask(0o077)
    # As at a login, whatever the Hub's limit is: neither we nor a job leave memory in files.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    from .actions import ACTIONS

    action = ACTIONS.get(request["action"])
    if action is None:
        raise AgentError(f"There is no action {request['action']!r}.")
    return action(request, entry)


def _check_account(request: dict[str, Any]) -> pwd.struct_passwd:
    """Make sure that we are who the Hub thinks we are, and nobody who must never run a server."""
    entry = pwd.getpwuid(os.getuid())
    if os.getuid() != request["uid"] or os.geteuid() != os.getuid():
        raise AgentError(
            f"The user's side runs as {entry.pw_name} (uid {os.getuid()}), not as "
            f"{request['account']} (uid {request['uid']})."
        )
    if os.getuid() == 0 or os.getuid() < request["min_uid"]:
        raise AgentError(
            f"The account {entry.pw_name} has uid {os.getuid()}; uid 0 and uids below "
            f"min_uid = {request['min_uid']} don't run servers."
        )
    return entry


class _OutOfTime(BaseException):
    """The time is up, whatever we are at: nothing that catches errors may go on after it."""


def _limit_time(seconds: float) -> None:
    """End by ourselves: a Hub that is no root can't kill what sudo started."""

    def out_of_time(*_: Any) -> NoReturn:
        raise _OutOfTime(f"The user's side was not done within {seconds:g} s.")

    signal.signal(signal.SIGALRM, out_of_time)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _clean_environment(entry: pwd.struct_passwd, request: dict[str, Any]) -> None:
    """Start from nothing: what sudo or the Hub left in the environment reaches no job."""
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
