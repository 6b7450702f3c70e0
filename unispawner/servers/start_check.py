"""Checks the configuration when the Hub starts, so that the first user does not meet its errors.

JupyterHub has no hook for that: it makes no spawner until a user starts a server. It imports the
spawner's class before it has an instance of itself, and before it has read its configuration. So
the check is added to the first step after that, which sets up the handlers. This is the only place
where something of JupyterHub's is replaced. The same step loads the users whose servers run.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
import threading
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from ..errors import InvalidJobError, UniSpawnerError
from ..web.bookkeeping import load_users_with_servers
from ..web.server_status import WithStatus
from . import endings, hub_id, state_copies
from .database import mend_damaged_states, revoke_lost_tokens


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
        state_copies.restore(hub)
        _mend_states(hub)
        _revoke_tokens(hub)
        _load_users(hub)
        hub_id.set_up(hub)
        original(hub)
        endings.resume(hub)

    hub_class.init_handlers = init_handlers


def _mend_states(hub: Any) -> None:
    """Let the Hub start although the saved state of a server is damaged."""
    if not issubclass(hub.spawner_class, WithStatus):
        return  # what another spawner has saved is not ours to replace
    try:
        mend_damaged_states(hub.db, hub.log)
    except SQLAlchemyError as error:
        hub.db.rollback()
        hub.log.warning("The saved states of servers could not be checked: %s", error)


def _revoke_tokens(hub: Any) -> None:
    """Revoke the tokens that a Hub has left which was killed, if all servers are ours."""
    if not issubclass(hub.spawner_class, WithStatus):
        return  # another spawner may find its servers without a saved state
    try:
        revoke_lost_tokens(hub.db)
    except SQLAlchemyError as error:
        hub.db.rollback()
        hub.log.warning("Tokens of servers that do not exist could not be revoked: %s", error)


def _load_users(hub: Any) -> None:
    """Load the users whose servers the Hub is about to look for: a restart is much faster then."""
    try:
        users = load_users_with_servers(hub)
    except SQLAlchemyError as error:  # without them the Hub asks for each by itself
        hub.log.warning("The users with running servers could not be loaded together: %s", error)
        return
    # The Hub looks for the servers in the next turn of its event loop, and then keeps the users.
    asyncio.get_running_loop().call_later(1.0, users.clear)


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
