"""Finds a user's text in commands within commands, such as the word of ``bash -c``. Pure.

In ``bash -c "ls {value}"`` the text is quoted rightly for the script's shell, and the second shell
reads it as commands all the same. What is found here ends the Hub's start. What hides behind a
variable, ``bash -c "$COMMAND"``, is not found.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

_SHELLS = frozenset(("sh", "bash", "rbash", "dash", "ash", "ksh", "mksh", "zsh", "csh", "tcsh"))
_SHELLS |= {"fish", "busybox", "$SHELL", "${SHELL}", "$BASH", "${BASH}"}
_SHELL_OPTIONS_WITH_WORD = re.compile(r"[-+][a-zA-Z]*[oO]|--(rcfile|init-file)")
_AWK_OPTIONS_WITH_WORD = re.compile("-[vFf]|--(assign|file|field-separator)")
_PROGRAM_OPTIONS_WITH_WORD = re.compile("-[WX]")
_RUNS_WORD, _READS_INPUT = re.compile("-[a-zA-Z]*c[a-zA-Z]*"), re.compile("-[a-zA-Z]*s[a-zA-Z]*")
_COMMAND_FLAGS = {
    **dict.fromkeys(("su", "runuser", "script", "flock"), r"-[a-z]*c|--(session-)?command"),
    **dict.fromkeys(("nc", "ncat", "netcat"), r"-[a-z]*[ce]|--(sh-)?exec"),
    **dict.fromkeys(("xterm", "gnome-terminal", "konsole"), "-[ex]|--command"),
    "env": r"-[iv0]*S|--split-string",
    "sbatch": "--wrap",
    "rsync": r"-[a-zA-Z]*e|--rsh|--rsync-path",
    "tar": "--(to-command|checkpoint-action|use-compress-program)|-I",
}
"""Programs with options whose word a shell reads, or is taken apart as by a shell; anywhere."""
_PROGRAM_FLAGS = {
    **dict.fromkeys(("python", "python2", "python3", "pypy", "pypy3"), r"-[a-zA-Z]*c"),
    **dict.fromkeys(("perl", "ruby", "lua", "Rscript", "R", "julia"), r"-[a-zA-Z]*[eE]|--eval"),
    **dict.fromkeys(("node", "nodejs", "bun"), r"-[ep]+|--(eval|print)"),
    **dict.fromkeys(("ipython", "ipython3", "expect"), "-c"),
    **dict.fromkeys(("vim", "vi", "nvim", "ex", "view"), r"-c|--cmd|\+"),
    **dict.fromkeys(("gdb", "cuda-gdb"), "--?(i?ex|eval-command)"),
    "emacs": "--?(eval|execute)",
    "gnuplot": "-e",
    "matlab": "-(r|batch)",
    "octave": "--eval",
    "php": "-r",
}
"""Interpreters, and the options whose word they run; behind a file's name there are none."""
_FIRST_WORD = frozenset(("trap", "awk", "gawk", "mawk", "nawk"))
"""Programs whose first word without a hyphen they run."""
_ALL_WORDS = frozenset(("ssh", "autossh", "rsh", "remsh", "slogin", "mosh", "pdsh", "clush"))
_ALL_WORDS |= {"sg", "socat", "condor_run"}
"""Programs that hand their words to a shell, most of them on another host."""
_ALL_WORDS_AS_COMMAND = frozenset(("watch", "parallel", "sem", "bsub", "tmux", "alias", "eval"))
"""The same, for names that may as well be an argument: only where a command begins."""
_FROM_INPUT = frozenset(("at", "batch", "parallel", "sem", "bsub", "crontab"))
"""Programs that read commands from their input; only where a command begins."""
_SOURCE = frozenset(("source", "."))
_INPUTS = frozenset(("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"))
_PREFIXES = frozenset(("env", "nice", "ionice", "nohup", "timeout", "setsid", "stdbuf", "taskset"))
_PREFIXES |= {"exec", "command", "builtin", "time", "sudo", "doas", "xargs", "chroot", "unshare"}
_PREFIXES |= {"nsenter", "numactl", "setpriv", "systemd-run", "srun", "mpirun", "mpiexec"}
_PREFIXES |= {"apptainer", "singularity", "docker", "podman", "find", "flock", "strace"}
"""Programs that run another one, which they name somewhere among their words."""
_KEYWORDS = frozenset(("if", "then", "else", "elif", "while", "until", "do", "!", "{", "coproc"))
_ASSIGNMENT = re.compile(r"\w+\+?=")
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


