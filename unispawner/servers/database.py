"""How a spawner of ours saves what finds its server again: at once, not when JupyterHub does."""

from __future__ import annotations

from typing import Any

from jupyterhub import orm
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import object_session

from ..web.bookkeeping import log_name, outer
from .state import DEAD_ADDRESS


def session_of(spawner: Any) -> Any:
    """Return the Hub's database session; None for a spawner that belongs to nobody."""
    return None if spawner.orm_spawner is None else object_session(spawner.orm_spawner)


def commit(spawner: Any) -> bool:
    """Save a spawner's state now: JupyterHub does so only after ``start()`` has returned.

    Return False, and log why, if the database refuses: what is under way goes on.
    """
    database = session_of(spawner)
    if database is None:
        return True
    try:
        spawner.orm_spawner.state = outer(spawner).get_state()
        database.commit()
    except SQLAlchemyError as error:
        database.rollback()
        spawner.log.error(
            "%s: the Hub's database did not save the server's state: %s", log_name(spawner), error
        )
        return False
    return True


def find_token_id(spawner: Any) -> int | None:
    """Return the id of the API token that the server is given; None without a database."""
    database = session_of(spawner)
    token = orm.APIToken.find(database, spawner.api_token) if database else None
    return token.id if token else None


def revoke_token(spawner: Any, token_id: int | None) -> None:
    """Delete a server's token, which JupyterHub can't after a restart: it knows only its hash."""
    database = session_of(spawner)
    if token_id is None or database is None:
        return
    token = database.get(orm.APIToken, token_id)
    if token is not None and token.user is spawner.user.orm_user:
        database.delete(token)


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
