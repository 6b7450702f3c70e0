"""What all ways of becoming the user share: one request to the agent, one reply from it."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from ..errors import AgentError, SchedulerUnavailable, UniSpawnerError
from ..submit_host.host import Finished, SubmitHost
from ..submit_host.replies import parse_reply, reported_error
from .accounts import Account

REPLY_LIMIT = 256 * 1024
"""How many bytes a reply may have; a longer one is an error, whoever carries it."""
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8"}
"""The whole environment of sudo, ssh and the broker; nothing of the Hub's own goes with it."""
_GRACE = 5.0
"""Seconds that the agent has to end by itself after its time is up, before it is killed."""
AFTERMATH = 10.0
"""For how long (seconds) a job of an agent that has reported an error may still appear."""
_NO_AGENT = b"No module named 'unispawner'"


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
        if _NO_AGENT in finished.stderr:
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
        try:
            command = self.command(account)
        except UniSpawnerError as error:
            error.unsent = True
            raise
        body = json.dumps({**request, "timeout": seconds}).encode()
        finished = await self.exchange(host, account, body, seconds)
        reply = parse_reply(finished.stdout) if len(finished.stdout) <= REPLY_LIMIT else None
        if reply is None:
            failure = AgentError(
                self.explain(account, finished),
                command=command,
                exit_status=finished.exit_status,
                output=finished.stderr.decode("utf-8", "replace"),
            )
            failure.unsent = self.never_ran(finished)
            failure.open_until = time.monotonic() + seconds
            raise failure
        if (reported := reported_error(reply)) is not None:
            raise _with_aftermath(reported, seconds)
        return reply.get("result")

    async def exchange(
        self, host: SubmitHost, account: Account, body: bytes, seconds: float
    ) -> Finished:
        """Run the agent with a request on its standard input, and return how it ended."""
        try:
            return await host.run(
                self.command(account),
                environment=ENVIRONMENT,
                timeout=seconds + _GRACE,
                output_limit=REPLY_LIMIT,
                standard_input=body,
                group=account.name,
            )
        except UniSpawnerError as error:
            error.open_until = time.monotonic() + seconds
            raise

    def never_ran(self, finished: Finished) -> bool:
        """Return whether the agent ended before it read its request."""
        return _NO_AGENT in finished.stderr


def _with_aftermath(error: UniSpawnerError, seconds: float) -> UniSpawnerError:
    """Return the error of an agent's reply, with the time until which a job may appear.

    The agent and its commands have ended. The scheduler may still be at work for a while, and
    longer if it did not answer.
    """
    unanswered = isinstance(error, SchedulerUnavailable)
    error.open_until = time.monotonic() + (seconds if unanswered else min(seconds, AFTERMATH))
    return error