def find_in_script(script: str, mark: str) -> str:
    """Return what reads a mark in shell commands once more, such as ``bash -c``; empty if nothing.

    Parameters
    ----------
    script
        Commands that :func:`.shell_text.check_commands` can read.
    """
    holding: dict[int, bool] = {}  # by command: whether it, or one that writes into it, has it
    for command in _Reader(script).commands():
        here = any(mark in one for one in command.here)
        gets = here or (command.before is not None and holding[id(command.before)])
        holding[id(command)] = gets or any(mark in one for one in command.words)
        if found := _Words(command.words, mark).find(gets_it=gets):
            return found
    return ""


def find_in_words(words: Sequence[str], mark: str) -> str:
    """Return what reads a mark in the words of a command once more; empty if nothing."""
    return _Words(words, mark).find(gets_it=False)


class _Words:
    """The words of one command. Each is looked at a fixed number of times, however many there are.

    Parameters
    ----------
    words
        The words, as they are written.
    mark
        What stands for the user's text.
    """

    def __init__(self, words: Sequence[str], mark: str) -> None:
        self._words, self._mark = words, mark
        self._bare = [_bare(word) for word in words]
        self._names = [word.rpartition("/")[2] for word in self._bare]
        self._last = max((i for i, word in enumerate(words) if mark in word), default=-1)
        self._operands: dict[str, list[int]] = {}
        self._flagged: dict[str, tuple[list[int], list[str]]] = {}

    def find(self, *, gets_it: bool) -> str:
        """Return what reads the mark once more; empty if nothing.

        Parameters
        ----------
        gets_it
            Whether the command gets the mark to read.
        """
        if self._last < 0 and not gets_it:
            return ""
        for place, name in enumerate(self._names):
            found = self._find_at(place, name) if self._last >= 0 else ""
            if not found and gets_it:
                found = self._find_reader(place, name)
            if found:
                return found
        return ""

    def _find_at(self, place: int, name: str) -> str:
        """Return how the program at a place reads the mark in a later word; empty if it doesn't."""
        if name in _ALL_WORDS or (name in _ALL_WORDS_AS_COMMAND and self._begins(place)):
            return name if self._last > place else ""
        if name in _SHELLS:
            operand = self._operand(place + 1, _SHELL_OPTIONS_WITH_WORD)
            if self._has(operand) and self._counts[operand] > self._counts[place + 1]:
                return f"{name} -c"
            return self._substituted(name, operand)
        if name in _SOURCE and self._begins(place):
            return self._substituted(name, place + 1)
        if name in _FIRST_WORD:
            return name if self._has(self._operand(place + 1, _AWK_OPTIONS_WITH_WORD)) else ""
        if name in ("scp", "rsync") and self._remote(place):
            return name
        flag = ""
        if name in _COMMAND_FLAGS:
            flag = self._find_flag(_COMMAND_FLAGS[name], place, len(self._words))
        elif pattern := _PROGRAM_FLAGS.get(re.sub(r"^(python\d?)\.\d+$", r"\1", name)):
            end = self._operand(place + 1, _PROGRAM_OPTIONS_WITH_WORD)
            flag = self._find_flag(pattern, place, end + 1)
        return f"{name} {flag}" if flag else ""

    def _find_reader(self, place: int, name: str) -> str:
        """Return whether the program at a place reads commands from its input, in words."""
        if name in _SHELLS:
            operand = self._operand(place + 1, _SHELL_OPTIONS_WITH_WORD)
            from_input = operand >= len(self._words) or self._bare[operand] in _INPUTS
            if from_input or self._input_counts[operand] > self._input_counts[place + 1]:
                return f"{name}, which reads commands from its input"
        begins = self._begins(place)
        is_source = name in _SOURCE and set(self._bare[place + 1 : place + 2]) & _INPUTS
        if begins and (name in _FROM_INPUT or is_source):
            return f"{name}, which reads commands from its input"
        if name == "xargs" and (reader := self._next_reader[place]):
            return f"xargs {reader}"
        return ""

    # -- what is asked of the words, each computed once --------------------------------------------

    def _has(self, place: int) -> bool:
        return place < len(self._words) and self._mark in self._words[place]

    def _substituted(self, name: str, place: int) -> str:
        if self._has(place) and self._words[place].startswith("<("):
            return f"{name} <(…)"
        return ""

    @cached_property
    def _counts(self) -> list[int]:
        """How many words before each place are options such as ``-c``."""
        return _count(_RUNS_WORD, self._bare)

    @cached_property
    def _input_counts(self) -> list[int]:
        """How many words before each place are options such as ``-s``."""
        return _count(_READS_INPUT, self._bare)

    @cached_property
    def _next_reader(self) -> list[str]:
        """For each place, a later program that reads its words as commands; empty without one."""
        result, found = [""] * len(self._words), ""
        for place in reversed(range(len(self._words))):
            result[place] = found
            name = self._names[place]
            found = name if name in _SHELLS or name in _ALL_WORDS else found
        return result

    @cached_property
    def _first(self) -> int:
        """The place of the command's own name, behind assignments and keywords."""
        places = enumerate(self._bare)
        skipped = (p for p, one in places if one not in _KEYWORDS and not _ASSIGNMENT.match(one))
        return next(skipped, 0)

    def _begins(self, place: int) -> bool:
        """Return whether a command may begin at a place."""
        first = self._first
        return place == first or (place > first and self._names[first] in _PREFIXES)

    @cached_property
    def _remote_places(self) -> list[int]:
        """The words that have the mark behind a colon, as in ``host:{value}``."""
        mark = self._mark
        words = [(place, word) for place, word in enumerate(self._words) if mark in word]
        return [place for place, word in words if ":" in word.partition(mark)[0]]

    def _remote(self, place: int) -> bool:
        return bool(self._remote_places) and self._remote_places[-1] > place

    def _operand(self, place: int, with_word: re.Pattern[str]) -> int:
        """Return the first place that is not an option, nor the word of one; else the end."""
        if with_word.pattern not in self._operands:
            table = [len(self._words)] * (len(self._words) + 2)
            for one in reversed(range(len(self._words))):
                word = self._bare[one]
                if word == "--":
                    table[one] = one + 1
                elif word[:1] not in ("-", "+") or word == "-":
                    table[one] = one
                else:
                    table[one] = table[one + (2 if with_word.fullmatch(word) else 1)]
            self._operands[with_word.pattern] = table
        return self._operands[with_word.pattern][place]

    def _find_flag(self, pattern: str, place: int, end: int) -> str:
        """Return the first option, behind a place and before an end, whose word has the mark."""
        if pattern not in self._flagged:
            places, flags = [], []
            for one, word in enumerate(self._bare):
                if match := re.match(pattern, word):
                    has = self._has(one + 1) if match[0] == word else self._has(one)
                    if has:
                        places.append(one)
                        flags.append(match[0])
            self._flagged[pattern] = places, flags
        places, flags = self._flagged[pattern]
        found = bisect_right(places, place)
        if found == len(places):
            return ""
        behind = places[found] + (flags[found] == self._bare[places[found]])
        return flags[found] if behind < end else ""


def _count(pattern: re.Pattern[str], words: Sequence[str]) -> list[int]:
    result = [0]
    for word in words:
        result.append(result[-1] + bool(pattern.fullmatch(word)))
    return [*result, result[-1]]


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
                end = text.find("\n", place)
                self._place = len(text) if end < 0 else end
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
