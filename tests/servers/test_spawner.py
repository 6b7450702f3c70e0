"""UniSpawner by itself: its saved state, and its start. tests/live/test_restart.py has its life."""

from __future__ import annotations

import asyncio

import pytest
from tornado.web import HTTPError

from unispawner.servers import submission
from unispawner.servers.spawner import UniSpawner
from unispawner.servers.state import ServerState

MARK = "0123456789abcdef"
STATE = ServerState(
    scheduler="local", account="alice", job_id="7.8", mark=MARK, state_dir="/scratch/{username}"
)


def test_a_server_is_taken_up_as_it_was_started() -> None:
    """After a restart a server keeps the settings that it was started with, also those that a hook
    had changed: hooks are not run again."""
    spawner = UniSpawner()
    spawner.load_state(STATE.to_dict())
    assert STATE.to_dict() == spawner.get_state()
    assert ("local", "/scratch/{username}") == (spawner.scheduler, spawner.state_dir)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"job_id": "7", "job_status": "RUNNING node1"},
        {**STATE.to_dict(), "version": 99},
        {**STATE.to_dict(), "scheduler": "gone"},
        {**STATE.to_dict(), "scheduler": "auto"},
    ],
)
async def test_the_state_of_another_spawner(state: dict[str, object]) -> None:
    """The state of another spawner, of another version or with an unknown scheduler is no server.
    It raises nothing, which would keep the Hub from starting."""
    spawner = UniSpawner()
    spawner.load_state(state)
    assert ({}, 0) == (spawner.get_state(), await spawner.poll())


@pytest.mark.parametrize(
    "options", [{"sge_cell": 7}, {"no_such_setting": 7}, {"sge_gpus_per": "moon", "sge_cell": "c"}]
)
def test_a_setting_of_another_release_loses_no_server(options: dict[str, object]) -> None:
    """A saved option that this release does not have, or does not accept, is ignored; the server,
    its job and its mark are kept."""
    state = {**STATE.to_dict(), "scheduler": "gridengine", "scheduler_options": options}
    spawner = UniSpawner()
    spawner.load_state(state)
    assert state == spawner.get_state()
    assert ("gridengine", "job") == (spawner.get_scheduler().name, spawner.sge_gpus_per)


async def test_progress_before_the_scheduler_is_detected() -> None:
    """A start that waits for the detection of the scheduler shows progress."""
    event = await anext(UniSpawner().progress())
    assert "Submitting the job to the cluster" == event["message"]


@pytest.mark.parametrize("forgotten", [False, True])
async def test_a_stop_while_a_start_is_prepared(
    monkeypatch: pytest.MonkeyPatch, forgotten: bool
) -> None:
    """A stop before the submission prevents the job, which nobody would follow."""
    asked, answered = asyncio.Event(), asyncio.Event()

    async def find_account(*_: object, **__: object) -> None:
        asked.set()
        await answered.wait()

    monkeypatch.setattr(submission, "find_account", find_account)
    spawner = UniSpawner(scheduler="local", account_name=lambda _: "ada")
    monkeypatch.setattr(UniSpawner, "_log_name", "ada")
    start = asyncio.ensure_future(spawner.start())
    await asked.wait()
    await spawner.stop()
    if forgotten:
        spawner.clear_state()
    answered.set()
    with pytest.raises(HTTPError, match="was stopped before the job was submitted"):
        await start
    assert {} == spawner.get_state()
