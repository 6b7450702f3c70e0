"""How a spawner of ours saves what finds its server again: at once, not when JupyterHub does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from jupyterhub import orm
from sqlalchemy import select
from sqlalchemy import text as sql_text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import object_session

from .. import tasks
from ..web.bookkeeping import ServerToken, log_name, outer
from . import state_copies
from .state import DEAD_ADDRESS, VERSION
from .state_copies import RAW_STATE

TOGETHER = 0.01
"""How long (seconds) a change waits for others that are saved with it."""

REVOKE_AFTER = 10.0
"""How long (seconds) after the end of a job JupyterHub should have revoked its token."""
LONGEST_WAIT = 300.0
"""The longest time (seconds) between two tries to revoke a token."""


def session_of(spawner: Any) -> Any:
    """Return the Hub's database session; None for a spawner that belongs to nobody."""
    return None if spawner.orm_spawner is None else object_session(spawner.orm_spawner)


Write = Callable[[], None]


def commit(spawner: Any, change: Write | None = None) -> bool:
    """Save a spawner's state now: JupyterHub does so only after ``start()`` has returned.

    Return False, and log why, if the database refuses: what is under way goes on.

    Parameters
    ----------
    change
        Changes more that is saved with the state.
    """
    database = session_of(spawner)
    if database is None:
        return True
    try:
        _set_state(spawner, database)
        if change is not None:
            change()
        database.commit()
    except SQLAlchemyError as error:
        database.rollback()
        _log_refusal(spawner, error)
        return False
    return True


def _set_state(spawner: Any, session: Any) -> None:
    """Set a spawner's state and the copy of it, which are saved together."""
    state = outer(spawner).get_state()
    spawner.orm_spawner.state = state
    state_copies.write(session, spawner.orm_spawner, state)


def remove_copy(spawner: Any) -> None:
    """Remove the copy of the state of a server that is forgotten; JupyterHub commits that."""
    session = session_of(spawner)
    if session is None:
        return
    try:
        state_copies.remove(session, spawner.orm_spawner)
    except SQLAlchemyError as error:  # no server is running, so the copy is not used
        spawner.log.debug("%s: the copy of its state is left: %s", log_name(spawner), error)


@dataclass(eq=False)
class _Batch:
    """Changes of one database that are saved together."""

    session: Any
    loop: asyncio.AbstractEventLoop
    waiting: list[tuple[Write, asyncio.Future[None]]] = field(default_factory=list)

    def save(self) -> None:
        """Save all changes at once; if the database refuses, save each one by itself."""
        if _batches.get(self.session) is self:
            del _batches[self.session]
        try:
            for write, _ in self.waiting:
                write()
            self.session.commit()
            together = True
        except Exception:  # one change's error must not cost the others
            self.session.rollback()
            together = False
        for write, saved in self.waiting:
            try:
                if not together:
                    write()
                    self.session.commit()
            except Exception as error:  # it is raised where somebody waits
                self.session.rollback()
                if not saved.done():
                    saved.set_exception(error)
            else:
                if not saved.done():  # whoever waited may have been cancelled
                    saved.set_result(None)


_batches: WeakKeyDictionary[Any, _Batch] = WeakKeyDictionary()
"""What is to be saved soon, by the database session."""


async def save_soon(session: Any, write: Write) -> None:
    """Save a change within some milliseconds, together with others that come meanwhile.

    Each commit waits for the disk, and the whole Hub with it. When many servers start or stop at
    once, one commit saves what would take many. Until then nothing is changed in the session:
    JupyterHub undoes what it finds changed whenever it has answered a request.

    Parameters
    ----------
    write
        Makes the change in the session, and may be called again if that fails.

    Raises
    ------
    Exception
        What the change or the database has raised; this change is not saved then.
    """
    loop = asyncio.get_running_loop()
    batch = _batches.get(session)
    if batch is None or batch.loop is not loop:
        batch = _batches[session] = _Batch(session, loop)
        loop.call_later(TOGETHER, batch.save)
    saved: asyncio.Future[None] = loop.create_future()
    batch.waiting.append((write, saved))
    await saved


def save_later(spawner: Any, write: Write, what: str, session: Any = None) -> None:
    """Save a change by :func:`save_soon` in the background; log why if the database refuses.

    Parameters
    ----------
    what
        What is saved, for the log: "what was chosen".
    session
        The database's session. Default: the spawner's of now.
    """

    session = session or session_of(spawner)  # a named server that is deleted has none any more
    if session is None:
        return

    async def save() -> None:
        try:
            await save_soon(session, write)
        except SQLAlchemyError as error:
            name = log_name(spawner)
            spawner.log.warning("%s: the Hub's database did not save %s: %s", name, what, error)

    tasks.start(save(), f"saving {what}")


async def commit_soon(spawner: Any, change: Write | None = None) -> bool:
    """Save a spawner's state by :func:`save_soon`; return as :func:`commit` does.

    Parameters
    ----------
    change
        Changes more that is saved with the state.
    """
    session = session_of(spawner)
    if session is None:
        return True

    def write() -> None:
        if session_of(spawner) is session:  # otherwise the server has been deleted
            _set_state(spawner, session)
            if change is not None:
                change()

    try:
        await save_soon(session, write)
    except SQLAlchemyError as error:
        _log_refusal(spawner, error)
        return False
    return True


def _log_refusal(spawner: Any, error: SQLAlchemyError) -> None:
    spawner.log.error(
        "%s: the Hub's database did not save the server's state: %s", log_name(spawner), error
    )


