"""The routes that are added to JupyterHub's own."""

from __future__ import annotations

from jupyterhub.apihandlers import default_handlers as of_api
from jupyterhub.handlers import default_handlers as of_pages

from unispawner.servers.routes import ROUTES
from unispawner.web.routes import add_to_hub


def test_each_route_is_there_once() -> None:
    """Adding the routes again adds no second one, and ours come before JupyterHub's."""
    add_to_hub(ROUTES)
    add_to_hub(ROUTES)
    ours = {route[0] for route in ROUTES}
    for routes in (of_api, of_pages):
        found = [entry[0] for entry in routes if entry[0] in ours]
        assert len(set(found)) == len(found)
        assert found == [entry[0] for entry in routes][: len(found)]
    assert ours == {entry[0] for entry in [*of_api, *of_pages]} & ours


def test_no_two_routes_have_the_same_path() -> None:
    """Of two handlers of the same path the second one would never be called."""
    paths = [route[0] for route in ROUTES]
    assert len(set(paths)) == len(paths)
