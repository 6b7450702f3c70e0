"""Uses Grid Engine's DRMAA in a process of its own: ``python -I -m unispawner.agent.drmaa``.

libdrmaa needs its environment before Python starts, because otherwise its static thread-local
storage does not fit. It may block for as long as the qmaster does, and it may abort the process. So
the agent runs this module like any other command: with a time-out, and reading its output.

The request is ``{"action": "submit", "template": {attribute: value}}``, ``{"action": "cancel",
"job_id": …}`` or ``{"action": "check"}``. The output is the job's id. If the library reports an
error, its words are printed and the exit status is 1. Without a library the exit status is 2.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, NoReturn


def main() -> None:
    """Serve one request."""
    request = json.load(sys.stdin)
    # The library may print, too. Only the job's id belongs on standard output.
    answer = os.dup(1)
    os.dup2(2, 1)
    try:
        import drmaa
    except ModuleNotFoundError:
        _give_up("the Python package drmaa is not installed (pip install drmaa)")
    except (OSError, RuntimeError) as error:  # there is no library, or it can't be loaded
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
