"""A request that a connection to a broker carries, and what users read if it fails."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from ..command import Finished
from ..errors import SchedulerUnavailable
from .thread_result import ThreadResult

NO_CONNECTION = (
    "The Hub has no connection to the submit host now. Try again in a few minutes. The "
    "administrator finds the reason in the Hub's log."
)
"""What users read; what is to be done about it is the administrator's."""
UNKNOWN_OUTCOME = (
    "The connection to the submit host broke off, and it is not known what became of the request. "
    "The administrator finds the reason in the Hub's log."
)
NO_TURN = "The submit host took no request in time. Try again later."


@dataclass(eq=False)
class Request:
    """A request to a broker that has no answer yet.

    Attributes
    ----------
    deadline
        When (time.monotonic) the far side must not be at work on it any more.
    answer
        Gets the answer or the error.
    sent
        True if the far side may have all of it.
    abandoned
        True if nobody waits for the answer any more.
    """

    header: dict[str, Any]
    body: bytes
    deadline: float
    answer: ThreadResult[Finished]
    sent: bool = False
    abandoned: bool = False
    id: int = field(default_factory=itertools.count(1).__next__)

    @property
    def only_greets(self) -> bool:
        """True if only the greeting is awaited: the first failure is its answer, too."""
        return not self.header

    def fail(self, message: str, printed: str = "", *, open_until: float = 0.0) -> None:
        """Fail with SchedulerUnavailable: see ``open_until`` and ``unsent`` in errors.py."""
        error = SchedulerUnavailable(message, output=printed)
        error.unsent, error.open_until = not self.sent, open_until
        self.answer.deliver(None, error)
