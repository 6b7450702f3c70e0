"""What the event log has of a server, in a real Hub's application on a fake scheduler.

The events of a Hub that is killed are in tests/stateful/test_events.py.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import logging
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_events import yaml
from support import CHECKOUT
from support.events import EventsInMemory
from support.hub_app import (
    NODE,
    OTHER,
    PATIENCE,
    FakeSpawner,
    Hub,
    Server,
    hub_app,
    starting_server,
)
from traitlets.config import Config

from unispawner import ProfilesSpawner, events
from unispawner.errors import SubmitError
from unispawner.job import JobState
from unispawner.servers import event_log

pytestmark = [
    pytest.mark.hub,
    pytest.mark.filterwarnings("ignore:The `version` property of an event schema"),
]
HANDLER = EventsInMemory()


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hub]:
    config = Config()
    config.EventLogger.handlers = [HANDLER]
    config.FakeSpawner.queue_name = "interactive"
    config.FakeSpawner.account = "physics"
    config.FakeSpawner.resources = {"cpu_cores_per_process": 2, "memory": "4G"}
    config.FakeSpawner.duration = "08:00:00"
    async with hub_app(tmp_path_factory.mktemp("hub"), config) as found:
        yield found


@pytest.fixture
async def server(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    HANDLER.lines.clear()
    async with starting_server(hub, monkeypatch) as found:
        yield found


def last() -> dict[str, Any]:
    return HANDLER.all[-1]


async def test_the_events_of_a_server(hub: Hub, server: Server) -> None:
    """A server's events have what was requested, the job, its host, and how it ended."""
    await server.running()
    assert 200 == (await hub.post({"host": NODE, "port": 50123}, server.token)).code
    await server.start
    server.spawner.server_job.note_ready()
    job_id = server.spawner.server_job.state.job_id
    await server.spawner.stop()
    server.spawner.clear_state()
    names = [one for one in HANDLER.names if one != "queued"]  # the job may run at once
    assert ["asked", "accepted", "submitted", "started", "ready", "ended:stopped"] == names
    accepted = next(one for one in HANDLER.all if one["event"] == "accepted")
    requested = {"queue": "interactive", "project": "physics", "cores": 2, "memory": 4 * 1024**3}
    assert {**requested, "duration": 28800} == {
        name: accepted[name] for name in [*requested, "duration"]
    }
    assert ("ada", "", "", "fake") == tuple(
        last()[name] for name in ("user", "server", "profile", "scheduler")
    )
    assert (job_id, "", "") == (last()["job_id"], last()["cause"], last()["reason"])
    assert 0 <= last()["seconds"]
    assert not [line for line in HANDLER.lines if server.token in line]


async def test_a_job_that_runs_elsewhere_at_once(hub: Hub, server: Server) -> None:
    """A job that is run again elsewhere is requeued and started, and ready when it has reported."""
    await server.running()
    assert 200 == (await hub.post({"host": NODE, "port": 50123}, server.token)).code
    await server.start
    server.spawner.server_job.note_ready()
    server.runs_on(OTHER)
    while server.info and server.info.exec_host != OTHER:
        await server.spawner.monitor().refresh(PATIENCE)
    assert ["ready", "requeued", "started"] == HANDLER.names[-3:]
    assert OTHER == last()["host"]


async def test_a_start_that_fails(hub: Hub, server: Server) -> None:
    """A job that ends before its server is ready has ended once, with the reason, and without a
    path that the scheduler names in it."""
    await server.running()
    message = "can't open /home/ada/secret.log"
    job_id = server.spawner.server_job.state.job_id
    server.spawner.fake.change(job_id, JobState.FAILED, message=message)
    with pytest.raises(Exception, match="ended"):
        await server.start
    await server.spawner.stop()
    server.spawner.clear_state()
    assert 1 == sum(one.startswith("ended") for one in HANDLER.names)
    assert "failed" == last()["outcome"]
    assert "can't open (path)" in last()["reason"]
    assert not [line for line in HANDLER.lines if "/home/" in line]


