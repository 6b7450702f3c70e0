"""The errors that unispawner raises on purpose.

UniSpawnerError                 base class: catches every error below
 ├── InvalidJobError            a setting, a choice or a file is wrong; nothing was submitted
 ├── SubmitError                the scheduler refused a job
 ├── CancelError                the scheduler refused to cancel a job
 ├── JobEndedError              a job ended, or never reported, before its server was ready
 ├── SchedulerUnavailable       the scheduler gave no answer that can be read; all states are kept
 └── AgentError                 the account, sudo, or the agent behind it failed

The docstring of each class says where it is raised and what its reader can do about it. Every
error carries the command that failed, its exit status and its output. It crosses the user boundary
as plain data: see :meth:`UniSpawnerError.to_dict` and :func:`error_from_dict`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .reasons import recognise
from .texts import Text, english, join

OUTPUT_LIMIT = 4000
"""How many characters of a command's output an error keeps: the last, which hold the reason."""

MESSAGE_LIMIT = 8000
"""How many characters of a message an error keeps: a message may quote what somebody has sent."""

# Control characters in foreign text can move a terminal's cursor or imitate lines of the log, and
# those of writing from right to left change the order in which a line is shown.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def clean_output(text: str, limit: int = OUTPUT_LIMIT) -> str:
    """Return the last ``limit`` characters of foreign text, without control characters.

    ssh ends its lines with a carriage return, as on a terminal.
    """
    text = text.replace("\r\n", "\n").strip()
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text[-limit:])


def _cut_middle(message: str) -> str:
    """Return a message without its middle if it is too long: its end says what to do."""
    if len(message) <= MESSAGE_LIMIT:
        return message
    return f"{message[: MESSAGE_LIMIT // 2]} … {message[-MESSAGE_LIMIT // 2 :]}"


class UniSpawnerError(Exception):
    """Base class of all errors that unispawner raises on purpose.

    It is raised itself only where none of its subclasses fits, such as for a bug.

    Parameters
    ----------
    message
        One or more sentences for the person who reads it: what failed and what to do.
    command
        The command that failed, as an argument list; empty if no command is involved.
    exit_status
        The exit status of the command; None if it did not run or did not end.
    output
        What the command printed, word for word; cut to the last ``OUTPUT_LIMIT`` characters.
    """

    def __init__(
        self,
        message: str,
        *,
        command: Sequence[str] = (),
        exit_status: int | None = None,
        output: str = "",
    ) -> None:
        clean = _CONTROL.sub(" ", _cut_middle(message))
        # A text that can be shown in other languages stays one.
        self.message = message if isinstance(message, Text) and clean == message else clean
        super().__init__(self.message)
        self.command = tuple(command)
        self.exit_status = exit_status
        # Line breaks stay: the log indents the lines that follow.
        self.output = clean_output(output)
        self.unsent = False
        """True if the request that failed has certainly not reached the scheduler."""
        self.open_until = 0.0
        """Until when (time.monotonic) the request may still have an effect, though it failed."""

    def __str__(self) -> str:
        return str(self.message_and_output())

    def message_and_output(self) -> str:
        """Return the message, and what the command printed if that is not in the message."""
        if self.output and self.output not in self.message:
            return join("\n", [self.message, self.output])
        return self.message

    def to_dict(self) -> dict[str, Any]:
        """Return the error as JSON-serialisable data; ``error_from_dict`` reads it back."""
        return {
            "type": next(cls.__name__ for cls in type(self).__mro__ if cls.__name__ in _BY_NAME),
            "message": str(self.message),
            "command": list(self.command),
            "exit_status": self.exit_status,
            "output": self.output,
            **({"unsent": True} if self.unsent else {}),
        }


class InvalidJobError(UniSpawnerError):
    """A setting, a user's choice or a file is wrong, and nothing was submitted.

    Raised wherever a value is checked: settings, profiles, schedulers, script, web, legacy, admin.
    The message names the field first, then the value, then what would be right: correct that.
    """


class SubmitError(UniSpawnerError):
    """The scheduler refused a job.

    Raised by the agent and by the legacy classes. ``output`` holds the scheduler's own words: they
    name what to change in the request, or what to ask the administrators of the cluster for.
    """


class CancelError(UniSpawnerError):
    """The scheduler refused to cancel a job.

    Raised by the agent. Stopping a server tries again until the job has ended; if that takes long,
    read the scheduler's own words in ``output`` and cancel the job by hand.
    """


class JobEndedError(UniSpawnerError):
    """A job ended, was stopped, or never reported, before its server was ready.

    Raised by servers and legacy. ``output`` holds the end of the job's log, which says why.
    """


class SchedulerUnavailable(UniSpawnerError):
    """The scheduler gave no answer, or one that can't be read: nothing is known about any job.

    Raised wherever a scheduler's command is run or read (submit_host, schedulers, settings, agent),
    and by servers and web for a report that can't be checked yet. Every job keeps its last known
    state, and the next query or report tries again. If it goes on, run ``command`` by hand under
    the Hub's account.
    """


class AgentError(UniSpawnerError):
    """The account, sudo, or the agent, which runs as the user, failed.

    Raised by run_as, submit_host, agent and servers: no such account, a refusal by sudo, a crash,
    a reply that makes no sense. ``unispawner doctor --account NAME``, run as the Hub's account,
    goes the same way and reports where it fails.
    """


def as_unavailable(error: Exception, title: str) -> UniSpawnerError:
    """Return the error of a query as a UniSpawnerError.

    Any other exception, such as a bug in a parser, becomes SchedulerUnavailable: it says nothing
    about any job.
    """
    if isinstance(error, UniSpawnerError):
        return error
    return SchedulerUnavailable(
        f"The answer of {title} could not be read: {error!r}. The Hub's log has the traceback."
    )


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
    """Return the error that :meth:`UniSpawnerError.to_dict` described.

    The data comes from the user's side, so nothing in it is trusted: a value of the wrong type is
    replaced, a long one is cut, and the name of an unknown type becomes an :class:`AgentError`.
    """
    exit_status = data.get("exit_status")
    command = data.get("command")
    cls = _BY_NAME.get(str(data.get("type")), AgentError)
    message = str(data.get("message") or english("The agent failed and gave no reason."))
    error = cls(
        recognise(message[:OUTPUT_LIMIT]),
        command=[str(word)[:500] for word in command[:50]] if isinstance(command, list) else (),
        exit_status=exit_status if isinstance(exit_status, int) else None,
        output=str(data.get("output") or ""),
    )
    error.unsent = data.get("unsent") is True
    return error
