"""What JupyterHub keeps of a server to itself, and which spawner of two it knows.

JupyterHub has no public way to make an interrupted start pending again, to report why a server has
ended, or to find a spawner by its server's token. This is the only module that uses its private
attributes (tests/test_layers.py holds that), so a new release of JupyterHub is checked here.

A server may be run by a spawner that another spawner wraps. JupyterHub knows only the outer one:
what is pending or ready, the future of a start and the timer of polling are the outer spawner's.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from jupyterhub import orm
from jupyterhub.utils import maybe_future
from sqlalchemy.orm import selectinload

from ..errors import InvalidJobError, UniSpawnerError
from ..texts import Text
from .failures import SpawnFailure

PRIVATE_TRAITS = {"_callbacks", "_poll_callback"}
"""Traits of JupyterHub's spawner that are the bookkeeping of one spawner: a wrapper shares none."""


def outer(spawner: Any) -> Any:
    """Return the spawner that JupyterHub knows: a wrapper has set itself as ``wrapper``."""
    while getattr(spawner, "wrapper", None) is not None:
        spawner = spawner.wrapper
    return spawner


def inner(spawner: Any) -> Any:
    """Return the spawner that runs the server: the child of a wrapper that has one."""
    while getattr(spawner, "child_spawner", None) is not None:
        spawner = spawner.child_spawner
    return spawner


def find_spawner(user: Any, name: str) -> Any | None:
    """Return the spawner of a server that a user has, or had; None if there is none.

    Without a look at the database first, ``user.spawners`` would make a new one for any name.
    """
    if user is None or (name and name not in user.orm_user.orm_spawners):
        return None
    return user.spawners[name]


def log_name(spawner: Any) -> str:
    """Return the name of a spawner's server in log lines: ``alice`` or ``alice:named``."""
    return str(spawner._log_name)


def is_polled(spawner: Any) -> bool:
    """Return whether JupyterHub polls the server, which it does once the server has been ready."""
    return outer(spawner)._poll_callback is not None


def is_starting(spawner: Any) -> bool:
    """Return whether JupyterHub is starting the server: hooks of the site run then."""
    return bool(outer(spawner)._start_pending)


def is_stopped_unexplained(spawner: Any) -> bool:
    """Return whether JupyterHub stops a server, and its pages do not show yet why it has ended."""
    known = outer(spawner)
    shown = known._spawn_future is not None and known._spawn_future.done()
    return bool(known._stop_pending) and not shown


def is_known(spawner: Any) -> bool:
    """Return whether JupyterHub still uses a spawner: it drops one when its server has ended."""
    known = outer(spawner)
    return known.user.spawners.get(known.name) is known


# -- a restart of the Hub -----------------------------------------------------------------------


def load_users_with_servers(hub: Any) -> list[orm.User]:
    """Load all users who have a server with a few questions to the database, and return them.

    ``init_spawners`` of JupyterHub (5.0 to 6.1) asks five questions for each server that runs,
    before the Hub answers anybody: it means to load the users together, but nothing refers to them
    until they are needed, so that they are dropped. While somebody keeps this list, they are there.
    """
    users = hub.db.query(orm.User).join(orm.User._orm_spawners)
    having = users.filter(orm.Spawner.server_id.is_not(None))
    return list(having.options(selectinload(orm.User._orm_spawners)))


# -- a start that goes on after a restart of the Hub --------------------------------------------


