"""A configuration that can't work is told when the Hub starts, not to the first user.

JupyterHub has no hook for that. It imports the spawner while it reads its configuration; from here
we watch for the moment when it sets up its handlers, which is after that and before any server.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

from .errors import InvalidJobError, UniSpawnerError


def watch() -> None:
    """Check the configuration when the Hub that imports us, if one does, is about to start."""
    module = sys.modules.get("jupyterhub.app")
    if module is not None and module.JupyterHub.initialized():
        hub = module.JupyterHub.instance()
        if isinstance(hub, module.JupyterHub):
            hub.observe(_check, "handlers")


def _check(change: Any) -> None:
    """Log what is wrong; end the Hub if it can't become right by itself."""
    hub = change["owner"]
    hub.unobserve(_check, "handlers")
    check = getattr(hub.spawner_class, "check_config", None)
    if check is None:
        return
    errors: list[UniSpawnerError] = []

    def work() -> None:
        try:
            asyncio.run(check(hub.config))
        except UniSpawnerError as error:
            errors.append(error)

    # In a loop of its own: the Hub's is busy starting, and serves nobody yet.
    thread = threading.Thread(target=work, name="check of the configuration", daemon=True)
    thread.start()
    thread.join()
    for error in errors:
        if isinstance(error, InvalidJobError):
            hub.log.critical("The configuration of unispawner is wrong: %s", error)
            hub.exit(1)
        hub.log.error("Nobody can start a server just now: %s", error)
