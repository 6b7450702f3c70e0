"""The languages of our pages: the catalogues, and which of them a reader gets.

A catalogue is ``LANGUAGE/LC_MESSAGES/unispawner.po``. Ours are in ``locale/``; an administrator's
own (``c.UniSpawner.catalogues``) add languages, and replace single messages of ours. Nothing here
is a state of the process: each request has its language (see :mod:`.request_language`), because
one Hub answers readers of many languages at once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cache
from gettext import c2py
from pathlib import Path
from typing import Any

from babel import Locale, UnknownLocaleError, negotiate_locale
from babel.dates import format_skeleton, format_time
from babel.messages.catalog import Catalog
from babel.messages.pofile import PoFileError, read_po
from babel.numbers import format_decimal

from ..errors import InvalidJobError
from ..texts import Text, fill, moment, say, say_count, set_reader
from .summary import describe_duration

ENGLISH = "en"
OURS = Path(__file__).parent / "locale"
DOMAIN = "unispawner"
_MOST_WISHES = 20
"""How many languages of a request's header are looked at."""

_LARGEST = 1e15
"""From here on numbers look the same in all languages."""


@dataclass(frozen=True)
class Language:
    """A language in which our pages can be shown.

    Attributes
    ----------
    tag
        As in HTML: ``de``, ``pt-BR``.
    locale
        How it writes numbers, dates and plurals.
    messages
        Each English message with its translation; a message about a number has one for each form.
    plural
        Which of these forms a number has.
    for_scripts
        The messages of our scripts, for :meth:`to_dict`.
    """

    tag: str
    locale: Locale
    messages: Mapping[str, str | tuple[str, ...]]
    plural: Any = None
    for_scripts: frozenset[str] = frozenset()

    @property
    def direction(self) -> str:
        """``ltr``, or ``rtl`` if it is written from right to left."""
        return str(self.locale.text_direction)

    def translate(self, text: str) -> str:
        """Return a text in this language; what has no translation stays English."""
        if not isinstance(text, Text) or (self.tag == ENGLISH and not self.messages):
            return str(text)
        if text.kind == "moment":
            return str(text) if self.tag == ENGLISH else self._moment(text.values["moment"])
        if text.kind == "number":
            return self._number(text.values["number"], str(text))
        values = {name: self._value(one) for name, one in text.values.items()}
        if text.kind == "join":
            return text.message.join(values.values())
        return fill(self._form(text), values)

    def _value(self, value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self.translate(value) if isinstance(value, str) else str(value)
        # Without points between thousands: a number may be a job's, or a port.
        return self._number(value, str(value), grouped=False)

    def _number(self, value: float, english: str, *, grouped: bool = True) -> str:
        if not abs(value) < _LARGEST:  # babel fails; a user may have typed it into a field
            return english
        return str(format_decimal(value, locale=self.locale, group_separator=grouped))

    def _form(self, text: Text) -> str:
        found = self.messages.get(text.message)
        if text.kind == "count":
            count = text.values["count"]
            if isinstance(found, tuple):
                return str(found[min(self.plural(count), len(found) - 1)])
            return text.message if count == 1 else text.plural
        return found if isinstance(found, str) else text.message

    def _moment(self, seconds: float) -> str:
        try:
            then = datetime.fromtimestamp(seconds, timezone.utc).astimezone()
        except (OverflowError, OSError, ValueError):
            return "?"
        if time.localtime(seconds)[:3] == time.localtime()[:3]:
            clock = str(format_time(then, "short", tzinfo=then.tzinfo, locale=self.locale))
        else:
            day = format_skeleton("MMMEd", then, tzinfo=then.tzinfo, locale=self.locale)
            clock = f"{day}, {format_time(then, 'short', tzinfo=then.tzinfo, locale=self.locale)}"
        return f"{clock} {then.tzname()}"

    def to_dict(self) -> dict[str, Any]:
        """Return what common.js needs: the language, and the messages of our scripts.

        A message about a number has its forms by the names of Intl.PluralRules.
        """
        messages = {
            one: self.messages[one] if isinstance(self.messages[one], str) else self._by_name(one)
            for one in sorted(self.for_scripts & self.messages.keys())
        }
        return {"language": self.tag, "direction": self.direction, "messages": messages}

    def _by_name(self, message: str) -> dict[str, str]:
        rule, forms = self.locale.plural_form, self.messages[message]
        examples = {rule(number): number for number in range(200, -1, -1)}
        return {
            name: forms[min(self.plural(number), len(forms) - 1)]
            for name, number in sorted(examples.items())
        }


def _read_catalogue(path: Path, tag: str) -> Catalog:
    try:
        with path.open("rb") as file:
            return read_po(file, locale=tag.replace("-", "_"), domain=DOMAIN, abort_invalid=True)
    except (OSError, PoFileError, UnicodeError, ValueError, UnknownLocaleError) as error:
        raise InvalidJobError(f"c.UniSpawner.catalogues: {path} can't be read: {error}") from None


def _find(folder: Path) -> dict[str, Path]:
    """Return the catalogues in a folder, by language."""
    found = sorted(folder.glob(f"*/LC_MESSAGES/{DOMAIN}.po"))
    return {path.parent.parent.name.replace("_", "-"): path for path in found}


def _read_language(tag: str, found: Sequence[Path]) -> Language:
    messages: dict[str, str | tuple[str, ...]] = {}
    for_scripts: set[str] = set()
    catalogues = [_read_catalogue(path, tag) for path in found]
    for catalogue in catalogues:
        for one in catalogue:
            if not one.id or one.fuzzy:
                continue
            key = one.id if isinstance(one.id, str) else one.id[0]
            if any(file.endswith(".js") for file, _ in one.locations):
                for_scripts.add(key)
            text = one.string if isinstance(one.string, str) else tuple(one.string or ())
            if text and all(text):
                messages[key] = text
    plural = _plural_of(catalogues[0], found[0]) if catalogues else None
    try:
        locale = Locale.parse(tag, sep="-")
    except (UnknownLocaleError, ValueError) as error:
        raise InvalidJobError(f"c.UniSpawner.catalogues: {tag}: {error}") from None
    return Language(tag, locale, messages, plural, frozenset(for_scripts))


def _plural_of(catalogue: Catalog, path: Path) -> Any:
    """Return the function that says which form a number has, as the catalogue's header has it."""
    try:
        return c2py(catalogue.plural_expr)
    except (ValueError, RecursionError) as error:
        raise InvalidJobError(f"c.UniSpawner.catalogues: {path}: Plural-Forms: {error}") from None


@cache
def read_languages(folder: str = "", offered: tuple[str, ...] = ()) -> Mapping[str, Language]:
    """Return the languages that a Hub offers, English first.

    Parameters
    ----------
    folder
        ``c.UniSpawner.catalogues``.
    offered
        ``c.UniSpawner.languages``; empty means all.

    Raises
    ------
    InvalidJobError
        If a catalogue can't be read, or there is none for a language that is offered.
    """
    ours = _find(OURS)
    own = _find(Path(folder)) if folder else {}
    found = {tag: [one[tag] for one in (ours, own) if tag in one] for tag in {**ours, **own}}
    found = {ENGLISH: found.get(ENGLISH, []), **found}
    for tag in offered:
        if tag not in found:
            raise InvalidJobError(
                f"c.UniSpawner.languages: there is no catalogue for {tag!r}; there are: "
                f"{', '.join(sorted(found))}"
            )
    chosen = [tag for tag in found if not offered or tag in offered or tag == ENGLISH]
    return {tag: _read_language(tag, found[tag]) for tag in chosen}


def choose(header: str, languages: Mapping[str, Language]) -> Language:
    """Return the language that fits a request's ``Accept-Language`` best; English if none does."""
    if not header:
        return languages[ENGLISH]
    wishes: list[tuple[float, str]] = []
    for one in header.split(",")[:_MOST_WISHES]:
        tag, _, quality = one.strip().partition(";q=")
        try:
            wishes.append((float(quality or 1), tag.strip()))
        except ValueError:
            continue
    wishes.sort(key=lambda wish: -wish[0])
    for weight, tag in wishes:
        if not weight > 0:  # also what is not a number
            continue
        # "de-AT" is served with "de".
        for name in (negotiate_locale([tag], list(languages), sep="-"), tag.split("-")[0].lower()):
            if name is not None and name in languages:
                return languages[name]
    return languages[ENGLISH]


# -- the language of what a task makes -------------------------------------------------------------

_ours = Language(ENGLISH, Locale(ENGLISH), {})
_language: ContextVar[Language] = ContextVar("language", default=_ours)


def use(language: Language) -> None:
    """Let this task, and those that it starts, show texts in a language."""
    _language.set(language)
    set_reader(language.translate)


def current() -> Language:
    """Return the language in which this task shows texts."""
    return _language.get()


def _duration(seconds: float) -> Text:
    return describe_duration(timedelta(seconds=seconds))


PAGE_TEXTS: Mapping[str, Any] = {
    "say": say,
    "say_count": say_count,
    "duration": _duration,
    "moment": moment,
    "reader_language": current,
}
"""What our templates call."""
