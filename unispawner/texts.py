"""Texts that people read, in English, with what it takes to show them in another language. Pure.

A text is written once, as a whole sentence in English with names for what it is about::

    say("Job {job_id} is queued: {reason}", job_id=job_id, reason=info.message)

The result is a string: the English text, which logs, the database and programs get. It remembers
the message and its values, so that whoever shows it to a reader can show it in their language
(:mod:`unispawner.web.languages`). ``say``, ``say_count`` and ``english`` are also what
``ci/catalogues`` looks for. Anything that makes a new string of a text, such as an f-string, is
English only: put texts together with ``say`` or :func:`join`.
"""

from __future__ import annotations

import html
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any, Literal

_PLACE = re.compile(r"\{(\w+)\}", re.ASCII)
_DEEPEST = 8
"""How deep texts in texts are kept in :func:`to_data`."""

Kind = Literal["say", "count", "join", "moment", "number"]


class Text(str):
    """A text in English that can be shown in other languages.

    Attributes
    ----------
    kind
        ``say`` and ``count`` are messages of the catalogues; ``join`` is a list of texts with
        ``message`` between them; ``moment`` is a time of day, and ``number`` a number, both of
        which each language writes in its own way.
    message, plural
        The English text with the names of values in braces, and the same for several.
    values
        What stands for the names. A text in it is shown in the reader's language, too.
    """

    kind: Kind
    message: str
    plural: str
    values: dict[str, Any]

    def __new__(
        cls,
        english: str = "",
        kind: Kind = "say",
        message: str = "",
        plural: str = "",
        values: Mapping[str, Any] | None = None,
    ) -> Text:
        """Return a text; ``say`` and its like are what to call."""
        self = super().__new__(cls, english)
        self.kind, self.message, self.plural = kind, message, plural
        self.values = dict(values or {})
        return self

    def __html__(self) -> str:
        """Return the text as HTML, in the reader's language: Jinja calls this."""
        return html.escape(as_read(self))


_reader: ContextVar[Callable[[Text], str]] = ContextVar("reader", default=str)
"""What puts texts into the language of whoever reads what this task makes."""


def set_reader(translate: Callable[[Text], str]) -> None:
    """Let this task and those that it starts show texts in another language than English."""
    _reader.set(translate)


def as_read(text: str) -> str:
    """Return a text in the language of the reader of this task's work; other strings unchanged."""
    return _reader.get()(text) if isinstance(text, Text) else text


def all_as_read(data: Any) -> Any:
    """Return data for JSON in which all texts are in the reader's language."""
    if isinstance(data, Mapping):
        return {key: all_as_read(one) for key, one in data.items()}
    if isinstance(data, list | tuple):
        return [all_as_read(one) for one in data]
    return as_read(data) if isinstance(data, Text) else data


def fill(message: str, values: Mapping[str, Any]) -> str:
    """Return a message with its values. What a value looks like is never read as a name."""
    return _PLACE.sub(lambda found: str(values.get(found[1], found[0])), message)


def names_in(message: str) -> set[str]:
    """Return the names of the values that a message has."""
    return set(_PLACE.findall(message))


def say(message: str, /, **values: Any) -> Text:
    """Return a message; each ``{name}`` in it stands for the value of this name."""
    return Text(fill(message, values), "say", message, "", values)


def english(message: str) -> str:
    """Return a message as it is, a plain string: see :func:`unispawner.reasons.recognise`."""
    return message


def say_count(message: str, plural: str, number: int, /, **values: Any) -> Text:
    """Return a message about a number of things, which is ``{count}`` in it."""
    values = {"count": number, **values}
    return Text(fill(message if number == 1 else plural, values), "count", message, plural, values)


def join(separator: str, parts: Iterable[str]) -> Text:
    """Return texts one after the other; the separator is the same in all languages."""
    found = list(parts)
    values = {str(number): one for number, one in enumerate(found)}
    return Text(separator.join(found), "join", separator, "", values)


def moment(seconds: float) -> Text:
    """Return seconds since the epoch as local time of the Hub's host, with the day if not today."""
    then, today = time.localtime(seconds), time.localtime()
    form = "%H:%M %Z" if then[:3] == today[:3] else "%a %d %b, %H:%M %Z"
    return Text(time.strftime(form, then), "moment", values={"moment": seconds})


def number(value: float) -> Text:
    """Return a number, without a fraction if it has none."""
    return Text(f"{value:g}", "number", values={"number": value})


# -- an error beside a field, and in a list --------------------------------------------------------

_OF_FIELD = "{field}: {problem}"


def of_field(field: str, problem: str) -> Text:
    """Return what is wrong with a field, after the field's name: what an error's message is."""
    # Not in the catalogues: the order is the same everywhere, because programs look for the name.
    return Text(
        fill(_OF_FIELD, {"field": field, "problem": problem}),
        "say",
        _OF_FIELD,
        values={"field": field, "problem": problem},
    )


def without_field(field: str, text: str) -> str:
    """Return what is wrong with a field, without the field's name before it."""
    if isinstance(text, Text) and text.message == _OF_FIELD and text.values["field"] == field:
        return str(text.values["problem"]) if not _is_text(text) else text.values["problem"]
    return text.removeprefix(f"{field}: ")


def _is_text(text: Text) -> bool:
    return isinstance(text.values["problem"], Text)


# -- what the database keeps -----------------------------------------------------------------------


def to_data(text: str) -> Any:
    """Return a text as data for JSON, from which :func:`from_data` makes it again."""
    if not isinstance(text, Text):
        return str(text)
    values = {name: _value_to_data(one) for name, one in text.values.items()}
    return {
        "kind": text.kind,
        "text": str(text),
        "message": text.message,
        **({"plural": text.plural} if text.plural else {}),
        **({"values": values} if values else {}),
    }


def _value_to_data(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return value
    return to_data(value if isinstance(value, str) else str(value))


def from_data(data: Any, depth: int = 0) -> str:
    """Return the text that :func:`to_data` described; what has another form becomes its English."""
    if not isinstance(data, dict):
        return str(data)
    english = str(data.get("text", ""))
    values = data.get("values", {})
    parts = (data.get("kind"), data.get("message"), data.get("plural", ""))
    if depth > _DEEPEST or not isinstance(values, dict) or not _is_message(*parts, values):
        return english
    read = {
        str(name): from_data(one, depth + 1) if isinstance(one, dict) else one
        for name, one in values.items()
    }
    return Text(english, data["kind"], data["message"], data.get("plural", ""), read)


def _is_message(kind: Any, message: Any, plural: Any, values: dict[str, Any]) -> bool:
    if not isinstance(message, str) or not isinstance(plural, str):
        return False
    if kind == "count":
        return type(values.get("count")) is int
    if kind in ("moment", "number"):
        return type(values.get(kind)) in (int, float) and math.isfinite(values[kind])
    return kind in ("say", "join")
