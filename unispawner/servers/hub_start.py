"""What is added to the start of a Hub that runs a spawner of ours.

JupyterHub has no hook for that: it makes no spawner until a user starts a server. It imports the
spawner's class before it has an instance of itself, and before it has read its configuration. So
our steps are added to its first step after that, which sets up the handlers. Only here and in
web/request_language.py something of JupyterHub's is replaced.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from .. import events
from ..errors import InvalidJobError
from ..web import per_hub, request_language
from ..web import routes as of_web
from ..web.bookkeeping import load_users_with_servers
from ..web.server_status import WithStatus
from . import endings, hub_id, routes, state_copies
from .database import mend_damaged_states, revoke_lost_tokens
from .start_check import check_configuration


def add_to_hub() -> None:
    """Give each Hub that this process starts from now on our routes and steps."""
    of_web.add_to_hub(routes.ROUTES)
    module = sys.modules.get("jupyterhub.app")
    hub_class = getattr(module, "JupyterHub", None)
    original = getattr(hub_class, "init_handlers", None)
    if hub_class is None or original is None or hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def init_handlers(hub: Any) -> None:
        check_configuration(hub)
        _set_up_spawner_class(hub)
        _set_up_languages(hub)
        state_copies.restore(hub)
        _mend_states(hub)
        _revoke_tokens(hub)
        _load_users(hub)
        hub_id.set_up(hub)
        per_hub.set_up(hub)
        events.register(hub.eventlog, hub.log)
        original(hub)
        endings.resume(hub)

    hub_class.init_handlers = init_handlers


def _set_up_spawner_class(hub: Any) -> None:
    """Let a class of spawners begin what each Hub does once for all its servers."""
    set_up = getattr(hub.spawner_class, "set_up_hub", None)
    if set_up is not None:
        set_up(hub)


def _set_up_languages(hub: Any) -> None:
    """Let the Hub answer in its readers' languages; end it if a catalogue is wrong."""
    try:
        request_language.set_up(hub)
    except InvalidJobError as error:
        hub.log.critical("The configuration of unispawner is wrong: %s", error)
        hub.exit(1)


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
        hub.db.rollback()
        hub.log.warning("The users with running servers could not be loaded together: %s", error)
        return
    # The Hub looks for the servers in the next turn of its event loop, and then keeps the users.
    asyncio.get_running_loop().call_later(1.0, users.clear)
