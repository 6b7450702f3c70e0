"""Reads a site's own script: which program reads it, where its header ends, where a container runs.

The script is the site's, and any language and any scheduler's. So it is only searched, and little
is added to it: see :mod:`.private_files`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache

_SH = re.compile(r"(?:r?ba|da|a|z|rk|pdk|mk|lk|ok|k|po|ya)?sh(?:-?\d[\d.]*)?")
"""The names of shells that read the language of sh. csh, tcsh and fish do not."""
_SHEBANG = re.compile(r"\s*#!\s*(.+)")
_DIRECTIVE = re.compile(
    r"#(?:SBATCH|PBS|\$|BSUB|MSUB|COBALT|OAR|PJM|QSUB|JSUB|DSUB|CQSUB|SLURM|flux:|FLUX:|\s?@)"
)
_SHELL_OPTION = re.compile(r"(?<!\S)-S[ \t]+([^\s@,:]+)")
_COMMENT = re.compile(r"\s*(?:#.*)?", re.DOTALL)

_CLOSED = re.compile(
    r"(?:^|[\s/\"'(])(?:docker|podman|podman-hpc|nerdctl|shifter|sarus|udocker|ch-run|enroot)(?=\s)"
    r"|\s--container(?:-image|-name)?[ =]"
)
"""What starts a container that has its own files only, unless the command mounts others."""
_SINGULARITY = re.compile(r"(?:^|[\s/\"'(])(?:singularity|apptainer)(?=\s)")
_NO_HOME = re.compile(
    r"\s--(?:no-home|no-mount|contain|containall)\b"
    r"|\b(?:exec|run)\s+(?:-\S+\s+(?:[^-\s]\S*\s+)?){0,30}?-[a-zA-Z]*[cC]\s"
)
"""Options with which Singularity does not mount the user's home, as it does by default."""
MOUNT = re.compile(r"(?:-v|-B|--volume|--bind|--mount|--container-mounts)[ =]*[\"']?(\S+)")
_HERE_DOCUMENT = re.compile(r"<<-?\s*\\?[\"']?(\w+)")
_CHAIN = re.compile(r"&&|\|\||[;|&]")
_LONGEST = 200
"""The most lines that are taken for parts of a single command."""
_DEEPEST = 5
"""How many here-documents may be within each other."""


def reads_sh(script: str, submit_command: str = "") -> bool:
    """Return whether the program that reads a script reads the language of sh.

    The first line names the program. Grid Engine takes the shell of ``-S`` instead, and its queues
    may have csh, which the first line does not show. PBS and TORQUE take ``-S`` for a script
    without such a line, and their default is the user's login shell; LSF's is sh.

    Parameters
    ----------
    submit_command
        The command that submits the script: it may have ``-S``, too.
    """
    shell = find_shell(script, submit_command)
    return is_sh(shell) if shell else any(map(_DIRECTIVE.match, _header(script)))


def find_shell(script: str, submit_command: str = "") -> str:
    """Return the words that name the program which reads a script; empty if nothing names it."""
    found = _SHEBANG.match(script)
    options = [line for line in _header(script) if _DIRECTIVE.match(line)]
    chosen = _SHELL_OPTION.findall("\n".join([*options, submit_command]))
    of_grid_engine = any(line.startswith("#$") for line in options)
    if chosen and "sbatch" not in submit_command and (of_grid_engine or not found):
        return str(chosen[-1])
    return found[1].strip() if found else ""


def runs_script_in_container(script: str) -> bool:
    """Return whether a directive runs the script itself in a container, as Slurm can."""
    lines = filter(_DIRECTIVE.match, _header(script))
    return any(re.search(r"\s--container(?:-image|-name)?[ =]", line) for line in lines)


def is_sh(command: str) -> bool:
    """Return whether the words behind ``#!`` start a shell that reads the language of sh."""
    words = [word for word in command.split() if not re.match(r"-|\w+=", word)]
    names = [word.rpartition("/")[2] for word in words]
    if names and names[0] in ("env", "busybox"):
        names = names[1:]
    return bool(names) and bool(_SH.fullmatch(names[0]))


def _lines(script: str) -> Iterator[str]:
    """Yield a script's lines with their ends: to a shell, a line feed alone ends a line.

    str.splitlines would also break a comment at other characters, and its rest would be a command.
    """
    return (found[0] for found in re.finditer(r"[^\n]*\n|[^\n]+", script))


