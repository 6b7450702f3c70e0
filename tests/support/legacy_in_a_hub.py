"""A user's legacy spawner in a real Hub's application, and its start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from jupyterhub import orm
from jupyterhub.objects import Server
from traitlets.config import Config

from unispawner.legacy import job as job_module
from unispawner.run_as.client import AgentClient
from unispawner.testing import FakeScheduler, FakeUserSide, fake_client

from .accounts import ordinary_account
from .batch_dummy import Dummy
from .hub import until
from .hub_app import NODE, Hub, hub_app


class Side(FakeUserSide):
    """The user's side, that also writes private files."""

    def _stage(self, owner: str, request: Any) -> dict[str, str]:
        return {"wrapper": f"/home/{owner}/wrapper"}


@asynccontextmanager
async def dummy_hub(folder: Path, more: Config | None = None) -> AsyncIterator[Hub]:
    """Give a Hub's application whose servers are Dummies; `more` is added to its configuration."""
    config = Config() if more is None else more
    config.JupyterHub.spawner_class = Dummy
    config.Dummy.startup_poll_interval = 0.02
    async with hub_app(folder, config) as found:
        yield found


@contextmanager
def dummy_in(hub: Hub, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Dummy]:
    """Give a spawner with a server's row in the database, as JupyterHub makes it for a start."""
    scheduler = FakeScheduler(folder)
    side = Side(scheduler)

    async def client(self: job_module.BatchJob) -> AgentClient:
        return fake_client(scheduler, self.state.account, side)

    async def check_exec_host(host: str, *, here: bool, asker: str) -> str:
        return NODE

    monkeypatch.setattr(job_module.BatchJob, "client", client)
    monkeypatch.setattr(job_module, "check_exec_host", check_exec_host)
    user = hub.user(ordinary_account().pw_name)
    made: Dummy = user.spawners[""]
    row = orm.Server(base_url=user.base_url)
    hub.app.db.add(row)
    hub.app.db.commit()
    made.server = Server(orm_server=row)
    made.api_token = user.new_api_token(scopes=["users:activity!user"])
    yield made
    user.spawners.pop("", None)
    made.orm_spawner.state, made.server = {}, None
    hub.app.db.commit()


def saved(spawner: Dummy) -> dict[str, Any]:
    """Return the state that is saved."""
    state: dict[str, Any] = spawner.orm_spawner.state or {}
    return state


async def started(spawner: Dummy) -> asyncio.Task[Any]:
    """Return a start whose job is submitted and saved."""
    start: asyncio.Task[Any] = asyncio.ensure_future(spawner.start())
    await until(
        lambda: saved(spawner).get("job_id") or start.done(), "the job is saved", pause=0.01
    )
    return start
