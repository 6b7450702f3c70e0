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
    found = []
    for routes in (of_api, of_pages):
        ours = [entry for entry in routes if entry in ROUTES]
        assert ours == routes[: len(ours)]
        found += [entry[0] for entry in ours]
    assert sorted(route[0] for route in ROUTES) == sorted(found)


def test_no_two_routes_have_the_same_path() -> None:
    """Of two handlers of the same path the second one would never be called."""
    paths = [route[0] for route in ROUTES]
    assert len(set(paths)) == len(paths)
