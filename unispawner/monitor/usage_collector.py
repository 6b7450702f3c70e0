"""Asks for what jobs have used, after their end: the accounting comes later than the end.

Nobody waits for an answer. A site without an accounting is asked once, and then not for hours.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from ..errors import UniSpawnerError
from ..schedulers.usage import Accounting, Usage
from .turns import Turns

log = logging.getLogger("JupyterHub.unispawner")  # with the Hub's own handlers

PAUSES = (3.0, 12.0, 45.0, 180.0)
"""The seconds before each question about a job: after its end, and after the question before."""
REST = 4 * 3600.0
"""How long (seconds) nobody asks where there is no accounting."""
SILENT_USERS = 3
"""The jobs of so many users without an answer, one after the other, mean that there is none."""
AT_ONCE = 4
"""How many questions run at a time, of different users."""
MOST_OF_USER = 20
"""How many jobs of a user wait for their turn: their own side may hang at each question."""
MOST_WAITING = 500
"""How many jobs wait for their turn; what more jobs have used remains unknown."""
MOST_USERS = 5_000

Ask = Callable[[], Awaitable[Accounting]]
"""Asks the accounting as the user; it may raise a UniSpawnerError."""


@dataclass(eq=False)
class _Questions:
    """The questions about the jobs of one user."""

    jobs: int = 0
    """How many jobs there are questions about."""
    one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)


class UsageCollector:
    """The questions to the accounting of one cluster.

    The answers come from the users' own side. So what one user's side says about the accounting
    counts for this user only, until several users' sides have said the same.
    """

    def __init__(self, pauses: Sequence[float] = PAUSES) -> None:
        self.pauses = pauses
        self._waiting = 0
        self._turns = Turns(AT_ONCE)
        self._of_user: dict[str, _Questions] = {}
        self._rests: OrderedDict[str, float] = OrderedDict()
        self._silent: set[str] = set()
        self._has_answered = False
        self._all_rest_until = float("-inf")

    async def collect(self, user: str, ask: Ask) -> Usage | None:
        """Return what a job of a user has used; None if that can't be known. It takes minutes."""
        mine = self._of_user.get(user) or _Questions()
        if self._rests_now(user) or self._waiting >= MOST_WAITING or mine.jobs >= MOST_OF_USER:
            return None
        self._of_user[user] = mine
        self._waiting, mine.jobs = self._waiting + 1, mine.jobs + 1
        try:
            return await self._collect(user, mine, ask)
        finally:
            self._waiting, mine.jobs = self._waiting - 1, mine.jobs - 1
            if not mine.jobs:
                del self._of_user[user]

    async def _collect(self, user: str, mine: _Questions, ask: Ask) -> Usage | None:
        answered = False
        for pause in self.pauses:
            await asyncio.sleep(pause)
            if self._rests_now(user):
                return None
            try:
                async with mine.one_at_a_time, self._turns.take():
                    found = await ask()
            except UniSpawnerError as error:  # it may answer about the next job
                log.debug("What a job of %s has used is not known yet: %s", user, error)
                answered = False
                continue
            answered = True
            if found.usage is not None:
                self._silent.clear()
                self._has_answered = True
                return found.usage
            if not found.kept:
                self._note_silence(user)
                return None
        if answered and not self._has_answered:  # else it lacks this job only
            self._note_silence(user)
        return None

    def _rests_now(self, user: str) -> bool:
        now = time.monotonic()
        return now < self._all_rest_until or now < self._rests.get(user, float("-inf"))

    def _note_silence(self, user: str) -> None:
        """Ask no more for some hours: for this user, or, after several users, for anybody."""
        until = time.monotonic() + REST
        self._rests[user] = until
        self._rests.move_to_end(user)
        while len(self._rests) > MOST_USERS:
            self._rests.popitem(last=False)
        self._silent.add(user)
        if len(self._silent) >= SILENT_USERS:
            self._silent.clear()
            self._all_rest_until = until
            hours = REST / 3600
            log.info("The accounting says nothing about jobs; it is asked again in %g h", hours)
