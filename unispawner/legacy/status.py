"""What the commands of a legacy job return: states, failures and job ids."""

from __future__ import annotations

import re
from enum import Enum

LONGEST_LOGGED = 4000
"""How many characters of a command's output are logged or saved."""
LONGEST_SHOWN = 300
"""The longest output of a query, in characters, that a user is shown: longer output is about other
jobs, too."""
_JOB_ID = re.compile(r"[\w.@:+/,\[\]-]{1,255}", re.ASCII)
"""A job id is written into the shell lines of the query and cancel commands, and comes from output
that the user may have forged."""


class JobStatus(Enum):
    """What a query says about a job."""

    NOTFOUND = 0
    RUNNING = 1
    PENDING = 2
    UNKNOWN = 3


class CommandFailed(RuntimeError):
    """A command failed; the argument is what it wrote to standard error."""


def is_job_id(text: str) -> bool:
    """Return whether a text is safe in a shell line as a job's id."""
    return bool(_JOB_ID.fullmatch(text))
