"""Tables of ours in the Hub's database whose rows belong to users, and follow them.

A row has the name of its user. It is renamed with the user and deleted with the user, because a
later user of the same name, or of the same number, may be somebody else. The tables are not
JupyterHub's own: its upgrades of the database neither know nor change them. Each is made when it
is used first.
"""

from __future__ import annotations

from typing import Any

from jupyterhub import orm
from sqlalchemy import Column, Connection, MetaData, Table, Unicode, event, inspect
from sqlalchemy.orm.attributes import get_history

_metadata = MetaData()


def user_table(name: str, *columns: Column[Any]) -> Table:
    """Return a table whose rows belong to users. Its column ``user_name`` is part of the key.

    Parameters
    ----------
    name
        The table's name in the database: ``unispawner_...``.
    columns
        The other columns. Those with ``primary_key`` are the rest of the key.
    """
    return Table(name, _metadata, Column("user_name", Unicode(255), primary_key=True), *columns)


def make_table(session: Any, table: Table) -> None:
    """Make a table if it is missing, in the transaction of a session.

    This looks each time: JupyterHub may undo the transaction in which the table was made.
    """
    table.create(session.connection(), checkfirst=True)


def _tables(connection: Connection) -> list[Table]:
    """Return the tables that exist."""
    existing = set(inspect(connection).get_table_names())
    return [table for table in _metadata.sorted_tables if table.name in existing]


@event.listens_for(orm.User, "after_delete")
def _delete_rows(_mapper: Any, connection: Connection, user: orm.User) -> None:
    for table in _tables(connection):
        connection.execute(table.delete().where(table.c.user_name == user.name))


@event.listens_for(orm.User, "after_update")
def _rename_rows(_mapper: Any, connection: Connection, user: orm.User) -> None:
    for before in get_history(user, "name").deleted or ():
        for table in _tables(connection):
            rows = table.update().where(table.c.user_name == before)
            connection.execute(rows.values(user_name=user.name))
