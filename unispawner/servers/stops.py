"""Notes who has a server stopped, for the history: its user, an administrator or a service.

JupyterHub's culler of idle servers is a service. JupyterHub tells a spawner that it is stopped, but
not by whom.
"""

from __future__ import annotations

from typing import Any

from jupyterhub.apihandlers.users import UserServerAPIHandler
from jupyterhub.user import User

from ..web import bookkeeping
from .job import ServerJob


class StopHandler(UserServerAPIHandler):  # type: ignore[misc] # JupyterHub has no type information
    """JupyterHub's own handler of a server, which also notes who asks for its end."""

    async def stop_single_user(self, user: Any, server_name: str = "") -> Any:
        """Stop the server: JupyterHub calls this when it has checked that the sender may."""
        spawner = bookkeeping.find_spawner(user, server_name)
        job = getattr(bookkeeping.inner(spawner), "server_job", None) if spawner else None
        if isinstance(job, ServerJob):
            job.stopped_by = find_sender(self.current_user, user)
        return await super().stop_single_user(user, server_name)


def find_sender(sender: Any, user: Any) -> str:
    """Return ``service`` or ``administrator``; empty for the server's own user."""
    if not isinstance(sender, User):
        return "service"
    return "" if sender.name == user.name else "administrator"
