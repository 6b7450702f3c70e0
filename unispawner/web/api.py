"""Hub API for people and programs: what may be chosen, what is free, what a server does.

``GET /hub/api/unispawner/schema``, ``…/inventory`` and ``…/servers/{user}[/{name}]``; documented in
docs/pages.md. Beside it, the files that our form and pages load. Nothing here asks a scheduler.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jupyterhub import orm
from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.handlers.static import CacheControlStaticFilesHandler
from jupyterhub.scopes import needs_scope
from jupyterhub.user import User
from tornado import web

from ..errors import UniSpawnerError
from .availability import availability, clusters_to_dict
from .bookkeeping import serving
from .server_status import server_status

ASSETS = Path(__file__).parent / "static"


class _Handler(APIHandler):
    def _user(self) -> Any:
        """Return the user that is asked for: ``?user=``, or else who asks.

        Raises
        ------
        tornado.web.HTTPError
            403 for nobody; 400 for no name, which only a user may leave out; 404 for a user that
            isn't there, or not for whoever asks to see.
        """
        asking = self.current_user
        if asking is None:
            raise web.HTTPError(403, "Log in, or send a token.")
        name = self.get_argument("user", asking.name if isinstance(asking, User) else None)
        if not name:
            raise web.HTTPError(400, "It must be said of whom: ?user=NAME")
        user = self.find_user(name) if self.has_scope(f"read:servers!user={name}") else None
        if user is None:
            raise web.HTTPError(404, "There is no such user, or not for you.")
        return user

    def _reply(self, content: dict[str, Any]) -> None:
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(content))


class SchemaHandler(_Handler):
    """``GET /hub/api/unispawner/schema``: JSON schema of the user_options that a user may send.

    404 where no profiles are configured.
    """

    async def get(self) -> None:
        """Answer with the schema."""
        spawner = self._user().spawner
        if not hasattr(spawner, "options_schema"):
            raise web.HTTPError(404, "The spawner class of this Hub has no profiles.")
        try:
            self._reply(await spawner.options_schema())
        except UniSpawnerError as error:
            raise web.HTTPError(424, str(error)) from None


class InventoryHandler(_Handler):
    """``GET /hub/api/unispawner/inventory``: what is free where this user's servers may run."""

    async def get(self) -> None:
        """Answer at once with what is known; what is too old is asked for in the background."""
        spawner = self._user().spawner
        try:
            if hasattr(spawner, "availabilities"):  # of its profiles
                found = await spawner.availabilities()
            else:
                found = [availability(spawner)]
        except UniSpawnerError as error:
            raise web.HTTPError(424, str(error)) from None
        self._reply(clusters_to_dict(found))


class ServerHandler(_Handler):
    """``GET /hub/api/unispawner/servers/{user}[/{name}]``: state, reason, place, time left.

    For who may ``read:servers``, and for the server itself with its own token.
    """

    def get(self, user_name: str, server_name: str = "") -> None:
        """Answer with :class:`unispawner.web.server_status.ServerStatus`."""
        if not self._is_of(user_name, server_name):
            self._check(user_name, server_name)
        user = self.find_user(user_name)
        if user is None or (server_name and server_name not in user.orm_user.orm_spawners):
            raise web.HTTPError(404, "There is no such server, or not for you.")
        self._reply(server_status(user.spawners[server_name]).to_dict())

    @needs_scope("read:servers")  # type: ignore[untyped-decorator]
    def _check(self, user_name: str, server_name: str) -> None:
        """Raise 404 for who may not read this server."""

    def _is_of(self, user_name: str, server_name: str) -> bool:
        """Return whether the token in the request is that of this very server."""
        token = self.get_token()
        if not isinstance(token, orm.APIToken) or token.user is None:
            return False
        if token.user.name != user_name:
            return False
        spawner = self._user_from_orm(token.user).spawners.get(server_name)
        return spawner is not None and getattr(serving(spawner), "token_id", None) == token.id


HANDLERS: list[Any] = [
    (r"/api/unispawner/schema", SchemaHandler),
    (r"/api/unispawner/inventory", InventoryHandler),
    (r"/api/unispawner/servers/([^/]+)/?([^/]*)", ServerHandler),
    (r"/unispawner/static/(.*)", CacheControlStaticFilesHandler, {"path": str(ASSETS)}),
]
