"""The names of batchspawner's and wrapspawner's that unispawner has, too."""

from __future__ import annotations

from typing import Any

import unispawner

from ... import legacy

API_HANDLER = "BatchSpawnerAPIHandler"
WRAPSPAWNER_NAMES = ("ProfilesSpawner", "WrapSpawner")
NAMES = (*legacy.__all__, *WRAPSPAWNER_NAMES)

MODULES = (
    *("batchspawner", "batchspawner.batchspawner", "batchspawner.api"),
    *("wrapspawner", "wrapspawner.wrapspawner"),
)


def counterpart(name: str) -> Any:
    """Return what unispawner has under a name of batchspawner's or wrapspawner's, or None."""
    return getattr(unispawner, name) if name in NAMES else None
