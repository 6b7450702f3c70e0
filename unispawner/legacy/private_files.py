"""A legacy job's secrets: in a private file of its user's, and nowhere else.

The script and the commands are the site's own. What the Hub adds is one call of the agent before
the submission, which writes the environment and the launcher, and the path of the wrapper in place
of the name ``batchspawner-singleuser`` in the script.
"""

from __future__ import annotations

import re

from ..errors import InvalidJobError
from ..run_as.accounts import Account
from ..run_as.client import AgentClient
from ..run_as.exec_prefix import ExecPrefix
from ..schedulers import get_scheduler
from ..submit_host.host import HOST
from .traits import BatchTraits

WRAPPER = "batchspawner-singleuser"


def client_for(spawner: BatchTraits, account: Account, prefix: str, state_dir: str) -> AgentClient:
    """Return the way to an account's agent, behind an ``exec_prefix`` that is filled in."""
    return AgentClient(
        account=account,
        scheduler=get_scheduler("local"),  # it is not asked: the site's own commands submit
        run_as=ExecPrefix(prefix, spawner.agent_python),
        host=HOST,
        state_dir=state_dir.replace("{username}", account.name),
        min_uid=spawner.min_uid,
        seconds=spawner.command_timeout,
    )


def run_wrapper(script: str, wrapper: str, command: str) -> str:
    """Return a job's script with the wrapper's path where it had its name, or before the command.

    Parameters
    ----------
    wrapper
        The path in the job's private folder.
    command
        What ``{cmd}`` was: a site may have named a wrapper of its own there.

    Raises
    ------
    InvalidJobError
        If neither is in the script.
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
