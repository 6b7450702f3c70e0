"""Finds a user's text in commands within commands, such as the word of ``bash -c``. Pure.

In ``bash -c "ls {value}"`` the text is quoted rightly for the script's shell, and the second shell
reads it as commands all the same. What is found here ends the Hub's start. What hides behind a
variable, ``bash -c "$COMMAND"``, is not found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_SHELLS = frozenset(("sh", "bash", "rbash", "dash", "ash", "ksh", "mksh", "zsh", "csh", "tcsh"))
_SHELLS |= {"fish", "busybox", "$SHELL", "${SHELL}", "$BASH", "${BASH}"}
_SHELL_OPTIONS_WITH_WORD = re.compile(r"[-+][a-zA-Z]*[oO]|--(rcfile|init-file)")
_AWK_OPTIONS_WITH_WORD = re.compile("-[vFf]|--(assign|file|field-separator)")
_COMMAND_FLAGS = dict.fromkeys(
    ("su", "runuser", "sg", "script", "flock"), r"-[a-z]*c|--(session-)?command"
)
_PROGRAM_OPTIONS_WITH_WORD = re.compile("-[WX]")
_PROGRAM_FLAGS = {
    **dict.fromkeys(("python", "python2", "python3", "pypy", "pypy3"), r"-[a-zA-Z]*c"),
    **dict.fromkeys(("perl", "ruby", "lua", "Rscript", "R", "julia"), r"-[a-zA-Z]*[eE]|--eval"),
    **dict.fromkeys(("node", "nodejs"), r"-[ep]+|--(eval|print)"),
    "php": "-r",
}
"""Interpreters, and the options whose word they run; behind a file's name there are none."""
_FIRST_WORD = frozenset(("trap", "awk", "gawk", "mawk", "nawk"))
"""Programs whose first word without a hyphen they run."""
_OPERATOR = re.compile(r"\d*(<<<|<>|>>|>&|<&|&>>|&>|>\||<(?!\()|>(?!\())")


@dataclass
class _Command:
    """One command of a script: its words, as they are written, and what it gets to read.

    Attributes
    ----------
    words, here
        The words, without those of redirections, and the texts behind ``<<<``.
    before
        The command that writes into this one; None without a pipe.
    """

    words: list[str] = field(default_factory=list)
    here: list[str] = field(default_factory=list)
    before: _Command | None = None

    def holds(self, mark: str) -> bool:
        """Return whether a text stands in the command, or in one that writes into it."""
        own = any(mark in one for one in (*self.words, *self.here))
        return own or bool(self.before and self.before.holds(mark))


def find_in_script(script: str, mark: str) -> str:
    """Return what reads a mark in shell commands once more, such as ``bash -c``; empty if nothing.

    Parameters
    ----------
    script
        Commands that :func:`.shell_text.check_commands` can read.
    """
    for command in _Reader(script).commands():
        if found := find_in_words(command.words, mark):
            return found
        for place, word in enumerate(command.words):
            rest = command.words[place + 1 :]
            if _name(word) in _SHELLS and _operand(rest) is None:
                piped = command.before is not None and command.before.holds(mark)
                if piped or any(mark in one for one in command.here):
                    return f"{_name(word)}, which reads commands from its input"
    return ""


def find_in_words(words: Sequence[str], mark: str) -> str:
    """Return what reads a mark in the words of a command once more; empty if nothing."""
    for place, word in enumerate(words):
        name, rest = _name(word), words[place + 1 :]
        if name == "ssh" and any(mark in one for one in rest):
            return "ssh"
        if name in _SHELLS:
            operand = _operand(rest)
            options = rest if operand is None else rest[:operand]
            runs = any(re.fullmatch(r"-[a-zA-Z]*c[a-zA-Z]*", _bare(one)) for one in options)
            if runs and operand is not None and mark in rest[operand]:
                return f"{name} -c"
        if name in _FIRST_WORD:
            operand = _operand(rest, _AWK_OPTIONS_WITH_WORD)
            if operand is not None and mark in rest[operand]:
                return name
        flag = ""
        if name in _COMMAND_FLAGS:
            flag = _find_flagged(rest, _COMMAND_FLAGS[name], mark)
        elif pattern := _PROGRAM_FLAGS.get(re.sub(r"^(python\d?)\.\d+$", r"\1", name)):
            operand = _operand(rest, _PROGRAM_OPTIONS_WITH_WORD)
            end = len(rest) if operand is None else operand + 1
            flag = _find_flagged(rest[:end], pattern, mark)
        if flag:
            return f"{name} {flag}"
    return ""


