"""Wrappers as JupyterHub makes them, with a database and without a Hub; and Hubs with profiles."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyterhub import orm
from jupyterhub.objects import Hub
from jupyterhub.user import User
from sqlalchemy.orm import Session, close_all_sessions
from support.hub_app import Hub as HubApp
from support.hub_app import profiles_hub
from support.wrapped import Child, NewWrapper
from traitlets.config import Config

from unispawner import WrapSpawner


@pytest.fixture
def db() -> Iterator[Session]:
    """A Hub's database: alice, a member of staff, has a server without a name and one with a
    name."""
    session = orm.new_session_factory("sqlite:///:memory:")()
    alice = orm.User(name="alice")
    session.add_all([alice, orm.Group(name="staff", users=[alice])])
    session.add_all([orm.Spawner(name="", user=alice), orm.Spawner(name="lab", user=alice)])
    session.commit()
    yield session
    engine = session.get_bind()
    close_all_sessions()
    engine.dispose()


@pytest.fixture
def new(db: Session) -> NewWrapper:
    """Return a function that makes a wrapper of alice's as JupyterHub does, from sections of a
    configuration."""

    def make(cls: type = WrapSpawner, server_name: str = "", **sections: Any) -> Any:
        user = User(db.query(orm.User).first(), {})
        if cls is WrapSpawner:
            sections["WrapSpawner"] = {"child_class": Child, **sections.get("WrapSpawner", {})}
        return user._new_spawner(
            server_name, spawner_class=cls, config=Config(sections), hub=Hub(), authenticator=None
        )

    return make


@pytest.fixture
async def hub(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[HubApp]:
    """Give a Hub's application whose users choose among the module's PROFILES."""
    async with profiles_hub(tmp_path, request.module.PROFILES) as found:
        yield found
