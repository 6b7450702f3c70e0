"""The errors of unispawner.

UniSpawnerError
 ├── InvalidJobError        the request itself is wrong: a field, a value, a bound
 ├── SubmitError            the scheduler refused the job
 ├── CancelError            the scheduler refused to cancel it
 ├── JobEndedError          the job ended, or never reported, before its server was ready
 ├── SchedulerUnavailable   the scheduler can't be asked just now: nothing is known
 └── AgentError             the user's side could not be reached, or made no sense

Every one carries the command that failed, its exit status and its output, and crosses the user
boundary as plain data (:meth:`UniSpawnerError.to_dict`, :func:`error_from_dict`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

OUTPUT_LIMIT = 4000
"""Characters of a command's output that an error keeps: the end of it, where the reason stands."""


# Foreign text may hold what moves a terminal's cursor, or looks like lines of the log's own.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class UniSpawnerError(Exception):
    """Anything that unispawner raises on purpose.

    Parameters
    ----------
    message
        One or more sentences for the person who reads it: what failed and what to do.
    command
        The command that failed, as an argument list; empty if there was none.
    exit_status
        Its exit status; None if it did not run or did not end.
    output
        What it printed, in the scheduler's own words; cut to the last ``OUTPUT_LIMIT`` characters.
    """

    def __init__(
        self,
        message: str,
        *,
        command: Sequence[str] = (),
        exit_status: int | None = None,
        output: str = "",
    ) -> None:
        self.message = _CONTROL.sub(" ", message)
        super().__init__(self.message)
        self.command = tuple(command)
        self.exit_status = exit_status
        # Line breaks may stay: the log indents them.
        self.output = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", output.strip()[-OUTPUT_LIMIT:])

    def __str__(self) -> str:
        if self.output and self.output not in self.message:
            return f"{self.message}\n{self.output}"
        return self.message

    def to_dict(self) -> dict[str, Any]:
        """Return the error as JSON-serialisable data; ``error_from_dict`` reads it back."""
        return {
            "type": type(self).__name__,
            "message": self.message,
            "command": list(self.command),
            "exit_status": self.exit_status,
            "output": self.output,
        }


class InvalidJobError(UniSpawnerError):
    """A job that can't be asked for: names the field, the value and what would be right."""


class SubmitError(UniSpawnerError):
    """The scheduler refused a job; ``output`` holds its own words."""


class CancelError(UniSpawnerError):
    """The scheduler refused to cancel a job; ``output`` holds its own words."""


class JobEndedError(UniSpawnerError):
    """A job ended before its server was ready; ``output`` holds the end of the job's log."""


class SchedulerUnavailable(UniSpawnerError):
    """The scheduler did not answer, or not legibly. It says nothing about any job."""


class AgentError(UniSpawnerError):
    """The user's side failed: a refusing sudo, a missing account, a crash, garbage or silence."""


def as_unavailable(error: Exception, title: str) -> UniSpawnerError:
    """Return a query's error as one of ours: a bug in a parser says nothing about any job."""
    if isinstance(error, UniSpawnerError):
        return error
    return SchedulerUnavailable(f"{title}'s answer was not understood: {error!r}")


_BY_NAME: Mapping[str, type[UniSpawnerError]] = {
    cls.__name__: cls
    for cls in (
        UniSpawnerError,
        InvalidJobError,
        SubmitError,
        CancelError,
        JobEndedError,
        SchedulerUnavailable,
        AgentError,
    )
}


def error_from_dict(data: Mapping[str, Any]) -> UniSpawnerError:
    """Make an error from what :meth:`UniSpawnerError.to_dict` gave, trusting nothing in it.

    The data comes from the user's side: what isn't of the right type is replaced, what is long is
    cut, and a type that isn't ours becomes an :class:`AgentError`.
    """
    exit_status = data.get("exit_status")
    command = data.get("command")
    cls = _BY_NAME.get(str(data.get("type")), AgentError)
    return cls(
        str(data.get("message") or "The user's side failed without a message.")[:OUTPUT_LIMIT],
        command=[str(word)[:500] for word in command[:50]] if isinstance(command, list) else (),
        exit_status=exit_status if isinstance(exit_status, int) else None,
        output=str(data.get("output") or ""),
    )
