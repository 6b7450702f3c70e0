"""The address below this server's own from which JupyterLab asks for the time left."""

from __future__ import annotations

import json
from typing import Any

from jupyter_server.base.handlers import APIHandler
from tornado import web

from .time_left import TimeLeft


class TimeLeftHandler(APIHandler):
    """``GET {base_url}unispawner/time-left``, with the login of this server."""

    _track_activity = False  # or an open page would keep an idle session alive

    def initialize(self, time_left: TimeLeft) -> None:
        """Take what answers the questions."""
        super().initialize()
        self._time_left = time_left

    @web.authenticated
    async def get(self) -> None:
        """Reply with the time left."""
        answer: dict[str, Any] = await self._time_left.answer()
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(answer))

    def _log(self) -> None:
        """Log only what went wrong: an open page asks several times a minute."""
        if self.get_status() >= 400:
            super()._log()
