"""What the commands of a legacy job return: states and failures."""

from __future__ import annotations

from enum import Enum

LONGEST_LOGGED = 4000
"""How many characters of a command's output are logged or saved."""
LONGEST_SHOWN = 300
"""The longest output of a query, in characters, that a user is shown: longer output is about other
jobs, too."""


class JobStatus(Enum):
    """What a query says about a job."""

    NOTFOUND = 0
    RUNNING = 1
    PENDING = 2
    UNKNOWN = 3


class CommandFailed(RuntimeError):
    """A command failed; the argument is what it wrote to standard error.

    Attributes
    ----------
    ended
        False if it was killed because it took too long or printed too much.
    """

    ended = True
