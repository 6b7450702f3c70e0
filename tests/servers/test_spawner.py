"""UniSpawner by itself: what it keeps, and what it asks for. Its life is in test_restart.py."""

from __future__ import annotations

import asyncio

import pytest
from tornado.web import HTTPError

from unispawner import InvalidJobError
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


def test_jupyterhubs_own_limits_fill_what_is_unset() -> None:
    """They are never ignored: a limit of cores is rounded up, ours goes first."""
    spawner = UniSpawner(scheduler="slurm", mem_limit="2G", cpu_guarantee=1.5)
    spec = spawner.job_spec(MARK, {})
    assert (2 * 1024**3, 2) == (spec.resources.memory, spec.resources.cpu_cores_per_process)
    spawner.resources = {"memory": "1G"}
    assert 1024**3 == spawner.job_spec(MARK, {}).resources.memory


def test_limits_that_nobody_would_keep_are_refused() -> None:
    """The local host limits nothing."""
    with pytest.raises(InvalidJobError, match="mem_limit"):
        UniSpawner(scheduler="local", mem_limit="2G").job_spec(MARK, {})


@pytest.mark.parametrize(
    ("trait", "value", "text"),
    [
        ("resources", {"cores": 1}, "no such field: cores"),
        ("resources", {"memory": "4 gigs"}, "'4 gigs' is no amount of memory"),
        ("duration", "8:00", "'8:00' is no length of time"),
        ("queue_name", "a\nb", "queue_name: 'a\\\\nb' must not hold line breaks"),
        ("custom_attributes", {"qos": "x"}, "'qos' must be a scheduler's name, a dot"),
    ],
)
def test_a_setting_that_cannot_be_right_is_named(trait: str, value: object, text: str) -> None:
    """With its value and what would be right."""
    with pytest.raises(InvalidJobError, match=text):
        UniSpawner(scheduler="slurm", **{trait: value}).job_spec(MARK, {})


def test_the_launcher_reports_loopback_only_without_a_scheduler() -> None:
    """Elsewhere it is what c.UniSpawner.report_host says."""
    local = UniSpawner(scheduler="local", ip="127.0.0.1").job_spec(MARK, {}).arguments
    assert ("--host", "literal:127.0.0.1") == local[2:4]
    slurm = UniSpawner(
        scheduler="slurm", report_host="interface:ib0", port_range="20000-20999"
    ).job_spec(MARK, {})
    assert ("-I", "-", "--host", "interface:ib0", "--ports", "20000-20999", "--") == (
        slurm.arguments[:7]
    )


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
    with pytest.raises(HTTPError, match="was stopped before there was a job"):
        await start
    assert {} == spawner.get_state()
