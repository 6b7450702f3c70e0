"""A stop that returns before the scheduler has confirmed it, and what outlives it."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from jupyterhub import orm
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateTable
from support.hub import until
from support.hub_app import NODE, PATIENCE, FakeSpawner, Hub, Server, hub_app, starting_server

from unispawner.errors import CancelError
from unispawner.job import JobState
from unispawner.servers import endings
from unispawner.web.reports import ServerEnd

pytestmark = pytest.mark.filterwarnings("ignore:The `version` property of an event schema")
END = ServerEnd(NODE, 2000, 0)


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hub]:
    async with hub_app(tmp_path_factory.mktemp("hub")) as found:
        yield found


@pytest.fixture
async def server(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    """Give a server that has reported, on a scheduler that accepts each cancel and does nothing."""
    async with starting_server(hub, monkeypatch) as found:
        await found.running()
        assert 200 == (await hub.post({"host": NODE, "port": 2000}, found.token)).code
        await asyncio.wait_for(found.start, PATIENCE)
        with monkeypatch.context() as lazy:
            lazy.setattr(found.spawner.side, "_cancel", lambda owner, request: {})
            yield found
        for job_id, info in FakeSpawner.fake.jobs.items():
            if not info.state.final:
                FakeSpawner.fake.change(job_id, JobState.CANCELED)
        await until(lambda: not recorded(hub), "all is confirmed", PATIENCE)


def recorded(hub: Hub) -> list[str]:
    return [one.mark for one in endings.read_all(hub.app.db)]


@pytest.mark.parametrize("name", ["mysql", "postgresql", "sqlite"])
def test_the_table_in_each_database(name: str) -> None:
    """Each database that JupyterHub may use can make the table: MySQL needs a length for each text
    that is not of type TEXT, and a FLOAT of 53 bits for the seconds since 1970.

    Tried with MariaDB 10.11.
    """
    dialect = importlib.import_module(f"sqlalchemy.dialects.{name}").dialect()
    statement = str(CreateTable(endings._TABLE).compile(dialect=dialect))
    assert statement.count("VARCHAR") == statement.count("VARCHAR(")
    columns = dict(re.findall(r"^\s*(\w+) ([A-Z]+(?:\(\d+\))?)", statement, re.MULTILINE))
    assert {"mark", "user_name", "server_name", "since", "state"} <= set(columns)
    assert columns["since"] in ("FLOAT(53)", "DOUBLE", "DOUBLE PRECISION", "FLOAT")
    assert columns["since"] != "FLOAT" or name == "sqlite"


async def cancelled(server: Server) -> None:
    job = server.spawner.server_job.tracked
    await until(lambda: job and job.cancelled, "the scheduler has accepted the cancel", PATIENCE)


async def stopped(server: Server) -> str:
    """Stop the server; return the mark of its job."""
    mark = server.spawner.server_job.state.mark
    stopping = asyncio.ensure_future(server.spawner.stop())
    await cancelled(server)
    await server.spawner.take_end(END)
    await asyncio.wait_for(stopping, PATIENCE)
    return mark


async def test_a_stop_returns_when_the_server_has_ended(hub: Hub, server: Server) -> None:
    """It needs the scheduler's acceptance and the job's own report. The confirmation goes on when
    JupyterHub has forgotten the server."""
    spawner, old = server.spawner, server.spawner.server_job
    job_id, requests = old.state.job_id, spawner.side.asked
    stopping = asyncio.ensure_future(spawner.stop())
    await cancelled(server)
    await asyncio.wait({stopping}, timeout=0.2)
    assert not stopping.done(), "the server may still run"
    await spawner.take_end(END)
    await asyncio.wait_for(stopping, PATIENCE)
    assert [old.state.mark] == recorded(hub)
    spawner.clear_state()
    assert (True, False) == (spawner.server_job is not old, old.over)
    spawner.fake.change(job_id, JobState.CANCELED)
    await until(lambda: not recorded(hub), "the scheduler confirms it", PATIENCE)
    assert old.over
    assert [old.state.mark] == [one["mark"] for one in requests("cleanup")][-1:]


async def test_a_report_alone_ends_no_stop(hub: Hub, server: Server) -> None:
    """While the scheduler accepts no cancel, the stop goes on: the job may be run again."""
    spawner = server.spawner
    spawner.side.error = CancelError("the scheduler is down")
    stopping = asyncio.ensure_future(spawner.stop())
    await spawner.take_end(END)
    await asyncio.wait({stopping}, timeout=0.3)
    assert (False, []) == (stopping.done(), recorded(hub))
    spawner.side.error = None
    await asyncio.wait_for(stopping, PATIENCE)


async def test_a_new_start_does_not_meet_the_old_job(hub: Hub, server: Server) -> None:
    """Both jobs have their own marks, ids and files: the end of the old one ends no other."""
    spawner, old_id = server.spawner, server.spawner.server_job.state.job_id
    old_mark = await stopped(server)
    spawner.clear_state()
    again = await Server(spawner).running()
    new = spawner.server_job.state
    assert (old_id, old_mark) != (new.job_id, new.mark)
    spawner.fake.change(old_id, JobState.CANCELED)
    await until(lambda: not recorded(hub), "the scheduler confirms it", PATIENCE)
    assert again.info
    assert JobState.RUNNING is again.info.state
    assert {new.job_id} == {job.job_id for job in spawner.monitor().jobs}
    assert new.mark not in [one["mark"] for one in spawner.side.asked("cleanup")]
    again.start.cancel()


async def test_a_database_that_refuses(
    hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a record the stop waits until the scheduler confirms it."""

    def refuse(*_: Any) -> None:
        raise OperationalError("the disk is full", None, Exception())

    monkeypatch.setattr(endings._TABLE, "insert", refuse)
    spawner = server.spawner
    stopping = asyncio.ensure_future(spawner.stop())
    await cancelled(server)
    await spawner.take_end(END)
    await asyncio.wait({stopping}, timeout=0.3)
    assert not stopping.done()
    spawner.fake.change(spawner.server_job.state.job_id, JobState.CANCELED)
    await asyncio.wait_for(stopping, PATIENCE)


