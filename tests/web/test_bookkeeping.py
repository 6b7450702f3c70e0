"""What a restart of a Hub with many servers asks the database; operations are counted."""

from __future__ import annotations

import gc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub import orm
from sqlalchemy import event
from sqlalchemy.orm import selectinload

from unispawner.web.bookkeeping import load_users_with_servers

pytestmark = pytest.mark.hub


def database(count: int) -> Any:
    """Return a session of a database with so many users whose servers run, and as many others."""
    session = orm.new_session_factory("sqlite:///:memory:")()
    for number in range(count):
        user, other = orm.User(name=f"user{number}"), orm.User(name=f"other{number}")
        spawner = orm.Spawner(name="", user=user)
        spawner.server = orm.Server(ip="192.0.2.1", port=3000 + number)
        session.add_all([user, other, spawner, orm.Spawner(name="", user=other)])
    session.commit()
    session.expunge_all()
    gc.collect()
    return session


def look_for_servers(session: Any) -> list[orm.User]:
    """Do what JupyterHub's init_spawners does before it awaits anything."""
    found = []
    spawners = session.query(orm.Spawner).filter(orm.Spawner.server != None)  # noqa: E711 # SQL's
    users = selectinload(orm.Spawner.user)
    siblings = selectinload(orm.Spawner.user, orm.User._orm_spawners)
    for spawner in spawners.options(users, siblings).populate_existing():
        assert spawner.name in spawner.user.orm_spawners
        found.append(spawner.user)
    return found


def questions(session: Any, work: Callable[[], object]) -> int:
    """Return how many questions a database is asked meanwhile."""
    asked: list[str] = []

    def note(*arguments: Any) -> None:
        asked.append(arguments[2])

    event.listen(session.get_bind(), "before_cursor_execute", note)
    work()
    event.remove(session.get_bind(), "before_cursor_execute", note)
    return len(asked)


def test_a_restart_asks_as_many_questions_for_many_servers() -> None:
    """Ten times as many running servers are not ten times as many questions to the database."""
    asked = []
    for count in (5, 50):
        session = database(count)
        kept: list[orm.User] = []

        def restart(session: Any = session, kept: list[orm.User] = kept) -> None:
            kept.extend(load_users_with_servers(SimpleNamespace(db=session)))
            assert kept == look_for_servers(session)

        asked.append(questions(session, restart))
        assert count == len(kept)
        assert all(user.name.startswith("user") for user in kept)
        session.close()
        session.get_bind().dispose()
    assert asked[0] == asked[1]
    assert asked[1] <= 20
