"""The page docs/api.md, which ci/reference makes of docs/openapi.yaml."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jupyter_events import yaml

DESCRIPTION = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"
METHODS = ("get", "post", "put", "delete", "patch")
HEAD = """\
# The API

This page is made from [openapi.yaml](openapi.yaml) (OpenAPI 3.1), which programs can read. The
tests compare it with the Hub's answers. [Examples](pages.md#the-api) are on another page.
"""


def page() -> str:
    """Return the page."""
    document = yaml.load(DESCRIPTION)
    parts = [HEAD, document["info"]["description"]]
    for tag in document["tags"]:
        parts.append(f"## {tag['name'].capitalize()}\n\n{tag['description']}\n")
        parts += [
            _operation(document, path, method, item)
            for path, item in document["paths"].items()
            for method in METHODS
            if tag["name"] in item.get(method, {}).get("tags", ())
        ]
    parts.append("## Objects\n")
    for name, schema in document["components"]["schemas"].items():
        parts.append(f"### {name}\n\n{schema['description']}\n")
        if "properties" in schema:
            parts.append("\n".join(_rows(document, schema)) + "\n")
        for one in schema.get("oneOf", ()):
            parts.append("\n".join(_rows(document, one)) + "\n")
    return "\n".join(parts)


def _operation(document: Any, path: str, method: str, item: Mapping[str, Any]) -> str:
    operation = item[method]
    lines = [f"### `{method.upper()} /hub{path}`", "", operation["summary"], ""]
    if text := operation.get("description", "").strip():
        lines += [text, ""]
    scopes = [f"`{scope}`" for scope in next(iter(operation["security"][0].values()))]
    lines += [f"Needs the scope {' and '.join(scopes)}.", ""] if scopes else []
    for one in [_resolve(document, part) for part in item.get("parameters", ())]:
        if one["in"] == "query":
            lines += [f"`?{one['name']}=`: {one['description']}", ""]
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        lines += [f"The body is JSON: {_kind(schema)}.", ""]
    lines += ["| status | answer |", "|---|---|"]
    for status, answer in operation["responses"].items():
        found = _resolve(document, answer)
        lines.append(f"| {status} | {found['description']}{_content(found)} |")
    return "\n".join([*lines, ""])


def _content(answer: Mapping[str, Any]) -> str:
    schema = answer.get("content", {}).get("application/json", {}).get("schema")
    if schema is None:
        return ""
    if "properties" in schema:
        keys = (
            f"`{key}` ({_kind(one)}): {one['description']}"
            for key, one in schema["properties"].items()
        )
        return f" With {' '.join(keys)}"
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return "" if name in ("", "Error") else f" {_kind(schema)}"


def _rows(document: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    yield "| key | type | what it is |"
    yield "|---|---|---|"
    for key, one in schema.get("properties", {}).items():
        text = _resolve(document, one).get("description", "")
        if values := one.get("enum"):
            text = f"{', '.join(f'`{value}`' if value else 'empty' for value in values)}. {text}"
        yield f"| `{key}` | {_kind(one)} | {text} |"


def _kind(schema: Mapping[str, Any]) -> str:
    """Return the type of a value, with a link to the object that it is."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "oneOf" in schema:
        return " or ".join(_kind(one) for one in schema["oneOf"])
    if "items" in schema:
        return f"list of {_kind(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_kind(schema['additionalProperties'])}"
    kind = schema.get("type", "string" if "enum" in schema else "any")
    return " or ".join([kind] if isinstance(kind, str) else kind)


def _resolve(document: Any, part: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = part
    if "$ref" in part:
        found = document
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
    return dict(found)
