"""Does a function, or other data, reach into batchspawner?"""

from __future__ import annotations

import functools
import re
from types import CodeType, FunctionType, MethodType

_OURS = re.compile(
    r"\b(req_\w+|batch_(script|submit_cmd|query_cmd|cancel_cmd)|exec_prefix|daemon_resolver|"
    r"batchspawner_singleuser_cmd|job_(id|status)|state_(pending|running|exechost|unknown)_\w+|"
    r"child_(class|config|spawner|profile))\b"
)


def reaches_into_batchspawner(value: object) -> str:
    """Return what of batchspawner's a value uses; empty if it uses nothing.

    A function is looked into by the names in its code, and those of the functions of the same file
    that it names. What can't be looked into counts as using all.
    """
    while isinstance(value, functools.partial | MethodType):
        value = value.func if isinstance(value, functools.partial) else value.__func__
    if isinstance(value, FunctionType):
        found = _OURS.search(" ".join(_words(value, set())))
        return found[0] if found else ""
    if callable(value) and not isinstance(value, type):
        return "what it does can't be looked into"
    found = _OURS.search(repr(value))
    return found[0] if found else ""


def _words(function: FunctionType, seen: set[FunctionType]) -> list[str]:
    seen.add(function)
    words = _words_of(function.__code__)
    for name in list(words):
        other = function.__globals__.get(name)
        if not isinstance(other, FunctionType) or other in seen:
            continue
        if other.__code__.co_filename == function.__code__.co_filename:
            words += _words(other, seen)
    return words


def _words_of(code: CodeType) -> list[str]:
    words = [*code.co_names, *(one for one in code.co_consts if isinstance(one, str))]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            words += _words_of(constant)
    return words
