"""Keeps a legacy job's secrets in a private file of its user, and nowhere else.

The script and the commands are the site's own. Before the submission the Hub calls the agent, which
writes the environment, the launcher and a wrapper. In the script, the wrapper's path replaces the
name ``batchspawner-singleuser``. A script of sh's language also gets a line that reads the
environment, for commands of its own that need it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidJobError
from ..run_as.accounts import Account
from ..run_as.client import AgentClient
from ..run_as.exec_prefix import ExecPrefix
from ..schedulers import get_scheduler
from ..script.variables import READER
from ..submit_host.host import HOST
from .filling import read_template
from .site_script import add_to_header, is_in_closed_container, is_in_container, reads_sh
from .traits import BatchTraits

WRAPPER = "batchspawner-singleuser"
_WORD = re.compile(r"[^\s'\"=;|&()<>`:,]+")
_NAME = re.compile(rf"{WRAPPER}(?![\w./-])")
MOST_STARTS = 100
"""How often a script may name the program or the command that starts the server: each place is
looked at with its surroundings, and a user's text may be in the script."""
_ABSOLUTE = re.compile(r"/[\w@%+./-]*")


def make_client(
    spawner: BatchTraits, account: Account, fill: Callable[[str], str], state_dir: str
) -> AgentClient:
    """Return the client of an account's agent.

    Parameters
    ----------
    fill
        Returns the template of a trait, filled in.
    """
    return AgentClient(
        account=account,
        scheduler=get_scheduler("local"),  # not used: the site's own commands submit the job
        run_as=find_run_as(spawner, fill),
        host=HOST,
        state_dir=state_dir.replace("{username}", account.name),
        trusted_parents=tuple(spawner.trusted_parents),
        min_uid=spawner.min_uid,
        seconds=spawner.command_timeout,
    )


def find_run_as(spawner: BatchTraits, fill: Callable[[str], str]) -> ExecPrefix:
    """Return how the agent becomes the user: as the submit command does, or by ``agent_prefix``.

    Raises
    ------
    InvalidJobError
        If a template that is needed for it can't be filled in.
    """
    if spawner.agent_prefix:
        return ExecPrefix(fill("agent_prefix"), spawner.agent_python)
    prefix = fill("exec_prefix")
    try:
        submit_command = fill("batch_submit_cmd")
    except InvalidJobError:
        if not prefix.strip():
            raise
        submit_command = ""  # exec_prefix is enough
    return ExecPrefix(prefix, spawner.agent_python, submit_command)


def complete_script(spawner: Any, script: str, wrapper: str, missing: Collection[str] = ()) -> str:
    """Return a site's script as it is submitted.

    Parameters
    ----------
    wrapper
        The path of the wrapper in the job's private folder.
    missing
        Paths of batchspawner's own program that do not exist.

    Raises
    ------
    InvalidJobError
        If the script starts no server.
    """
    submit_command = str(read_template(spawner, "batch_submit_cmd"))
    has_variables = reads_sh(script, submit_command)
    script = run_wrapper(
        script,
        wrapper,
        spawner.cmd_formatted_for_batch(),
        has_variables=has_variables,
        missing=missing,
    )
    return add_variables(script, wrapper) if has_variables else script


def add_variables(script: str, wrapper: str) -> str:
    """Return a script of sh's language that reads the server's variables before its first command.

    The added line holds the path of the job's private file and no variable. A queue of Grid Engine
    may have csh for its shell, which prints the message of the line and goes on.
    """
    file = f"{wrapper.rpartition('/')[0]}/{READER}"
    message = f"unispawner: {file} can not be read, so the variables of the server are missing"
    return add_to_header(script, f'test -r {file} && . {file} || echo "{message}"')


def own_programs(script: str) -> set[str]:
    """Return the absolute paths of batchspawner's own program that a script names.

    Paths in containers are left out: they are the image's.
    """
    return {
        one.path
        for one in _find_programs(script)
        if _ABSOLUTE.fullmatch(one.path) and not is_in_container(script, one.start)
    }


