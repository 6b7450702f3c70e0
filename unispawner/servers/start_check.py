"""A configuration that can't work is told when the Hub starts, not to the first user.

JupyterHub has no hook for that: it knows its spawner as a class until somebody starts a server. It
imports the class before there is an instance of itself, and before it has read its configuration.
So we add to what it does once that is read: set up its handlers. This is the only place where
something of JupyterHub's is replaced.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
import threading
from typing import Any

from ..errors import InvalidJobError, UniSpawnerError


def watch() -> None:
    """Have a Hub of this process check its configuration before it serves."""
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
    """Lets each message pass once: a profile is tried many times, and traitlets warns each time."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is to be logged."""
        message = record.getMessage()
        new = message not in self._seen
        self._seen.add(message)
        return new


def _check(hub: Any) -> None:
    """Log what is wrong; end the Hub if it can't become right by itself."""
    check = getattr(hub.spawner_class, "check_config", None)
    if check is None:
        return
    errors: list[UniSpawnerError] = []

    def work() -> None:
        try:
            asyncio.run(check(hub.config))
        except UniSpawnerError as error:
            errors.append(error)
        except Exception:  # a bug, ours or of a site's own class, is no reason not to start
            hub.log.exception("The configuration of unispawner could not be checked")

    # In a loop of its own: the Hub's is busy starting, and serves nobody yet.
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
        hub.log.error("Nobody can start a server just now: %s", error)
