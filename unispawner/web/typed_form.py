"""The fields of a site's options form, and what of them a person or a link may have sent.

Only what the HTML shows is known. A script may change the form in the browser: it adds fields, or
choices of a select. Such a form is called *open*.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from ..errors import InvalidJobError
from ..job import CONTROL

LONGEST_TEXT = 64 * 1024
"""How many characters a field may have. A person types less; a script may send JSON."""
LONGEST_ALTOGETHER = 256 * 1024
"""How many characters all options of a server may have together."""
LONGEST_SHOWN = 200
INVALID = re.compile(rf"{CONTROL.pattern}|[\ud800-\udfff]")
"""Control characters, and halves of surrogate pairs: JSON allows these, and no file in UTF-8 can
have them."""
PLAIN = re.compile(r"(?!(?:.* )?-)[\w @%+=:,./-]*")
"""Text without any special meaning in a script or a command, quoted or not. No word of it begins
with a hyphen, as an option does."""

_CLOSED = frozenset({"select", "radio", "checkbox"})
"""Kinds of fields that send one of their own values, and no other text."""
_JAVASCRIPT = re.compile(r"(?i)(module|(text|application)/(x-)?(java|ecma)script.*)?")
"""The types of a script element that is run; another type, such as JSON, is data."""
_LINES = str.maketrans("", "", "\t\n\r")
_ON = "on"
"""What a checkbox without a value sends."""


@dataclass
class Field:
    """A field of a form, or all fields of one name.

    Attributes
    ----------
    kinds
        The type of an input, or the name of another element.
    values
        The values that the form itself has for it.
    longest
        How many characters it may have, if the form says so.
    """

    kinds: set[str] = field(default_factory=set)
    values: set[str] = field(default_factory=set)
    longest: int | None = None

    @property
    def closed(self) -> bool:
        """Whether it can send none but its own values, as long as no script adds some."""
        return bool(self.values - {""}) and self.kinds <= _CLOSED


@dataclass
class Form:
    """The fields of a site's options form.

    Attributes
    ----------
    fields
        The fields by name.
    scripted
        True if a script may change the form in the browser.
    nameless
        The values of fields without a name, which a browser does not send.
    """

    fields: dict[str, Field] = field(default_factory=dict)
    scripted: bool = False
    nameless: set[str] = field(default_factory=set)

    @property
    def open(self) -> bool:
        """Whether a browser may send other fields than these."""
        return self.scripted or not self.fields

    @property
    def names(self) -> set[str]:
        """The names of the fields. JupyterHub adds "_file" to the name of a field for a file."""
        files = {f"{name}_file" for name, one in self.fields.items() if "file" in one.kinds}
        return {*self.fields, *files}

    @property
    def values(self) -> set[str]:
        """All values that the form itself has."""
        return {*self.nameless, *(text for one in self.fields.values() for text in one.values)}

    def offers(self, name: str, text: str) -> bool:
        """Return whether the form itself has this value for this field."""
        return name in self.fields and _same_lines(text) in self.fields[name].values

    def sample(self) -> dict[str, list[str]]:
        """Return what a browser sends for the form as it opens, with "1" in each empty field."""
        return {name: [_first(one)] for name, one in self.fields.items() if "file" not in one.kinds}


def _first(one: Field) -> str:
    return next(iter(sorted(filter(None, one.values))), "1")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.form = Form()
        self._select: str | None = None
        """The name of the select that is being read; empty if it has none."""
        self._disabled: list[bool] = []
        """For each fieldset that is open, whether it is disabled."""
        self._text: list[str] | None = None
        """The text of the option or the textarea that is being read."""
        self._of_text: str | None = None
        """The field that the text is a value of; None if the value is known already."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if any(name.startswith("on") for name in given):
            self.form.scripted = True
        name = given.get("name") or ""
        off = "disabled" in given or any(self._disabled)
        if tag == "script":
            self.form.scripted |= bool(_JAVASCRIPT.fullmatch(given.get("type") or ""))
        elif tag == "fieldset":
            self._disabled.append("disabled" in given)
        elif tag in ("input", "button"):
            self._add_input(name, given, off, "text" if tag == "input" else "submit")
        elif tag == "select":
            self._finish_text()
            self._select = "" if off else name
            self._add(self._select, "select", given)
        elif tag == "option" and self._select is not None:
            self._add_option(given, off)
        elif tag == "textarea":
            self._finish_text()
            known = self._add("" if off else name, "textarea", given)
            self._text, self._of_text = [], name if known else None

    def handle_endtag(self, tag: str) -> None:
        if tag in ("option", "select", "textarea", "optgroup"):
            self._finish_text()
        if tag == "select":
            self._select = None
        elif tag == "fieldset" and self._disabled:
            self._disabled.pop()

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def close(self) -> None:
        super().close()
        self._finish_text()

    def _add(self, name: str, kind: str, given: Mapping[str, str | None]) -> Field | None:
        if not name:
            return None
        found = self.form.fields.setdefault(name, Field())
        found.kinds.add(kind)
        longest = given.get("maxlength") or ""
        if longest.isdecimal() and len(longest) < 10:
            found.longest = max(int(longest), found.longest or 0)
        return found

    def _add_input(self, name: str, given: Mapping[str, str | None], off: bool, kind: str) -> None:
        kind = (given.get("type") or kind).lower()
        value = given.get("value")
        if value is None and kind in ("checkbox", "radio"):
            value = _ON
        found = self._add("" if off else name, kind, given)
        if value is not None:
            (found.values if found else self.form.nameless).add(_same_lines(value))

    def _add_option(self, given: Mapping[str, str | None], off: bool) -> None:
        self._finish_text()
        if off or not self._select:
            return
        value = given.get("value")
        if value is not None:
            self.form.fields[self._select].values.add(_same_lines(value))
        else:
            self._text, self._of_text = [], self._select

    def _finish_text(self) -> None:
        if self._text is not None and self._of_text is not None:
            found = self.form.fields[self._of_text]
            text = "".join(self._text)
            if "textarea" in found.kinds:
                text = _same_lines(text).removeprefix("\n")
                found.values.update([text] if text else [])
            else:
                found.values.add(" ".join(text.split()))
        self._text = self._of_text = None


