"""How a database names the class of a wrapped spawner, in this release and in earlier ones."""

from __future__ import annotations

from typing import Any

from traitlets.utils.importstring import import_item

_PACKAGE = __name__.partition(".")[0]


def saved_name(cls: type) -> str:
    """Return the name under which a class is saved.

    A class of ours has its public name, since our modules may move. Any other has its module's.
    """
    if cls.__module__.startswith(f"{_PACKAGE}.") and _find_public(cls.__name__) is cls:
        return f"{_PACKAGE}.{cls.__name__}"
    return f"{cls.__module__}.{cls.__qualname__}"


def find_class(name: str) -> Any:
    """Return the class that was saved under a name.

    Earlier releases saved ours by the modules that they were in, such as
    ``unispawner.profiles_spawner.ProfilesSpawner``.

    Raises
    ------
    ImportError
        If there is no such class any more.
    """
    try:
        return import_item(name)
    except (ImportError, AttributeError):
        package, _, last = name.rpartition(".")
        found = _find_public(last) if package.partition(".")[0] == _PACKAGE else None
        if found is None:
            raise
        return found


def _find_public(name: str) -> Any:
    try:
        return import_item(f"{_PACKAGE}.{name}")
    except (ImportError, AttributeError):
        return None
