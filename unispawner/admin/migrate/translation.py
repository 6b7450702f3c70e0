"""What becomes of one spawner's settings: plain data for new_file, check and report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .old_config import OldSetting


@dataclass(frozen=True)
class AsWritten:
    """A value that UniSpawner takes as it is: the new file has the old file's expression."""

    old: OldSetting


@dataclass
class NewSetting:
    """A setting of UniSpawner's.

    Attributes
    ----------
    origins
        The old settings that it comes from; none for what was a default of batchspawner's.
    notes
        Sentences on what was chosen.
    """

    value: Any
    origins: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Remark:
    """A sentence on old settings that have no counterpart, or on a choice.

    Attributes
    ----------
    suggestion
        A setting of UniSpawner's, and a value, that an administrator may want: the new file has
        it as a comment.
    is_choice
        False where nobody has to decide: only the report has it.
    """

    text: str
    origins: tuple[str, ...] = ()
    suggestion: tuple[str, Any] | None = None
    is_choice: bool = True


@dataclass
class Translation:
    """What becomes of all settings that one spawner reads.

    Attributes
    ----------
    settings
        UniSpawner's settings, by the name of the trait.
    untranslatable
        Old settings that only batchspawner's class understands, and why. If there are any, the
        spawner stays with that class.
    """

    settings: dict[str, NewSetting] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    untranslatable: dict[str, str] = field(default_factory=dict)

    def set(self, name: str, value: Any, *origins: str, note: str = "") -> NewSetting:
        """Set one of UniSpawner's traits; a dictionary is added to what the trait has."""
        setting = self.settings.setdefault(name, NewSetting(value))
        if isinstance(value, dict):
            setting.value = {**setting.value, **value}
        else:
            setting.value = value
        setting.origins += [origin for origin in origins if origin not in setting.origins]
        setting.notes += [note] if note else []
        return setting

    def add_remark(
        self, text: str, *origins: str, suggestion: tuple[str, Any] | None = None
    ) -> None:
        """Add what an administrator may want to decide."""
        self.remarks.append(Remark(text, origins, suggestion))

    def add_note(self, text: str, *origins: str) -> None:
        """Add why old settings need no new one."""
        self.remarks.append(Remark(text, origins, is_choice=False))

    def mark_untranslatable(self, origin: str, reason: str) -> None:
        """Note that an old setting can't be translated; the first reason stays."""
        self.untranslatable.setdefault(origin, reason)

    def mentions(self, origin: str) -> bool:
        """Return whether it says what becomes of an old setting."""
        origins = {origin for one in self.settings.values() for origin in one.origins}
        origins |= {origin for one in self.remarks for origin in one.origins}
        return origin in origins | self.untranslatable.keys()
