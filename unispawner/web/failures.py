"""The one place that turns our errors into what JupyterHub shows.

JupyterHub shows a bare "500" for what leaves ``start()`` as anything but a
``tornado.web.HTTPError``, and takes the message for its pages from two attributes of it.
"""

from __future__ import annotations

import html

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

# A status of 500 and above counts towards Spawner.consecutive_failure_limit, which ends the Hub:
# neither a user's own doing, nor one missing account, nor an hour without scheduler must do that.
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


class SpawnFailure(web.HTTPError):
    """What leaves a spawner: JupyterHub shows its message on the page and in the REST reply."""

    was_running = False
    """True if a server had been there, and this is why it is no more."""

    def __init__(self, error: UniSpawnerError) -> None:
        message = str(error)
        # The status line holds no line breaks and no foreign text.
        super().__init__(STATUS[type(error)], message, reason="Spawn failed")
        self.jupyterhub_message = message
        self.jupyterhub_html_message = _as_html(error)

    def __str__(self) -> str:
        return self.jupyterhub_message


def _as_html(error: UniSpawnerError) -> str:
    """Escape everything: the scheduler's words and the job's log hold what users wrote."""
    parts = [f"<p>{html.escape(error.message)}</p>"]
    if error.output and error.output not in error.message:
        parts.append(f'<pre class="text-start">{html.escape(error.output)}</pre>')
    return "".join(parts)


class BatchFailure(SpawnFailure, RuntimeError):
    """The same, from a legacy class: batchspawner's are RuntimeErrors, and sites catch these."""
