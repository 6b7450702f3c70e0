"""Finds out whether a function, or other data, of the old file uses batchspawner."""

from __future__ import annotations

import functools
import re
from types import CodeType, FunctionType, MethodType

_NAMES = re.compile(
    r"\b(req_\w+|batch_(script|submit_cmd|query_cmd|cancel_cmd)|exec_prefix|daemon_resolver|"
    r"batchspawner_singleuser_cmd|job_(id|status)|state_(pending|running|exechost|unknown)_\w+|"
    r"child_(class|config|spawner|profile))\b"
)
"""Attributes of batchspawner's and wrapspawner's spawners."""


def find_batchspawner_use(value: object) -> str:
    """Return how a value uses batchspawner, as a clause; empty if it does not.

    Of a function, the names in its code count, and in that of other functions of the same file that
    it names. A callable without readable code counts as using batchspawner.
    """
    while isinstance(value, functools.partial | MethodType):
        value = value.func if isinstance(value, functools.partial) else value.__func__
    if isinstance(value, FunctionType):
        found = _NAMES.search(" ".join(_names_in(value, set())))
    elif callable(value) and not isinstance(value, type):
        return "its code can't be read, and may use batchspawner's attributes"
    else:
        found = _NAMES.search(repr(value))
    return f"it uses batchspawner's {found[0]}" if found else ""


def _names_in(function: FunctionType, seen: set[FunctionType]) -> list[str]:
    """Return the names and texts in a function's code, and in the functions that it names."""
    seen.add(function)
    names = _names_in_code(function.__code__)
    for name in list(names):
        other = function.__globals__.get(name)
        if not isinstance(other, FunctionType) or other in seen:
            continue
        if other.__code__.co_filename == function.__code__.co_filename:
            names += _names_in(other, seen)
    return names


def _names_in_code(code: CodeType) -> list[str]:
    names = [*code.co_names, *(one for one in code.co_consts if isinstance(one, str))]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names += _names_in_code(constant)
    return names
