"""What every way of becoming the user shares: one request in, one reply out."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from ..errors import AgentError, error_from_dict
from ..submit_host.host import Finished, SubmitHost
from .accounts import Account

REPLY_LIMIT = 256 * 1024
"""Bytes."""
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8"}
_GRACE = 5.0


class RunAs(ABC):
    """Runs the agent as an account.

    A subclass writes :meth:`command`, and :meth:`explain` for how it fails.
    """

    name: ClassVar[str]

    def __init__(self, agent_python: str, allow_shared_account: bool = False) -> None:
        self.agent_python = agent_python
        self.allow_shared_account = allow_shared_account

    @property
    def agent(self) -> list[str]:
        """The one fixed command: nothing of a user's is ever in it."""
        return [self.agent_python, "-I", "-m", "unispawner.agent"]

    @abstractmethod
    def command(self, account: Account) -> list[str]:
        """Return the command that runs the agent as this account.

        Raises
        ------
        AgentError
            If it can't be.
        """

    def explain(self, account: Account, finished: Finished) -> str:
        """Say what went wrong when no reply came; may be overridden."""
        return f"The user's side ended with status {finished.exit_status} and without a reply."

    async def call(
        self, host: SubmitHost, account: Account, request: Mapping[str, Any], seconds: float
    ) -> Any:
        """Have the agent serve one request and return its result.

        Parameters
        ----------
        seconds
            How long the agent may take; it ends by itself then.

        Raises
        ------
        UniSpawnerError
            Whatever the agent reports.
        AgentError
            If no agent could be run, or its reply makes no sense.
        SchedulerUnavailable
            If it doesn't end in time.
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
    try:
        reply = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return reply if isinstance(reply, dict) and reply.get("version") == 1 else None
