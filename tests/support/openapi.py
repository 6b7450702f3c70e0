"""The description of our API, docs/openapi.yaml, held against answers of a Hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator, FormatChecker
from jupyter_events import yaml
from tornado.httpclient import HTTPResponse

from support import CHECKOUT

METHODS = ("get", "post", "put", "delete", "patch")


@cache
def document() -> dict[str, Any]:
    """Return the description."""
    found: dict[str, Any] = yaml.load(CHECKOUT / "docs" / "openapi.yaml")
    return found


@cache
def _strict() -> dict[str, Any]:
    """Return the description, in which an object has no other keys than those that it lists."""
    found: dict[str, Any] = json.loads(json.dumps(document()))
    for schema in _objects(found):
        schema.setdefault("additionalProperties", False)
    return found


def _objects(data: Any) -> Iterator[dict[str, Any]]:
    if isinstance(data, dict):
        if isinstance(data.get("properties"), dict):
            yield data
        for part in data.values():
            yield from _objects(part)
    elif isinstance(data, list):
        for part in data:
            yield from _objects(part)


def find_path(path: str) -> str | None:
    """Return the path of the description that an address below ``/hub`` has; None without one.

    A path without parameters comes before one with parameters.
    """
    parts = path.split("/")
    fitting = [
        known
        for known in document()["paths"]
        if len(known.split("/")) == len(parts)
        and all(
            one == part or (one.startswith("{") and part)
            for one, part in zip(known.split("/"), parts, strict=True)
        )
    ]
    return min(fitting, key=lambda known: known.count("{"), default=None)


def check_answer(method: str, response: HTTPResponse) -> None:
    """Fail if an answer of our API is not as the description says; pass over other answers."""
    path = urlsplit(response.request.url).path.removeprefix("/hub")
    known = find_path(path)
    operation = document()["paths"].get(known, {}).get(method.lower()) if known else None
    if operation is None:
        return
    where = f"{method} {known}: {response.code}"
    answers = operation["responses"]
    assert str(response.code) in answers, f"docs/openapi.yaml lacks {where}: {response.body!r}"
    answer = resolve(answers[str(response.code)])
    content = answer.get("content")
    kind = response.headers.get("Content-Type", "").partition(";")[0]
    if content is None:
        return
    assert kind in content, f"{where} is of the type {kind}"
    if kind == "application/json":
        errors = [
            f"{where}: {error.json_path}: {error.message}"
            for error in validator(content[kind]["schema"]).iter_errors(json.loads(response.body))
        ]
        assert not errors, "docs/openapi.yaml is wrong: " + "; ".join(errors)


def resolve(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part of the description, or what its ``$ref`` leads to."""
    found: Any = part
    if "$ref" in part:
        found = document()
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
    return dict(found)


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Return what checks data by a schema of the description, without unknown keys."""
    found = json.loads(json.dumps(schema))
    for one in _objects(found):
        one.setdefault("additionalProperties", False)
    whole = {"components": _strict()["components"], "allOf": [found]}
    return Draft202012Validator(whole, format_checker=FormatChecker())
