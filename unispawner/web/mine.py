"""The Hub's API of what a user may use: ``GET /hub/api/unispawner/mine?profile=SLUG``.

A form asks it for the choices of options with ``"choices": "mine"``: see docs/profiles.md.
"""

from __future__ import annotations

from ..errors import InvalidJobError, UniSpawnerError
from ..texts import say
from .api import Handler
from .failures import Refusal


class MineHandler(Handler):
    """``GET /hub/api/unispawner/mine``: for the user, and for who may start the user's servers.

    Replies 404 if the Hub has no profiles, or the user is offered no such profile, and 424 if the
    administrator's function fails.
    """

    async def get(self) -> None:
        """Reply at once with what is known; the scheduler is asked in the background."""
        spawner = self.find_asked_user("servers").spawner
        if not hasattr(spawner, "mine"):
            raise Refusal(404, say("The spawner class of this Hub has no profiles."))
        try:
            self.reply(await spawner.mine(self.get_argument("profile", "")))
        except InvalidJobError as error:
            raise Refusal(404, error.message_and_output()) from None
        except UniSpawnerError as error:
            raise Refusal(424, error.message_and_output()) from None
