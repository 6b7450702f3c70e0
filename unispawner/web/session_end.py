"""Says to an open page of a server why that server no longer answers.

unispawner-lab, in the user's JupyterLab, usually asks the server itself. When that server has
ended, or its job waits again, only the Hub knows the reason. The page then asks the Hub.
"""

from __future__ import annotations

import json
from typing import Any

from jupyterhub.handlers.base import BaseHandler
from tornado import web

from ..texts import as_read, say
from . import bookkeeping
from .server_status import ServerStatus, server_status

REASON_LIMIT = 500
"""How many characters of a reason are shown; the Hub's page has all of it."""


class SessionEndHandler(BaseHandler):  # type: ignore[misc] # JupyterHub has no type information
    """``GET /hub/unispawner/session-end/{user}[/{name}]``, with the login of the Hub's pages.

    It has the form of the answer of the server's own extension. JupyterHub's API would ask for a
    token of the Hub's pages, which a page of a server does not have. No other origin can read the
    answer. Without subdomains a page of another user's server, which this user has opened, can: so
    the answer has no line of a log.
    """

    def get(self, user_name: str, name: str = "") -> None:
        """Reply with the reason; it is empty while the server runs."""
        allowed = self.has_scope(f"read:servers!server={user_name}/{name}")
        user = self.find_user(user_name) if self.current_user is not None and allowed else None
        spawner = bookkeeping.find_spawner(user, name)
        if spawner is None:
            raise web.HTTPError(404, "There is no such server, or you may not read it.")
        reason = describe_end(server_status(spawner))
        answer: dict[str, Any] = {"time_left": None, "end": None, "reason": reason, "warnings": []}
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(answer))


def describe_end(status: ServerStatus) -> str:
    """Return why a server does not answer, in one line; empty while it runs.

    What a program has printed, such as the end of the job's log, is in the lines after the first.
    """
    if status.state == "running":
        return ""
    reason, _, more = as_read(status.message).partition("\n")
    reason = reason or as_read(_STATES.get(status.state, ""))
    return f"{reason[:REASON_LIMIT]} …" if more or len(reason) > REASON_LIMIT else reason


_STATES = {
    "stopped": say("It was stopped, or it has ended by itself."),
    "stopping": say("It is being stopped."),
}
"""What is said of a server about which there is no message."""
