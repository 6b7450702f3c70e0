"""A second copy of each server's saved state, in a table of the Hub's database.

JupyterHub finds a running server again only by the state in the server's row. If that is emptied or
damaged while the Hub is away, by hand or by a broken tool, its job would run on and belong to
nobody; and with a text that is not JSON, JupyterHub does not start at all. A Hub that starts
replaces such a state by the copy. It is written and removed in the transactions in which the state
itself is.
"""

from __future__ import annotations

import json
from typing import Any

from jupyterhub import orm
from sqlalchemy import Column, Text, Unicode, inspect, literal_column, select, text
from sqlalchemy.exc import SQLAlchemyError

from .user_tables import make_table, user_table

RAW_STATE = literal_column("spawners.state", Text)
"""The text of a state: JupyterHub's own type raises for a row that is damaged."""
_TABLE = user_table(
    "unispawner_states",
    Column("server_name", Unicode(255), primary_key=True),
    Column("state", Text, nullable=False),
)


def write(session: Any, row: orm.Spawner, state: Any) -> None:
    """Replace the copy of a server's state, with the row of that; this commits nothing."""
    with session.no_autoflush:  # one flush, at the commit, saves what many have changed
        make_table(session, _TABLE)
        _remove(session, row)
        if state:
            names = {"user_name": row.user.name, "server_name": row.name}
            session.execute(_TABLE.insert().values(**names, state=json.dumps(state)))


def remove(session: Any, row: orm.Spawner) -> None:
    """Remove the copy of a server's state, because it is forgotten; this commits nothing."""
    with session.no_autoflush:
        # PostgreSQL refuses all that follows in a transaction of which a statement has failed.
        if not inspect(session.connection()).has_table(_TABLE.name):
            return
        _remove(session, row)


def _remove(session: Any, row: orm.Spawner) -> None:
    chosen = (_TABLE.c.user_name == row.user.name) & (_TABLE.c.server_name == row.name)
    session.execute(_TABLE.delete().where(chosen))


def restore(hub: Any) -> None:
    """Replace the states of running servers that are empty or damaged; called when a Hub starts.

    Parameters
    ----------
    hub
        JupyterHub's application.
    """
    try:
        if not inspect(hub.db.connection()).has_table(_TABLE.name):
            return
        for number, user, server, copy in _find_lost(hub.db):
            update = text("UPDATE spawners SET state = :state WHERE id = :id")
            hub.db.execute(update, {"state": copy, "id": number})
            hub.log.warning(
                "The saved state of %s's server %r was empty or damaged; its copy is used",
                user,
                server,
            )
        hub.db.commit()
    except SQLAlchemyError as error:
        hub.db.rollback()
        hub.log.error("The copies of saved states can't be read: %s", error)


def _find_lost(database: Any) -> list[tuple[int, str, str, str]]:
    """Return the rows of running servers without a good state, and the copies of their states."""
    rows = database.execute(
        select(orm.Spawner.id, orm.User.name, orm.Spawner.name, RAW_STATE, _TABLE.c.state)
        .join(orm.User, orm.Spawner.user_id == orm.User.id)
        .join(
            _TABLE,
            (_TABLE.c.user_name == orm.User.name) & (_TABLE.c.server_name == orm.Spawner.name),
        )
        .where(orm.Spawner.server_id.is_not(None))
    ).all()
    return [
        (number, user, server, copy)
        for number, user, server, state, copy in rows
        if not _is_good(state) and _is_good(copy)
    ]


def _is_good(state: str | None) -> bool:
    try:
        value = json.loads(state or "{}")
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and bool(value)
