"""Where the Hub's own process looks for programs and libraries: no job gets these paths.

They lead into the Hub's own environment, which a node has not, or not in the same place.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeVar

SEARCH_PATHS = frozenset({"PATH", "LD_LIBRARY_PATH", "PYTHONPATH"})

_Value = TypeVar("_Value")


def drop_hubs_paths(environment: Mapping[str, _Value]) -> dict[str, _Value]:
    """Return a server's environment without the Hub's own search paths, as ``env_keep`` gives them.

    A path that ``c.Spawner.environment`` sets differs from the Hub's, and stays.
    """
    return {
        name: value
        for name, value in environment.items()
        if not (name in SEARCH_PATHS and value == os.environ.get(name))
    }