async def test_a_start_that_is_refused(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start without a job is refused, once and with the reason."""
    HANDLER.lines.clear()
    spawner = hub.user("bob").spawners[""]
    monkeypatch.setattr(spawner, "account_name", lambda _: "no-such-account-at-all")
    async with starting_server(hub, monkeypatch, "bob") as server:
        with pytest.raises(Exception, match="no-such-account-at-all"):
            await server.start
    assert ["asked", "refused"] == HANDLER.names
    assert "no-such-account-at-all" in last()["reason"]


async def test_a_submission_that_the_scheduler_refuses(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was accepted here, and refused there."""
    HANDLER.lines.clear()
    monkeypatch.setattr(FakeSpawner.side, "error", SubmitError("invalid account"))
    async with starting_server(hub, monkeypatch, "bob") as server:
        with pytest.raises(Exception, match="invalid account"):
            await server.start
        monkeypatch.setattr(FakeSpawner.side, "error", None)
    assert ["asked", "accepted", "refused"] == HANDLER.names


async def test_a_start_that_is_cancelled_before_there_is_a_job(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not stay open in the log."""
    HANDLER.lines.clear()
    never = asyncio.Event()

    async def wait(_: object) -> None:
        await never.wait()

    monkeypatch.setattr(FakeSpawner, "find_scheduler", wait)
    async with starting_server(hub, monkeypatch, "bob"):
        await asyncio.sleep(0.05)
    assert ["asked", "refused"] == HANDLER.names


async def test_a_state_of_an_older_release(hub: Hub, server: Server) -> None:
    """A server that an older release has started has its end in the log, and nothing doubtful."""
    await server.running()
    HANDLER.lines.clear()
    job = server.spawner.server_job
    job.state.last_event = ""
    assert 200 == (await hub.post({"host": NODE, "port": 50123}, server.token)).code
    await server.start
    job.note_ready()
    assert [] == HANDLER.names
    await server.spawner.stop()
    server.spawner.clear_state()
    assert ["ended:stopped"] == HANDLER.names


async def test_a_handler_that_fails(
    hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server starts and stops although no event can be written."""

    def fail(_: logging.LogRecord) -> None:
        raise RuntimeError("no events today")

    monkeypatch.setattr(HANDLER, "emit", fail)
    HANDLER.lines.clear()
    await server.running()
    assert 200 == (await hub.post({"host": NODE, "port": 50123}, server.token)).code
    await server.start
    await server.spawner.stop()
    server.spawner.clear_state()
    assert [] == HANDLER.names


async def test_a_choice_that_is_refused(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A choice that is not offered is asked and refused at a start; elsewhere it is no event."""
    HANDLER.lines.clear()
    config = Config()
    config.ProfilesSpawner.profiles = [{"display_name": "One", "spawner": FakeSpawner}]
    user = hub.user("bob")
    spawner = ProfilesSpawner(user=user, config=config, user_options={"profile": "/home/bob"})
    with pytest.raises(Exception, match="profile"):
        await spawner.run_pre_spawn_hook()
    assert [] == HANDLER.names
    spawner._start_pending = True
    with pytest.raises(Exception, match="profile"):
        await spawner.run_pre_spawn_hook()
    assert ["asked", "refused"] == HANDLER.names
    assert not [line for line in HANDLER.lines if "/home/bob" in line]


def examples() -> list[str]:
    """Return the configurations of docs/events.md."""
    page = (CHECKOUT / "docs" / "events.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", page, re.S)


async def test_the_configuration_for_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The configuration of docs/events.md writes each event as a line of JSON into a file."""
    text, c = examples()[0], Config()
    exec(text.replace("/var/log/jupyterhub", str(tmp_path)), {"c": c})
    async with hub_app(tmp_path, c) as hub:
        async with starting_server(hub, monkeypatch) as server:
            await server.submitted()
        lines = (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()
    for handler in c.EventLogger.handlers:
        handler.close()
    found = [json.loads(line) for line in lines]
    assert ["asked", "accepted", "submitted"] == [one["event"] for one in found][:3]
    assert "ended" == found[-1]["event"]


async def test_the_configuration_with_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That for a destination on the network sends the same lines from another thread."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(PATIENCE)
        text, names = examples()[1], {"c": (c := Config())}
        address = repr(receiver.getsockname())
        exec(text.replace('("logs.example.org", 514)', address), names)
        async with hub_app(tmp_path, c) as hub, starting_server(hub, monkeypatch) as server:
            await server.submitted()
        line = receiver.recv(65536)
    writer: Any = names["writer"]
    writer.stop()
    for handler in writer.handlers:
        handler.close()
    assert "asked" == json.loads(line.partition(b">")[2].rstrip(b"\0"))["event"]


def test_all_events_that_the_schema_lists_are_written() -> None:
    """The schema's list of events is the list of those that the code writes."""
    schema = yaml.load(events.SCHEMA)
    written = {
        node.args[1].value
        for node in ast.walk(ast.parse(inspect.getsource(event_log)))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") in ("_write", "_emit")
        and isinstance(node.args[1], ast.Constant)
    }
    assert set(schema["properties"]["event"]["enum"]) == written