def find_token(spawner: Any) -> ServerToken:
    """Return which API token the server is given; none without a database."""
    database = session_of(spawner)
    known = database is not None and bool(spawner.api_token)
    token = orm.APIToken.find(database, spawner.api_token) if known else None
    return ServerToken.of(token) if token else ServerToken()


def find_spare_token(spawner: Any) -> ServerToken:
    """Return the token that no server needs once a spawner has forgotten its server.

    JupyterHub revokes the token of a start that was cancelled a second later, when it stops the
    server. If its user starts the server again before that, JupyterHub knows only the new token.
    """
    known = outer(spawner)
    return ServerToken() if known.will_resume else find_token(known)  # one that resumes needs it


def revoke_token(spawner: Any, server_token: ServerToken) -> None:
    """Delete a server's token, which JupyterHub can't after a restart: it knows only its hash.

    JupyterHub may have deleted it, and another server of the user may have a token with its id.
    """
    database = session_of(spawner)
    if server_token.id is None or database is None:
        return
    token = database.get(orm.APIToken, server_token.id)
    if token is None or token.user is not spawner.user.orm_user:
        return
    if server_token.matches(token):
        database.delete(token)


def revoke_token_surely(spawner: Any, server_token: ServerToken) -> None:
    """Revoke the token of a job that has ended, some seconds from now; try until that is saved.

    JupyterHub revokes it when a stop is over. If the database refuses at that moment, JupyterHub
    does not try again, and the token would outlive its job.
    """
    session = session_of(spawner)
    if session is None or server_token.id is None:
        return
    loop = asyncio.get_running_loop()

    def attempt(wait: float) -> None:
        if session_of(spawner) is not session:
            return  # the server has been deleted, and its tokens with it
        try:
            revoke_token(spawner, server_token)
            if session.deleted:
                session.commit()
        except SQLAlchemyError as error:
            session.rollback()
            spawner.log.warning(
                "%s: the Hub's database did not revoke the token of a server that has ended; "
                "the next try is in %.0f s: %s",
                log_name(spawner),
                wait,
                error,
            )
            loop.call_later(wait, attempt, min(2 * wait, LONGEST_WAIT))

    loop.call_later(REVOKE_AFTER, attempt, 2 * REVOKE_AFTER)


def mend_damaged_states(session: Any, log: Any) -> None:
    """Replace states that are not valid JSON, each of which would keep JupyterHub from starting.

    The server's user reads what has happened. The log has the damaged state, which may name the
    job: nothing else finds that.
    """
    rows = session.execute(
        select(orm.Spawner.id, orm.Spawner.name, orm.User.name, RAW_STATE).join(
            orm.User, orm.Spawner.user_id == orm.User.id
        )
    ).all()
    for row_id, server, user, text in rows:
        try:
            json.loads("{}" if text is None else text)
        except (ValueError, RecursionError):
            state = json.dumps({"version": VERSION, "failure": _DAMAGED})
            session.execute(_REPLACE, {"state": state, "id": row_id})
            session.commit()
            log.error(
                "The saved state of the server %r of %s is damaged, so the Hub can't find its job "
                "and takes the server for stopped. If the job still runs, `unispawner reap` lists "
                "it; otherwise cancel it as its user. The state was: %s",
                server,
                user,
                text[:_LONGEST_SHOWN],
            )


_REPLACE = sql_text("UPDATE spawners SET state = :state WHERE id = :id")
_DAMAGED = (
    "The Hub's database has lost what it knew of this server, so the Hub could not find its job "
    "again. If the job still runs, your administrator can end it. Start the server again."
)
_LONGEST_SHOWN = 5000
"""How many characters of a damaged state the log shows."""


def revoke_lost_tokens(session: Any) -> None:
    """Revoke the tokens of servers that do not exist, left by a Hub that was killed.

    JupyterHub saves a token before anybody saves that there is a job for it, and forgets a server
    before its token. A Hub that was killed in between has left the token, and the next one would
    keep it for ever: it knows which server a token belongs to only while that server runs.
    """
    rows = select(orm.Spawner.user_id, orm.Server.base_url, RAW_STATE)
    rows = rows.outerjoin(orm.Server, orm.Spawner.server_id == orm.Server.id)
    for user_id, base_url, text in session.execute(rows).all():
        try:
            state = json.loads(text or "{}") or {}
            tokens = session.query(orm.APIToken).filter(orm.APIToken.user_id == user_id)
            if base_url is None:
                state = state.get("child_state", state)  # a wrapper's
                lost = ServerToken(state.get("token_id"), float(state.get("token_created") or 0.0))
                tokens = filter(lost.matches, tokens if type(lost.id) is int else ())
            elif not state:
                tokens = tokens.filter(orm.APIToken.note == f"Server at {base_url}")
            else:
                continue
        except (ValueError, TypeError, AttributeError, RecursionError):
            continue  # a damaged row must not keep the Hub from starting
        for token in tokens:
            session.delete(token)
    session.commit()


def leave_to_the_next_hub(spawner: Any, base_url: str) -> None:
    """Keep a server whose stop was cancelled before the scheduler confirmed it.

    JupyterHub cancels a stop when it ends, and forgets the server. A Hub that starts asks only
    about servers that have a row in the database, so there must be a row again.
    """
    if session_of(spawner) is not None and spawner.orm_spawner.server is None:
        address, port = DEAD_ADDRESS
        spawner.orm_spawner.server = orm.Server(base_url=base_url, ip=address, port=port)
    commit(spawner)


def has_other_users(spawner: Any) -> bool:
    """Return whether the Hub has more users than the spawner's own."""
    database = session_of(spawner)
    if database is None:
        return False
    others = database.query(orm.User).filter(orm.User.id != spawner.user.orm_user.id)
    return others.first() is not None
