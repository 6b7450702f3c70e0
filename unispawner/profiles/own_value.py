"""A text that a user types for a choice, such as the path of an environment. Pure, without I/O.

``{value}`` in what the choice overrides stands for the text. It is always a part of one word: it is
quoted in shell commands, and lists of words never meet a shell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, model_validator

from ..job import CONTROL
from ..slow_patterns import LONGEST, find_slow_text
from ..texts import of_field, say
from .applications import WORDS
from .fields import NAME_PATTERN
from .shell_text import VALUE, check_commands, check_words, fill_commands

PATH_PATTERN = r"/[A-Za-z0-9_.@+=/-]*"
"""The paths that are allowed without a pattern: without blanks and quotes."""
COMMANDS = ("prologue", "epilogue")
_TEXTS = ("notebook_dir", "default_url")
_PLACES = (*COMMANDS, *WORDS, *_TEXTS, "environment")


class OwnValue(BaseModel):
    """What a user may type.

    Attributes
    ----------
    display_name, description
        The texts that a user reads beside the field.
    example
        A text that is right, which the empty field shows. The check of the profiles uses it.
    pattern
        A regular expression that the whole text must match.
    kind
        ``directory`` or ``file``: the path of such a thing, which is checked as the user.
        ``text``: any other text, such as the name of a module.
    owners
        The accounts, beside the user and root, to which the thing and all folders above may belong.
    groups
        The groups whose members are trusted: they may own these, and may be able to change them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    display_name: str = ""
    description: str = ""
    example: str
    pattern: str = ""
    kind: Literal["directory", "file", "text"] = "directory"
    owners: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    @property
    def is_path(self) -> bool:
        """Whether the text is a path, which has to be checked as the user."""
        return self.kind != "text"

    @property
    def full_pattern(self) -> str:
        """The regular expression that the whole text must match."""
        return self.pattern or (PATH_PATTERN if self.is_path else NAME_PATTERN)

    @property
    def rule(self) -> str:
        """The same in words, such as "must match [a-z]+"."""
        if self.pattern:
            return say("must match {pattern}", pattern=self.pattern)
        if self.is_path:
            return say("must be a path of letters, digits and _.@+=/-, and begin with a slash")
        return say("must be up to 64 letters, digits and _.@+-, and begin with a letter or a digit")

    @model_validator(mode="after")
    def _consistent(self) -> OwnValue:
        if self.pattern:
            check_pattern(self.pattern)
        if (self.owners or self.groups) and not self.is_path:
            raise ValueError("owners, groups: only the path of a file or a directory has these")
        if wrong := self.find_error(self.example):
            raise ValueError(f"example: {self.example!r} {wrong}")
        return self

    def find_error(self, text: str) -> str:
        """Return what is wrong with a text, such as "must be an absolute path"; empty if nothing.

        That a path exists is not checked here.
        """
        if len(text) > LONGEST:
            return say("must have at most {number} characters", number=LONGEST)
        if not text or CONTROL.search(text) or not _is_unicode(text):
            return say("must be text on one line")
        if "{" in text or "}" in text:
            return say("must have no braces")
        if self.is_path and not text.startswith("/"):
            return say("must be an absolute path, which begins with a slash")
        if self.is_path and ".." in text.split("/"):
            return say("must have no '..'")
        if not re.fullmatch(self.full_pattern, text, re.ASCII):
            return self.rule
        return ""

    # -- what it is put into -------------------------------------------------------------------

    def check_override(self, override: Mapping[str, Any]) -> None:
        """Check the places at which ``{value}`` stands.

        Raises
        ------
        ValueError
            If it stands where no user's text may stand, or nowhere.
        """
        used = [key for key, text in _texts(override) if VALUE in text]
        if not used:
            raise ValueError(f"{VALUE}: the override does not contain it, so a text does nothing")
        for key in used:
            if key not in _PLACES:
                raise ValueError(f"{key}: {VALUE} can only stand in {', '.join(_PLACES)}")
        for key in COMMANDS:
            try:
                check_commands(str(override.get(key, "")))
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None
        words = [text for key in WORDS for name, text in _texts(override) if name == key]
        try:
            check_words(words)
        except ValueError as error:
            where = " and ".join(key for key in WORDS if key in override)
            raise ValueError(f"{where}: {error}") from None

    def fill(self, override: Mapping[str, Any], text: str) -> dict[str, Any]:
        """Return an override with a user's text in place of ``{value}``."""
        return {key: _fill(key, value, text) for key, value in override.items()}


def refuse_link(texts: Iterable[str]) -> str:
    """Return why a link that starts a server at once can't choose the texts of these options.

    Anybody may have written the link, and the server would run what the path leads to.
    """
    return of_field(
        ", ".join(texts),
        say(
            "a link can't choose this for you, because it may come from anybody. The form shows "
            "what the link asks for. Check it, and then press Start"
        ),
    )


def check_pattern(pattern: str) -> None:
    """Check a regular expression of an administrator's, which users' texts are compared with.

    Raises
    ------
    ValueError
        If it is not one, or if a text could make it very slow.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"pattern: {pattern!r}: {error}") from None
    if text := find_slow_text(pattern):
        raise ValueError(
            f"pattern: {pattern!r} takes very long for a text like {text!r}, and the "
            "Hub would wait. Write it so that each part of a text can be matched in one "
            "way only: [a-z]+ instead of ([a-z]+)+"
        )


def _texts(override: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each text of an override with the field that has it."""
    for key, value in override.items():
        values = value.values() if isinstance(value, Mapping) else [value]
        for one in values:
            for text in one if isinstance(one, list | tuple) else [one]:
                if isinstance(text, str):
                    yield key, text


def _fill(key: str, value: Any, text: str) -> Any:
    if key in COMMANDS:
        return fill_commands(value, text)
    if key == "default_url":
        return value.replace(VALUE, quote(text, safe="/"))
    if isinstance(value, Mapping):
        return {name: _fill("", one, text) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_fill("", one, text) for one in value]
    return value.replace(VALUE, text) if isinstance(value, str) else value


def _is_unicode(text: str) -> bool:
    """Return whether a text can be written: JSON can hold one half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
