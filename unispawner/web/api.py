"""The Hub's API for people and programs: what may be chosen, what is free, what a server does.

``GET /hub/api/unispawner/schema``, ``…/inventory`` and ``…/servers/{user}[/{name}]``: see
docs/pages.md. The files that our form and pages load are here, too. Nothing of this module asks a
scheduler; ``…/start-time`` may: see :mod:`.start_time`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.handlers.base import BaseHandler
from jupyterhub.scopes import needs_scope
from jupyterhub.user import User
from sqlalchemy.exc import SQLAlchemyError

from ..errors import UniSpawnerError
from ..texts import all_as_read, say
from . import bookkeeping
from .availability import availability, clusters_to_dict
from .failures import Refusal
from .server_status import server_status

ASSETS = Path(__file__).parent / "static"


@contextmanager
def check_database(handler: BaseHandler, what: str) -> Iterator[None]:
    """Reply with status 503, and log the reason, if the Hub's database fails within the block.

    Parameters
    ----------
    what
        What the block does, for the log: "save a preset".
    """
    try:
        yield
    except SQLAlchemyError as error:
        handler.db.rollback()
        handler.log.error("The Hub's database did not %s: %s", what, error)
        raise Refusal(
            503, say("The Hub's database does not answer at the moment. Try again later.")
        ) from None


class Handler(APIHandler):
    """What the handlers of our API share."""

    def find_asked_user(self, scope: str = "read:servers") -> Any:
        """Return the user that ``?user=`` names, or else the user who sends the request.

        Parameters
        ----------
        scope
            What the sender must have for this user.

        Raises
        ------
        tornado.web.HTTPError
            403 without a login or token; 400 if a service names no user; 404 if there is no such
            user, or the sender does not have the scope for this user.
        """
        sender = self.current_user
        if sender is None:
            raise Refusal(403, say("Log in, or send a token."))
        name = self.get_argument("user", sender.name if isinstance(sender, User) else None)
        if not name:
            raise Refusal(400, say("Name the user: ?user=NAME"))
        user = self.find_user(name) if self.has_scope(f"{scope}!user={name}") else None
        if user is None:
            raise Refusal(
                404,
                say(
                    "There is no such user, or you do not have the scope {scope} for this user.",
                    scope=scope,
                ),
            )
        return user

    def reply(self, content: dict[str, Any]) -> None:
        """Reply with JSON that no cache keeps."""
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(all_as_read(content)))


class SchemaHandler(Handler):
    """``GET /hub/api/unispawner/schema``: the JSON schema of user_options that a user may send.

    Replies 404 if the Hub has no profiles, and 424 if the administrator's function fails.
    """

    async def get(self) -> None:
        """Reply with the schema."""
        spawner = self.find_asked_user().spawner
        if not hasattr(spawner, "options_schema"):
            raise Refusal(404, say("The spawner class of this Hub has no profiles."))
        try:
            self.reply(await spawner.options_schema())
        except UniSpawnerError as error:
            raise Refusal(424, error.message_and_output()) from None


class InventoryHandler(Handler):
    """``GET /hub/api/unispawner/inventory``: what is free where this user's servers may run.

    Replies 424 if the administrator's function of profiles fails.
    """

    async def get(self) -> None:
        """Reply at once with what is known; what is too old is refreshed in the background."""
        spawner = self.find_asked_user().spawner
        try:
            if hasattr(spawner, "availabilities"):  # of its profiles
                found = await spawner.availabilities()
            else:
                found = [availability(spawner)]
        except UniSpawnerError as error:
            raise Refusal(424, error.message_and_output()) from None
        self.reply(clusters_to_dict(found))


class ServerHandler(Handler):
    """``GET /hub/api/unispawner/servers/{user}[/{name}]``: state, reason, host, time left.

    For whoever has the scope ``read:servers``, and for the server itself with its own token.
    """

    def get(self, user_name: str, server_name: str = "") -> None:
        """Reply with :class:`unispawner.web.server_status.ServerStatus`."""
        if not self._is_servers_own(user_name, server_name):
            self._check(user_name, server_name)
        if bookkeeping.find_spawner(self.find_user(user_name), server_name) is None:
            raise Refusal(404, say("There is no such server, or you may not read it."))
        self._reply_status(user_name, server_name)

    def _reply_status(self, user_name: str, server_name: str) -> None:
        user = self.find_user(user_name)
        self.reply(server_status(user.spawners[server_name]).to_dict())

    @needs_scope("read:servers")  # type: ignore[untyped-decorator] # JupyterHub's
    def _check(self, user_name: str, server_name: str) -> None:
        """Raise 404 if the sender may not read this server."""

    def _is_servers_own(self, user_name: str, server_name: str) -> bool:
        """Return whether the request's token is this server's own."""
        found = bookkeeping.outer(bookkeeping.spawner_of_token(self, bookkeeping.has_token))
        return found is not None and (user_name, server_name) == (found.user.name, found.name)
