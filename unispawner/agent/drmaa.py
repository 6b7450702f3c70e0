"""Talks to Grid Engine through DRMAA: ``python -I -m unispawner.agent.drmaa``, a process apart.

libdrmaa wants its environment before Python starts (its static thread-local storage does not fit
otherwise), may block for as long as the qmaster does, and may abort the process. So the agent runs
this as it runs any command: with a time-out, and reading what it prints.

Reads ``{"action": "submit", "template": {attribute: value}}`` or ``{"action": "cancel", "job_id":
…}`` or ``{"action": "check"}``. Prints the job's id, or the library's own words and exits with
status 1; with 2 if there is no library to ask.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, NoReturn


def main() -> None:
    """Serve one request."""
    request = json.load(sys.stdin)
    # The library prints now and then: only the job's id belongs on standard output.
    answer = os.dup(1)
    os.dup2(2, 1)
    try:
        import drmaa
    except ModuleNotFoundError:
        _give_up("the Python package drmaa is not installed (pip install drmaa)")
    except (OSError, RuntimeError) as error:  # no library, or one that can't be loaded
        _give_up(f"libdrmaa can't be loaded: {error}")
    try:
        with drmaa.Session() as session:
            result = _ACTIONS[request["action"]](session, request)
    except drmaa.errors.DrmaaException as error:
        sys.exit(f"{type(error).__name__}: {error}")
    os.write(answer, result.encode() + b"\n")


def _give_up(why: str) -> NoReturn:
    print(why, file=sys.stderr)
    sys.exit(2)


def _submit(session: Any, request: dict[str, Any]) -> str:
    template = session.createJobTemplate()
    try:
        for name, value in request["template"].items():
            setattr(template, name, value)
        return str(session.runJob(template))
    finally:
        session.deleteJobTemplate(template)


def _cancel(session: Any, request: dict[str, Any]) -> str:
    import drmaa

    session.control(request["job_id"], drmaa.JobControlAction.TERMINATE)
    return str(request["job_id"])


def _check(session: Any, request: dict[str, Any]) -> str:
    return str(session.drmsInfo)


_ACTIONS = {"submit": _submit, "cancel": _cancel, "check": _check}


if __name__ == "__main__":
    main()
