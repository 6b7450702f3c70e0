"""What of a server's environment no job gets: the Hub's own search paths, and names for no shell.

The Hub's process looks for programs and libraries in these paths. They lead into the Hub's own
environment, which a node has not, or not in the same place.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeVar

from ..job import SEARCH_PATHS, is_variable

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


_left_out: set[str] = set()
"""Names that a warning was logged for: one is enough, not one at each start."""


def drop_unsettable(environment: Mapping[str, _Value], log: Any) -> dict[str, _Value]:
    """Return a server's environment without names that a shell can't export; warn once of each.

    ``BASH_FUNC_module%%``, which bash exports for a function, is such a name, and so is ``UID``.
    """
    unsettable = [name for name in environment if not is_variable(name)]
    if new := sorted(set(map(str, unsettable)) - _left_out):
        _left_out.update(new)
        log.warning(
            "environment: servers do not get %s, because a shell can't export a variable of that "
            "name",
            ", ".join(map(repr, new)),
        )
    return {name: value for name, value in environment.items() if name not in unsettable}
