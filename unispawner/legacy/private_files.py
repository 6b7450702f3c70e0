"""Keeps a legacy job's secrets in a private file of its user, and nowhere else.

The script and the commands are the site's own. Before the submission the Hub calls the agent, which
writes the environment, the launcher and a wrapper. In the script, the wrapper's path replaces the
name ``batchspawner-singleuser``.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ..errors import InvalidJobError
from ..run_as.accounts import Account
from ..run_as.client import AgentClient
from ..run_as.exec_prefix import ExecPrefix
from ..schedulers import get_scheduler
from ..submit_host.host import HOST
from .traits import BatchTraits

WRAPPER = "batchspawner-singleuser"


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


def run_wrapper(script: str, wrapper: str, command: str) -> str:
    """Return a job's script with the wrapper's path in place of its name, or before the command.

    Parameters
    ----------
    wrapper
        The path in the job's private folder.
    command
        The text that ``{cmd}`` stands for: a site may have set another wrapper there.

    Raises
    ------
    InvalidJobError
        If the script has neither the name nor the command.
    """
    named = re.compile(rf"(?<![\w./-]){WRAPPER}(?![\w./-])")
    if named.search(script):
        return named.sub(lambda match: wrapper, script)
    if command not in script:
        raise InvalidJobError(
            "batch_script: the script has no {cmd}, which starts the server. Add it. The script:\n"
            f"{script}"
        )
    return script.replace(command, f"{wrapper} {command}")
