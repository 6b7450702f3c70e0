"""The Hub's API of what a user may use: ``GET /hub/api/unispawner/mine?profile=SLUG``.

A form asks it for the choices of options with ``"choices": "mine"``: see docs/profiles.md.
"""

from __future__ import annotations

from tornado import web

from ..errors import InvalidJobError, UniSpawnerError
from .api import Handler


class MineHandler(Handler):
    """``GET /hub/api/unispawner/mine``: for the user, and for who may start the user's servers.

    Replies 404 if the Hub has no profiles, or the user is offered no such profile, and 424 if the
    administrator's function fails.
    """

    async def get(self) -> None:
        """Reply at once with what is known; the scheduler is asked in the background."""
        spawner = self.find_asked_user("servers").spawner
        if not hasattr(spawner, "mine"):
            raise web.HTTPError(404, "The spawner class of this Hub has no profiles.")
        try:
            self.reply(await spawner.mine(self.get_argument("profile", "")))
        except InvalidJobError as error:
            raise web.HTTPError(404, str(error)) from None
        except UniSpawnerError as error:
            raise web.HTTPError(424, str(error)) from None
