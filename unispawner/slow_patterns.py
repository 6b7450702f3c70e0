"""Finds out whether a regular expression takes exponential time for some text.

Python's engine tries every way in which a pattern such as ``(a+)+`` can match, and holds the
interpreter's lock meanwhile, so that neither a thread nor a time limit helps: the whole Hub would
wait. Administrators write patterns; users write the texts. So a pattern is tried before it is used,
in a process of its own whose processor time is limited, with texts that are made for it: each part
that may be repeated, many times over, and then a character that does not match.

This file is also the program of that process, which imports no other part of the package.
"""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

LONGEST = 255
"""How many characters a user's text may have that is compared with a pattern."""
SECONDS = 1
"""How much processor time all trials of a pattern may take."""
PATIENCE = 20.0
"""How long (seconds) the process may take on a busy machine."""
_SOME = "a0-. _:Z/"
_DEPTH = 20


@lru_cache(1000)
def find_slow_text(pattern: str) -> str:
    """Return the beginning of a text for which a pattern takes very long; empty if none is known.

    An empty answer proves nothing. The pattern must be a valid one.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", __file__],
            input=pattern.encode(errors="surrogatepass"),
            capture_output=True,
            timeout=PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""  # a machine that is out of memory or very busy says nothing about the pattern
    if done.returncode == 0:
        return ""
    tried = done.stdout.decode("utf-8", "replace").splitlines()
    return tried[-1][:20] if tried else ""


def make_texts(pattern: str) -> Iterator[str]:
    """Yield the texts with which a pattern is tried."""
    parser = getattr(re, "_parser", None) or importlib.import_module("sre_parse")
    for before, bodies in _repeats(list(parser.parse(pattern)), ""):
        for body in bodies:
            if body:
                many = body * (LONGEST // len(body))
                for start in (before, ""):
                    for end in ("\0", "!", body + "\0"):
                        yield start + many[: LONGEST - len(start) - len(end)] + end


def _repeats(parts: list[Any], before: str, depth: int = 0) -> Iterator[tuple[str, list[str]]]:
    """Yield what may be repeated, in the forms that it may have, and what stands before it."""
    for operator, value in parts:
        name, inner = str(operator), _inner(str(operator), value)
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT") and value[1] > 1:
            yield before, [_sample(one) for one in _forms(list(value[2]))]
        for one in inner if depth < _DEPTH else ():
            yield from _repeats(list(one), before, depth + 1)
        before += _sample([(operator, value)])


def _inner(name: str, value: Any) -> list[Any]:
    """Return the parts of a pattern that a part of it contains."""
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        return [value[2]]
    if name == "SUBPATTERN":
        return [value[-1]]
    if name == "BRANCH":
        return list(value[1])
    if name in ("ASSERT", "ASSERT_NOT"):
        return [value[1]]
    return [value] if name == "ATOMIC_GROUP" else []


def _forms(parts: list[Any]) -> list[list[Any]]:
    """Return the alternatives of a part that is only a choice; else the part itself."""
    if len(parts) == 1 and str(parts[0][0]) in ("SUBPATTERN", "BRANCH"):
        inner = _inner(str(parts[0][0]), parts[0][1])
        return [form for one in inner for form in _forms(list(one))]
    return [parts]


def _sample(parts: list[Any], depth: int = 0) -> str:
    """Return a short text that these parts match, as far as that is easily found."""
    text = ""
    for operator, value in parts if depth < _DEPTH else ():
        name = str(operator)
        if name == "LITERAL":
            text += chr(value)
        elif name in ("NOT_LITERAL", "ANY", "IN"):
            text += _character(name, value)
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            text += _sample(list(value[2]), depth + 1) * min(max(1, int(value[0])), LONGEST)
        elif name in ("SUBPATTERN", "BRANCH", "ATOMIC_GROUP"):
            text += _sample(list(_inner(name, value)[0]), depth + 1)
    return text[:LONGEST]


def _character(name: str, value: Any) -> str:
    if name == "IN" and str(value[0][0]) == "LITERAL":
        return chr(value[0][1])
    for one in _SOME:
        if name == "ANY" or (name == "NOT_LITERAL" and ord(one) != value):
            return one
        if name == "IN" and _is_in(ord(one), value):
            return one
    first = value[0][1] if name == "IN" else ord("a")
    return chr(first[0] if isinstance(first, tuple) else first) if name == "IN" else "a"


def _is_in(code: int, items: list[Any]) -> bool:
    """Return whether a class of characters has one."""
    negated, found = False, False
    for operator, value in items:
        name, char = str(operator), chr(code)
        if name == "NEGATE":
            negated = True
        elif name == "LITERAL":
            found = found or value == code
        elif name == "RANGE":
            found = found or value[0] <= code <= value[1]
        elif name == "CATEGORY":
            word, digit = char.isalnum() or char == "_", char.isdigit()
            kinds = {"WORD": word, "DIGIT": digit, "SPACE": char.isspace()}
            kind = str(value).removeprefix("CATEGORY_").removeprefix("NOT_")
            found = found or (kinds.get(kind, False) != ("NOT_" in str(value)))
    return found != negated


def main() -> None:
    """Try the pattern on standard input; print each text before it is tried."""
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    pattern = sys.stdin.buffer.read().decode(errors="surrogatepass")
    compiled = re.compile(pattern)
    for text in dict.fromkeys(make_texts(pattern)):
        shown = "".join(one if one.isprintable() else "?" for one in text)
        sys.stdout.buffer.write(shown.encode(errors="replace") + b"\n")
        sys.stdout.buffer.flush()
        compiled.fullmatch(text)


if __name__ == "__main__":
    main()
