"""What code of a site may read out of a text that a user has sent: JSON, a URL's escapes, base64.

A form that a script makes in the browser often sends JSON. ``{"queue": "\\u0024(id)"}`` shows no
special character of a shell, but what ``json.loads`` makes of it does.
"""

from __future__ import annotations

import base64
import html
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from urllib.parse import unquote_plus

from .typed_form import texts

_DEEPEST = 3
"""How many times in a row a text may have been encoded: base64 of JSON, for example."""
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([0-7]{1,3})|(.))", re.DOTALL)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{4,}={0,2}")
_OPEN = ('"', "[", "{")


def decode_all(given: Iterable[str]) -> set[str]:
    """Return texts, and all that the usual ways to decode make of them."""
    found: set[str] = set()
    new = set(given)
    for _ in range(_DEEPEST):
        found |= new
        new = {one for text in new for decode in _WAYS for one in decode(text)} - found
    return found | new


def _json(text: str) -> Iterator[str]:
    if not text.lstrip().startswith(_OPEN):
        return
    with suppress(ValueError, RecursionError):
        yield from texts(json.loads(text))


def _escapes(text: str) -> Iterator[str]:
    """Yield a text without the escapes of JSON, YAML or Python."""
    if "\\" in text:
        yield _ESCAPE.sub(_unescape, text)


def _unescape(match: re.Match[str]) -> str:
    digits = match[1] or match[2]
    if digits or match[3]:
        return chr(int(digits, 16) if digits else int(match[3], 8))
    return match[4]


def _url(text: str) -> Iterator[str]:
    if "%" in text:
        yield unquote_plus(text)


def _html(text: str) -> Iterator[str]:
    if "&" in text:
        with suppress(ValueError):  # a number of thousands of digits
            yield html.unescape(text)


def _base64(text: str) -> Iterator[str]:
    if not _BASE64.fullmatch(text):
        return
    padded = text.rstrip("=").translate(str.maketrans("-_", "+/"))
    with suppress(ValueError):
        text = base64.b64decode(padded + "=" * (-len(padded) % 4)).decode()
        yield from [text] if text.isprintable() else []  # else it was a mere word


def _same_characters(text: str) -> Iterator[str]:
    """Yield a text with the usual characters in place of wide and similar ones."""
    if not text.isascii():
        yield unicodedata.normalize("NFKC", text)


_WAYS: tuple[Callable[[str], Iterator[str]], ...] = (
    *(_json, _escapes, _url, _html, _base64, _same_characters),
)
