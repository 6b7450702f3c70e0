"""ScheduledJob after a restart: each state that a dead Hub can leave, on a fake scheduler.

The spawner is of a real Hub's own application. The same with a Hub that is killed, on a real Slurm,
is in tests/live/test_restart.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from jupyterhub import orm
from jupyterhub.objects import Server
from support.accounts import ordinary_account
from support.hub import until
from support.hub_app import NODE, PATIENCE, FakeSpawner, Hub, hub_app

from unispawner.errors import AgentError, InvalidJobError
from unispawner.job import JobState
from unispawner.monitor import rhythm
from unispawner.run_as.client import AgentClient
from unispawner.schedulers.fitting import Unfit
from unispawner.servers import submission
from unispawner.servers.scheduled_job import restart
from unispawner.servers.state import ServerState
from unispawner.texts import say
from unispawner.web.languages import read_languages
from unispawner.web.reports import Report

pytestmark = pytest.mark.filterwarnings("ignore:The `version` property of an event schema")
MARK = "0123456789abcdef"


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hub]:
    async with hub_app(tmp_path_factory.mktemp("hub")) as found:
        yield found


Restored = Callable[..., FakeSpawner]


@pytest.fixture
async def restored(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Restored]:
    """Return a function that makes a spawner with the saved state of an earlier Hub's server."""
    monkeypatch.setattr(rhythm, "FAST_INTERVAL", 0.02)
    monkeypatch.setattr(rhythm, "LARGEST_SHARE", 1.0)
    monkeypatch.setattr(restart, "_FIRST_ANSWER", PATIENCE)
    account = ordinary_account().pw_name
    user, made = hub.user("ada"), []

    def make(*, submitted: bool = True, **state: Any) -> FakeSpawner:
        spawner: FakeSpawner = user.spawners[""]
        job_id = spawner.fake.submit(account, MARK) if submitted else ""
        fields = {
            "scheduler": "slurm",
            "account": account,
            "mark": MARK,
            "job_id": job_id,
            "submit_time": time.time(),
            "waiting_since": time.time(),
            **state,
        }
        spawner.load_state(ServerState(**fields).to_dict())
        made.append(spawner)
        return spawner

    yield make
    for spawner in made:
        spawner.side.error = None
        await spawner.stop()
        spawner.clear_state()
        spawner._spawn_pending, spawner._spawn_future = False, None
        spawner.fake.marks.clear()


def runs(spawner: FakeSpawner) -> None:
    job_id = spawner.server_job.state.job_id
    spawner.fake.change(job_id, JobState.RUNNING, exec_host=NODE, start_time=1000.0)


async def test_a_server_that_runs(restored: Restored) -> None:
    """A running server is attached again with the same job and URL, and nothing is pending."""
    spawner = restored(host=NODE, port=3000)
    runs(spawner)
    assert await spawner.poll() is None
    job = spawner.server_job.tracked
    assert job and job.reported
    assert (f"http://{NODE}:3000", None) == (await spawner.get_url(), spawner.pending)


async def test_a_start_that_waits_in_the_queue(restored: Restored) -> None:
    """A queued start goes on as a pending spawn, and its report gives the URL."""
    spawner = restored()
    assert await spawner.poll() is None
    assert "spawn" == spawner.pending
    getting = asyncio.ensure_future(spawner.get_url())
    runs(spawner)
    await spawner.monitor().refresh(PATIENCE)
    await spawner.take_report(Report(3000, NODE))
    assert f"http://{NODE}:3000" == await asyncio.wait_for(getting, PATIENCE)


async def test_a_server_that_reports_and_does_not_answer(restored: Restored) -> None:
    """JupyterHub gives it up: the pages show why, and progress ends."""
    spawner = restored()
    spawner.http_timeout = 7
    assert await spawner.poll() is None
    start = spawner._spawn_future
    getting = asyncio.ensure_future(spawner.get_url())
    runs(spawner)
    await spawner.monitor().refresh(PATIENCE)
    await spawner.take_report(Report(3000, NODE))
    await asyncio.wait_for(getting, PATIENCE)
    await spawner.stop()
    spawner.clear_state()
    assert "it did not answer the Hub within 7 s" in str(start.exception())


