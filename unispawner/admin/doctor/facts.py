"""What the agent reports about an account, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import clean_output


def format_facts(facts: Mapping[str, Any]) -> str:
    """Return the agent's facts as one line, which begins with the name of the account."""
    parts = []
    for key, value in facts.items():
        if text := _format_value(value):
            parts.append(text if key == "account" else f"{key} {text}")
    return ", ".join(parts)


def _format_value(value: Any) -> str:
    if isinstance(value, Mapping):  # the commands: each name with its path, empty if there is none
        parts = [str(path) if path else f"({name} not found)" for name, path in value.items()]
    elif isinstance(value, list):
        parts = [str(one) for one in value]
    else:
        parts = [str(value)]
    # The user could have written the reply: no line of it may look like one of ours.
    return clean_output(" ".join(" ".join(parts).split()))
