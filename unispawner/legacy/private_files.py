"""Keeps a legacy job's secrets in a private file of its user, and nowhere else.

The script and the commands are the site's own. Before the submission the Hub calls the agent, which
writes the environment, the launcher and a wrapper. In the script, the wrapper's path replaces the
name ``batchspawner-singleuser``. A script of sh's language also gets a line that reads the
environment, for commands of its own that need it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from ..errors import InvalidJobError
from ..run_as.accounts import Account
from ..run_as.client import AgentClient
from ..run_as.exec_prefix import ExecPrefix
from ..schedulers import get_scheduler
from ..script.variables import READER
from ..submit_host.host import HOST
from .site_script import add_to_header, reads_sh, runs_closed, runs_container
from .traits import BatchTraits

WRAPPER = "batchspawner-singleuser"
_PROGRAM = re.compile(rf"(?<![\w./-])(?:[^\s'\"=;|&()<>`:,]*/)?{WRAPPER}(?![\w./-])")
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
    has_variables = reads_sh(script, spawner.batch_submit_cmd)
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
    found = _PROGRAM.finditer(script)
    return {
        match[0]
        for match in found
        if _ABSOLUTE.fullmatch(match[0]) and not runs_container(script, match.start())
    }


def find_starts(script: str, command: str) -> list[int]:
    """Return where a script has the command or the program that starts the server.

    A program whose path has a variable in it is left out, because it can be anything.
    """
    named = (match for match in _PROGRAM.finditer(script))
    found = [one.start() for one in named if one[0] == WRAPPER or _ABSOLUTE.fullmatch(one[0])]
    return found + [start for start, _ in _find_command(script, command)]


def _find_command(script: str, command: str) -> list[tuple[int, int]]:
    """Return where the text that ``{cmd}`` stands for begins and ends in a script."""
    if not command.strip():  # a site's class may have another way to start the server
        return []
    return [match.span() for match in re.finditer(re.escape(command), script)]


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
    for match in _PROGRAM.finditer(script):
        at, end = match.span()
        within = any(start <= at < last for start, last in commands)
        is_path = bool(_ABSOLUTE.fullmatch(match[0]))
        replaced = match[0] == WRAPPER or (
            is_path
            and not runs_container(script, at)
            and (match[0] in missing or not (has_variables or within))
        )
        if replaced and not runs_closed(script, at, folder):
            edits[at] = end, wrapper
    for start, _ in commands:
        has_name = WRAPPER in re.split(r"[\s'\"]", command)
        if start not in edits and not has_name and not runs_closed(script, start, folder):
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
