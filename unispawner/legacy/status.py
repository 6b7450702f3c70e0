"""What the commands of a legacy job return: states and failures."""

from __future__ import annotations

from enum import Enum

from ..errors import clean_output

LONGEST_LOGGED = 4000
"""How many characters of a command's output are logged or saved."""
LONGEST_SHOWN = 300
"""The longest output of a query, in characters, that a user is shown: longer output is about other
jobs, too."""


def for_log(output: str) -> str:
    """Return the beginning of a command's output for the log.

    Users may have written parts of it, so control characters are replaced: they would do something
    to the terminal of whoever reads the log.
    """
    return clean_output(output[:LONGEST_LOGGED])


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
