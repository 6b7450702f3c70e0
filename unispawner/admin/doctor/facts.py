"""What the agent reports about an account, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def format_facts(facts: Mapping[str, Any]) -> str:
    """Return the agent's facts as one line, which begins with the name of the account."""
    parts = []
    for key, value in facts.items():
        if text := _format_value(value):
            parts.append(text if key == "account" else f"{key} {text}")
    return ", ".join(parts)


def _format_value(value: Any) -> str:
    if isinstance(value, Mapping):  # the commands: each name with its path, empty if there is none
        return " ".join(path or f"({name} not found)" for name, path in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value)