def _find_flagged(words: Sequence[str], pattern: str, mark: str) -> str:
    """Return the option whose word has the mark: the next word, or behind it in the same word."""
    for place, word in enumerate(words):
        match = re.match(pattern, _bare(word))
        if match is None:
            continue
        flag, whole = match[0], match[0] == _bare(word)
        text = "".join(words[place + 1 : place + 2]) if whole else word
        if mark in text:
            return flag
    return ""


def _operand(
    words: Sequence[str], with_word: re.Pattern[str] = _SHELL_OPTIONS_WITH_WORD
) -> int | None:
    """Return the place of a program's first word that is not an option, nor the word of one."""
    place = 0
    while place < len(words):
        word = _bare(words[place])
        if word == "--":
            place += 1
            break
        if word[:1] not in ("-", "+") or word == "-":
            break
        place += 2 if with_word.fullmatch(word) else 1
    return place if place < len(words) else None


def _name(word: str) -> str:
    return _bare(word).rpartition("/")[2]


def _bare(word: str) -> str:
    return re.sub(r"[\"'\\]", "", word)


class _Reader:
    """Reads a script into its commands, also those in ``$(…)`` and brackets."""

    def __init__(self, script: str) -> None:
        self._text, self._place = script, 0
        self._found: list[_Command] = []

    def commands(self) -> Iterator[_Command]:
        """Yield the commands."""
        while self._place < len(self._text):
            self._read_list()  # a bracket that nothing opens is one of a pattern of case
        yield from self._found

    def _read_list(self) -> None:
        """Read commands until the end, or until a closing bracket."""
        command = self._begin(None)
        into: list[str] | None = None
        while self._place < len(self._text):
            text, place = self._text, self._place
            character = text[place]
            if operator := _OPERATOR.match(text, place):
                self._place = operator.end()
                into = command.here if operator[1] == "<<<" else []
            elif text.startswith("\\\n", place):
                self._place += 2
            elif character in " \t":
                self._place += 1
            elif character == "#":
                self._place = (text + "\n").index("\n", place)
            elif character == ")":
                self._place += 1
                return
            elif character == "(":
                self._place += 1
                self._read_list()
                command = self._begin(None)
            elif character in ";&|\n":
                double = text.startswith(("||", "&&"), place)
                pipe = character == "|" and not double
                self._place += 2 if double or text.startswith("|&", place) else 1
                command = self._begin(command if pipe else None)
            else:
                word = self._read_word()
                (command.words if into is None else into).append(word)
                into = None

    def _begin(self, before: _Command | None) -> _Command:
        command = _Command(before=before)
        self._found.append(command)
        return command

    def _read_word(self) -> str:
        text, begin, quoted = self._text, self._place, False
        while self._place < len(text):
            character = text[self._place]
            if character == "\\":
                self._place += 2
            elif text.startswith("$(", self._place) or (
                not quoted and text.startswith(("<(", ">("), self._place)
            ):
                self._place += 2
                self._read_list()
            elif character == '"':
                quoted = not quoted
                self._place += 1
            elif not quoted and character == "'":
                self._place = text.find("'", self._place + 1) + 1 or len(text)
            elif not quoted and character in " \t\n;&|()<>":
                break
            else:
                self._place += 1
        return text[begin : self._place]
