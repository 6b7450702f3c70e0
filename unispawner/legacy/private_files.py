"""A legacy job's secrets: in a private file of its user's, and nowhere else.

The script and the commands are the site's own. What the Hub adds is one call of the agent before
the submission, which writes the environment and the launcher, and the path of the wrapper in place
of the name ``batchspawner-singleuser`` in the script.
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from ..errors import InvalidJobError, UniSpawnerError
from ..run_as.accounts import Account, find_account
from ..run_as.client import AgentClient
from ..run_as.exec_prefix import ExecPrefix
from ..schedulers import get_scheduler
from ..servers import database as saving
from ..submit_host.host import HOST

if TYPE_CHECKING:
    from .base import BatchSpawnerBase

WRAPPER = "batchspawner-singleuser"
VERSION = 1


@dataclass
class SavedJob:
    """What is saved of a job beside batchspawner's own ``job_id`` and ``job_status``; no secret.

    Attributes
    ----------
    mark
        The name of its folder in ``state_dir``; empty if it has none.
    token_id
        The id, not the value, of the server's API token.
    waiting_since
        Seconds since the epoch: when the server began to be waited for.
    port
        Where the server has reported to listen; 0 means not yet.
    stopping
        The job's end was asked for, and its cancellation not yet accepted.
    """

    mark: str = ""
    account: str = ""
    state_dir: str = ""
    token_id: int | None = None
    waiting_since: float = 0.0
    port: int = 0
    stopping: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return what is saved; nothing if there is no job of ours."""
        return {"version": VERSION, **asdict(self)} if self.mark else {}

    @classmethod
    def from_dict(cls, data: object) -> SavedJob:
        """Read what was saved; batchspawner itself has saved nothing here."""
        if not isinstance(data, dict) or data.get("version") != VERSION:
            return cls()
        return cls(**{f.name: data[f.name] for f in fields(cls) if f.name in data})


async def stage(spawner: BatchSpawnerBase, script: str) -> str:
    """Write a job's private files as its user; return the script that runs the wrapper among them.

    Raises
    ------
    InvalidJobError
        If the script runs no server.
    AgentError
        If there is no such account, or its files can't be written.
    """
    spawner.saved = SavedJob(
        mark=secrets.token_hex(8),
        account=(await find_account(spawner.req_username, spawner.min_uid)).name,
        state_dir=spawner.state_dir,
        token_id=saving.token_id(spawner),
        waiting_since=time.time(),
    )
    environment = {name: str(value) for name, value in spawner.get_env().items()}
    client = await _client(spawner)
    try:
        wrapper = await client.stage(
            spawner.saved.mark,
            environment,
            python=spawner.launcher_python,
            options=["--host", "fqdn"],
        )
        return run_wrapper(script, wrapper, spawner.cmd_formatted_for_batch())
    except UniSpawnerError:
        await clean_up(spawner, spawner.saved)
        spawner.saved = SavedJob()
        raise


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
            f"batch_script must have {{cmd}} in it, which starts the server:\n{script}"
        )
    return script.replace(command, f"{wrapper} {command}")


async def clean_up(spawner: BatchSpawnerBase, saved: SavedJob) -> None:
    """Remove a job's private files; what can't be removed now is swept in two months."""
    if not saved.mark:
        return
    try:
        await (await _client(spawner, saved)).cleanup(saved.mark)
    except Exception as error:  # of a directory that is down, too
        spawner.log.warning("%s: files are left: %s", spawner._log_name, error)


async def _client(spawner: BatchSpawnerBase, saved: SavedJob | None = None) -> AgentClient:
    saved = saved or spawner.saved
    account = await find_account(saved.account, spawner.min_uid)
    return client_for(spawner, account, spawner.formatted_exec_prefix(), saved.state_dir)


def client_for(
    spawner: BatchSpawnerBase, account: Account, prefix: str, state_dir: str
) -> AgentClient:
    """Return the way to an account's agent, behind an ``exec_prefix`` that is filled in."""
    return AgentClient(
        account=account,
        scheduler=get_scheduler("local"),  # the site's own commands submit: none is asked
        run_as=ExecPrefix(prefix, spawner.agent_python),
        host=HOST,
        state_dir=state_dir.replace("{username}", account.name),
        min_uid=spawner.min_uid,
        seconds=spawner.command_timeout,
    )
