"""Finds what makes a site's own command run as the user, to run another command in the same way.

batchspawner's sites write ``sudo -E -u alice`` into ``exec_prefix``, or into each command. Here the
text of a command is read as a shell reads it: as words, quotes and separators. Nothing is run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<blank>(?:[ \t]|\\\n)+)
    |(?P<comment>(?<![^\s;&|()])\#[^\n]*)
    |(?P<separator>[;&|()\n]+)
    |(?P<redirection>\d*[<>][<>&|]*)
    |(?P<word>(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|\$\([^()]*\)|`[^`]*`|[^\s'"\\;&|()<>])+)""",
    re.VERBOSE | re.DOTALL,
)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.ASCII | re.DOTALL)


@dataclass(frozen=True)
class _Program:
    """A program that runs a command as another account.

    Attributes
    ----------
    letters
        The letters of short options that have a value.
    names
        The long options whose value is the next word.
    account
        True if the account is a word before the command.
    command
        True if ``-c`` has the command, as one word.
    """

    letters: str = ""
    names: tuple[str, ...] = ()
    account: bool = False
    command: bool = False


_SUDO = _Program(
    "CDghpRrtTUu",
    (
        *("--close-from", "--chdir", "--group", "--host", "--prompt", "--chroot", "--role"),
        *("--type", "--command-timeout", "--other-user", "--user"),
    ),
)
_SU = _Program(
    "cgGsuwT",
    (
        *("--command", "--session-command", "--group", "--supp-group", "--shell", "--user"),
        "--whitelist-environment",
    ),
    account=True,
    command=True,
)
_SETPRIV = (
    *("--ambient-caps", "--inh-caps", "--bounding-set", "--ruid", "--euid", "--reuid", "--rgid"),
    *("--egid", "--regid", "--groups", "--securebits", "--pdeathsig", "--selinux-label"),
    "--apparmor-profile",
)
_PROGRAMS = {
    "sudo": _SUDO,
    "doas": _Program("aCu"),
    "su": _SU,
    "runuser": _SU,
    "setpriv": _Program("d", _SETPRIV),
    "gosu": _Program(account=True),
    "su-exec": _Program(account=True),
    "setuidgid": _Program(account=True),
}
_SHELLS = ("sh", "bash", "dash", "ksh", "zsh", "ssh")
"""Programs that may get a whole command in one word, and run it in a shell."""


@dataclass(frozen=True)
class _Word:
    text: str
    """As it is written, with its quotes."""
    value: str
    """As the shell passes it on, as far as that is known without running anything."""


def run_like(command: str, other: str) -> str | None:
    """Return the shell text that runs another command under the account of a site's command.

    ``sudo -E -u alice sbatch --parsable`` and ``true`` make ``sudo -E -u alice true``. What else
    the command's line does before and behind it is left out.

    Parameters
    ----------
    command
        The site's command, filled in.
    other
        The other command, quoted for a shell.

    Returns
    -------
    str or None
        None if the command has no program that changes the account.
    """
    for words in _split(command):
        found = _replace(words, other)
        if found is not None:
            return found
    return None


def split_prefix(command: str) -> tuple[list[str], list[str]] | None:
    """Return the words of a command that change the account, and those of what runs behind them.

    ``sudo -E -u alice sbatch --parsable`` has the words ``sudo -E -u alice`` and
    ``sbatch --parsable``.

    Returns
    -------
    tuple or None
        None if the command is more than this: if it begins with another program, has a redirection
        or a second command, or hands its command over as text.
    """
    commands = [words for words in _split(command) if words]
    if len(commands) != 1 or re.search(r"[<>&|;`\n]|\$\(", command):
        return None
    first, *words = commands[0]
    program = _PROGRAMS.get(first.value.rpartition("/")[2])
    kept = _lead_in(program, words) if program else None
    if kept is None or kept[-1:] == ["-c"]:
        return None
    rest = words[len(kept) :]
    return [first.value, *(one.value for one in words[: len(kept)])], [one.value for one in rest]


