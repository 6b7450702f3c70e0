"""What the API shows of a server, tested with a real Hub's own application."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub import orm
from jupyterhub.objects import Server as JupyterHubServer
from support.hub import until
from support.hub_app import NODE, PATIENCE, FakeSpawner, Hub, Server, hub_app, starting_server
from traitlets.config import Config

from unispawner.errors import AgentError
from unispawner.job import JobSpec, JobState, ResourceSpec
from unispawner.web.server_status import server_status
from unispawner.web.summary import describe_job

pytestmark = [
    pytest.mark.hub,
    pytest.mark.filterwarnings("ignore:The `version` property of an event schema"),
]
MINUTES = 60


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hub]:
    config = Config()
    config.FakeSpawner.resources = {"cpu_cores_per_process": 4, "memory": "16G"}
    config.FakeSpawner.duration = "08:00:00"
    async with hub_app(tmp_path_factory.mktemp("hub"), config) as found:
        yield found


@pytest.fixture
async def server(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    async with starting_server(hub, monkeypatch) as found:
        yield found


async def status_of(hub: Hub, token: str | None, path: str = "ada") -> dict[str, Any]:
    response = await hub.get(f"unispawner/servers/{path}", token)
    assert 200 == response.code
    assert "no-store" == response.headers["Cache-Control"]
    return dict(json.loads(response.body))


async def change(server: Server, state: JobState, **what: Any) -> None:
    """Make the scheduler report a new state, and wait until the Hub has read it."""
    server.spawner.fake.change(server.spawner.server_job.state.job_id, state, **what)
    expected = {"state": state, **what}
    while not expected.items() <= vars(server.info or state).items():
        await server.spawner.monitor().refresh(PATIENCE)


async def test_a_server_that_is_not_there(hub: Hub) -> None:
    """A server that was never started is stopped, without a job and times."""
    found = await status_of(hub, hub.user("ada").new_api_token())
    assert ("ada", "", "stopped", "") == tuple(
        found[name] for name in ("user", "name", "state", "job_id")
    )
    assert {None} == {found[name] for name in ("ends", "time_left", "estimated_start", "started")}


async def test_a_server_that_waits(hub: Hub, server: Server) -> None:
    """A queued server shows position, reason, estimated start and summary; times are written as
    JupyterHub writes them."""
    await server.submitted()
    soon = 1_900_000_000.0
    what = {"queue_position": 3, "message": "waiting for <b>", "estimated_start": soon}
    await change(server, JobState.QUEUED, **what)
    server.spawner._spawn_pending = True
    found = await status_of(hub, hub.user("ada").new_api_token())
    server.spawner._spawn_pending = False
    assert ("queued", 3, "waiting for <b>") == tuple(
        found[name] for name in ("state", "queue_position", "reason")
    )
    assert "2030-03-17T17:46:40Z" == found["estimated_start"]
    assert "4 cores, 16 GiB, 8 hours" == found["summary"]
    assert server.spawner.server_job.state.job_id == found["job_id"]
    waits = datetime.fromisoformat(found["waiting_since"].replace("Z", "+00:00"))
    assert abs(waits.timestamp() - time.time()) < PATIENCE
    assert found["heard"]


@pytest.mark.parametrize(
    ("moments_of_scheduler", "left", "soon"),
    [
        ({"estimated_end": 20 * MINUTES}, 20 * MINUTES, False),
        ({"estimated_end": 14 * MINUTES}, 14 * MINUTES, True),
        ({"estimated_end": -MINUTES}, 0, True),
        ({"start_time": -7.5 * 60 * MINUTES}, 30 * MINUTES, False),
        ({"start_time": -7.9 * 60 * MINUTES}, 6 * MINUTES, True),
    ],
)
async def test_time_left(
    hub: Hub, server: Server, moments_of_scheduler: dict[str, float], left: float, soon: bool
) -> None:
    """The time left comes from the scheduler, or else from the time limit and the start;
    ending_soon is true within end_warning."""
    await server.submitted()
    moments = {name: time.time() + seconds for name, seconds in moments_of_scheduler.items()}
    await change(server, JobState.RUNNING, exec_host=NODE, **moments)
    server.spawner._spawn_pending = True
    found = await status_of(hub, hub.user("ada").new_api_token())
    server.spawner._spawn_pending = False
    assert abs(found["time_left"] - left) < PATIENCE
    assert (soon, "starting", NODE) == tuple(
        found[name] for name in ("ending_soon", "state", "exec_host")
    )


async def test_an_impossible_start_time(hub: Hub, server: Server) -> None:
    """A start time that no calendar has is left out, and the rest is shown: HTCondor lets users
    write the start times of their jobs."""
    await server.submitted()
    job_id = server.spawner.server_job.state.job_id
    server.spawner.fake.change(job_id, JobState.RUNNING, exec_host=NODE, start_time=1e15)
    while not (server.info and server.info.exec_host):
        await server.spawner.monitor().refresh(PATIENCE)
    server.spawner._spawn_pending = True
    found = await status_of(hub, hub.user("ada").new_api_token())
    server.spawner._spawn_pending = False
    assert (NODE, None, None) == tuple(found[name] for name in ("exec_host", "started", "ends"))


@pytest.mark.parametrize(
    ("status", "state"), [("PD", "queued"), ("R", "starting"), ("", "starting")]
)
def test_a_server_of_batchspawners_own_class(status: str, state: str) -> None:
    """While a site moves, its servers may still be batchspawner's: the job's id is shown, and
    whether it waits."""
    spawner: Any = SimpleNamespace(
        user=SimpleNamespace(name="ada"),
        name="",
        active=True,
        ready=False,
        pending="spawn",
        job_id="7",
        job_status=status,
        state_ispending=lambda: status == "PD",
    )
    found = server_status(spawner)
    assert ("7", state) == (found.job_id, found.state)


async def test_a_scheduler_that_is_down(hub: Hub, server: Server) -> None:
    """While the scheduler does not answer, its last answer is shown, and heard is false."""
    await server.running()
    server.spawner.fake.answer(stderr="does not answer", exit_status=1)
    try:
        while server.spawner.monitor().problem is None:
            await server.spawner.monitor().refresh(PATIENCE)
        server.spawner._spawn_pending = True
        found = await status_of(hub, hub.user("ada").new_api_token())
        assert ("starting", NODE, False) == (found["state"], found["exec_host"], found["heard"])
    finally:
        server.spawner._spawn_pending = False
        server.spawner.fake.recover()


def ready(hub: Hub, server: Server, forget: Callable[[], Awaitable[None]]) -> None:
    """Make JupyterHub treat a running server as ready."""
    row = orm.Server(base_url="/user/ada/")
    hub.app.db.add(row)
    hub.app.db.commit()
    server.spawner.server_job.state.host, server.spawner.server_job.state.port = NODE, 2000
    server.spawner.server = JupyterHubServer(orm_server=row)
    server.spawner._spawn_future = None
    server.spawner.add_poll_callback(forget)
    server.spawner.start_polling()


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.COMPLETED])
async def test_no_start_comes_between(hub: Hub, server: Server, state: JobState) -> None:
    """While JupyterHub forgets a server that has ended, it lets no new start in; it would forget
    that, too, and nobody would follow the job."""
    await server.running()
    spawner = server.spawner
    forgetting, forgotten = asyncio.Event(), asyncio.Event()

    async def forget() -> None:
        forgetting.set()
        await forgotten.wait()
        spawner.server = None

    ready(hub, server, forget)
    spawner.fake.change(spawner.server_job.state.job_id, state)
    await asyncio.wait_for(forgetting.wait(), PATIENCE)
    token = hub.user("ada").new_api_token()
    assert "stopping" == (await status_of(hub, token))["state"]
    refused = await hub.post({}, token, "users/ada/server")
    assert 400 == refused.code
    assert "ada is pending stop" == json.loads(refused.body)["message"]
    forgotten.set()
    await until(lambda: not spawner.pending, "it is forgotten")
    assert not spawner.active


@pytest.mark.parametrize(
    ("state", "stuck"), [(JobState.FAILED, False), (JobState.HELD, True)], ids=["ended", "stuck"]
)
async def test_why_a_server_is_gone(hub: Hub, server: Server, state: JobState, stuck: bool) -> None:
    """The scheduler's reason and the end of the log are shown after the end, also if the scheduler
    keeps the job and it has to be cancelled."""
    await server.running()
    spawner = server.spawner
    spawner.side.log = "its last words"

    async def forget() -> None:
        spawner.server = None

    ready(hub, server, forget)
    what = {"message": "the disk is full", "stuck": stuck}
    spawner.fake.change(spawner.server_job.state.job_id, state, **what)
    token = hub.user("ada").new_api_token()

    async def words() -> str:
        found = await status_of(hub, token)
        return str(found["message"]) if found["state"] == "failed" else ""

    async def all_words() -> bool:
        return "its last words" in await words()

    await until(all_words, "the status shows the reason")
    assert "the disk is full" in await words()


@pytest.mark.parametrize(
    ("reported", "status", "words"),
    [
        (False, None, "It is gone: nobody knows it."),
        (True, 0, ""),
        (True, None, "It is gone: nobody knows it."),
        (True, 1, "nobody knows it. Its server ended with status 1, as the job reports."),
    ],
)
async def test_a_job_that_is_only_gone(
    hub: Hub, server: Server, reported: bool, status: int | None, words: str
) -> None:
    """If the scheduler has lost a job, its user reads that. If the server itself has reported its
    end, as after a shutdown in its menu, there is nothing to explain, unless it has failed."""
    await server.running()
    spawner, forgotten = server.spawner, asyncio.Event()

    async def forget() -> None:
        spawner.server = None
        forgotten.set()

    ready(hub, server, forget)
    tracked = spawner.server_job.tracked
    assert tracked is not None
    if reported:
        tracked.note_server_end(status)
    what = {"message": "nobody knows it", "native_state": ""}
    spawner.fake.change(spawner.server_job.state.job_id, JobState.COMPLETED, **what)
    await asyncio.wait_for(forgotten.wait(), PATIENCE)
    await until(lambda: not spawner.active, "it is forgotten")
    found = await status_of(hub, hub.user("ada").new_api_token())
    assert ("failed" if words else "stopped") == found["state"]
    assert words in found["message"]


async def test_who_may_read_the_status(hub: Hub, server: Server) -> None:
    """The server's user and the server itself may read its status; for other users it does not
    exist."""
    await server.running()
    ada, bob = hub.user("ada"), hub.user("bob")
    assert "ada" == (await status_of(hub, ada.new_api_token()))["user"]
    assert "ada" == (await status_of(hub, server.token))["user"]
    limited = ada.new_api_token(scopes=["read:users:name!user=ada"])
    for token, code in (
        (None, 403),
        ("wrong", 403),
        (bob.new_api_token(), 404),
        (limited, 403),
    ):
        assert code == (await hub.get("unispawner/servers/ada", token)).code
    for path in ("unispawner/servers/ada/other", "unispawner/servers/bob"):
        assert 403 == (await hub.get(path, server.token)).code
    for path in ("unispawner/servers/ada/none", "unispawner/servers/nobody"):
        assert 404 == (await hub.get(path, ada.new_api_token())).code


async def test_there_is_no_schema_without_profiles(hub: Hub) -> None:
    """Without profiles the schema is a 404 that says why; the inventory is shown nevertheless."""
    token = hub.user("ada").new_api_token()
    response = await hub.get("unispawner/schema", token)
    assert 404 == response.code
    assert "has no profiles" in json.loads(response.body)["message"]
    known = json.loads((await hub.get("unispawner/inventory", token)).body)
    assert ["fake"] == list(known["clusters"])


@pytest.mark.parametrize(
    ("resources", "duration", "words"),
    [
        ({}, None, ""),
        ({"cpu_cores_per_process": 1, "memory": "1536M"}, 90, "1 core, 1.5 GiB, 1 hour 30 minutes"),
        ({"node_count": 4, "cpu_cores_per_process": 8}, 1500, "4 nodes, 32 cores, 1 day 1 hour"),
        ({"process_count": 3}, 1, "3 processes, 1 minute"),
        ({"gpu_cores_per_process": 2, "exclusive_node_use": True}, None, "2 GPUs, whole nodes"),
        ({"memory": "512B"}, None, "512 bytes"),
    ],
)
def test_a_job_in_words(resources: dict[str, Any], duration: int | None, words: str) -> None:
    """The summary has all that was requested, as a total over all processes, and nothing else."""
    length = None if duration is None else timedelta(minutes=duration)
    spec = JobSpec(resources=ResourceSpec.from_dict(resources), duration=length)
    assert words == describe_job(spec)


async def test_a_failed_start_is_counted_by_its_reason(hub: Hub) -> None:
    """JupyterHub 6 counts failed starts in its metrics by the reason of the error's class."""
    from jupyterhub import metrics

    if "reason" not in metrics.SERVER_SPAWN_DURATION_SECONDS._labelnames:
        pytest.skip("JupyterHub 5 counts no reasons")
    user = hub.user("linus")
    FakeSpawner.side.error = AgentError("sudo refuses")
    try:
        token = user.new_api_token()
        await hub.post({}, token, "users/linus/server")
        spawner = user.spawners[""]
        await until(lambda: not spawner.pending, "the start has failed")
    finally:
        FakeSpawner.side.error = None
    counted = {
        sample.labels["reason"]
        for metric in metrics.SERVER_SPAWN_DURATION_SECONDS.collect()
        for sample in metric.samples
        if sample.name.endswith("_count") and sample.value
    }
    assert "agent_failed" in counted
