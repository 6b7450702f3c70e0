"""Python's text of plain data, as a person would write it into a configuration."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

WIDTH = 96


class Expression(str):
    """An expression that is written as it is, for a value that is not plain data."""


def is_plain(value: object) -> bool:
    """Return whether a value can be written down."""
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False


def literal(value: Any, indent: int = 0, taken: int = 0) -> str:
    """Return a value's text, on several lines if a single line would be long.

    Parameters
    ----------
    indent
        Blanks before the line on which the text ends; 0 outside of a list.
    taken
        Characters that stand before the text on its first line.
    """
    text = _one_line(value)
    if len(text) <= WIDTH - taken and not _has_lines(value):
        return text
    inner, blank = indent + 4, " " * (indent + 4)
    if isinstance(value, dict) and value:
        heads = [(f"{blank}{_one_line(key)}: ", one) for key, one in value.items()]
        parts, ends = [head + literal(one, inner, len(head)) + "," for head, one in heads], "{}"
    elif isinstance(value, list | tuple) and value:
        parts = [blank + literal(one, inner, inner) + "," for one in value]
        ends = "[]" if isinstance(value, list) else "()"
    elif isinstance(value, str) and "\n" in value and not isinstance(value, Expression):
        if not indent and (quoted := _triple_quoted(value)):
            return quoted
        parts, ends = [blank + _one_line(one) for one in value.splitlines(keepends=True)], "()"
    else:
        return text
    return "\n".join([ends[0], *parts, " " * indent + ends[1]])


def _triple_quoted(text: str) -> str:
    """Return text between three quotes, as it is; empty if it would not be the same there."""
    plain = all(line.isprintable() for line in text.replace("\t", " ").split("\n"))
    if not plain or '"""' in text or text.endswith(('"', "\\")):
        return ""
    return f'r"""{text}"""' if "\\" in text else f'"""\\\n{text}"""'


def _has_lines(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_lines(one) for one in value.values())
    if isinstance(value, list | tuple):
        return any(_has_lines(one) for one in value)
    return isinstance(value, str) and "\n" in value


def _one_line(value: Any) -> str:
    if isinstance(value, Expression):
        return str(value)
    if isinstance(value, str):
        only_double = '"' in value and "'" not in value
        if only_double or not re.sub("[\n\t]", "", value).isprintable():
            return repr(value)
        return json.dumps(value, ensure_ascii=False)  # repr prefers single quotes
    if isinstance(value, dict):
        items = (f"{_one_line(key)}: {_one_line(one)}" for key, one in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_one_line, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(_one_line, value))}{',' if len(value) == 1 else ''})"
    return repr(value)
