"""What the commands of a legacy job answer."""

from __future__ import annotations

import re
from enum import Enum

LONGEST_LOGGED = 4000
"""Characters of a command's output that are logged, saved or shown."""
LONGEST_SHOWN = 300
"""Characters of a query's output that a user is shown; a longer one is of other jobs, too."""
_JOB_ID = re.compile(r"[\w.@:+/,\[\]-]{1,255}", re.ASCII)
"""Job ids stand in the shell lines of query and cancel commands, and come from the user's side."""


class JobStatus(Enum):
    """What a query says of a job."""

    NOTFOUND = 0
    RUNNING = 1
    PENDING = 2
    UNKNOWN = 3


class CommandFailed(RuntimeError):
    """A command ended with another status than 0; the argument is what it wrote to stderr."""


def is_job_id(text: str) -> bool:
    """Return whether a text may stand in a shell line as a job's id."""
    return bool(_JOB_ID.fullmatch(text))
