"""Quotes what a user has chosen: for a job's script, and for the commands that the Hub runs.

batchspawner puts every user option into the script as it is, whatever its name. Here that is so for
what a site's own code has made. A user's own words are a quoted word each, without a line break.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ..errors import InvalidJobError
from ..web.typed_form import INVALID
from ..web.user_options import NEVER, special


class Word(str):
    """A form's only value for a field: JupyterHub gives a form's values as lists.

    A template may take it as a text, or as a list with this text in it.
    """

    __slots__ = ()

    def __getitem__(self, index: Any) -> str:
        return [str(self)][index] if isinstance(index, int) else super().__getitem__(index)

    def __iter__(self) -> Iterator[str]:
        yield str(self)


def fields_from_options(
    options: Mapping[str, Any],
    taken: Collection[str],
    offered: Collection[str],
    used: Collection[str] = (),
) -> tuple[dict[str, Any], list[str]]:
    """Return the script's fields that user options set, quoted, and the names of refused options.

    Parameters
    ----------
    options
        The user's options, from the form, the REST API or the database.
    taken
        Fields that have a value without user options: those of the ``req_`` traits.
    offered
        Names of ``taken`` that a user may set nevertheless.
    used
        Fields that the script names, as far as that is known.

    Raises
    ------
    InvalidJobError
        If a value has a control character, or is a list or a mapping where the script needs a
        single value.
    """
    fields: dict[str, Any] = {}
    refused = []
    for name, value in options.items():
        if name in NEVER or (name in taken and name not in offered):
            refused.append(name)
        elif is_only_text(value):
            fields[name] = Word(quote(name, value[0]))
        elif isinstance(value, list | tuple) and len(value) == 1 and _is_single(value[0]):
            fields[name] = _quote_value(name, value[0])
        elif _is_single(value):
            fields[name] = _quote_value(name, value)
        elif name in taken:
            raise InvalidJobError(f"{name}: {value!r} must be a single text or number")
        elif isinstance(value, list | tuple) and all(map(_is_single, value)):
            fields[name] = [_quote_value(name, one) for one in value]
        elif name in used:
            raise InvalidJobError(f"{name}: {value!r} must be a text, a number or a list of these")
    return fields, refused


def _is_single(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def is_only_text(value: Any) -> bool:
    """Return whether a value is a list with a single text, as a form sends it for a field."""
    return isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], str)


def _quote_value(name: str, value: Any) -> Any:
    if isinstance(value, int | float):
        return value  # a template may count with it
    return quote(name, value or "")


def quote(name: str, text: str) -> str:
    """Return a text so that a shell or a directive takes it as one word without special meaning.

    Raises
    ------
    InvalidJobError
        If the text has a control character (a line break begins a new directive or command), or
        half a surrogate pair, which JSON allows and no file in UTF-8 can have.
    """
    if INVALID.search(text):
        raise InvalidJobError(
            f"{name}: {text[:200]!r} has a control character or an invalid character; remove it"
        )
    return shlex.quote(text) if text else ""


# -- commands ----------------------------------------------------------------------------------


_DANGEROUS = frozenset("$`;&|<>\\\n\r")
"""Characters with which a command line does something else."""


def may_share(text: str, typed: Collection[str]) -> bool:
    """Return whether special characters of a text may be those of a text that a user has sent.

    Blanks, hyphens, quotes and braces are also part of what sites write. They count only if the
    user's are in the text with what stands around them.
    """
    whole, words, own = _fold(text), text.casefold().split(), special(text)
    joined = "".join(words)
    for one in typed:
        if special(one) & own & _DANGEROUS:
            return True
        if any(piece in joined for piece in set(_pieces("".join(one.casefold().split())))):
            return True
        folded = _fold(one)
        if " " in folded and whole and (folded in whole or whole in folded):
            return True
        if any(word.startswith("-") and word in words for word in folded.split()):
            return True
    return False


def shares_braces(template: str, typed: str) -> bool:
    """Return whether braces of a template may be those of a text that a user has sent."""
    whole = "".join(template.casefold().split())
    pieces = _pieces("".join(typed.casefold().split()))
    return any(piece in whole for piece in pieces if "{" in piece or "}" in piece)


def _pieces(text: str) -> Iterator[str]:
    """Yield each special character of a text with the characters beside it."""
    characters = special(text) - {"-"}
    for number, char in enumerate(text):
        if char in characters:
            yield text[max(0, number - 1) : number + 2]


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())


class InCommand:
    """Puts texts into a command, each as a single word.

    A template may have its own quotes around a field. So a text is put in as a mark first, and
    quoted when it is known whether it stands between quotes.
    """

    _BEGIN, _END = "\ue000", "\ue001"

    def __init__(self) -> None:
        self._texts: list[str] = []

    def put(self, text: str) -> str:
        """Return the mark that stands for a plain text."""
        self._texts.append(text)
        return f"{self._BEGIN}{len(self._texts) - 1}{self._END}"

    def quote(self, command: str) -> str:
        """Return the command with the texts in place of their marks."""
        if not self._texts:
            return command
        done, inside, left = [], "", iter(command)
        for char in left:
            if char == self._BEGIN:
                number = "".join(iter(lambda: next(left), self._END))
                text = self._texts[int(number)]
                done.append(text if inside else shlex.quote(text))
                continue
            done.append(char)
            if char == "\\" and inside != "'":
                done.append(next(left, ""))
            elif char in ("'", '"') and inside in ("", char):
                inside = "" if inside else char
        return "".join(done)