@pytest.mark.parametrize("user", ["ada", "gone"])
async def test_a_hub_that_was_killed_after_the_stop(hub: Hub, server: Server, user: str) -> None:
    """The next Hub goes on with cancelling, also if the user has been deleted meanwhile."""
    spawner, old = server.spawner, server.spawner.server_job
    await stopped(server)
    assert old._end._confirmation
    old._end._confirmation.cancel()  # as with the old Hub
    spawner.clear_state()
    database = hub.app.db
    # The name of a real scheduler: the spawner of these tests takes the fake one in any case.
    state = {**endings.read_all(database)[0].state, "scheduler": "slurm"}
    new_values = {"user_name": user, "state": json.dumps(state)}
    database.execute(endings._TABLE.update().values(new_values))
    database.commit()
    assert (user == "ada") is (orm.User.find(database, user) is not None)
    cancels = len(spawner.side.asked("cancel"))
    endings.resume(hub.app)
    await until(lambda: len(spawner.side.asked("cancel")) > cancels, "it is cancelled", PATIENCE)
    assert [old.state.mark] == recorded(hub)
    spawner.fake.change(old.state.job_id, JobState.CANCELED)
    await until(lambda: not recorded(hub), "the scheduler confirms it", PATIENCE)
    assert "cleanup" == spawner.side.requests[-1]["action"]


async def test_a_stop_that_a_restart_interrupted(hub: Hub, server: Server) -> None:
    """It goes on in poll(), which reports no server as soon as the stop has returned."""
    spawner, state = server.spawner, server.spawner.server_job.state
    spawner.server_job.stop_following()
    saved = {**state.to_dict(), "scheduler": "slurm", "stopping": True}
    spawner.load_state(saved)
    polling = asyncio.ensure_future(spawner.poll())
    await until(lambda: spawner.server_job.tracked, "the job is found", PATIENCE)
    await cancelled(server)
    await spawner.take_end(END)
    assert 0 == await asyncio.wait_for(polling, PATIENCE)
    assert [state.mark] == recorded(hub)


async def test_a_record_that_can_not_be_loaded(
    hub: Hub, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says which job it is, and the record stays for a Hub that has its scheduler again."""
    mark = await stopped(server)
    one = endings.read_all(hub.app.db)[0]
    lost = endings.Ending(mark, one.user_name, "", {**one.state, "scheduler": "gone"})
    await endings._end(hub.app, lost)
    assert [mark] == recorded(hub)
    assert f"'job_id': '{one.state['job_id']}'" in caplog.text


@pytest.mark.parametrize("text", ["", "{", "null", "[1]", '"x"', "[" * 100_000])
async def test_a_record_that_makes_no_sense(
    hub: Hub, server: Server, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """It costs no other record, and the log shows what is in it."""
    mark = await stopped(server)
    row = {"mark": "bad", "user_name": "ada", "server_name": "", "since": 0.0, "state": text}
    hub.app.db.execute(endings._TABLE.insert().values(row))
    hub.app.db.commit()
    bad, good = sorted(endings.read_all(hub.app.db), key=lambda one: one.mark == mark)
    assert (mark, mark) == (good.mark, good.state["mark"])
    await endings._end(hub.app, bad)
    assert "The job of ada that was being ended can't be loaded" in caplog.text
    await endings.forget(hub.app.db, "bad", hub.app.log)
    assert [mark] == recorded(hub)


def test_the_hub_begins_with_it(hub: Hub) -> None:
    """The table exists once a Hub has been started."""
    assert [] == recorded(hub)
