"""What becomes of a spawner's settings: plain data for the writer, the check and the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .old import Found


@dataclass(frozen=True)
class Moved:
    """The value of a setting that UniSpawner has, too: written as the old file writes it."""

    found: Found


@dataclass
class Setting:
    """A setting of UniSpawner's.

    Attributes
    ----------
    origins
        The old settings that it comes from; none for what was a default of batchspawner's.
    remarks
        What was chosen.
    """

    value: Any
    origins: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Remark:
    """What is said of old settings that have no counterpart, or of a choice.

    Attributes
    ----------
    suggestion
        A setting of UniSpawner's, and a value, that an administrator may want: it is written as a
        comment.
    is_choice
        False for what nobody has to decide: it is told in the report only.
    """

    text: str
    origins: tuple[str, ...] = ()
    suggestion: tuple[str, Any] | None = None
    is_choice: bool = True


@dataclass
class Translation:
    """What became of all that one spawner reads.

    Attributes
    ----------
    settings
        By the name of UniSpawner's trait.
    stays
        Old settings that only batchspawner's class understands, and why.
    """

    settings: dict[str, Setting] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    stays: dict[str, str] = field(default_factory=dict)

    def set(self, name: str, value: Any, *origins: str, remark: str = "") -> None:
        """Set one of UniSpawner's traits; dictionaries are joined."""
        setting = self.settings.setdefault(name, Setting(value))
        if isinstance(value, dict):
            setting.value = {**setting.value, **value}
        else:
            setting.value = value
        setting.origins += [origin for origin in origins if origin not in setting.origins]
        setting.remarks += [remark] if remark else []

    def remark(self, text: str, *origins: str, suggestion: tuple[str, Any] | None = None) -> None:
        """Say what an administrator may want to decide."""
        self.remarks.append(Remark(text, origins, suggestion))

    def note(self, text: str, *origins: str) -> None:
        """Say why nothing came of old settings, where nothing had to."""
        self.remarks.append(Remark(text, origins, is_choice=False))

    def stay(self, origin: str, reason: str) -> None:
        """Note what can't be translated; the first reason counts."""
        self.stays.setdefault(origin, reason)

    def mentions(self, origin: str) -> bool:
        """Return whether it says what became of an old setting."""
        told = [tuple(one.origins) for one in self.settings.values()]
        told += [tuple(one.origins) for one in self.remarks]
        return origin in self.stays or any(origin in origins for origins in told)
