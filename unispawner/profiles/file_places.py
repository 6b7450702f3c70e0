"""Where each part of a file of profiles stands, so that an error can name its line. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Part = tuple[str | int, ...]
"""The way to a part of the file: the number of its profile, then keys and numbers of items."""

REQUIRED = "this key is required"
"""The end of a message about a key that is missing: it is nowhere, also if others have its name."""

_PROFILE = re.compile(r"^(?:profiles\[(?P<number>\d+)\]|profile '(?P<slug>[^']*)')")
_WORDS = re.compile(r"[^\s,;:'\"()\[\]{}=?]+")


@dataclass(frozen=True)
class Place:
    """A place in a text: line and column, counted from 1. Line 0 means that it is not known."""

    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return ""
        return f"line {self.line}, column {self.column}" if self.column else f"line {self.line}"


@dataclass
class Places:
    """The places of the parts of a file, by the ways to them.

    Attributes
    ----------
    of_parts
        The place of each key and of each item.
    whole
        The place of the list of profiles.
    """

    of_parts: dict[Part, Place] = field(default_factory=dict)
    whole: Place = Place()

    def find(self, message: str, slugs: Sequence[str] = ()) -> Place:
        """Return the place that an error's message is about, as closely as it says.

        All messages about profiles name the profile, then the field. A message of the scheduler's
        may only name the field of a job: then its word is looked for in the whole profile.

        Parameters
        ----------
        message
            The message: ``profile 'gpu': options.memory.max: …``, or ``profiles[0] (gpu): …``.
        slugs
            The names of the profiles, in their order, as far as they are known.
        """
        found = _PROFILE.match(message)
        if found is None:
            return self.whole
        slug = found["slug"]
        if slug is not None and slug not in slugs:
            return self.whole
        number = int(found["number"]) if slug is None else list(slugs).index(slug)
        words = _WORDS.findall(message[message.find(": ") + 1 :])
        way = self._follow((number,), words[0].split(".") if words else ())
        if not message.endswith(REQUIRED):
            way = self._search(way, words)
        return self.of_parts.get(way, self.whole)

    def _follow(self, way: Part, names: Sequence[str]) -> Part:
        """Return the way that some names lead from a part, as far as there are such parts."""
        for name in names:
            longer = next((one for one in _ways(way, name) if one in self.of_parts), None)
            if longer is None:
                break
            way = longer
        return way

    def _search(self, start: Part, words: Sequence[str]) -> Part:
        """Return the way to the part below another that a message names first, if it names one."""
        below: Mapping[Part, Place] = {
            way: place
            for way, place in self.of_parts.items()
            if len(way) > len(start) and way[: len(start)] == start
        }
        for word in words:
            last = word.rpartition(".")[2]
            named = [way for way in below if str(way[-1]) in (word, last)]
            if named:
                return min(named, key=lambda way: (len(way), below[way].line))
        return start


def _ways(way: Part, name: str) -> list[Part]:
    number = [(*way, int(name))] if name.isdecimal() else []
    return [(*way, name), *number]


class FileError(Exception):
    """A file can't hold profiles: what is wrong, and where."""

    def __init__(self, message: str, place: Place = Place()) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
