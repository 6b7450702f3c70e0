"""The end of the log of a server that starts, for its pages: read seldom, and once for all.

Each reading runs a process as the user, and takes one of the few turns that the user's commands
have. So an answer serves all pages of a server for a while, and a user's servers have a steady pace
together.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from .. import tasks
from ..web.allowance import AllowanceByUser
from ..web.per_hub import PerHub
from .scheduled_job import ScheduledJob

LINES = 100
"""How many lines are shown."""
LIFETIME = 3.0
"""How long (seconds) an answer is reused, also one that says why there is none. Pages ask every
five seconds."""
AT_FIRST, PAUSE = 10, 2.0
"""How many logs of a user are read without a pause, and every how many seconds one after that."""


class ReadLater(Exception):
    """The user's logs are read too often.

    Parameters
    ----------
    seconds
        After how many whole seconds another reading is possible.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"The log can't be read so often. Ask again in {seconds} s.")
        self.seconds = seconds


@dataclass
class _Reading:
    task: asyncio.Task[str]
    ended: float = math.inf

    def is_fresh(self, now: float) -> bool:
        return not self.task.done() or now - self.ended < LIFETIME


class LiveLogs:
    """The logs that are being read, or were read a moment ago.

    Parameters
    ----------
    clock
        The time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._allowance = AllowanceByUser(AT_FIRST, PAUSE, clock)
        self._readings: WeakKeyDictionary[ScheduledJob, _Reading] = WeakKeyDictionary()

    async def read(self, job: ScheduledJob, user: str) -> str:
        """Return the end of a job's log.

        Raises
        ------
        ReadLater
            If logs of this user are asked for too often, and no answer is at hand.
        UniSpawnerError
            If it can't be read now.
        """
        reading = self._readings.get(job)
        if reading is None or not reading.is_fresh(self._clock()):
            if not self._allowance.take(user):
                raise ReadLater(math.ceil(PAUSE))
            reading = self._readings[job] = self._begin(job)
        return await asyncio.shield(reading.task)

    def _begin(self, job: ScheduledJob) -> _Reading:
        reading = _Reading(tasks.start(job.read_log(LINES), f"log of {job.name}"))

        def note_end(_: asyncio.Task[str]) -> None:
            reading.ended = self._clock()

        reading.task.add_done_callback(note_end)
        return reading


LIVE_LOGS = PerHub(LiveLogs)