async def test_a_job_whose_id_was_not_saved(restored: Restored) -> None:
    """If the Hub died during the submission, the job is found by its mark."""
    spawner = restored()
    job_id, spawner.server_job.state.job_id = spawner.server_job.state.job_id, ""
    assert await spawner.poll() is None
    assert job_id == spawner.server_job.state.job_id


async def test_a_submission_that_never_came(restored: Restored) -> None:
    """If no job has the mark and no agent can be at work on it any more, the start has failed."""
    spawner = restored(submitted=False, submit_time=time.time() - 10_000)
    assert 1 == await spawner.poll()
    error = spawner._spawn_future.exception()
    assert "the Hub was restarted before the job was submitted" in error.jupyterhub_message
    assert await until(lambda: spawner.side.asked("cleanup"), "its private files are removed")


async def test_a_job_that_has_ended_meanwhile(restored: Restored) -> None:
    """For a job that has ended, poll() returns its exit status, and the pages show the reason and
    the end of the log."""
    spawner = restored(host=NODE, port=3000)
    spawner.side.log = "the end of the log"
    job_id = spawner.server_job.state.job_id
    spawner.fake.change(job_id, JobState.FAILED, exit_code=3, native_state="NODE_FAIL")
    assert 3 == await spawner.poll()
    shown = spawner._spawn_future.exception().jupyterhub_message
    assert f"The job {job_id} ended. The fake scheduler says NODE_FAIL." in shown
    assert "the end of the log" in shown


async def test_a_stop_that_was_interrupted(restored: Restored) -> None:
    """If the Hub died during a stop, the stop goes on, and poll() reports the end of the job."""
    spawner = restored(host=NODE, port=3000, stopping=True)
    runs(spawner)
    job_id = spawner.server_job.state.job_id
    assert await asyncio.wait_for(spawner.poll(), PATIENCE) is not None
    assert JobState.CANCELED is spawner.fake.jobs[job_id].state


