"""UniSpawner by itself: its saved state, and its start. tests/live/test_restart.py has its life."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tornado.web import HTTPError

from unispawner.servers import as_user
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


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"slurm_cluster": "alpha"}, {"slurm_cluster": "beta"}),
        ({"slurm_cluster": "alpha"}, {}),
        ({}, {"slurm_cluster": "beta"}),
        ({"scheduler_environment": {"SLURM_CONF": "/alpha"}}, {"slurm_cluster": "beta"}),
    ],
)
def test_a_server_stays_on_its_cluster(before: dict[str, object], now: dict[str, object]) -> None:
    """After a restart with another cluster in the configuration, a job is asked for where it was
    submitted: the same id on another cluster is another job."""
    old = UniSpawner(scheduler="slurm", **before)
    saved = replace(
        STATE,
        scheduler="slurm",
        scheduler_options=old.get_scheduler().options,
        scheduler_environment=dict(old.scheduler_environment),
    )
    spawner, other = UniSpawner(scheduler="slurm", **now), UniSpawner(scheduler="slurm", **now)
    spawner.load_state(saved.to_dict())
    assert old.get_scheduler().query_key == spawner.get_scheduler().query_key
    assert old.monitor() is spawner.monitor()
    assert other.monitor() is not spawner.monitor()


def test_a_state_from_before_there_was_the_setting() -> None:
    """A job of an older release is on the host's own cluster, whatever is configured now."""
    state = {**STATE.to_dict(), "scheduler": "slurm", "scheduler_options": {}}
    spawner = UniSpawner(scheduler="slurm", slurm_cluster="beta")
    spawner.load_state(state)
    assert "" == spawner.slurm_cluster


@pytest.mark.parametrize(
    ("saved", "expected"), [("login1", "login1"), ("", "login2"), (None, "login2")]
)
def test_a_server_stays_on_its_submit_host(saved: str | None, expected: str) -> None:
    """A job is asked for on the host where it was submitted. One of the Hub's own host is asked for
    on what is configured now, because the Hub may have moved."""
    state = {**STATE.to_dict(), "scheduler": "slurm", "submit_host": saved}
    if saved is None:
        del state["submit_host"]
    spawner = UniSpawner(scheduler="slurm", submit_host="login2")
    spawner.load_state(state)
    assert expected == spawner.submit_host


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

    monkeypatch.setattr(as_user, "find_account", find_account)
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
