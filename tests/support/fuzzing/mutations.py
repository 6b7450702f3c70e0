"""Changes of a text, as users, garbled answers and other releases make them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

TOKENS = (
    *("", " ", "\t", "\n", "\r", "\r\n", "\n\t", "\n\n", "\0", "\x1b[2J", "\x07", "\x7f", "\x85"),
    *("\u2028", "\ufffd", "\u00b2", "\u0663", "\u00e9", "\U0001f600", "\ufffe", "\u202e"),
    *("0", "-0", "-1", "1", "007", "0x10", "1e9", "1e999", "-1e999", "nan", "inf", "1_000", "+1"),
    *("9" * 10, "9" * 19, "9" * 400, "9" * 5000, "9" * 5000 + ":00", "99999999-00:00:00"),
    *("1-2:0", "5-1:1", "1-99999999999999999999:1", "0:0:0", "/", "/9/9/9", "1/" * 9),
    *("null", "true", "NaN", "Infinity", "[]", "{}", "[[]]", '""', '"', "'", "\\", "\\\\", "`"),
    *('"\\u0000"', '"\\ud800"', "\\ud83d", "\\n", "\\x41", "%00", "&amp;", "&#0;", "&#xd800;"),
    *("&#55296;", "&x;", "&", "<", ">", "<a>", "</a>", "<!--", "-->", "]]>", "<![CDATA[", "<?x?>"),
    '<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;&x;">]>',
    *("|", "||||||||", ":", "::", ",", ";", "=", " = ", "@", "#", "$(id)", "${x}", "{job_id}"),
    *("alice", "root", "unispawner:0123456789abcdef", "unispawner=0123456789abcdef", "n/a", "N/A"),
    *("CLUSTER: other", "error: x", "job_info", "Job <1>", "Job Id: 1.x", "RECORDS", "COMMAND"),
)
OPENERS = ("[", '{"a":', "<a>", "(", "{", "<job_list>", '[{"a":', '"', "&#", "\\")
_WORD = re.compile(r"[\w.@+-]+")
_LONGEST = 60_000
"""How many characters a text may get by one change."""


def _at(text: str, number: int) -> int:
    return number % (len(text) + 1)


def _insert(text: str, a: int, b: int, token: str) -> str:
    at = _at(text, a)
    return text[:at] + token + text[at:]


def _replace_word(text: str, a: int, b: int, token: str) -> str:
    words = list(_WORD.finditer(text))
    if not words:
        return token
    word = words[a % len(words)]
    return text[: word.start()] + token + text[word.end() :]


def _swap_words(text: str, a: int, b: int, token: str) -> str:
    words = list(_WORD.finditer(text))
    if len(words) < 2:
        return text
    one, other = sorted((a % len(words), b % len(words)))
    first, second = words[one], words[other]
    if one == other:
        return text
    return (
        text[: first.start()]
        + second[0]
        + text[first.end() : second.start()]
        + first[0]
        + text[second.end() :]
    )


def _drop_line(text: str, a: int, b: int, token: str) -> str:
    lines = text.split("\n")
    del lines[a % len(lines)]
    return "\n".join(lines)


def _double_line(text: str, a: int, b: int, token: str) -> str:
    lines = text.split("\n")
    lines.insert(b % (len(lines) + 1), lines[a % len(lines)])
    return "\n".join(lines)


def _change_line(text: str, a: int, b: int, token: str) -> str:
    lines = text.split("\n")
    lines[a % len(lines)] = token
    return "\n".join(lines)


def _cut_end(text: str, a: int, b: int, token: str) -> str:
    return text[: _at(text, a)]


def _cut_beginning(text: str, a: int, b: int, token: str) -> str:
    return text[_at(text, a) :]


def _delete(text: str, a: int, b: int, token: str) -> str:
    at = _at(text, a)
    return text[:at] + text[at + 1 + b % 40 :]


def _repeat(text: str, a: int, b: int, token: str) -> str:
    at = _at(text, a)
    piece = text[at : at + 1 + b % 60]
    return text[:at] + piece * min(b, _LONGEST // (len(piece) or 1)) + text[at + len(piece) :]


def _repeat_token(text: str, a: int, b: int, token: str) -> str:
    at = _at(text, a)
    return text[:at] + token * min(b, _LONGEST // (len(token) or 1)) + text[at:]


def _nest(text: str, a: int, b: int, token: str) -> str:
    at = _at(text, a)
    return text[:at] + OPENERS[b % len(OPENERS)] * (800 + b % 700) + token + text[at:]


def _nest_value(text: str, a: int, b: int, token: str) -> str:
    """Nest a value so deeply that it can just be read, or just not any more."""
    words = list(_WORD.finditer(text))
    if not words:
        return text
    word, depth = words[a % len(words)], 700 + b % 400
    start, end = word.span()
    if text[start - 1 : start] == '"' and text[end : end + 1] == '"':
        start, end = start - 1, end + 1
    opener, closer = (("[", "]"), ('{"a":', "}"))[b % 2]
    return text[:start] + opener * depth + text[start:end] + closer * depth + text[end:]


OPERATIONS: Sequence[Callable[[str, int, int, str], str]] = (
    *(_replace_word, _insert, _swap_words, _drop_line, _double_line, _change_line, _cut_end),
    *(_cut_beginning, _delete, _repeat, _repeat_token, _nest, _nest_value),
)
_CHANGE = st.tuples(
    st.sampled_from(OPERATIONS),
    st.integers(0, 20_000),
    st.integers(0, 3000),
    st.sampled_from(TOKENS) | st.text(max_size=8),
)


def change(text: str, changes: Sequence[Any]) -> str:
    """Return a text with some changes."""
    for operation, a, b, token in changes:
        text = operation(text, a, b, token)
    return text.encode("utf-8", "replace").decode()  # as it is read of a process


@st.composite
def changed(draw: DrawFn, texts: SearchStrategy[str], most: int = 4) -> str:
    """Make changed texts of some texts."""
    return change(draw(texts), draw(st.lists(_CHANGE, max_size=most)))


@st.composite
def changed_bytes(draw: DrawFn, texts: SearchStrategy[str], most: int = 4) -> str:
    """Make bytes (as latin-1) of some texts in UTF-8: changed, and not always UTF-8 any more."""
    raw = draw(changed(texts, most)).encode()
    odd, at = draw(st.binary(max_size=3)), draw(st.integers(0, 5000)) % (len(raw) + 1)
    return (raw[:at] + odd + raw[at:]).decode("latin-1")


def json_values(texts: SearchStrategy[str] | None = None) -> SearchStrategy[Any]:
    """Make values as JSON has them, with odd numbers and texts."""
    numbers = st.sampled_from((0, -1, 1, 2**31, 2**63, -(2**70), 10**400, 1.5, 1e308))
    leaves = (
        st.none() | st.booleans() | numbers | st.integers() | (texts or st.sampled_from(TOKENS))
    )
    leaves |= st.text(max_size=20)
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
        ),
        max_leaves=8,
    )