async def test_a_scheduler_that_does_not_answer(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the scheduler does not answer, the server stays, and the Hub does not wait for long."""
    monkeypatch.setattr(restart, "_FIRST_ANSWER", 0.5)
    spawner = restored(host=NODE, port=3000)
    spawner.fake.answer(stderr="does not answer", exit_status=1)
    try:
        assert await asyncio.wait_for(spawner.poll(), PATIENCE) is None
        assert MARK == spawner.server_job.state.mark
    finally:
        spawner.fake.recover()


async def test_a_user_side_that_refuses(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the job can't be looked up, the server stays, and the look-up is repeated."""
    monkeypatch.setattr(restart, "_FIRST_ANSWER", 0.5)
    spawner = restored()
    spawner.server_job.state.job_id = ""
    spawner.side.error = AgentError("sudo refuses")
    assert await asyncio.wait_for(spawner.poll(), PATIENCE) is None
    spawner.side.error = None
    await until(lambda: spawner.server_job.state.job_id, "the job is found", PATIENCE)


@pytest.mark.threat(
    who="other user",
    tries="They take the port of a job that the scheduler runs again elsewhere.",
    stopped_by="The route of such a job goes to the dead address until it reports anew.",
)
async def test_a_job_that_runs_again_elsewhere(restored: Restored) -> None:
    """The route of a requeued job goes to the dead address until the job reports from its new
    node."""
    spawner = restored(host=NODE, port=3000)
    runs(spawner)
    assert await spawner.poll() is None
    spawner.fake.change(spawner.server_job.state.job_id, JobState.QUEUED)
    while spawner.server_job.state.port:
        await spawner.monitor().refresh(PATIENCE)
    assert ("", "") == (spawner.server_job.state.host, spawner.server_job.url)


async def test_a_stop_while_the_job_is_looked_for(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both look for it, and the first one finds it: the job is followed once."""
    spawner = restored(host=NODE, port=3000)
    runs(spawner)
    job = spawner.server_job
    client, track = await job.client(), job.track
    second, followed, looking = asyncio.Event(), [], []

    async def both_at_once() -> AgentClient:
        looking.append(client)
        if len(looking) == 2:
            second.set()
        await second.wait()
        return client

    def note(client: AgentClient, job_id: str) -> None:
        followed.append(job_id)
        track(client, job_id)

    monkeypatch.setattr(job, "client", both_at_once)
    monkeypatch.setattr(job, "track", note)
    poll = asyncio.ensure_future(spawner.poll())
    await asyncio.sleep(0.02)
    await asyncio.wait_for(asyncio.gather(spawner.stop(), poll), PATIENCE)
    assert [job.state.job_id] == followed


@pytest.fixture
def row(hub: Hub) -> orm.Server:
    """The server's row in the database."""
    found = orm.Server(base_url="/user/ada/")
    hub.app.db.add(found)
    hub.app.db.commit()
    return found


async def test_an_address_that_is_unchanged_is_not_written_again(
    restored: Restored, row: orm.Server
) -> None:
    """The URL of a server that is where the database has it is the row's own, as JupyterHub
    compares the two texts: with another it warns and commits, at each restart for each server."""
    spawner = restored(host=NODE, port=3000)
    runs(spawner)
    spawner.server = Server(orm_server=row)
    spawner.server.ip, spawner.server.port = NODE, 3000
    assert f"http://{NODE}:3000/user/ada/" == await spawner.get_url() == spawner.server.url
    spawner.server.port = 3001
    assert f"http://{NODE}:3000" == await spawner.get_url()
    spawner.server = None


async def test_a_hub_that_is_killed_in_a_hook_after_a_stop(
    restored: Restored, row: orm.Server
) -> None:
    """JupyterHub has deleted the server's row by then. Without one, the next Hub asks for nothing:
    a stop that was cut short is saved before the hook."""
    spawner = restored(host=NODE, port=3000)
    user, seen = spawner.user, []
    spawner.server = Server(orm_server=row)
    runs(spawner)
    assert await spawner.poll() is None
    spawner.side.error = AgentError("sudo refuses")
    spawner.post_stop_hook = lambda _: seen.append(
        (spawner.orm_spawner.server, spawner.orm_spawner.state)
    )
    stop = asyncio.ensure_future(user.stop(""))
    await until(lambda: spawner.server_job.state.stopping, "the stop has begun")
    stop.cancel()
    await asyncio.wait({stop})
    ((server, state),) = seen
    assert ("/user/ada/", True) == (server.base_url, state["stopping"])
    assert state == spawner.orm_spawner.state
    assert server is spawner.orm_spawner.server
    user.spawners[""] = spawner
    spawner.server = None


async def test_a_hub_that_was_killed_after_a_stop(restored: Restored, row: orm.Server) -> None:
    """What is saved of a server that has ended is forgotten when the next one starts."""
    spawner = restored(host=NODE, port=3000, stopping=True)
    spawner.server = Server(orm_server=row)  # of the next start
    spawner.clear_state()
    assert "" == spawner.server_job.state.mark
    assert await until(lambda: spawner.side.asked("cleanup"), "its private files are removed")
    spawner.server = None


async def test_a_choice_that_can_never_run_is_refused_in_the_readers_language(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start is refused before the submission, and its message can still be translated."""
    problem = say("the queues allow at most {most}, and the job asks for {asked}", most=1, asked=2)
    monkeypatch.setattr(submission, "find_misfit_of", lambda *_: Unfit("duration", problem))
    with pytest.raises(InvalidJobError) as refused:
        await submission.prepare(hub.user("ada").spawners[""].server_job)
    german = read_languages()["de"].translate(refused.value.message)
    expected = "duration: die Warteschlangen erlauben höchstens 1, und der Job verlangt 2"
    assert expected == german
