"""docs/openapi.yaml describes our API as it is: its paths, its methods and its answers.

Each answer that any test gets from a Hub's application is checked by it, too: see
``support.hub_app``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import validate
from support.openapi import METHODS, document, find_path, resolve, validator
from tornado.web import RequestHandler

from unispawner.servers.routes import ROUTES
from unispawner.web.continuation import Continuation
from unispawner.web.reports import BODY_LIMIT, LOWEST_PORT, REPORTS_AT_ONCE
from unispawner.web.server_status import ServerStatus

OF_JUPYTERHUB = r"/api/users/"
"""Paths of JupyterHub's own API, which answer as JupyterHub describes them."""
ONLY_REFUSED = {
    ("CancelHandler", "get"),
    ("CancelHandler", "put"),
    ("CancelHandler", "patch"),
    ("CancelHandler", "delete"),  # JupyterHub's, which takes no form
}
"""Methods that only answer 405, or that no page uses."""
OF_A_STATIC_FILE = r"/unispawner/static/"


def routes() -> Iterator[tuple[str, type]]:
    """Yield the pattern and the handler of each path that is described."""
    for pattern, handler, *_ in ROUTES:
        if not pattern.startswith((OF_JUPYTERHUB, OF_A_STATIC_FILE)):
            yield pattern, handler


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document()["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def example(path: str) -> str:
    """Return an address that a path of the description stands for."""
    return re.sub(r"\{(\w+)\}", r"some-\1", path)


def route_of(path: str) -> tuple[str, type]:
    """Return the route that answers a path of the description: the first one counts."""
    return next(one for one in routes() if re.fullmatch(one[0] + "/?", example(path)))


def takes(handler: type, method: str) -> bool:
    """Return whether a handler, or a base class of it that is not tornado's, has a method."""
    return getattr(handler, method) is not getattr(RequestHandler, method)


def test_the_description_is_valid() -> None:
    """It is OpenAPI 3.1, and each operation has its own name."""
    validate(document())
    names = [one["operationId"] for _, _, one in operations()]
    assert len(set(names)) == len(names)


def test_each_described_operation_exists() -> None:
    """Each path of the description has a handler of ours that takes the method."""
    assert [] == [
        (path, method) for path, method, _ in operations() if not takes(route_of(path)[1], method)
    ]


def test_each_operation_is_described() -> None:
    """Each method of each of our handlers is in the description, at a path that leads to it."""
    described = {(route_of(path)[1].__name__, method) for path, method, _ in operations()}
    there = {
        (handler.__name__, method)
        for _, handler in routes()
        for method in METHODS
        if takes(handler, method)
    }
    # A server that has the name of an action: the path of the server describes it.
    there -= {*ONLY_REFUSED, ("ContinueHandler", "get")}
    assert there == described
    patterns = {pattern for pattern, _ in routes()}
    assert patterns == {route_of(path)[0] for path, _, _ in operations()}


def test_each_scope_is_one_of_jupyterhub() -> None:
    """A token needs a scope that JupyterHub knows; only what jobs report needs none."""
    from jupyterhub.scopes import scope_definitions

    for path, method, operation in operations():
        scopes = {scope for way in operation["security"] for one in way.values() for scope in one}
        assert scopes <= set(scope_definitions), (path, method)
        assert bool(scopes) is ("jobs" not in operation["tags"]), (path, method)


def test_each_property_says_what_it_is() -> None:
    """Each property of each object has a description, its own or that of its type."""
    schemas = document()["components"]["schemas"]
    lacking = [
        (name, key)
        for name, schema in schemas.items()
        for key, one in schema.get("properties", {}).items()
        if not resolve(one).get("description")
    ]
    assert schemas
    assert [] == lacking


def test_numbers_are_those_of_the_code() -> None:
    """Limits that the description names are those that the code has."""
    report = document()["components"]["schemas"]["Report"]["properties"]
    text = document()["paths"]["/api/unispawner/report"]["post"]["description"]
    assert LOWEST_PORT == report["port"]["minimum"]
    assert f"at most {BODY_LIMIT} bytes" in text
    assert f"{REPORTS_AT_ONCE} reports at once" in text


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/unispawner/servers/ada", "/api/unispawner/servers/{user}"),
        ("/api/unispawner/servers/ada/continue", "/api/unispawner/servers/{user}/continue"),
        ("/api/unispawner/servers/ada/x", "/api/unispawner/servers/{user}/{server}"),
        ("/api/unispawner/servers/ada//log", "/api/unispawner/servers/{user}//log"),
        ("/api/users/ada", None),
    ],
)
def test_which_path_describes_an_address(path: str, expected: str | None) -> None:
    """The path with the fewest parameters counts."""
    assert expected == find_path(path)


def test_a_status_with_everything() -> None:
    """A server's status with all that it may have is as the description says, and so is what it
    may not have: an unknown key."""
    now = 1_900_000_000.0
    status = ServerStatus(
        "ada",
        "",
        "running",
        queue_position=1,
        waiting_since=now,
        started=now,
        ends=now,
        continuation=Continuation(offered_from=now),
    ).to_dict()
    schema = {"$ref": "#/components/schemas/Server"}
    assert [] == [error.message for error in validator(schema).iter_errors(status)]
    assert not validator(schema).is_valid({**status, "token": "x"})
    assert not validator(schema).is_valid({**status, "state": "gone"})
