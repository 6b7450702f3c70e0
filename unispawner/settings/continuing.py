"""The settings of how a server is continued before its job ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyterhub.traitlets import Callable
from traitlets import Float

if TYPE_CHECKING:
    from jupyterhub.spawner import Spawner as _Base
else:  # JupyterHub refuses a subclass of Spawner that can't start, stop and poll
    from traitlets.config import LoggingConfigurable as _Base


class ContinuationSettings(_Base):
    """The traits that say when and how a user may continue a server."""

    continue_window = Float(
        3600.0,
        min=0.0,
        help="""How long (seconds) before the end of a job's time limit its user may continue the
        server with a second job, on the Hub's pages and in its API. It is never offered in the
        first half of the job's time. A larger value gives the second job more time to wait in the
        queue, and both jobs may run for so long. 0: never. Default: 3600.""",
    ).tag(config=True)

    extend_hook = Callable(
        default_value=None,
        allow_none=True,
        help="""A function that extends the time limit of a running job, for a site whose operators
        may do that: users can't with most schedulers. It takes the spawner and the number of
        seconds, may be async, and has 60 seconds. The job is spawner.server_job.state.job_id. If it
        raises an exception, the user reads its text, and can continue with a second job instead. A
        function that is not async runs in a thread. Example: docs/hand-over.md. None (the default):
        a server is continued with a second job only.""",
    ).tag(config=True)
