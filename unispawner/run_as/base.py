"""What all ways of becoming the user share: one request to the agent, one reply from it."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from ..errors import AgentError, error_from_dict
from ..submit_host.host import Finished, SubmitHost
from .accounts import Account

REPLY_LIMIT = 256 * 1024
"""How many bytes a reply may have; a longer one is an error."""
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8"}
"""The whole environment of sudo; nothing of the Hub's own goes with it."""
_GRACE = 5.0
"""Seconds that the agent has to end by itself after its time is up, before it is killed."""


class RunAs(ABC):
    """Runs the agent as an account.

    A subclass must define :meth:`command`; it overrides :meth:`explain` if it can fail in ways of
    its own.

    Parameters
    ----------
    agent_python
        The Python that runs the agent.
    allow_shared_account
        Let all servers run as the Hub's own account; only :class:`.same_user.SameUser` can do that.
    """

    name: ClassVar[str]

    def __init__(self, agent_python: str, allow_shared_account: bool = False) -> None:
        self.agent_python = agent_python
        self.allow_shared_account = allow_shared_account

    @property
    def agent(self) -> list[str]:
        """The command of the agent. It is always the same: no text of a user's is ever in it."""
        return [self.agent_python, "-I", "-m", "unispawner.agent"]

    @abstractmethod
    def command(self, account: Account) -> list[str]:
        """Return the command that runs the agent as this account.

        Raises
        ------
        AgentError
            If the agent can't or must not run as this account.
        """

    def explain(self, account: Account, finished: Finished) -> str:
        """Return the message of the error for an agent that ended without a valid reply."""
        if b"No module named 'unispawner'" in finished.stderr:
            return (
                f"agent_python: {account.name} finds no unispawner in the environment of "
                f"{self.agent_python}. Install it there and let users read the environment, or set "
                "c.UniSpawner.agent_python to the Python of the Hub."
            )
        status = finished.exit_status
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return (
            f"The agent of {account.name} ended with {how} and without a valid reply. The "
            f"administrator can try it with `unispawner doctor --account {account.name}`."
        )

    async def call(
        self, host: SubmitHost, account: Account, request: Mapping[str, Any], seconds: float
    ) -> Any:
        """Send one request to the agent and return its result.

        Parameters
        ----------
        seconds
            How long the agent may take. It ends by itself when its time is up.

        Raises
        ------
        UniSpawnerError
            The error that the agent reports.
        AgentError
            If the agent can't be run, or its reply is not valid.
        SchedulerUnavailable
            If the agent does not end in time.
        """
        command = self.command(account)
        finished = await host.run(
            command,
            environment=_ENVIRONMENT,
            timeout=seconds + _GRACE,
            output_limit=REPLY_LIMIT,
            standard_input=json.dumps({**request, "timeout": seconds}).encode(),
            group=account.name,
        )
        reply = _parse(finished.stdout)
        if reply is None:
            raise AgentError(
                self.explain(account, finished),
                command=command,
                exit_status=finished.exit_status,
                output=finished.stderr.decode("utf-8", "replace"),
            )
        if "error" in reply:
            error = reply["error"]
            raise error_from_dict(error if isinstance(error, dict) else {})
        return reply.get("result")


def _parse(raw: bytes) -> dict[str, Any] | None:
    """Return the reply, or None if it is not one of this version: see agent/protocol.py."""
    try:
        reply = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return reply if isinstance(reply, dict) and reply.get("version") == 1 else None
