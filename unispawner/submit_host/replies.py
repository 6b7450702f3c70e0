"""Reads the replies that the agent, and whoever answers a question, write as JSON."""

from __future__ import annotations

import json
from typing import Any

from ..errors import UniSpawnerError, error_from_dict

VERSION = 1
"""The version of replies: that of :mod:`unispawner.agent.protocol`."""


def parse_reply(raw: bytes) -> dict[str, Any] | None:
    """Return the reply, or None if it is not one of this version."""
    try:
        reply = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return reply if isinstance(reply, dict) and reply.get("version") == VERSION else None


def reported_error(reply: dict[str, Any]) -> UniSpawnerError | None:
    """Return the error that a reply reports; None if it has a result."""
    if "error" not in reply:
        return None
    error = reply["error"]
    return error_from_dict(error if isinstance(error, dict) else {})
