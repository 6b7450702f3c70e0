"""Keeps what each user may use of one cluster, and asks anew, as that user, when it is needed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass

from .. import tasks
from ..errors import UniSpawnerError
from ..schedulers.usable import Usable
from .turns import Turns

log = logging.getLogger("JupyterHub.unispawner")  # with the Hub's own handlers

LIFETIME = 4 * 3600.0
"""How long (seconds) an answer is reused, unless the caller says otherwise."""
PAUSE = 60.0
"""How long (seconds) no new question is asked after a failure, or after an answer with gaps."""
MOST_USERS = 5_000
"""How many users' answers are kept: those that were needed last."""
AT_ONCE = 8
"""How many users' questions run at a time. Each takes several commands of the scheduler's."""
LONGEST_PAUSE = 600.0
"""After each further failure, PAUSE is twice as long for this user, up to this."""

Ask = Callable[[], Awaitable[Usable]]
"""Asks the scheduler as the user; it may raise a UniSpawnerError."""


@dataclass(eq=False)
class _Answer:
    """What is known of one user."""

    last: Usable | None = None
    asked_at: float = float("-inf")
    """When the present answer was asked for (time.monotonic)."""
    failed_at: float = float("-inf")
    failures: int = 0
    """How often the user's questions have failed since the last answer."""
    task: asyncio.Task[None] | None = None

    def is_old(self, now: float, lifetime: float) -> bool:
        """Return whether a new answer should be asked for."""
        gaps = self.last is not None and self.last.partial
        old = now - self.asked_at > (min(lifetime, PAUSE) if gaps else lifetime)
        pause = min(PAUSE * 2 ** max(0, self.failures - 1), LONGEST_PAUSE)
        return old and now - self.failed_at > pause


class UsableCache:
    """What users may use of one cluster, by user.

    If several callers ask about a user at the same time, the scheduler gets one question. If it
    does not answer, the last answer stays.
    """

    def __init__(self) -> None:
        self._answers: OrderedDict[Hashable, _Answer] = OrderedDict()
        self._turns = Turns(AT_ONCE)

    def peek(self, user: Hashable, ask: Ask, lifetime: float = LIFETIME) -> Usable | None:
        """Return the last answer without waiting, and ask for a new one if it is old.

        Return None if nothing is known.
        """
        answer = self._find(user)
        if answer.is_old(time.monotonic(), lifetime):
            self._begin(answer, ask)
        return answer.last

    def is_asking(self, user: Hashable) -> bool:
        """Return whether an answer about a user is on its way."""
        return _is_running(self._find(user))

    async def get(
        self, user: Hashable, ask: Ask, lifetime: float = LIFETIME, seconds: float | None = None
    ) -> Usable | None:
        """Return an answer that is at most ``lifetime`` seconds old, or else the last one.

        Parameters
        ----------
        seconds
            How long to wait for a new answer; None waits until there is one, or it has failed.
        """
        answer = self._find(user)
        if answer.is_old(time.monotonic(), lifetime):
            await asyncio.wait({self._begin(answer, ask)}, timeout=seconds)
        return answer.last

    def forget(self, user: Hashable) -> None:
        """Take a user's answer for old, because the scheduler has refused something."""
        if user in self._answers:
            self._answers[user].asked_at = float("-inf")

    def _find(self, user: Hashable) -> _Answer:
        answer = self._answers.setdefault(user, _Answer())
        self._answers.move_to_end(user)
        while len(self._answers) > MOST_USERS:
            self._answers.popitem(last=False)
        return answer

    def _begin(self, answer: _Answer, ask: Ask) -> asyncio.Task[None]:
        if answer.task is None or not _is_running(answer):
            answer.task = tasks.start(self._ask(answer, ask), "what a user may use")
        return answer.task

    async def _ask(self, answer: _Answer, ask: Ask) -> None:
        async with self._turns.take():
            began = time.monotonic()
            try:
                answer.last = await ask()
                answer.asked_at, answer.failed_at, answer.failures = began, float("-inf"), 0
            except Exception as error:
                # A bug, such as one in a parser, is logged with its place.
                ours = isinstance(error, UniSpawnerError)
                log.warning("What a user may use is not known: %s", error, exc_info=not ours)
                answer.failed_at, answer.failures = time.monotonic(), answer.failures + 1


def _is_running(answer: _Answer) -> bool:
    return answer.task is not None and not answer.task.done()
