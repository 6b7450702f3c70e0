"""An extension of Jupyter's server: how much time is left for this session, as the Hub knows it.

JupyterLab's part of this package asks it. It needs Python 3.8, tornado and jupyter_server, because
it is installed in users' environments.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .hub import Hub
from .time_left import TimeLeft

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

__version__ = "0.1.0"


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Return this module as an extension of the server."""
    return [{"module": "unispawner_lab"}]


def _load_jupyter_server_extension(server: ServerApp) -> None:
    """Add the address from which JupyterLab asks for the time left.

    Without JupyterHub nothing is added, and JupyterLab's part stays silent.
    """
    from jupyter_server.utils import url_path_join

    from .handlers import TimeLeftHandler

    hub = Hub.from_environment(os.environ)
    if hub is None:
        return
    time_left = TimeLeft(hub, os.environ.get("UNISPAWNER_ENDING", ""), parent=server)
    address = url_path_join(server.web_app.settings["base_url"], "unispawner", "time-left")
    handlers: Any = [(address, TimeLeftHandler, {"time_left": time_left})]
    server.web_app.add_handlers(".*$", handlers)  # type: ignore[no-untyped-call] # tornado's