def find_starts(script: str, command: str) -> list[int]:
    """Return where a script has the command or the program that starts the server.

    A program whose path has a variable in it is left out, because it can be anything.
    """
    named = _find_programs(script)
    found = [one.start for one in named if one.path == WRAPPER or _ABSOLUTE.fullmatch(one.path)]
    return found + [start for start, _ in _find_command(script, command)]


def _find_command(script: str, command: str) -> list[tuple[int, int]]:
    """Return where the text that ``{cmd}`` stands for begins and ends in a script."""
    if not command.strip():  # a site's class may have another way to start the server
        return []
    return [match.span() for match in re.finditer(re.escape(command), script)]


@dataclass(frozen=True)
class _Program:
    """A place of a script with batchspawner's own program, with its path if it has one."""

    start: int
    path: str

    @property
    def end(self) -> int:
        return self.start + len(self.path)


def _find_programs(script: str) -> list[_Program]:
    """Return where a script names batchspawner's own program.

    Raises
    ------
    InvalidJobError
        If that is too often.
    """
    found: list[_Program] = []
    for one in _each_program(script):
        found.append(one)
        if len(found) > MOST_STARTS:
            raise InvalidJobError(
                f"batch_script: the script names {WRAPPER} more than {MOST_STARTS} times; remove it"
            )
    return found


def _each_program(script: str) -> Iterator[_Program]:
    for match in _WORD.finditer(script):
        word, begin = match[0], 0
        for name in _NAME.finditer(word):
            before = word[begin : name.start()]
            at = begin if before.endswith("/") else name.start()
            if at == begin or not re.match(r"[\w.-]", before[-1:]):
                yield _Program(match.start() + at, word[at : name.end()])
            begin = name.end()


def run_wrapper(
    script: str,
    wrapper: str,
    command: str,
    *,
    has_variables: bool = False,
    missing: Collection[str] = (),
) -> str:
    """Return a job's script with the wrapper's path in place of its name, or before the command.

    In a container that has not the user's folders, the name stays: its image has batchspawner.

    Parameters
    ----------
    wrapper
        The path in the job's private folder.
    command
        The text that ``{cmd}`` stands for: a site may have set another wrapper there.
    has_variables
        Whether :func:`add_variables` is used as well. Then batchspawner's own program, called by
        its path, and a site's own program have what they need.
    missing
        Paths of batchspawner's own program that do not exist.

    Raises
    ------
    InvalidJobError
        If the script has neither the name nor the command, and no variables.
    """
    if not (has_variables or find_starts(script, command)):
        raise InvalidJobError(no_command(script))
    folder = wrapper.rpartition("/")[0]
    edits: dict[int, tuple[int, str]] = {}
    commands = _find_command(script, command)
    if len(commands) > MOST_STARTS:
        raise InvalidJobError(
            f"batch_script: the script has {command!r} more than {MOST_STARTS} times; remove it"
        )
    for one in _find_programs(script):
        at = one.start
        within = any(start <= at < last for start, last in commands)
        is_path = bool(_ABSOLUTE.fullmatch(one.path))
        replaced = one.path == WRAPPER or (
            is_path
            and not is_in_container(script, at)
            and (one.path in missing or not (has_variables or within))
        )
        if replaced and not is_in_closed_container(script, at, folder):
            edits[at] = one.end, wrapper
    for start, _ in commands:
        has_name = WRAPPER in re.split(r"[\s'\"]", command)
        if (
            start not in edits
            and not has_name
            and not is_in_closed_container(script, start, folder)
        ):
            edits[start] = start, f"{wrapper} "
    for at in sorted(edits, reverse=True):
        end, text = edits[at]
        script = f"{script[:at]}{text}{script[end:]}"
    return script


def no_command(script: str) -> str:
    """Return the message about a script that starts no server."""
    return (
        "batch_script: the script has no {cmd}, which starts the server. Add it. The script:\n"
        f"{script}"
    )
