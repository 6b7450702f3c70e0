"""UniSpawner by itself: what it keeps, and what it asks for. Its life is in test_restart.py."""

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
    """A hook that changed where its files are isn't run again after a restart of the Hub."""
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
async def test_what_is_no_state_of_ours_is_no_server(state: dict[str, object]) -> None:
    """And no exception, which would keep the Hub from starting."""
    spawner = UniSpawner()
    spawner.load_state(state)
    assert ({}, 0) == (spawner.get_state(), await spawner.poll())


@pytest.mark.parametrize(
    "options", [{"sge_cell": 7}, {"no_such_setting": 7}, {"sge_gpus_per": "moon", "sge_cell": "c"}]
)
def test_a_setting_of_another_release_loses_no_server(options: dict[str, object]) -> None:
    """It is as it is configured now; the server, its job and its mark are kept."""
    state = {**STATE.to_dict(), "scheduler": "gridengine", "scheduler_options": options}
    spawner = UniSpawner()
    spawner.load_state(state)
    assert state == spawner.get_state()
    assert ("gridengine", "job") == (spawner.get_scheduler().name, spawner.sge_gpus_per)


async def test_progress_before_it_is_known_which_scheduler_there_is() -> None:
    """A start that waits for "auto" to be looked up tells so, and does not fail for it."""
    async for event in UniSpawner().progress():
        assert "Submitting the job to the cluster" == event["message"]
        break


@pytest.mark.parametrize("forgotten", [False, True])
async def test_a_stop_while_a_start_is_prepared(
    monkeypatch: pytest.MonkeyPatch, forgotten: bool
) -> None:
    """No job comes of it, which nobody would follow."""
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
