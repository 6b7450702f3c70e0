"""Legacy spawners as tests of a site's subclass make them: without a Hub, and with `mock_port`."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jupyterhub import orm
from jupyterhub.objects import Hub, Server
from jupyterhub.user import User
from sqlalchemy.orm import Session, close_all_sessions
from support.batch_dummy import PORT, TOKEN, Dummy


@pytest.fixture
def db() -> Iterator[Session]:
    """Return a Hub's database with one user, whose account is the account that runs the tests."""
    session = orm.new_session_factory("sqlite:///:memory:")()
    session.add(orm.User(name=pwd.getpwuid(os.getuid()).pw_name))
    session.commit()
    yield session
    engine = session.get_bind()
    close_all_sessions()
    engine.dispose()


NewSpawner = Callable[..., Any]


@pytest.fixture
def new_spawner(db: Session) -> NewSpawner:
    """Return a function that makes a spawner of a class."""

    def new(spawner_class: type = Dummy, **settings: Any) -> Any:
        user = User(db.query(orm.User).first(), {})
        settings = {"cmd": ["singleuser_command"], "hub": Hub(), "user": user, **settings}
        spawner = user._new_spawner("", spawner_class=spawner_class, **settings)
        spawner.server = Server()
        spawner.mock_port = PORT
        spawner.api_token = TOKEN
        return spawner

    return new
