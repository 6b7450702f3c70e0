"""A bound that depends on another option. Pure.

For example ``"max": {"gpu_type": {"a100": 32, "v100": 16}}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidJobError
from .fields import Kind, Value, read, shorten


@dataclass(frozen=True)
class ByOption:
    """A bound for each value of another option.

    Attributes
    ----------
    which
        ``min`` or ``max``.
    other
        The name of the other option.
    table
        The bound for each of its values, as the administrator has written the value.
    """

    which: str
    other: str
    table: Mapping[str, Any]

    @classmethod
    def read(cls, which: str, kind: Kind, given: Mapping[Any, Any]) -> ByOption:
        """Return the bound that an administrator has written.

        Raises
        ------
        InvalidJobError
            If it has another shape, or a value of another kind.
        """
        tables = list(given.items())
        if which == "step" or len(tables) != 1 or not isinstance(tables[0][1], Mapping):
            raise InvalidJobError(
                f"{which}: {shorten(given)} must be a value; min and max may also be a bound for "
                'each value of another option, as {"gpu_type": {"a100": 32, "v100": 16}}'
            )
        other, table = tables[0]
        if not table:
            raise InvalidJobError(f"{which}.{other}: it has no values of {other}; add them")
        return cls(
            which,
            str(other),
            {str(key): read(kind, bound, f"{which}.{other}.{key}") for key, bound in table.items()},
        )

    @property
    def widest(self) -> Value:
        """The most generous of the bounds."""
        return self._pick(narrow=False)

    @property
    def narrowest(self) -> Value:
        """The least generous of the bounds, which counts while the other option has no value."""
        return self._pick(narrow=True)

    def _pick(self, *, narrow: bool) -> Value:
        bounds: list[Any] = list(self.table.values())
        found: Value = max(bounds) if narrow is (self.which == "min") else min(bounds)
        return found

    def breaks(self, given: Any, key: str | None) -> Value | None:
        """Return the bound that a value breaks; None if it is within it.

        Parameters
        ----------
        key
            The value of the other option, as it is in the table; None if it has none.
        """
        bound: Any = self.narrowest if key is None else self.table[key]
        broken = given > bound if self.which == "max" else given < bound
        return bound if broken else None
