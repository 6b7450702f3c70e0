"""Which paths below ``/hub`` are ours, and which handler each has.

This is the table of this layer. That of :mod:`unispawner.servers.routes` has the handlers that need
the servers' own tables. The first route of a path counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jupyterhub.apihandlers import default_handlers as of_api
from jupyterhub.handlers import default_handlers as of_pages
from jupyterhub.handlers.static import CacheControlStaticFilesHandler

from .api import ASSETS, InventoryHandler, SchemaHandler, ServerHandler
from .cancel import CancelHandler
from .continue_api import ContinueHandler
from .mine import MineHandler
from .presets import PresetHandler, PresetsHandler
from .reports import PortHandler, ReportHandler
from .session_end import SessionEndHandler
from .start_time import StartTimeHandler

Route = tuple[Any, ...]
"""As tornado takes it: the pattern of a path, its handler, and the handler's arguments if any."""

ROUTES: list[Route] = [
    (r"/api/unispawner/report", ReportHandler),
    (r"/api/batchspawner", PortHandler),
    # Before the server whose name is that of an action.
    (r"/api/unispawner/servers/([^/]+)(?:/([^/]*))?/(continue|switch)", ContinueHandler),
    (r"/api/unispawner/servers/([^/]+)/?([^/]*)", ServerHandler),
    (r"/api/unispawner/schema", SchemaHandler),
    (r"/api/unispawner/inventory", InventoryHandler),
    (r"/api/unispawner/mine", MineHandler),
    (r"/api/unispawner/start-time", StartTimeHandler),
    (r"/api/unispawner/presets", PresetsHandler),
    (r"/api/unispawner/presets/([^/]+)", PresetHandler),
    (r"/unispawner/cancel/([^/]+)/([^/]*)", CancelHandler),
    (r"/unispawner/session-end/([^/]+)/?([^/]*)", SessionEndHandler),
    (r"/unispawner/static/(.*)", CacheControlStaticFilesHandler, {"path": str(ASSETS)}),
]


def add_to_hub(routes: Sequence[Route]) -> None:
    """Make routes part of each Hub that this process starts from now on, each once.

    They come first: batchspawner, which a configuration may still import, has a handler that lets a
    server's token set any attribute of its spawner.
    """
    for known, ours in (
        (of_api, [one for one in routes if one[0].startswith("/api/")]),
        (of_pages, [one for one in routes if not one[0].startswith("/api/")]),
    ):
        known[:] = ours + [one for one in known if one not in ours]
