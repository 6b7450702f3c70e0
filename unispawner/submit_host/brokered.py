"""The host on which a broker runs: all that the Hub wants there crosses one connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..errors import AgentError, SchedulerUnavailable
from ..schedulers import Scheduler
from ..schedulers.questions import Answer, Question, decode
from .connection import Connection, Explain, no_advice
from .entries import LOOKUP_TIMEOUT, Entry
from .host import GROUP_AT_ONCE, Finished, SubmitHost
from .names import Names
from .replies import parse_reply, reported_error

QUESTION_TIME = 45.0
"""How long (seconds) a question may take; each of its commands has a limit of its own."""
NAME_TIME = 5.0
"""How long (seconds) a name may take to be resolved."""
LARGE = 64 * 1024
"""How many bytes of a reply are read on the event loop; more are read in a thread."""
OTHERS_AT_ONCE = 64
"""How many questions the Hub sends at a time, and as many look-ups of accounts; others wait."""
AGENTS_AT_ONCE = 32
"""How many agents the Hub requests at a time.

The broker knows its host, and has limits of its own. What waits there grows old, so not all
requests are sent at once.
"""


class BrokeredHost(SubmitHost):
    """Answers questions, finds accounts and reaches agents through one broker.

    It runs no commands of the Hub's choice. The number of requests at a time is limited as for
    other hosts, and so is that of each user.

    Parameters
    ----------
    connection
        The connection to the broker.
    place
        The host's name, for messages; empty if it is the Hub's own host.
    """

    def __init__(
        self, connection: Connection, place: str = "", at_once: int = AGENTS_AT_ONCE
    ) -> None:
        super().__init__(at_once)
        self.connection = connection
        self.place = place or SubmitHost.place
        self.here = not place
        self._names = Names(self._ask_name, self.place)

    async def run(self, command: Sequence[str], **_: Any) -> Finished:
        """Refuse to run a command.

        Raises
        ------
        AgentError
            In any case: a broker runs no command that the Hub names.
        """
        raise AgentError(
            f"{command[0]}: the broker on {self.place} runs no commands of the Hub's. It only "
            "answers its questions and runs the agent."
        )

    async def run_agent(self, account: str, body: bytes, seconds: float) -> Finished:
        """Run the agent as an account, and return how it ended and what it printed.

        Raises
        ------
        SchedulerUnavailable
            If there is no connection or no answer: see :meth:`.Connection.request`.
        """
        async with self._turns_for(account):
            return await self.connection.request(
                {"kind": "agent", "account": account}, body, seconds
            )

    async def find_entry(self, name: str) -> Entry | None:
        """Return what the directory service of the broker's host knows of an account."""
        if self.here:
            return await super().find_entry(name)
        if not 0 < len(name) <= 256:
            return None  # no directory service has it, and a frame's header is short
        header = {"kind": "account", "account": name}
        # First a turn among those for this name: a user with many starts delays nobody else.
        async with self._others(f"account {name}", GROUP_AT_ONCE), self._others("accounts"):
            result = await self._ask(header, b"", LOOKUP_TIMEOUT)
        if result is None:
            return None
        try:
            texts = [str(result[key] or "") for key in ("name", "home", "uid_name")]
            return Entry(texts[0], int(result["uid"]), texts[1], texts[2])
        except (KeyError, TypeError, ValueError, OverflowError):
            raise SchedulerUnavailable(
                f"The broker on {self.place} sent no valid account for {name!r}."
            ) from None

    def hurry(self) -> None:
        """Have the connection tried again soon: a user waits."""
        if self.connection.problem:
            self.connection.hurry()

    async def resolve(self, name: str, asker: str) -> tuple[str, ...]:
        """Return the addresses that the broker's host has for a node; none if that is the Hub's.

        Raises
        ------
        UniSpawnerError
            See :meth:`.Names.resolve`.
        """
        return () if self.here else await self._names.resolve(name, asker)

    def _others(self, what: str, at_once: int | None = None) -> asyncio.Semaphore:
        """Return the turns of requests to others than agents; no account's name begins with NUL."""
        return self._turns_of(f"\0{what}", at_once or OTHERS_AT_ONCE)

    async def _ask_name(self, name: str) -> Any:
        return await self._ask({"kind": "name"}, name.encode(), NAME_TIME)

    async def _answer(
        self,
        scheduler: Scheduler,
        name: str,
        arguments: Collection[str],
        environment: Mapping[str, str],
    ) -> Answer:
        """Have the broker ask: its own arguments name the environment of the commands."""
        question = Question(name, tuple(arguments), scheduler.name, scheduler.options)
        body = json.dumps(question.to_dict()).encode()
        async with self._others("questions"):
            data = await self._ask({"kind": "question"}, body, QUESTION_TIME)
        # Not on the event loop: an inventory may have thousands of nodes.
        return await asyncio.to_thread(decode, name, data)

    async def _ask(self, header: Mapping[str, Any], body: bytes, seconds: float) -> Any:
        """Return the result of a request, or raise the error that the broker's side reports."""
        finished = await self.connection.request(header, body, seconds)
        if len(finished.stdout) > LARGE:
            reply = await asyncio.to_thread(parse_reply, finished.stdout)
        else:
            reply = parse_reply(finished.stdout)
        if reply is None:
            raise SchedulerUnavailable(
                f"The broker on {self.place} gave no valid answer to a question "
                f"({header['kind']}).",
                exit_status=finished.exit_status,
                output=finished.stderr.decode("utf-8", "replace"),
            )
        if (error := reported_error(reply)) is not None:
            raise error
        return reply.get("result")


_hosts: dict[tuple[str, ...], BrokeredHost] = {}


def get_brokered_host(
    command: Sequence[str],
    environment: Mapping[str, str],
    place: str = "",
    explain: Explain = no_advice,
) -> BrokeredHost:
    """Return the one host that this command leads to, shared by all spawners that use it.

    Parameters
    ----------
    command, environment, explain
        See :class:`.connection.Connection`.
    """
    key = tuple(command)
    if key not in _hosts:
        _hosts[key] = BrokeredHost(Connection(command, environment, explain), place)
    return _hosts[key]
