"""Asks each account for its jobs, and ends them, as that account and with a bound on all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from ...errors import AgentError, UniSpawnerError
from ...run_as.accounts import Account, find_account
from ...run_as.client import AgentClient
from ..configured_spawner import Nobody
from .judge import FoundJob
from .places import Place, Problem, find_account_name

CONFIRM_SECONDS = 60.0
"""How long a job may take to end until it is left to the scheduler."""
_PAUSE = 2.0
_AT_A_TIME = 20
"""How many jobs of one account one request ends."""
_MARGIN = 5.0
"""How much longer (seconds) than the agent's own limit an account may take."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class _Asked:
    """One account on one cluster."""

    place: Place
    name: str


class Accounts:
    """The accounts of a Hub's users on its clusters.

    Parameters
    ----------
    places
        The clusters.
    at_once
        How many accounts are asked at the same time.
    timeout
        How long (seconds) one account may take.

    Attributes
    ----------
    problems
        What could not be asked.
    users
        The users of each account.
    without_account
        Names of accounts that do not exist, or that can't have servers.
    """

    def __init__(self, places: Collection[Place], at_once: int, timeout: float) -> None:
        self._places = {one.name: one for one in places}
        self._turns = asyncio.Semaphore(at_once)
        self._timeout = timeout
        self._clients: dict[tuple[str, str], AgentClient] = {}
        self._asked: dict[_Asked, None] = {}
        self.problems: list[Problem] = []
        self.users: dict[str, set[str]] = {}
        self.without_account: set[str] = set()

    def add_users(self, names: Iterable[str], only: Collection[str] = ()) -> None:
        """Add the accounts of users, whether they have servers or not.

        Parameters
        ----------
        only
            The accounts that are asked; all if it is empty.
        """
        for name in names:
            for place in self._places.values():
                try:
                    account = find_account_name(place.spawner, Nobody(name))
                except UniSpawnerError as error:
                    self.problems.append(Problem(str(error), place.name, name))
                    continue
                self.users.setdefault(account, set()).add(name)
                if not only or account in only:
                    self._asked[_Asked(place, account)] = None

    def add_accounts(self, names: Iterable[str]) -> None:
        """Add accounts by name, on every cluster."""
        for name in names:
            self.users.setdefault(name, set())
            self._asked.update({_Asked(place, name): None for place in self._places.values()})

    @property
    def count(self) -> int:
        """How many accounts are asked."""
        return len({one.name for one in self._asked})

    # -- requests ------------------------------------------------------------------------------

    async def list_jobs(self) -> list[FoundJob]:
        """Return the jobs with a mark of all accounts; an account that fails costs no other."""
        found = await self._each(self._asked, self._jobs_of, lambda one: (one.place.name, one.name))
        # Two users, or two spellings of a name, may have one account.
        unique = {(one.place, one.account, one.job.job_id): one for jobs in found for one in jobs}
        return sorted(unique.values(), key=lambda one: (one.place, one.account, one.job.mark))

    async def _jobs_of(self, asked: _Asked) -> list[FoundJob]:
        client = await self._client(asked)
        if client is None:
            return []
        jobs, left_out = await client.marked()
        account = client.account.name
        if account != asked.name:  # the directory spells it in another way
            self.users.setdefault(account, set()).update(self.users[asked.name])
        if left_out:
            message = f"{left_out} more jobs with a mark were left out; run the command again"
            self.problems.append(Problem(message, asked.place.name, account))
        return [FoundJob(asked.place.name, account, one) for one in jobs]

    async def _client(self, asked: _Asked) -> AgentClient | None:
        """Return the way to an account's agent; None if the account can't have servers."""
        spawner = asked.place.spawner
        host = spawner.get_host()
        if await host.find_entry(asked.name) is None:
            self.without_account.add(asked.name)
            return None
        try:
            account: Account = await find_account(asked.name, spawner.min_uid, host=host)
        except AgentError:
            self.without_account.add(asked.name)
            return None
        client = spawner.agent_client(account)
        client = replace(client, seconds=min(client.seconds, self._timeout))
        self._clients[asked.place.name, account.name] = client
        return client

    async def end(self, jobs: Collection[FoundJob]) -> None:
        """End jobs, each as its owner, and set their results; return when they have ended.

        A job that takes longer than ``CONFIRM_SECONDS`` is left to its scheduler.
        """
        groups: dict[tuple[str, str], list[FoundJob]] = {}
        for one in jobs:
            groups.setdefault((one.place, one.account), []).append(one)
        pieces = [
            (key, those[at : at + _AT_A_TIME])
            for key, those in groups.items()
            for at in range(0, len(those), _AT_A_TIME)
        ]
        await self._each(pieces, self._end_some, lambda piece: piece[0])
        for one in jobs:
            one.result = one.result or "it could not be ended: see the errors"
        await self._confirm(groups)

    async def _end_some(self, piece: tuple[tuple[str, str], list[FoundJob]]) -> None:
        key, jobs = piece
        ids = {one.job.mark: one.job.job_id for one in jobs}
        cancelled, errors = await self._clients[key].end_marked(ids)
        for one in jobs:
            mark = one.job.mark
            gone = "" if mark in cancelled else errors.get(mark, "ended")
            one.result = gone or "ending"

    async def _confirm(self, groups: dict[tuple[str, str], list[FoundJob]]) -> None:
        """Wait until the jobs that are being ended have ended, and remove their private files."""
        loop = asyncio.get_running_loop()
        until = loop.time() + CONFIRM_SECONDS
        while left := [key for key, those in groups.items() if _ending(those)]:
            await self._each(left, lambda key: self._look_again(key, groups[key]), lambda key: key)
            if loop.time() > until or not any(_ending(groups[key]) for key in left):
                return
            await asyncio.sleep(_PAUSE)

    async def _look_again(self, key: tuple[str, str], jobs: list[FoundJob]) -> None:
        client = self._clients[key]
        found, left_out = await client.marked()
        marks = {one.mark for one in found}
        for one in _ending(jobs):
            if one.job.mark not in marks and not left_out:
                one.result = "ended"
                await client.cleanup(one.job.mark)

    async def _each(
        self,
        items: Iterable[T],
        work: Callable[[T], Awaitable[R]],
        name: Callable[[T], tuple[str, str]],
    ) -> list[R]:
        """Do the work of each item, some at a time; note what fails, and return the rest."""

        async def do_one(item: T) -> R | None:
            place, account = name(item)
            async with self._turns:
                try:
                    return await asyncio.wait_for(work(item), self._timeout + _MARGIN)
                except UniSpawnerError as error:
                    problem = str(error)
                except asyncio.TimeoutError:
                    problem = f"there was no answer within {self._timeout:g} s (--timeout)"
                except Exception as error:  # a bug must not cost the other accounts
                    problem = f"{type(error).__name__}: {error}"
            found = Problem(problem, place, account)
            self.problems += [] if found in self.problems else [found]
            return None

        results = await asyncio.gather(*map(do_one, items))
        return [result for result in results if result is not None]


def _ending(jobs: Iterable[FoundJob]) -> list[FoundJob]:
    return [one for one in jobs if one.result == "ending"]
