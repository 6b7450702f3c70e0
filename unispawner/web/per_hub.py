"""What each Hub has one of, shared by all its servers: it is kept in the settings of the Hub."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, Generic, TypeVar

Kept = TypeVar("Kept")

_SETTING = "unispawner"
"""In tornado's settings: what the Hub has of ours."""


def set_up(hub: Any) -> None:
    """Make the place for it; called once, when the Hub starts.

    The settings of handlers are a copy of those that users have, so both must find it.

    Parameters
    ----------
    hub
        JupyterHub's application.
    """
    hub.tornado_settings.setdefault(_SETTING, {})


class PerHub(Generic[Kept]):
    """Something of which each Hub has one.

    Parameters
    ----------
    make
        Makes it, when it is first needed.
    """

    def __init__(self, make: Callable[[], Kept]) -> None:
        self._make = make

    def of(self, settings: MutableMapping[Any, Any]) -> Kept:
        """Return that of a Hub.

        Parameters
        ----------
        settings
            The settings that a user or a handler of the Hub has.
        """
        everything = settings.setdefault(_SETTING, {})
        if self not in everything:
            everything[self] = self._make()
        kept: Kept = everything[self]
        return kept
