"""The account of a spawner's user, and the way to what runs as that account."""

from __future__ import annotations

import os
import pwd
from typing import Any

from ..errors import AgentError
from ..run_as.accounts import Account, find_account
from ..run_as.client import AgentClient


async def find_account_of(spawner: Any) -> Account:
    """Return the account under which a spawner's servers run.

    Raises
    ------
    AgentError
        If there is none, or if it may not run servers.
    SchedulerUnavailable
        If there is no connection to the submit host.
    """
    return await find_account(
        find_account_name(spawner),
        spawner.min_uid,
        same_name=spawner.account_name is None,
        host=spawner.get_host(),
    )


async def find_client(spawner: Any) -> AgentClient:
    """Return the way to the agent of a spawner's user; the spawner need not have started anything.

    Raises
    ------
    UniSpawnerError
        If there is none.
    """
    await spawner.find_way()
    await spawner.find_scheduler()
    client: AgentClient = spawner.agent_client(await find_account_of(spawner))
    return client


def find_account_name(spawner: Any) -> str:
    """Return the name of the account of a spawner's user.

    Raises
    ------
    AgentError
        If the administrator's function fails, or returns no name.
    """
    if spawner.account_name is not None:
        try:
            name = spawner.account_name(spawner)
        except Exception as error:  # the administrator's own function: whatever it raises
            raise AgentError(
                f"c.UniSpawner.account_name failed: {type(error).__name__}: {error}"
            ) from error
    elif spawner.run_as == "same_user" and spawner.allow_shared_account:
        name = pwd.getpwuid(os.getuid()).pw_name
    else:
        name = spawner.user.name
    if not isinstance(name, str) or not name:
        raise AgentError(
            f"c.UniSpawner.account_name returned {name!r}, which is not the name of an account"
        )
    return name
