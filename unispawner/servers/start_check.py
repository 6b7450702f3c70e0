"""Checks the configuration when the Hub starts, so that the first user does not meet its errors.

JupyterHub has no hook for that: it makes no spawner until a user starts a server. It imports the
spawner's class before it has an instance of itself, and before it has read its configuration. So
the check is added to the first step after that, which sets up the handlers. This is the only place
where something of JupyterHub's is replaced.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
import threading
from typing import Any

from ..errors import InvalidJobError, UniSpawnerError


def add_to_hub() -> None:
    """Make a Hub of this process check its configuration before it serves."""
    module = sys.modules.get("jupyterhub.app")
    hub_class = getattr(module, "JupyterHub", None)
    original = getattr(hub_class, "init_handlers", None)
    if hub_class is None or original is None or hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def init_handlers(hub: Any) -> None:
        _check(hub)
        original(hub)

    hub_class.init_handlers = init_handlers


class _Once(logging.Filter):
    """Drops repeated messages: a profile is tried many times, and traitlets warns each time."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is logged: whether its message is new."""
        message = record.getMessage()
        new = message not in self._seen
        self._seen.add(message)
        return new


def _check(hub: Any) -> None:
    """Log what is wrong; end the Hub unless a later try may succeed without a change."""
    check = getattr(hub.spawner_class, "check_config", None)
    if check is None:
        return
    errors: list[UniSpawnerError] = []

    def work() -> None:
        try:
            asyncio.run(check(hub.config))
        except UniSpawnerError as error:
            errors.append(error)
        except Exception:  # a bug, ours or of a site's class, must not keep the Hub down
            hub.log.exception("The configuration of unispawner could not be checked")

    # In a thread with its own loop: the Hub's loop is running this very function.
    thread = threading.Thread(target=work, name="check of the configuration", daemon=True)
    once = _Once()
    hub.log.addFilter(once)
    thread.start()
    thread.join()
    hub.log.removeFilter(once)
    for error in errors:
        if isinstance(error, InvalidJobError):
            hub.log.critical("The configuration of unispawner is wrong: %s", error)
            hub.exit(1)
        hub.log.error("Servers that need this can't start until it is solved: %s", error)
