"""What the cluster has, asked for when somebody wants to know and then kept a while for all."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from .. import tasks
from ..errors import SchedulerUnavailable, UniSpawnerError, as_unavailable
from ..schedulers import Scheduler
from ..schedulers.inventory import Inventory
from ..submit_host.dialogue import hold_dialogue
from ..submit_host.host import SubmitHost

log = logging.getLogger("JupyterHub.unispawner")  # with the Hub's own handlers

LIFETIME = 60.0
"""Seconds for which an answer is good enough, unless somebody wants another."""
STALE = 600.0
"""Seconds after which it is good for nothing, or three lifetimes if that is more."""
PAUSE = 15.0
"""Seconds after a failure before it is tried again."""
SOON = 3.0
"""Seconds that an answer may take, to whoever looks again."""


class InventoryCache:
    """One scheduler's inventory, shared by everybody who looks at a form.

    However many ask at once, one question goes to the scheduler. If it can't answer, what it said
    before is given on, for a form is no place to fail.
    """

    def __init__(
        self, scheduler: Scheduler, host: SubmitHost, environment: Mapping[str, str]
    ) -> None:
        self.scheduler = scheduler
        self.host = host
        self.environment = dict(environment)
        self.asked_at = float("-inf")
        """When that which is known was asked for (time.monotonic)."""
        self._last: Inventory | None = None
        self._failed_at = float("-inf")
        self._error: UniSpawnerError | None = None
        self._task: asyncio.Task[None] | None = None

    async def get(self, lifetime: float = LIFETIME) -> Inventory:
        """Return an inventory not older than ``lifetime`` seconds, or else the last there was.

        Raises
        ------
        UniSpawnerError
            If the scheduler has never told.
        """
        now = time.monotonic()
        if now - self.asked_at > lifetime and now - self._failed_at > PAUSE:
            await asyncio.shield(self._begin())
        if self._last is None:
            raise self._error or SchedulerUnavailable("It is not known yet what the cluster has.")
        return self._last

    def peek(self, lifetime: float = LIFETIME) -> Inventory | None:
        """Return what is known without waiting, and see to it that it will be better known soon.

        None if there is nothing, or it is too old to hold anybody to it.
        """
        age = time.monotonic() - self.asked_at
        if age > lifetime and time.monotonic() - self._failed_at > PAUSE:
            self._begin()
        return self._last if age < max(STALE, 3 * lifetime) else None

    def refresh_in(self, lifetime: float = LIFETIME) -> float:
        """Return the seconds after which it is worth looking again: soon if it is being asked for.

        Not before it may be asked for again: many may look while a scheduler does not answer.
        """
        if self._task is not None and not self._task.done():
            return SOON
        due = max(self.asked_at + lifetime, self._failed_at + PAUSE)
        return max(SOON, due - time.monotonic() + 1)

    @property
    def as_of(self) -> float | None:
        """When that which is known was asked for, in seconds since the epoch; None for never."""
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
            self._last = await hold_dialogue(
                self.scheduler.inventory(), self.host, self.environment
            )
            self.asked_at, self._failed_at = began, float("-inf")
        except Exception as error:
            # Of what isn't ours, such as a bug in a parser, the place is of interest.
            ours = isinstance(error, UniSpawnerError)
            log.warning("The inventory is not known: %s", error, exc_info=not ours)
            self._failed_at = time.monotonic()
            self._error = as_unavailable(error, self.scheduler.title)
