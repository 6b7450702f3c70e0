"""Jobs whose end the scheduler has not confirmed yet, in a table of the Hub's database.

JupyterHub forgets a server, and wipes its state, when its stop has returned. A stop may return as
soon as the scheduler has accepted the cancellation and the job itself has reported that its server
has ended. Until the scheduler confirms that, the job is in this table, so that a Hub that is killed
and started again goes on with cancelling it. A row needs neither the server nor its user any more.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from jupyterhub import orm
from sqlalchemy import Column, Float, MetaData, String, Table, Text, Unicode, inspect
from sqlalchemy.exc import SQLAlchemyError

from .. import tasks
from ..errors import AgentError
from ..web import bookkeeping
from .database import save_soon, session_of

_metadata = MetaData()
"""Not JupyterHub's own: its upgrades of the database neither know nor change our table."""
_TABLE = Table(
    "unispawner_endings",
    _metadata,
    Column("mark", String(32), primary_key=True),
    Column("user_name", Unicode(255), nullable=False),
    Column("server_name", Unicode(255), nullable=False),
    # MySQL's FLOAT without a number would round the time to two minutes.
    Column("since", Float(53), nullable=False),
    Column("state", Text, nullable=False),
)


@dataclass(frozen=True)
class Ending:
    """A job that is being ended.

    Attributes
    ----------
    mark
        The job's mark.
    user_name, server_name
        Whose server it was.
    state
        The spawner's saved state, which finds the job again.
    """

    mark: str
    user_name: str
    server_name: str
    state: dict[str, Any]


def writer(spawner: Any, mark: str, state: Mapping[str, Any] | None = None) -> Callable[[], None]:
    """Return what adds a spawner's job to the table, for a session that is committed then.

    Parameters
    ----------
    state
        The spawner's saved state with which the job is found. Default: the spawner's of now.

    Raises
    ------
    TypeError, ValueError
        If the state is not JSON.
    """
    database, known = session_of(spawner), bookkeeping.outer(spawner)
    values = {
        "mark": mark,
        "user_name": known.user.name,
        "server_name": known.name,
        "since": time.time(),
        "state": json.dumps(known.get_state() if state is None else state),
    }

    def write() -> None:
        _metadata.create_all(database.connection())
        database.execute(_TABLE.delete().where(_TABLE.c.mark == mark))
        database.execute(_TABLE.insert().values(values))

    return write


async def record(spawner: Any, mark: str) -> bool:
    """Save that a spawner's job is being ended; return False, and log why, if that fails."""
    database = session_of(spawner)
    if database is None:
        return False
    try:
        await save_soon(database, writer(spawner, mark))
    except (SQLAlchemyError, TypeError, ValueError) as error:
        spawner.log.warning(
            "%s: the Hub's database did not save that the job is being ended, so the stop waits "
            "for the scheduler: %s",
            bookkeeping.log_name(spawner),
            error,
        )
        return False
    return True


async def forget(database: Any, mark: str, log: Any) -> None:
    """Remove a job from the table: the scheduler has confirmed its end."""

    def write() -> None:
        database.execute(_TABLE.delete().where(_TABLE.c.mark == mark))

    try:
        await save_soon(database, write)
    except SQLAlchemyError as error:
        log.warning("The Hub's database did not forget the job with mark %s: %s", mark, error)


def read_all(database: Any) -> list[Ending]:
    """Return all jobs in the table."""
    _metadata.create_all(database.connection())
    rows = database.execute(_TABLE.select()).mappings().all()
    database.commit()
    return [
        Ending(row["mark"], row["user_name"], row["server_name"], _read_state(row["state"]))
        for row in rows
    ]


def read_raw(database: Any) -> list[Any]:
    """Return the rows of the table with the text of each state; this writes nothing."""
    if not inspect(database.connection()).has_table(_TABLE.name):
        return []
    return list(database.execute(_TABLE.select()).all())


def _read_state(text: str) -> dict[str, Any]:
    """Return a saved state; one that can't be read costs no other row, and has no mark."""
    try:
        state = json.loads(text)
    except (ValueError, RecursionError):
        state = None
    return state if isinstance(state, dict) else {"unreadable": text[:1000]}


def resume(hub: Any) -> None:
    """Go on with ending the jobs in the table; called once, when the Hub starts.

    Parameters
    ----------
    hub
        JupyterHub's application.
    """
    try:
        endings = read_all(hub.db)
    except (SQLAlchemyError, ValueError) as error:
        hub.db.rollback()
        hub.log.error("The jobs that are being ended can't be read from the database: %s", error)
        return
    for one in endings:
        tasks.start(_end(hub, one), f"end of an earlier job of {one.user_name}")


async def _end(hub: Any, ending: Ending) -> None:
    try:
        confirm = _find_confirmation(hub, ending)
    except Exception as error:  # of a site's own class, too; the other jobs have to be ended
        hub.log.exception(
            "The job of %s that was being ended can't be loaded; cancel it by hand: %s: %s",
            ending.user_name,
            ending.state,
            error,
        )
        return
    await confirm()
    await forget(hub.db, ending.mark, hub.log)


def _find_confirmation(hub: Any, ending: Ending) -> Callable[[], Awaitable[None]]:
    """Return what ends the job, of a spawner that JupyterHub does not know.

    The user's present spawner can't be used: it may have another server by now.
    """
    found = orm.User.find(hub.db, ending.user_name)
    user = SimpleNamespace(name=ending.user_name, settings=hub.tornado_settings, groups=[])
    spawner = hub.spawner_class(
        user=user if found is None else hub.users[found],
        hub=hub.hub,
        config=hub.config,
        authenticator=hub.authenticator,
    )
    spawner.load_state(ending.state)
    job = bookkeeping.inner(spawner).server_job
    if job.state.mark != ending.mark:
        raise AgentError("its scheduler or its settings no longer exist")
    confirm: Callable[[], Awaitable[None]] = job.confirm_end
    return confirm
