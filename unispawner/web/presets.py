"""The Hub's API of what a user has chosen before: presets, and the last choice of each profile.

``GET /hub/api/unispawner/presets``, ``PUT`` and ``DELETE …/presets/{name}``: see docs/pages.md.
"""

from __future__ import annotations

from typing import Any

from ..errors import UniSpawnerError
from ..texts import say
from .api import Handler, check_database
from .failures import Refusal


class _PresetsHandler(Handler):
    def _keeping_spawner(self, scope: str) -> Any:
        """Return the spawner that knows what its user has chosen.

        Raises
        ------
        tornado.web.HTTPError
            As :meth:`Handler.find_asked_user`; also 404 if the Hub has no profiles.
        """
        spawner = self.find_asked_user(scope).spawner
        if not hasattr(spawner, "kept_choices"):
            raise Refusal(404, say("The spawner class of this Hub has no profiles."))
        return spawner


class PresetsHandler(_PresetsHandler):
    """``GET /hub/api/unispawner/presets``: what a user has chosen before."""

    def get(self) -> None:
        """Reply with the presets, and with the last choice of each profile, newest first."""
        kept = self._keeping_spawner("read:servers").kept_choices()
        self.reply({"presets": kept.presets, "last": list(kept.last.values())})


class PresetHandler(_PresetsHandler):
    """``PUT`` and ``DELETE /hub/api/unispawner/presets/{name}``: for who may start the servers."""

    async def put(self, name: str) -> None:
        """Keep the choice in the body, ``{"profile": …, OPTION: …}``, if it is offered now."""
        spawner = self._keeping_spawner("servers")
        options = self.get_json_body()
        if not isinstance(options, dict):
            raise Refusal(400, say('The body must be an object, such as {"profile": "gpu"}.'))
        try:
            with check_database(self, "save a preset"):
                await spawner.keep_preset(name, options)
        except UniSpawnerError as error:
            raise Refusal(400, error.message_and_output()) from None
        self.set_status(204)

    async def delete(self, name: str) -> None:
        """Delete a preset."""
        with check_database(self, "delete a preset"):
            found = await self._keeping_spawner("servers").delete_preset(name)
        if not found:
            raise Refusal(404, say("There is no preset of this name."))
        self.set_status(204)
