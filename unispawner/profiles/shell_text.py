"""Puts a user's text into shell commands of the administrator's, as a part of one word. Pure.

``{value}`` stands for the text in commands such as ``source {value}/bin/activate``. How it has to
be quoted depends on the quotes around it. So the commands are read as a shell reads them, as far as
that is necessary. What can't be read with certainty is refused when the Hub starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from .nested_commands import find_in_script, find_in_words

VALUE = "{value}"
"""What stands for the user's text."""

_UNSURE = {
    r"(?<!<)<<(?!<)": "a document after <<",
    "`": "a backquote; write $(command)",
    r"\$'": "quotes after a dollar sign",
    r'\$"': "quotes after a dollar sign",
    r"\(\(|\$\[|\blet\b": "arithmetic",
    r"\beval\b": "eval, which reads its words once more",
    r"\$\{[^}]*\{value\}|\$\{value\}": "${…} around it; ${value} is a variable of the shell",
    r"""\$\{[^}]*['"]""": "quotes in ${…}",
    r"\$\{[^}]*[()]": "brackets in ${…}",
    r"\$\$\(": "a bracket after $$",
    r"\$\([\s\S]*\bcase\b": "case in or after $(…)",
    r"\\\{value\}": "a backslash before it",
}
"""What commands with the user's text must not have."""
_PLAIN, _SINGLE, _DOUBLE, _COMMAND = "plain", "single quotes", "double quotes", "$(…)"
_SPECIAL_IN_DOUBLE = re.compile(r'[\\$`"]')


def check_commands(text: str) -> None:
    """Check that a user's text can be put into commands.

    Raises
    ------
    ValueError
        If the quotes around it can't be determined.
    """
    if VALUE not in text:
        return
    for pattern, what in _UNSURE.items():
        if re.search(pattern, text):
            raise ValueError(f"{VALUE} can't stand in commands that have {what}")
    *_, last = _read(text)
    if last != (len(text), _PLAIN):
        raise ValueError(f"{VALUE} can't stand in commands with a quote or a bracket left open")
    try:
        reader = find_in_script(text, VALUE)
    except RecursionError:
        raise ValueError(f"{VALUE} can't stand in brackets that are nested so deeply") from None
    _refuse(reader)


def check_words(words: Sequence[str]) -> None:
    """Check that a user's text can be put into the words of a command, which no shell takes apart.

    Raises
    ------
    ValueError
        If the command itself reads the word as commands.
    """
    _refuse(find_in_words(words, VALUE))


def _refuse(reader: str) -> None:
    if reader:
        raise ValueError(
            f"{VALUE} can't stand in what {reader} runs, which reads the user's text as commands. "
            f"Hand it over as an argument, as in bash -c 'exec \"$1\"/bin/start' bash {VALUE}"
        )


def fill_commands(text: str, value: str) -> str:
    """Return commands with a user's text in place of each ``{value}``, quoted for its place.

    The commands have passed :func:`check_commands`.
    """
    parts, begin = [], 0
    for place, state in _read(text):
        if place < len(text):
            parts += [text[begin:place], _quote(value, state)]
            begin = place + len(VALUE)
    return "".join([*parts, text[begin:]])


def _quote(value: str, state: str) -> str:
    if state == _DOUBLE:
        return _SPECIAL_IN_DOUBLE.sub(r"\\\g<0>", value)
    if state == _SINGLE:
        return value.replace("'", "'\"'\"'")
    return "'" + value.replace("'", "'\"'\"'") + "'"  # also A=b, which begins no assignment so


def _read(text: str) -> Iterator[tuple[int, str]]:
    """Yield the place of each ``{value}`` with the quotes around it, and at last those at the end.

    A ``)`` that closes nothing is one of a pattern of ``case``.
    """
    states, place, word_begins = [_PLAIN], 0, True
    while place < len(text):
        state, character = states[-1], text[place]
        quoted = state in (_SINGLE, _DOUBLE)
        if text.startswith(VALUE, place):
            yield place, state if quoted else _PLAIN
            place, word_begins = place + len(VALUE), False
            continue
        if character == "\\" and state != _SINGLE:
            word_begins = word_begins and text[place + 1 : place + 2] == "\n"
            place += 2
            continue
        if state != _SINGLE and text.startswith(("$(", "$$"), place):  # $$ is a variable
            states += [_COMMAND] if text[place + 1] == "(" else []
            place, word_begins = place + 2, text[place + 1] == "("
            continue
        if not quoted and character == "#" and word_begins:
            end = text.find("\n", place)
            place = len(text) if end < 0 else end
            continue
        if state == _SINGLE:
            if character == "'":
                states.pop()
        elif character == '"':
            if state == _DOUBLE:
                states.pop()
            else:
                states.append(_DOUBLE)
        elif character == "(" and not quoted:
            states.append(_COMMAND)
        elif not quoted and character == "'":
            states.append(_SINGLE)
        elif character == ")" and state == _COMMAND:
            states.pop()
        word_begins = not quoted and character in " \t\n;&|()"
        place += 1
    yield len(text), states[-1] if len(states) == 1 else "open"
