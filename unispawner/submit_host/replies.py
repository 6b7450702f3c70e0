"""Reads the replies that the agent, and whoever answers a question, write as JSON.

They come from the users' side or from another host, so they may be forged.
"""

from __future__ import annotations

import json
from typing import Any

from ..errors import UniSpawnerError, error_from_dict

VERSION = 1
"""The version of replies: that of :mod:`unispawner.agent.protocol`."""
MOST_VALUES = 800_000
"""How many values a reply may have; an inventory of 50,000 nodes with GPUs has 600,000.

The reader holds Python's lock from beginning to end, so that a thread of its own does not help: the
event loop would wait for more than a second for sixteen megabytes of empty lists.
"""


def parse_reply(raw: bytes) -> dict[str, Any] | None:
    """Return the reply; None if it is not one of this version, or has too many values."""
    if raw.count(b",") >= MOST_VALUES:
        return None
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
