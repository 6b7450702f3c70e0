"""What a choice may set of the server itself: its command, its first page, its folder. Pure.

These are JupyterHub's own settings of a spawner and no fields of a job. Only a choice of the
administrator's sets them: no option is named after them, so that no user types them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from string import Formatter
from typing import Any

from ..job import CONTROL, is_variable
from .fields import shorten

WORDS = ("cmd", "args")
"""Settings that are lists of words, of which no shell takes any apart."""
FORMATTED = ("notebook_dir", "default_url")
"""Settings in which JupyterHub fills in ``{username}`` and ``{base_url}`` at the start."""
APPLICATION = frozenset({*WORDS, *FORMATTED})
"""JupyterHub's settings of a spawner that a choice may override, beside ``environment``."""
PLACEHOLDERS = ("username", "base_url")


def read_application(key: str, value: object) -> Any:
    """Return the value of one of these settings, in the form in which a spawner takes it.

    Raises
    ------
    ValueError
        If it can't be right; the message names the setting.
    """
    if key in WORDS:
        return _read_words(key, value)
    if not isinstance(value, str) or CONTROL.search(value):
        raise ValueError(f"{key}: {shorten(value)} must be text on one line")
    if key == "default_url" and value and not value.startswith(("/", "{base_url}")):
        raise ValueError(f"{key}: {shorten(value)} must begin with a slash, like /lab")
    find_placeholders(key, value)
    return value


def _read_words(key: str, value: object) -> list[str]:
    if isinstance(value, str):
        if len(value.split()) > 1:
            listed = ", ".join(map(repr, value.split()))
            raise ValueError(
                f"{key}: {shorten(value)} must be a list with each word by itself: [{listed}]. A "
                "text counts as one word"
            )
        value = [value]
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{key}: {shorten(value)} must be a list of words")
    if key == "cmd" and not (value and value[0].strip()):
        raise ValueError(f"{key}: {shorten(value)} must have at least the program's name")
    for word in value:
        if CONTROL.search(word):
            raise ValueError(f"{key}: {shorten(word)} must have no control characters")
    return list(value)


def find_placeholders(key: str, value: str) -> list[str]:
    """Return the names in braces, which JupyterHub fills in.

    Raises
    ------
    ValueError
        If a brace is not closed.
    """
    try:
        return [name for _, name, _, _ in Formatter().parse(value) if name is not None]
    except ValueError as error:
        hint = "for a brace, write two: {{ or }}"
        raise ValueError(f"{key}: {shorten(value)}: {error}; {hint}") from None


def check_placeholders(key: str, value: str, known: Collection[str]) -> None:
    """Check that a text has only placeholders that JupyterHub fills in.

    Raises
    ------
    ValueError
        For another name in braces.
    """
    for name in find_placeholders(key, value):
        if re.split(r"[.\[]", name)[0] not in known:
            listed = ", ".join(f"{{{one}}}" for one in known)
            raise ValueError(
                f"{key}: {shorten(value)}: unknown placeholder {{{name}}}; known: {listed}"
            )


def check_environment(value: Mapping[str, Any]) -> None:
    """Check the variables that a choice sets.

    Raises
    ------
    ValueError
        For a name that no shell can export.
    """
    for name in value:
        if not is_variable(name):
            raise ValueError(
                f"environment: {shorten(name)} is not the name of a variable that a shell can set"
            )
