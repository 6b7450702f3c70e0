"""The one place that turns our errors into what JupyterHub shows.

JupyterHub shows a bare "500" for what leaves ``start()`` as anything but a
``tornado.web.HTTPError``, and takes the message for its pages from two attributes of it.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tornado import web

from ..errors import (
    AgentError,
    CancelError,
    InvalidJobError,
    JobEndedError,
    SchedulerUnavailable,
    SubmitError,
    UniSpawnerError,
)
from ..texts import as_read, say

try:
    from jupyterhub.spawner import SpawnException as _Base  # JupyterHub 6: it keeps our reason
except ImportError:
    _Base = web.HTTPError

# A status of 500 and above counts towards Spawner.consecutive_failure_limit, which ends the Hub.
# A user's own mistake, one missing account or an hour without the scheduler must not end it.
# 424 is "failed dependency".
STATUS: dict[type[UniSpawnerError], int] = {
    InvalidJobError: 400,
    SubmitError: 400,
    CancelError: 409,
    JobEndedError: 424,
    SchedulerUnavailable: 424,
    AgentError: 424,
    UniSpawnerError: 424,
}
REASON: dict[type[UniSpawnerError], str] = {
    InvalidJobError: "invalid_job",
    SubmitError: "submission_refused",
    CancelError: "cancellation_refused",
    JobEndedError: "job_ended",
    SchedulerUnavailable: "scheduler_unavailable",
    AgentError: "agent_failed",
    UniSpawnerError: "unispawner_failed",
}
"""The ``reason`` of a failed spawn in JupyterHub 6's metrics, and of its HTTP status line."""


class Refusal(web.HTTPError):
    """What our API refuses: JupyterHub shows the message in the language of who has asked.

    Parameters
    ----------
    retry_after
        After how many seconds it may be tried again; 0 says nothing about that.
    """

    def __init__(self, status: int, message: str, retry_after: int = 0) -> None:
        super().__init__(status, message)
        self.message = message
        # JupyterHub sends them. Those that a handler has set are cleared before an error is sent.
        self.headers = {"Retry-After": str(retry_after)} if retry_after else {}

    @property
    def jupyterhub_message(self) -> str:
        """The message that JupyterHub sends."""
        return as_read(self.message)


class SpawnFailure(_Base):  # type: ignore[misc] # JupyterHub has no type information
    """What leaves a spawner: JupyterHub shows its message on the page and in the REST reply."""

    was_running = False
    """True if the server had been ready before, so that this is the reason of its end."""

    def __init__(self, error: UniSpawnerError) -> None:
        message = error.message_and_output()
        cls = next(cls for cls in type(error).__mro__ if cls in STATUS)
        # Neither the reason, which is in the status line, nor the status is foreign text.
        web.HTTPError.__init__(self, STATUS[cls], message, reason=REASON[cls])
        self.message = message
        self._error = error

    @property
    def jupyterhub_message(self) -> str:
        """The message, in the language of whoever reads this page or reply."""
        return as_read(self.message)

    @property
    def jupyterhub_html_message(self) -> str:
        """The message as HTML, in the language of whoever reads this page."""
        return _as_html(self._error)

    @property
    def message_html(self) -> str:
        """The same, under the name that JupyterHub 6 has for it."""
        return _as_html(self._error)

    @property
    def log_message(self) -> str:
        """The message as a format for logging, which some releases of tornado take it for."""
        return str(self.message).replace("%", "%%")

    @log_message.setter
    def log_message(self, value: str | None) -> None:
        """Do nothing. tornado before 6.5 sets it, to our message."""

    def get_message(self) -> str:
        """Return the message for the log, and for a reply of the API."""
        return str(self.message)

    def __str__(self) -> str:
        return str(self.message)


def _as_html(error: UniSpawnerError) -> str:
    """Return the error as HTML; all of it is escaped, because users write logs and output."""
    parts = [f"<p>{html.escape(as_read(error.message))}</p>"]
    if error.output and error.output not in error.message:
        parts.append(f'<pre class="text-start">{html.escape(error.output)}</pre>')
    return "".join(parts)


class BatchFailure(SpawnFailure, RuntimeError):
    """The same for a legacy class: batchspawner raises RuntimeErrors, and sites catch these."""


class RefusedOptions(BatchFailure, InvalidJobError):
    """User options that are refused: an answer with status 400 to whoever has sent them."""

    def __init__(self, message: str, **details: Any) -> None:
        error = InvalidJobError(message, **details)
        InvalidJobError.__init__(self, message, **details)
        BatchFailure.__init__(self, error)  # last: JupyterHub 5 shows no message with other args
        self.message = error.message


STATUS[RefusedOptions] = STATUS[InvalidJobError]
REASON[RefusedOptions] = "options_refused"


@contextmanager
def failures_of_start(
    log: Any,
    name: str,
    failure: type[SpawnFailure] = SpawnFailure,
    unchanged: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """Turn whatever the start of a server raises into a failure that JupyterHub shows.

    Parameters
    ----------
    log, name
        Where an unexpected exception is logged, and the server's name there.
    failure
        The class that is raised.
    unchanged
        What leaves the start as it is.
    """
    try:
        yield
    except unchanged:
        raise
    except UniSpawnerError as error:
        raise failure(error) from error
    except Exception as error:  # a bug, in our code or in the configuration's: not a bare 500
        log.exception("%s: the start failed", name)
        problem = f"{type(error).__name__}: {error}"
        message = say("The start failed: {problem}", problem=problem)
        raise failure(UniSpawnerError(message)) from error