def _split(command: str) -> Iterator[list[_Word]]:
    """Yield the words of each simple command of a shell's line."""
    words: list[_Word] = []
    place, redirected = 0, False
    while place < len(command):
        token = _TOKEN.match(command, place)
        if token is None:  # a quote that is left open: the shell refuses the line, too
            return
        place = token.end()
        kind = token.lastgroup
        if kind == "separator":
            yield words
            words = []
        elif kind == "redirection":
            redirected = True
        elif kind == "word" and redirected:
            redirected = False
        elif kind == "word":
            words.append(_Word(token[0], _unquote(token[0])))
    yield words


def _unquote(text: str) -> str:
    try:
        return "".join(shlex.split(text)) if text[:1] != "#" else text
    except ValueError:
        return text


def _replace(words: list[_Word], other: str) -> str | None:
    for number, word in enumerate(words):
        name = word.value.rpartition("/")[2]
        if name in _PROGRAMS:
            before = [one.text for one in words[: number + 1]]
            rest = _lead_in(_PROGRAMS[name], words[number + 1 :])
            if rest is None:
                continue
            in_one_word = [shlex.quote(other)] if rest[-1:] == ["-c"] else [other]
            return " ".join([*before, *rest, *in_one_word])
    return _replace_inside(words, other)


def _replace_inside(words: list[_Word], other: str) -> str | None:
    """Look into the words that a shell gets as a whole command: ``ssh login1 'sudo … sbatch'``."""
    names = {word.value.rpartition("/")[2] for word in words}
    for number, word in enumerate(words):
        if names & set(_SHELLS) and re.search(r"\s", word.value):
            inside = run_like(word.value, other)
            if inside is not None:
                before = [one.text for one in words[:number]]
                return " ".join([*before, shlex.quote(inside)])
    return None


def _lead_in(program: _Program, words: list[_Word]) -> list[str] | None:
    """Return the words between the program and its command; ``-c`` comes last.

    None if no command follows.
    """
    kept: list[str] = []
    account, in_one_word = not program.account, False
    left = list(words)
    while left:
        word = left.pop(0)
        if word.value.startswith("-") and word.value not in ("-", "--"):
            option = _read_option(program, word.value)
            value = [left.pop(0).text] if option.has_value and left else []
            in_one_word = in_one_word or option.is_command
            account = account or option.is_account  # runuser -u alice COMMAND
            kept += [option.rest] if option.is_command else [word.text, *value]
        elif word.value in ("-", "--") or (
            _ASSIGNMENT.fullmatch(word.value) and not program.account
        ):  # su - alice; sudo -u alice -- COMMAND; sudo NAME=value COMMAND
            kept.append(word.text)
        elif not account:
            kept.append(word.text)
            account = True
        else:
            left.insert(0, word)
            break
    if in_one_word:
        return [*filter(None, kept), "-c"]
    return kept if left else None


@dataclass(frozen=True)
class _Option:
    """A word of options.

    Attributes
    ----------
    has_value
        True if the next word is its value.
    is_command, is_account
        True if the value is the command, or the account.
    rest
        The word without ``-c``.
    """

    has_value: bool = False
    is_command: bool = False
    is_account: bool = False
    rest: str = ""


def _read_option(program: _Program, text: str) -> _Option:
    if text.startswith("--"):
        name, equals, _ = text.partition("=")
        command = program.command and name in ("--command", "--session-command")
        account = program.command and name == "--user"
        return _Option(not equals and name in program.names, command, account)
    for place, letter in enumerate(text[1:], 1):
        if letter in program.letters:
            command = program.command and letter == "c"
            account = program.command and letter == "u"
            rest = text[:place] if place > 1 else ""
            return _Option(place == len(text) - 1, command, account, rest)
    return _Option()
