"""What the user of a spawner may use of its cluster: asked as the user, kept for all servers."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from ..errors import UniSpawnerError
from ..monitor.usable_cache import PAUSE, UsableCache
from ..schedulers.usable import Usable
from .as_user import find_account_name, find_client

AT_START = 20.0
"""How long (seconds) a start waits for an answer. After that the scheduler decides."""


class UsableByUser:
    """Answers for one spawner, from the cache of its cluster's monitor.

    That something is not known is never an error, and never means that it is not allowed.
    """

    def __init__(self, spawner: Any) -> None:
        self.spawner = spawner

    def peek(self) -> Usable | None:
        """Return what is known, without waiting, and ask for it in the background if it is old."""
        found = self._find()
        if found is None:
            return None
        cache, user = found
        return cache.peek(user, self._ask, self.spawner.mine_interval)

    def is_asking(self) -> bool:
        """Return whether an answer is on its way."""
        found = self._find()
        return found is not None and found[0].is_asking(found[1])

    async def get(self, *, anew: bool = False) -> Usable | None:
        """Return what is known, and wait for it, but not long, if it is old.

        Parameters
        ----------
        anew
            Whether an answer is old when it has been known for longer than a moment.
        """
        found = self._find()
        if found is None:
            return None
        cache, user = found
        lifetime = self.spawner.mine_interval
        if anew:
            lifetime = min(lifetime, PAUSE)
        return await cache.get(user, self._ask, lifetime, AT_START)

    def forget(self) -> None:
        """Take the answer for old: the scheduler has refused a job."""
        found = self._find()
        if found is not None:
            found[0].forget(found[1])

    def _find(self) -> tuple[UsableCache, Hashable] | None:
        """Return the cluster's cache and the user's key in it; None if they are not known yet."""
        spawner = self.spawner
        if spawner.user is None:
            return None
        try:
            return spawner.monitor().usable, (spawner.user.name, find_account_name(spawner))
        except UniSpawnerError:  # the scheduler is not detected yet, for example
            return None

    async def _ask(self) -> Usable:
        return await (await find_client(self.spawner)).usable()
