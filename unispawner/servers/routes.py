"""All paths below ``/hub`` that are ours: the web layer's, and those that need our tables."""

from __future__ import annotations

from ..web import routes
from .history_pages import HistoryHandler, HistoryPage, LogHandler
from .notices import NoticesHandler
from .starts import StartsHandler
from .stops import StopHandler

ROUTES: list[routes.Route] = [
    (r"/api/unispawner/history", HistoryHandler),
    (r"/api/unispawner/history/([^/]+)", HistoryHandler),
    (r"/api/unispawner/servers/([^/]+)/([^/]*)/log", LogHandler),
    (r"/api/unispawner/notices", NoticesHandler),
    (r"/api/unispawner/starts", StartsHandler),
    (r"/unispawner/history", HistoryPage),
    # JupyterHub's own paths, and its own handler with a note of who asks.
    (r"/api/users/([^/]+)/server", StopHandler),
    (r"/api/users/([^/]+)/servers/([^/]*)", StopHandler),
    *routes.ROUTES,
]
