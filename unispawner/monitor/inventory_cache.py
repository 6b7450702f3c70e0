"""Keeps a cluster's inventory for all users, and asks for a new one when somebody needs it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from .. import tasks
from ..errors import SchedulerUnavailable, UniSpawnerError, as_unavailable
from ..schedulers import Scheduler
from ..schedulers.inventory import Inventory
from ..submit_host.host import SubmitHost

log = logging.getLogger("JupyterHub.unispawner")  # with the Hub's own handlers

LIFETIME = 60.0
"""How long (seconds) an inventory is reused, unless the caller says otherwise."""
STALE = 600.0
"""The age (seconds) at which an inventory is useless, or three lifetimes if that is more."""
PAUSE = 15.0
"""How long (seconds) after a failure no new question is asked."""
SOON = 3.0
"""How long (seconds) an answer may be expected to take, for callers who ask again."""


class InventoryCache:
    """One scheduler's inventory, shared by everybody who looks at a form.

    If several callers ask at the same time, the scheduler gets one question. If it does not answer,
    the last inventory is returned, so that a form still works.
    """

    def __init__(
        self, scheduler: Scheduler, host: SubmitHost, environment: Mapping[str, str]
    ) -> None:
        self.scheduler = scheduler
        self.host = host
        self.environment = dict(environment)
        self.asked_at = float("-inf")
        """When the present inventory was asked for (time.monotonic)."""
        self._last: Inventory | None = None
        self._failed_at = float("-inf")
        self._error: UniSpawnerError | None = None
        self._task: asyncio.Task[None] | None = None

    async def get(self, lifetime: float = LIFETIME) -> Inventory:
        """Return an inventory that is at most ``lifetime`` seconds old, or else the last one.

        Raises
        ------
        UniSpawnerError
            If the scheduler has never answered.
        """
        now = time.monotonic()
        if now - self.asked_at > lifetime and now - self._failed_at > PAUSE:
            await asyncio.shield(self._begin())
        if self._last is None:
            raise self._error or SchedulerUnavailable(
                f"{self.scheduler.title} has not reported its nodes and queues yet."
            )
        return self._last

    def peek(self, lifetime: float = LIFETIME) -> Inventory | None:
        """Return the last inventory without waiting, and ask for a new one if it is old.

        Return None if there is no inventory, or if it is too old to be used.
        """
        age = time.monotonic() - self.asked_at
        if age > lifetime and time.monotonic() - self._failed_at > PAUSE:
            self._begin()
        return self.recent(lifetime)

    def recent(self, lifetime: float = LIFETIME) -> Inventory | None:
        """Return what :meth:`peek` does, and ask for nothing."""
        age = time.monotonic() - self.asked_at
        return self._last if age < max(STALE, 3 * lifetime) else None

    def refresh_in(self, lifetime: float = LIFETIME) -> float:
        """Return after how many seconds there may be a newer inventory.

        While a question is open, that is soon. Otherwise it is not before the next question may be
        asked, because many users may wait for a scheduler that does not answer.
        """
        if self._task is not None and not self._task.done():
            return SOON
        due = max(self.asked_at + lifetime, self._failed_at + PAUSE)
        return max(SOON, due - time.monotonic() + 1)

    @property
    def as_of(self) -> float | None:
        """When the present inventory was asked for (seconds since the epoch); None without one."""
        if self._last is None:
            return None
        return time.time() - (time.monotonic() - self.asked_at)

    def _begin(self) -> asyncio.Task[None]:
        if self._task is None or self._task.done():
            self._task = tasks.start(self._ask(), f"inventory of {self.scheduler.title}")
        return self._task

    async def _ask(self) -> None:
        began = time.monotonic()
        try:
            self._last = await self.host.ask(
                self.scheduler, "inventory", environment=self.environment
            )
            self.asked_at, self._failed_at = began, float("-inf")
        except Exception as error:
            # A bug, such as one in a parser, is logged with its place.
            ours = isinstance(error, UniSpawnerError)
            log.warning("The nodes and queues can't be listed: %s", error, exc_info=not ours)
            self._failed_at = time.monotonic()
            self._error = as_unavailable(error, self.scheduler.title)