def read_form(html: str) -> Form:
    """Return the fields of a form's HTML, without those that a script adds in the browser."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.form


def check_typed(
    given: Mapping[str, Any],
    form: Form,
    free: Collection[str] = (),
    trusted: Collection[str] = (),
    hint: str = "",
) -> None:
    """Refuse what no browser sends for a form, before a site's own code sees it.

    Parameters
    ----------
    given
        The fields of the request, as JupyterHub has them: lists of texts, and of files.
    free
        Names of fields that may have other values than those of the form.
    trusted
        Names of fields that may have any text.
    hint
        A sentence about how a choice can be allowed that the form does not have.

    Raises
    ------
    InvalidJobError
        If a text has a control character that is not a line break in a textarea, is too long, or
        is not one of the choices of its field. The error names the field and the text.
    """
    for name, value in given.items():
        _check_characters(name, name, lines=False)
        if name in trusted:
            continue
        for text in texts(value):
            if not form.offers(name, text):
                known = form.fields.get(name, Field())
                _check_text(name, text, known, form.scripted or name in free, hint)


def _check_text(name: str, text: str, known: Field, scripted: bool, hint: str) -> None:
    longest = LONGEST_TEXT if scripted or known.longest is None else known.longest
    if len(_same_lines(text)) > min(longest, LONGEST_TEXT):
        raise InvalidJobError(
            f"{name}: the text has {len(text)} characters; at most {longest} are allowed"
        )
    if known.closed and not scripted:
        shown = f"{name}: {text[:LONGEST_SHOWN]!r}"
        raise InvalidJobError(f"{shown} is not a choice of the form. {hint}".rstrip(" ."))
    _check_characters(name, text, lines="textarea" in known.kinds)


def _check_characters(name: str, text: str, *, lines: bool) -> None:
    """Refuse control characters.

    Parameters
    ----------
    lines
        Whether tabs and line breaks are allowed.
    """
    rest = text.translate(_LINES) if lines else text
    if INVALID.search(rest):
        where = ""
        if "\n" in text and not lines:
            where = " (lines: in a textarea of the form's HTML, or in trusted_option_keys)"
        raise InvalidJobError(
            f"{name[:LONGEST_SHOWN]}: {text[:LONGEST_SHOWN]!r} has a control character or an "
            f"invalid character; remove it{where}"
        )


def check_length(given: Mapping[str, Any]) -> None:
    """Refuse options that have too many characters together.

    Raises
    ------
    InvalidJobError
        If they have; the error names the field with most of them.
    """
    lengths = {name: len(name) + sum(map(len, texts(value))) for name, value in given.items()}
    if sum(lengths.values()) > LONGEST_ALTOGETHER:
        longest = max(lengths, key=lambda name: lengths[name])
        raise InvalidJobError(
            f"{longest[:LONGEST_SHOWN]}: it has {lengths[longest]} characters, and all options "
            f"together have {sum(lengths.values())}; at most {LONGEST_ALTOGETHER} are allowed"
        )


def check_plain(given: Mapping[str, Any], form: Form) -> None:
    """Refuse text with a special meaning to a shell that somebody else may have written.

    The values that the form itself has for the same field are the administrator's, so they may be
    any text.

    Raises
    ------
    InvalidJobError
        If a text is not plain; the error names the field and the text.
    """
    for name, values in given.items():
        sent = texts(values) if name in form.names else (name, *texts(values))
        for value in sent:
            if not (PLAIN.fullmatch(value) or form.offers(name, value)):
                raise InvalidJobError(
                    f"{name[:LONGEST_SHOWN]}: {value[:LONGEST_SHOWN]!r} may have only letters, "
                    "digits, spaces and @%+=:,./-_, and no word may begin with a hyphen"
                )


def check_offered(given: Mapping[str, Any], form: Form) -> None:
    """Refuse text of a link for fields whose text goes into the script as it is.

    Plain words may be a command: ``source /tmp/x`` would run with the account of whoever follows
    the link.

    Raises
    ------
    InvalidJobError
        If there is a text that the form itself does not have for the field.
    """
    for name, values in given.items():
        for value in filter(None, texts(values)):
            if not form.offers(name, value):
                raise InvalidJobError(
                    f"{name}: {value[:LONGEST_SHOWN]!r} is refused, because a link can't fill in "
                    "this field (trusted_option_keys). Fill in the form"
                )


def texts(value: Any) -> Iterator[str]:
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


def _same_lines(text: str) -> str:
    """Return the text with the line breaks of HTML; browsers send others."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
