"""Checks the configuration when the Hub starts, so that the first user does not meet its errors."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

from ..errors import InvalidJobError, UniSpawnerError


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


def check_configuration(hub: Any) -> None:
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
