"""What the event log has of a legacy server, in a real Hub's application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyterhub import orm
from jupyterhub.objects import Server
from support.accounts import ordinary_account
from support.batch_dummy import HOST, JOB, Dummy, soon
from support.events import EventsInMemory
from support.hub import until
from support.hub_app import NODE, Hub, hub_app
from traitlets.config import Config

from unispawner.legacy import job as job_module
from unispawner.run_as.client import AgentClient
from unispawner.testing import FakeScheduler, FakeUserSide, fake_client
from unispawner.web.reports import Report

pytestmark = [
    pytest.mark.hub,
    pytest.mark.filterwarnings("ignore:The `version` property of an event schema"),
]
HANDLER = EventsInMemory()
RUNS, PENDING = f"echo RUN {HOST}", "echo PEND"


class Side(FakeUserSide):
    """The user's side, that also writes private files."""

    def _stage(self, owner: str, request: Any) -> dict[str, str]:
        return {"wrapper": f"/home/{owner}/wrapper"}


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hub]:
    config = Config()
    config.EventLogger.handlers = [HANDLER]
    config.JupyterHub.spawner_class = Dummy
    config.Dummy.startup_poll_interval = 0.02
    async with hub_app(tmp_path_factory.mktemp("hub"), config) as found:
        yield found


@pytest.fixture
def spawner(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Dummy]:
    """A user's spawner with a server's row in the database, as JupyterHub makes it for a start."""
    scheduler = FakeScheduler(tmp_path)
    side = Side(scheduler)

    async def client(self: job_module.BatchJob) -> AgentClient:
        return fake_client(scheduler, self.state.account, side)

    async def check_exec_host(host: str, *, here: bool, asker: str) -> str:
        return NODE

    monkeypatch.setattr(job_module.BatchJob, "client", client)
    monkeypatch.setattr(job_module, "check_exec_host", check_exec_host)
    HANDLER.lines.clear()
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


async def start(spawner: Dummy) -> asyncio.Task[Any]:
    """Return a start whose job is submitted and saved."""
    starting: asyncio.Task[Any] = asyncio.ensure_future(spawner.start())
    await until(
        lambda: (spawner.orm_spawner.state or {}).get("job_id") or starting.done(),
        "the job is saved",
        pause=0.01,
    )
    return starting


async def test_a_legacy_server(spawner: Dummy) -> None:
    """A server that starts, is found again by the next Hub and is stopped has each event once."""
    starting = await start(spawner)
    await spawner.take_report(Report(4000))
    spawner.server.ip, spawner.server.port = await soon(starting)  # as JupyterHub does
    spawner.start_polling()
    spawner.stop_polling()
    spawner.server_job.commit()
    spawner.user.spawners.pop("")
    found: Dummy = spawner.user.spawners[""]
    found.batch_query_cmd = RUNS
    await found.poll()
    found.server_job.note_ready()
    await found.stop(now=True)
    found.clear_state()
    expected = ["asked", "submitted", "started", "ready", "resumed:server", "ended:stopped"]
    assert expected == HANDLER.names
    assert {"Dummy"} == {one["scheduler"] for one in HANDLER.all}
    assert {"", JOB} == {one["job_id"] for one in HANDLER.all}
    assert HOST == HANDLER.all[2]["host"]


async def test_a_legacy_job_that_is_gone(spawner: Dummy) -> None:
    """A job that disappears before its server is ready has ended once, and failed."""
    spawner.batch_query_cmd = PENDING
    starting = await start(spawner)
    spawner.batch_query_cmd = "echo"
    await asyncio.wait({starting}, timeout=20)
    assert "has disappeared" in str(starting.exception())
    await spawner.stop(now=True)
    spawner.clear_state()
    assert ["asked", "submitted", "ended:failed"] == HANDLER.names
    assert "disappeared" in HANDLER.all[-1]["reason"]


async def test_a_legacy_submission_that_fails(spawner: Dummy) -> None:
    """A submission that the scheduler refuses is refused, with its words and without a path."""
    spawner.batch_submit_cmd = "echo no such queue: see /home/ada/x >&2; exit 1"
    with pytest.raises(Exception, match="no such queue"):
        await spawner.start()
    await spawner.stop(now=True)
    spawner.clear_state()
    assert ["asked", "refused"] == HANDLER.names
    assert "no such queue: see (path)" in HANDLER.all[-1]["reason"]
