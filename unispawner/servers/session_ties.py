"""Which session goes on with the work of an earlier one, in the Hub's database.

A user who continues a server has a second job, with a session of its own: see :mod:`.hand_over`.
The ties have a table of their own, so that rows of an older release stay as they are.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Float, String

from .user_tables import make_table, user_table

TABLE = user_table(
    "unispawner_session_ties",
    Column("mark", String(64), primary_key=True),
    Column("expires", Float(53), nullable=False, index=True),
    Column("continues", String(64), nullable=False),
)


def find_first(job: Any) -> str:
    """Return the mark of the job of which this is the second job; empty if it is none."""
    if not getattr(job, "is_second", False):
        return ""
    return str(job.spawner.server_job.state.mark)


def write(session: Any, user_name: str, mark: str, expires: float, continues: str) -> None:
    """Note that the session with a mark continues another one; do nothing without that one."""
    if not continues:
        return
    make_table(session, TABLE)
    session.execute(TABLE.delete().where(TABLE.c.user_name == user_name, TABLE.c.mark == mark))
    values = {"user_name": user_name, "mark": mark, "expires": expires, "continues": continues}
    session.execute(TABLE.insert().values(values))


def read(session: Any, user_name: str) -> dict[str, str]:
    """Return the marks of the sessions that those of a user continue, by their own marks.

    Raises
    ------
    SQLAlchemyError
        If the database can't be read.
    """
    make_table(session, TABLE)
    rows = session.execute(TABLE.select().where(TABLE.c.user_name == user_name)).all()
    return {row.mark: row.continues for row in rows}