def begin_pending_start(spawner: Any) -> asyncio.Future[None]:
    """Make the spawner pending "spawn"; return the future that progress and DELETE work with."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    known = outer(spawner)
    known._spawn_future = future
    known._spawn_pending = True
    return future


def end_pending_start(spawner: Any) -> None:
    """End what :func:`begin_pending_start` began."""
    known = outer(spawner)
    known._spawn_pending = False
    known._spawn_future = None


def allow_stop(spawner: Any) -> None:
    """Let JupyterHub stop a server whose pending start was cancelled.

    ``stop_single_user`` refuses while anything is pending, and ``user.stop`` asks a future that is
    done for its exception, which raises for a cancelled future.
    """
    end_pending_start(spawner)
    outer(spawner)._check_pending = False


# -- why a server has ended ---------------------------------------------------------------------


async def notify_end(spawner: Any) -> None:
    """Make JupyterHub forget a server that has ended; the spawner is pending "stop" until then.

    JupyterHub deletes the route first, and calls the spawner ready until that is done. The API
    would let another start in meanwhile. JupyterHub would then forget that start's job, and nobody
    would follow it.
    """
    known = outer(spawner)
    if known.pending == "stop":
        return  # JupyterHub is forgetting the server already
    if not known.ready:
        await known.poll_and_notify()
        return
    known._stop_pending = True
    try:
        await known.poll_and_notify()
    finally:
        known._stop_pending = False


def report_failed_start(
    spawner: Any, error: UniSpawnerError, future: asyncio.Future[None] | None = None
) -> None:
    """Make JupyterHub's pages show why a start has failed: they show the exception of the last one.

    Parameters
    ----------
    future
        The pending start's, of :func:`begin_pending_start`. Default: a new one.
    """
    if future is None or future.done():
        future = asyncio.get_running_loop().create_future()
    _set_failure(spawner, future, SpawnFailure(error))


def report_ended_server(
    spawner: Any, error: UniSpawnerError, instead: asyncio.Future[None] | None = None
) -> asyncio.Future[None]:
    """Make JupyterHub's pages show why a server that was running has ended.

    Parameters
    ----------
    instead
        What an earlier call returned: its error is replaced, unless there was another start since.

    Returns
    -------
    asyncio.Future
        What holds the error.
    """
    if instead is not None and outer(spawner)._spawn_future is not instead:
        return instead
    failure = SpawnFailure(error)
    failure.was_running = True
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    _set_failure(spawner, future, failure)
    return future


def _set_failure(spawner: Any, future: asyncio.Future[None], failure: SpawnFailure) -> None:
    future.set_exception(failure)
    future.exception()  # the page shows it; asyncio need not warn that nobody asked
    known = outer(spawner)
    known._spawn_future = future
    known._spawn_pending = False


def failure(spawner: Any) -> BaseException | None:
    """Return why there is no server: what it or its start ended with; None if nothing failed."""
    known = outer(spawner)
    return known._spawn_future.exception() if known._failed and not known.active else None


# -- tokens and options -------------------------------------------------------------------------


def spawner_of_token(handler: Any, matches: Callable[[Any, orm.APIToken], bool]) -> Any | None:
    """Return the spawner whose server sends a request, found by the token in it.

    Parameters
    ----------
    handler
        The request's handler of JupyterHub's API.
    matches
        Called with each spawner that runs a server of the token's owner, and with the token;
        returns whether the token is that server's.
    """
    token = handler.get_token()
    if not isinstance(token, orm.APIToken) or token.user is None:
        return None
    spawners = map(inner, handler._user_from_orm(token.user).spawners.values())
    return next((spawner for spawner in spawners if matches(spawner, token)), None)


def has_token(spawner: Any, token: orm.APIToken) -> bool:
    """Return whether a token is that of a server of ours, for :func:`spawner_of_token`."""
    created = getattr(spawner, "token_created", 0.0)
    return ServerToken(getattr(spawner, "token_id", None), created).matches(token)


@dataclass(frozen=True)
class ServerToken:
    """Which API token a server has, without its value.

    Attributes
    ----------
    id
        The token's id; None if it is not known. SQLite gives the id of the last token, once that is
        deleted, to the next one.
    created
        When it was made, in seconds since the epoch; 0 in the state of an older release.
    """

    id: int | None = None
    created: float = 0.0

    @classmethod
    def of(cls, token: orm.APIToken) -> ServerToken:
        """Return what distinguishes a token of the database."""
        made: datetime.datetime | None = token.created
        utc = datetime.timezone.utc
        return cls(token.id, made.replace(tzinfo=utc).timestamp() if made else 0.0)

    def matches(self, token: orm.APIToken) -> bool:
        """Return whether a token of the database is the server's own, and not a later one."""
        found = ServerToken.of(token)
        # Some drivers convert what is saved to the time zone of the database's session.
        apart = (found.created - self.created + _ROUNDING) % _OFFSETS
        return found.id == self.id and (not self.created or apart <= 2 * _ROUNDING)


_ROUNDING = 1.0
"""By how much (seconds) a database may round a time."""
_OFFSETS = 900.0
"""The offsets of all time zones are multiples of these seconds."""


async def apply_user_options(spawner: Any) -> None:
    """Have a spawner apply its ``user_options``, as JupyterHub does before each start."""
    if spawner.apply_user_options is not None:
        await spawner._run_apply_user_options(spawner.user_options)


# -- a second job of a running server -----------------------------------------------------------

_MADE_WITH = (
    *("user", "orm_spawner", "hub", "authenticator", "config", "proxy_spec", "user_options"),
    *("_deprecated_db_session", "oauth_client_id", "cookie_options", "cookie_host_prefix_enabled"),
    *("trusted_alt_names", "internal_ssl", "internal_trust_bundles", "internal_certs_location"),
    *("public_url", "public_hub_url"),
)
"""What JupyterHub makes a spawner with: see its ``User._new_spawner``, which also loads the state
of the server that runs."""


async def make_draft(spawner: Any) -> Any:
    """Return a spawner that would start the same choice now, after all hooks that come before.

    JupyterHub does not know it, so nothing that it does changes the server of ``spawner``.

    Raises
    ------
    UniSpawnerError
        If a hook refuses the start, or the choice is not offered any more.
    """
    known = outer(spawner)
    values = {name: getattr(known, name) for name in _MADE_WITH if known.has_trait(name)}
    try:
        draft = type(known)(**values)
        await draft.run_auth_state_hook(await draft.user.get_auth_state())
        await draft.apply_group_overrides()
        await apply_user_options(draft)
        await maybe_future(draft.run_pre_spawn_hook())
        if hasattr(draft, "prepare_child"):
            await draft.prepare_child()
    except UniSpawnerError:
        raise
    except Exception as error:  # of the site's own hooks, or what JupyterHub would show
        message = getattr(error, "message", "")
        if not isinstance(message, Text):  # ours is for every reader, and not only for this one
            message = getattr(error, "jupyterhub_message", "") or f"{type(error).__name__}: {error}"
            message = str(message)
        raise InvalidJobError(message) from error
    return inner(draft)


class ChecksUserOptions:
    """A mixin for a spawner that checks what ``apply_user_options`` sets on it."""

    async def check_applied_options(
        self, user_options: dict[str, Any], apply: Callable[[dict[str, Any]], Awaitable[None]]
    ) -> None:
        """Call ``apply`` with the options; a subclass checks what it does."""
        await apply(user_options)

    async def _run_apply_user_options(self, user_options: dict[str, Any]) -> None:
        # JupyterHub 5.3 and later call this, and no public method, before each start.
        apply = super()._run_apply_user_options  # type: ignore[misc] # the spawner's, a sibling
        await self.check_applied_options(user_options, apply)
