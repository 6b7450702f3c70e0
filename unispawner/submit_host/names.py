"""Names of nodes that only the submit host can resolve, because the Hub is on another network."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from ..errors import InvalidJobError, SchedulerUnavailable, UniSpawnerError
from ..frames import HOST_NAME

log = logging.getLogger("JupyterHub.unispawner")  # with the Hub's own handlers

REMEMBERED = 10.0
"""How long (seconds) an answer counts, also an empty one: a new node may soon get an old name."""
MOST_REMEMBERED = 1000
"""How many answers are remembered; users make names up."""
MOST_ADDRESSES = 64
"""How many addresses of one name count."""

T = TypeVar("T")


class Remembered(Generic[T]):
    """The last answers about names, each for ``REMEMBERED`` seconds."""

    def __init__(self) -> None:
        self._answers: OrderedDict[str, tuple[float, T]] = OrderedDict()

    def get(self, name: str) -> T | None:
        """Return the answer about a name; None if there is no recent one."""
        until, answer = self._answers.get(name, (0.0, None))
        return answer if time.monotonic() < until else None

    def put(self, name: str, answer: T) -> None:
        """Remember an answer; the oldest one is forgotten if there are too many."""
        self._answers.pop(name, None)
        self._answers[name] = time.monotonic() + REMEMBERED, answer
        if len(self._answers) > MOST_REMEMBERED:
            self._answers.popitem(last=False)


class Names:
    """Asks the submit host for the addresses of names that jobs have reported.

    Each user has one question at a time, so that made-up names do not delay other users. The broker
    resolves a few at a time, and each request has a deadline.

    Parameters
    ----------
    ask
        Sends a name to the submit host and returns the reply's result; it raises UniSpawnerError.
    place
        The submit host's name, for messages.
    """

    def __init__(self, ask: Callable[[str], Awaitable[Any]], place: str) -> None:
        self._ask, self._place = ask, place
        self._known: Remembered[tuple[str, ...]] = Remembered()
        self._askers: set[str] = set()
        self._logged = ""

    async def resolve(self, name: str, asker: str) -> tuple[str, ...]:
        """Return the addresses of a name; none if the submit host does not know it.

        Raises
        ------
        InvalidJobError
            If it is not the name of a host; it is not sent then.
        SchedulerUnavailable
            If there is no answer, or if an earlier question of the same asker has none yet.
        """
        if not HOST_NAME.fullmatch(name):
            raise InvalidJobError(f"host: {name[:300]!r} is not the name of a host")
        if (found := self._known.get(name)) is not None:
            return found
        if asker in self._askers:
            raise SchedulerUnavailable(
                f"{name!r} is not resolved yet: {self._place} is still asked for another name that "
                "a job of the same user has reported."
            )
        self._askers.add(asker)
        try:
            found = self._read(name, await self._ask(name))
        except UniSpawnerError as error:
            self._log(error)
            raise
        finally:
            self._askers.discard(asker)
        self._known.put(name, found)
        return found

    def _read(self, name: str, result: Any) -> tuple[str, ...]:
        try:
            if not isinstance(result, list):
                raise ValueError
            return tuple(str(ipaddress.ip_address(str(one))) for one in result[:MOST_ADDRESSES])
        except ValueError:
            raise SchedulerUnavailable(
                f"The broker on {self._place} sent no valid addresses of {name!r}."
            ) from None

    def _log(self, error: UniSpawnerError) -> None:
        """Log why the submit host gives no answer, unless that was the last reason, too."""
        if error.message != self._logged:
            self._logged = error.message
            log.warning("%s resolves no names of nodes: %s", self._place, error.message)
