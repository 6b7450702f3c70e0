"""What a user's choice may put into a job's script, and in what form.

batchspawner puts every user option into the script as it is, whatever its name. Here a user sets
only what the form offers, and each value stands for itself: quoted, in one line.
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

NEVER = frozenset({"cmd", "username", "homedir"})
"""Fields that no user option replaces, whatever a form offers."""
_HALF = re.compile(r"[\ud800-\udfff]")
_PLAIN = re.compile(r"(?!(?:.* )?-)[\w @%+=:,./-]*")
"""Text that means nothing but itself in a script or a command, quoted or not: no word of it is an
option."""


@dataclass
class Form:
    """The fields of a site's options form.

    Attributes
    ----------
    names
        Of all its fields; of a file's field also the name under which JupyterHub hands it over.
    values
        Every value that the form itself gives: of options, buttons and the like.
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
    """Return the fields of a form's HTML. Those that a browser's script adds are not among them."""
    reader = _Reader()
    reader.feed(html)
    return reader.form


def fields_from_options(
    options: Mapping[str, Any], taken: Collection[str], offered: Collection[str]
) -> tuple[dict[str, str], list[str]]:
    """Return what user options put into the script, quoted, and the options that may not.

    Parameters
    ----------
    options
        The user's, from the form, the REST API or the database.
    taken
        Names that mean something without them: the ``req_`` traits.
    offered
        Names that a user may set even so.

    Raises
    ------
    InvalidJobError
        For a value with a control character, or that is no single value where one is needed.
    """
    fields, refused = {}, []
    for name, value in options.items():
        if name in NEVER or (name in taken and name not in offered):
            refused.append(name)
            continue
        if isinstance(value, list | tuple) and len(value) == 1:  # as forms give them
            value = value[0]
        if value is None or isinstance(value, str | int | float):
            fields[name] = quote(name, "" if value is None else str(value))
        elif name in taken:
            raise InvalidJobError(f"{name}: {value!r} must be one text or number")
    return fields, refused


def quote(name: str, text: str) -> str:
    """Return a text that stands for itself, and only that, in a shell or a directive.

    Raises
    ------
    InvalidJobError
        If it holds a control character: a line break would begin a directive or a command. Or half
        a character, as JSON can, with which it is no script.
    """
    if CONTROL.search(text) or _HALF.search(text):
        raise InvalidJobError(f"{name}: {text[:200]!r} holds a control character or half a one")
    return shlex.quote(text) if text else ""


def check_plain(given: Mapping[str, Any], form: Form) -> None:
    """Refuse typed text that a shell could take for more, where a site's own code uses it.

    What the form itself gives as a value is the administrator's and may be anything.

    Raises
    ------
    InvalidJobError
        Naming the field and its value.
    """
    for name, values in given.items():
        for value in _texts(values):
            if value not in form.values and not _PLAIN.fullmatch(value):
                raise InvalidJobError(
                    f"{name}: {value[:200]!r} may hold letters, digits, spaces and @%+=:,./-_ only,"
                    " and no word that begins with a hyphen"
                )


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in what a form or a REST body gives for one name, however deep."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            left += [*one, *one.values()]
        elif isinstance(one, list | tuple):
            left += one
