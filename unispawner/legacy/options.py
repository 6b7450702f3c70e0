"""Checks what a user's options may put into a job's script, and quotes it.

batchspawner puts every user option into the script as it is, whatever its name. Here a user sets
only what the form offers, and each value is one quoted word without a line break.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from ..errors import InvalidJobError
from ..job import CONTROL

_RESERVED = frozenset({"cmd", "username", "homedir"})
"""Fields that no user option replaces, whatever a form offers."""
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")
_PLAIN = re.compile(r"(?!(?:.* )?-)[\w @%+=:,./-]*")
"""Text without any special meaning in a script or a command, quoted or not. No word of it begins
with a hyphen, as an option does."""


@dataclass
class Form:
    """The fields of a site's options form.

    Attributes
    ----------
    names
        The names of its fields. JupyterHub adds ``_file`` to the name of a field for a file, so
        both names are here.
    values
        The values that the form itself has, of options, buttons and the like.
    """

    names: set[str] = field(default_factory=set)
    values: set[str] = field(default_factory=set)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.form = Form()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, value = given.get("name"), given.get("value")
        if tag in ("input", "select", "textarea", "button") and name:
            self.form.names.add(name)
            if given.get("type") == "file":
                self.form.names.add(f"{name}_file")
        if tag in ("option", "input", "button") and value is not None:
            self.form.values.add(value)


def read_form(html: str) -> Form:
    """Return the fields of a form's HTML, without those that a script adds in the browser."""
    reader = _Reader()
    reader.feed(html)
    return reader.form


def fields_from_options(
    options: Mapping[str, Any], taken: Collection[str], offered: Collection[str]
) -> tuple[dict[str, str], list[str]]:
    """Return the script's fields that user options set, quoted, and the names of refused options.

    Parameters
    ----------
    options
        The user's options, from the form, the REST API or the database.
    taken
        Fields that have a value without user options: those of the ``req_`` traits.
    offered
        Names of ``taken`` that a user may set nevertheless.

    Raises
    ------
    InvalidJobError
        If a value has a control character, or is a list or a mapping where the script needs a
        single value.
    """
    fields, refused = {}, []
    for name, value in options.items():
        if name in _RESERVED or (name in taken and name not in offered):
            refused.append(name)
            continue
        if (
            isinstance(value, list | tuple) and len(value) == 1
        ):  # JupyterHub gives a form's values as lists
            value = value[0]
        if value is None or isinstance(value, str | int | float):
            fields[name] = quote(name, "" if value is None else str(value))
        elif name in taken:
            raise InvalidJobError(f"{name}: {value!r} must be a single text or number")
    return fields, refused


def quote(name: str, text: str) -> str:
    """Return a text so that a shell or a directive takes it as one word without special meaning.

    Raises
    ------
    InvalidJobError
        If the text has a control character (a line break begins a new directive or command), or
        half a surrogate pair, which JSON allows and no file in UTF-8 can have.
    """
    if CONTROL.search(text) or _LONE_SURROGATE.search(text):
        raise InvalidJobError(
            f"{name}: {text[:200]!r} has a control character or an invalid character; remove it"
        )
    return shlex.quote(text) if text else ""


def check_plain(given: Mapping[str, Any], form: Form) -> None:
    """Refuse typed text with a special meaning to a shell, where a site's own code uses the text.

    The values that the form itself has are the administrator's, so they may be any text.

    Raises
    ------
    InvalidJobError
        If a text is not plain; the error names the field and the text.
    """
    for name, values in given.items():
        for value in _texts(values):
            if value not in form.values and not _PLAIN.fullmatch(value):
                raise InvalidJobError(
                    f"{name}: {value[:200]!r} may have only letters, digits, spaces and "
                    "@%+=:,./-_, and no word may begin with a hyphen"
                )


def _texts(value: Any) -> Iterator[str]:
    """Yield each text in the value that a form or a REST body has for a name, at any depth."""
    left = [value]
    while left:
        part = left.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, Mapping):
            left += [*part, *part.values()]
        elif isinstance(part, list | tuple):
            left += part