def _header(script: str) -> Iterator[str]:
    """Yield the lines before the first command; directives are among them."""
    for number, line in enumerate(_lines(script)):
        # PBS also skips a first line that begins with a colon.
        if not _COMMENT.fullmatch(line) and not (number == 0 and line.startswith(":")):
            return
        yield line


def add_to_header(script: str, line: str) -> str:
    """Return a script with a line behind its directives and before its first command."""
    header = list(_header(script))
    while header and not header[-1].strip():
        header.pop()
    lines = list(_lines(script))
    before = "".join(lines[: len(header)])
    if before and not before.endswith("\n"):
        before += "\n"
    return f"{before}{line}\n{''.join(lines[len(header) :])}"


def is_in_closed_container(script: str, at: int, folder: str) -> bool:
    """Return whether what stands at a place of a script runs in a container without a folder.

    The container then has neither the launcher nor the private files, and the site's image has
    batchspawner's own program.
    """
    command = _command_before(script, at)
    mounts = ":".join(MOUNT.findall(command))
    if _CLOSED.search(command) or _CLOSED.search(_value_of_variables(script, command)):
        return not _is_mounted(folder, mounts)
    if _SINGULARITY.search(command) and _NO_HOME.search(command):
        return not _is_mounted(folder, mounts)
    return False


def is_in_container(script: str, at: int) -> bool:
    """Return whether what stands at a place of a script runs in a container of any kind."""
    command = _command_before(script, at)
    command += _value_of_variables(script, command)
    return bool(_CLOSED.search(command) or _SINGULARITY.search(command))


def _is_mounted(folder: str, mounts: str) -> bool:
    paths = [part.rstrip("/") for part in re.split(r"[:,\"']", mounts)]
    return any(
        path in ("$HOME", "${HOME}", "~", "$HOME/.unispawner")
        or (path.startswith("/") and f"{folder}/".startswith(f"{path}/"))
        for path in paths
    )


def _value_of_variables(script: str, command: str) -> str:
    """Return what a script assigns to the variables that a command begins with or contains."""
    names = set(re.findall(r"\$\{?(\w+)", command))
    values = _assignments(script)
    return "\n".join(value for name in sorted(names & set(values)) for value in values[name])


@lru_cache(maxsize=4)  # it is asked for each place of the same script
def _assignments(script: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for match in re.finditer(
        r"(?m)^[ \t]*(?:export[ \t]+|local[ \t]+)?(\w+)\+?=(.*(?:\\\n.*)*)$", script
    ):
        found.setdefault(match[1], []).append(f" {match[2]}")
    return found


def _command_before(script: str, at: int, depth: int = 0) -> str:
    """Return what stands before a place and belongs to the same command.

    Lines that a backslash or an open quote continues belong to it, and a here-document belongs to
    the command that reads it.
    """
    starts = _statement_starts(script)
    start = starts[bisect_right(starts, at) - 1]
    before = script[start:at].replace("\\\n", " ")
    first, line_break, rest = before.partition("\n")
    if _HERE_DOCUMENT.search(first) and line_break and depth < _DEEPEST:
        inner = _command_before(f"{rest}.", len(rest), depth + 1)
        return first if _CLOSED.search(first) or _SINGULARITY.search(first) else inner
    if before.count('"') % 2 or before.count("'") % 2:
        return before
    return _CHAIN.split(before.replace("\n", ";"))[-1]


@lru_cache(maxsize=4)
def _statement_starts(script: str) -> list[int]:
    starts, end = [], 0
    for text in _statements(script):
        starts.append(end)
        end += len(text)
    return starts


def _statements(script: str) -> Iterator[str]:
    """Yield the script in pieces that each hold whole commands."""
    text, lines = "", 0
    for line in _lines(script):
        text, lines = text + line, lines + 1
        if lines >= _LONGEST or not _goes_on(text):
            yield text
            text, lines = "", 0
    yield text


def _goes_on(text: str) -> bool:
    """Return whether the next line belongs to the same command."""
    if text.lstrip().startswith("#"):
        return False
    if text.rstrip("\r\n").endswith("\\"):
        return True
    if document := _HERE_DOCUMENT.search(text):
        behind = text[document.end() :].splitlines()[1:]
        return document[1] not in [line.strip() for line in behind]
    return '"' in re.sub(r'"[^"]*"|\'[^\']*\'', "", re.sub(r"\\.", "", text))
