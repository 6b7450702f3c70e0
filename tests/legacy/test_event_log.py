"""What the event log has of a legacy server, in a real Hub's application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.batch_dummy import HOST, JOB, Dummy, soon
from support.events import EventsInMemory
from support.hub_app import Hub
from support.legacy_in_a_hub import dummy_hub, dummy_in, started
from traitlets.config import Config

from unispawner.web.reports import Report

pytestmark = [
    pytest.mark.hub,
    pytest.mark.filterwarnings("ignore:The `version` property of an event schema"),
]
HANDLER = EventsInMemory()
RUNS, PENDING = f"echo RUN {HOST}", "echo PEND"


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hub]:
    config = Config()
    config.EventLogger.handlers = [HANDLER]
    async with dummy_hub(tmp_path_factory.mktemp("hub"), config) as found:
        yield found


@pytest.fixture
async def spawner(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Dummy]:
    """A user's spawner."""
    HANDLER.lines.clear()
    with dummy_in(hub, monkeypatch, tmp_path) as made:
        yield made


async def test_a_legacy_server(spawner: Dummy) -> None:
    """A server that starts, is found again by the next Hub and is stopped has each event once."""
    starting = await started(spawner)
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
    starting = await started(spawner)
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
