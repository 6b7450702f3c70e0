"""How a request reaches the agent as the user: from the Hub over the user boundary and back.

==============  =================================================================================
``accounts``    the system account of a Hub user, and which accounts may run servers
``client``      AgentClient: one method for each request to the agent; it checks every reply
``base``        RunAs: starts the agent, sends it one request and returns its reply
``broker``      the way through one process that becomes each user: the default
``sudo``        the way through sudo for each request, with a session of PAM's
``same_user``   the way without a boundary: the agent runs as the Hub's own account
``exec_prefix`` batchspawner's way, for the legacy classes only
==============  =================================================================================
"""

from __future__ import annotations

from ..errors import InvalidJobError
from .base import RunAs
from .broker import Broker
from .same_user import SameUser
from .sudo import Sudo

WAYS: dict[str, type[RunAs]] = {"broker": Broker, "sudo": Sudo, "same_user": SameUser}
"""The values of ``c.UniSpawner.run_as`` that name one way."""


def get_run_as(name: str, *, agent_python: str, allow_shared_account: bool) -> RunAs:
    """Return the way of that name, one of ``WAYS``.

    Raises
    ------
    InvalidJobError
        If the name is unknown; the message lists the known ones.
    """
    if name not in WAYS:
        raise InvalidJobError(f"run_as: {name!r} must be one of {', '.join(WAYS)}")
    return WAYS[name](agent_python, allow_shared_account)


__all__ = ["WAYS", "RunAs", "get_run_as"]
