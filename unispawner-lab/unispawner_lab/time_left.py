"""How much time is left for this session: what the Hub knows, and what the scheduler announces."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from datetime import datetime, timezone
from typing import Any

from traitlets import Integer, List
from traitlets.config import Configurable

from .hub import Hub, NoAnswer, NotKnown
from .words import ANNOUNCED, STATES

NEAR = 20 * 60
"""From how many seconds before the end on the Hub is asked more often."""
SELDOM, OFTEN, NOT_KNOWN = 300.0, 60.0, 1800.0
"""How long (seconds) an answer is used again: usually, near the end, and if there is none."""
EARLIER = 90.0
"""By how much (seconds) a scheduler may announce the end too early: Slurm looks each minute."""
ANNOUNCEMENT_LIMIT = 64
"""Bytes of the file with an announced end."""

log = logging.getLogger(__name__)


class TimeLeft(Configurable):
    """What JupyterLab is told about the time left.

    Parameters
    ----------
    hub
        The Hub of this server.
    announcement
        The path of the file that unispawner's launcher writes when the scheduler announces the end;
        empty if there is none.
    """

    warnings = List(
        Integer(min=1),
        default_value=[900, 300],
        help="""How long (seconds) before the end of the session JupyterLab shows a warning.
        Example: [1800, 600, 120]; []: no warning. Default: [900, 300].""",
    ).tag(config=True)

    def __init__(self, hub: Hub, announcement: str = "", **arguments: Any) -> None:
        super().__init__(**arguments)
        self._hub, self._announcement = hub, announcement
        self._status: dict[str, Any] = {}
        self._answered = self._ask_next = self.clock()
        self._lock = asyncio.Lock()

    def clock(self) -> float:
        """Return the time in seconds, from any beginning."""
        return time.monotonic()

    async def answer(self) -> dict[str, Any]:
        """Return ``time_left`` (seconds, or None), ``end``, ``reason`` and ``warnings``."""
        async with self._lock:  # several windows ask at once, and the Hub is asked once
            if self.clock() >= self._ask_next:
                await self._ask()
        left, reason = self._from_hub()
        announced = self._announced()
        if announced is not None and (left is None or announced < left - EARLIER):
            left, reason = announced, reason or ANNOUNCED
        end = None if left is None else datetime.fromtimestamp(time.time() + left, timezone.utc)
        return {
            "time_left": left,
            "end": end and end.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "reason": reason,
            "warnings": sorted(self.warnings, reverse=True),
        }

    async def _ask(self) -> None:
        """Ask the Hub; if it does not answer, its last answer stays."""
        pause = OFTEN
        try:
            self._status, self._answered = await self._hub.status(), self.clock()
            left, _ = self._from_hub()
            pause = SELDOM if left is None or left > NEAR + SELDOM else OFTEN
        except NotKnown:
            self._status, pause = {}, NOT_KNOWN
        except NoAnswer as error:
            log.info("unispawner_lab: the Hub was asked for the time left: %s", error)
        self._ask_next = self.clock() + pause

    def _from_hub(self) -> tuple[float | None, str]:
        """Return the seconds that are left now by the Hub's last answer, and its reason."""
        reason = STATES.get(str(self._status.get("state")), "")
        left = self._status.get("time_left")
        if isinstance(left, bool) or not isinstance(left, (int, float)) or not 0 <= left < 2**33:
            return None, reason
        return max(0.0, left - (self.clock() - self._answered)), reason

    def _announced(self) -> float | None:
        """Return the seconds until the end that the scheduler has announced, or None.

        The launcher has written the end as seconds since the epoch, by the clock of this host.
        """
        if not self._announcement:
            return None
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            with open(os.open(self._announcement, flags), "rb") as file:
                if os.fstat(file.fileno()).st_uid != os.getuid():
                    return None  # anybody may write into /tmp
                end = float(file.read(ANNOUNCEMENT_LIMIT))
        except (OSError, ValueError):
            return None
        return max(0.0, end - time.time()) if math.isfinite(end) and end < 2**33 else None
