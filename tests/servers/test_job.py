"""ServerJob: the life of a job that all our spawners share, in a subclass that tests control."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from support.hub import until

from unispawner.errors import AgentError
from unispawner.servers import database
from unispawner.servers.job import ServerJob
from unispawner.servers.state import DEAD_ADDRESS, SavedState
from unispawner.web.reports import Report
from unispawner.web.server_status import JobFacts

MARK = "0123456789abcdef"


class FakeJob(ServerJob[SavedState]):
    """A job whose end a test confirms; it records what is done with it, in order."""

    def __init__(self, spawner: Any, done: list[str]) -> None:
        super().__init__(spawner, SavedState(mark=MARK, token_id=7, port=3000))
        self.done = done
        self.confirmed = asyncio.Event()
        self.is_over = False
        self.error: Exception | None = None

    @property
    def over(self) -> bool:
        return self.is_over

    async def wait_ready(self) -> str:
        return "http://192.0.2.1:3000"

    async def take_report(self, report: Report) -> None:
        self.state.port = report.port

    async def cancel(self) -> None:
        self.done.append("cancel")
        await self.confirmed.wait()
        self.is_over = True

    async def client(self) -> Any:
        if self.error is not None:
            raise self.error
        return self

    async def cleanup(self, mark: str) -> None:
        self.done.append(f"clean up {mark}")

    def facts(self) -> JobFacts:
        return JobFacts()

    def stop_following(self) -> None:
        self.done.append("stop following")


@pytest.fixture
def done() -> list[str]:
    return []


@pytest.fixture
async def job(done: list[str], monkeypatch: pytest.MonkeyPatch) -> FakeJob:
    """Return the job of a ready server, with a database that records its calls."""
    routes: list[tuple[str, int]] = []

    async def add_user(user: Any, name: str) -> None:
        routes.append((spawner.server.ip, spawner.server.port))

    spawner: Any = SimpleNamespace(
        _log_name="ada",
        _spawn_pending=False,
        _spawn_future=None,
        _stop_pending=True,
        name="",
        ready=True,
        http_timeout=120,
        routes=routes,
        route_lock=asyncio.Lock(),
        user=SimpleNamespace(settings={"proxy": SimpleNamespace(add_user=add_user)}),
        server=SimpleNamespace(ip="192.0.2.1", port=3000, base_url="/user/ada/"),
        log=logging.getLogger("JupyterHub.test"),
    )

    def commit(one: Any, change: Any = None) -> bool:
        done.append("save, stopping" if one.server_job.state.stopping else "save")
        return True

    async def commit_soon(one: Any, change: Any = None) -> bool:
        return commit(one)

    monkeypatch.setattr(database, "commit", commit)
    monkeypatch.setattr(database, "commit_soon", commit_soon)
    monkeypatch.setattr(
        database, "revoke_token", lambda _, token: done.append(f"revoke {token.id}")
    )
    monkeypatch.setattr(database, "revoke_token_surely", lambda *_: None)
    monkeypatch.setattr(
        database, "leave_to_the_next_hub", lambda _, url: done.append(f"leave {url}")
    )
    spawner.server_job = FakeJob(spawner, done)
    job: FakeJob = spawner.server_job
    return job


async def test_a_submission_goes_on_when_its_start_is_cancelled(job: FakeJob) -> None:
    """A start that is cancelled, as by a Hub that ends, does not lose the job that is being
    submitted."""
    go = asyncio.Event()

    async def work() -> str:
        await go.wait()
        job.state.account = "ada"
        return "4711"

    start = asyncio.ensure_future(job.submit(work()))
    await asyncio.sleep(0)
    assert job.submitting
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert job.submitting
    go.set()
    await job.wait_submitted()
    assert ("ada", False) == (job.state.account, job.submitting)


async def test_a_stop_waits_for_the_submission(job: FakeJob, done: list[str]) -> None:
    """A stop during the submission is saved at once, and cancels the job when its id is known."""
    go = asyncio.Event()

    async def work() -> None:
        await go.wait()
        done.append("submitted")

    start = asyncio.ensure_future(job.submit(work()))
    await asyncio.sleep(0)
    job.confirmed.set()
    stop = asyncio.ensure_future(job.stop())
    await asyncio.sleep(0.01)
    assert ["save, stopping"] == done
    go.set()
    await asyncio.gather(start, stop)
    assert ["save, stopping", "submitted", "cancel"] == done


async def test_stops_are_one_and_go_on(job: FakeJob, done: list[str]) -> None:
    """A second stop joins the first, and the work goes on if a request is cancelled."""
    first, second = (asyncio.ensure_future(job.stop()) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.wait({first})
    assert not second.done()
    job.confirmed.set()
    await second
    assert 1 == done.count("cancel")


async def test_a_server_that_is_forgotten(job: FakeJob, done: list[str]) -> None:
    """When a server is forgotten, its token is revoked, its job is no longer followed and its
    private files are removed."""
    resumption = job.resume()
    assert job.forget()
    await job.clean_up()
    assert {"revoke 7", "stop following", f"clean up {MARK}"} == set(done)
    assert resumption.forgotten.is_set()


async def test_a_stop_that_the_end_of_the_hub_cuts_short(job: FakeJob, done: list[str]) -> None:
    """If the end of the Hub interrupts a stop, the server is left to the next Hub, which goes on
    with the stop."""
    stop = asyncio.ensure_future(job.stop())
    await asyncio.sleep(0.01)
    stop.cancel()
    await asyncio.wait({stop})
    job.spawner.server = None
    del done[:]
    assert not job.forget()
    assert ["leave /user/ada/"] == done
    job.confirmed.set()
    await job.start_stop()
    assert job.forget()


async def test_private_files_are_removed_once(job: FakeJob, done: list[str]) -> None:
    """Private files are removed once, however often that is requested; a job without a mark has
    none."""
    job.start_clean_up()
    await job.clean_up()
    await job.clean_up()
    assert [f"clean up {MARK}"] == done
    other = FakeJob(job.spawner, done)
    other.state = SavedState()
    await other.clean_up()
    assert [f"clean up {MARK}"] == done


@pytest.mark.parametrize("error", [AgentError("sudo refuses"), OSError("no directory service")])
async def test_private_files_that_can_not_be_removed(
    job: FakeJob, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """If private files can't be removed, the log says why, and nothing is raised."""
    job.error = error
    await job.clean_up()
    assert f"private files could not be removed; a later start removes them: {error}" in caplog.text


async def test_the_address_of_a_job_that_waits_again(job: FakeJob, done: list[str]) -> None:
    """When a job waits again, its route goes to the dead address, because its port may be another
    user's, and the Hub waits for a new report."""
    job.forget_address()
    assert (0, True) == (job.state.port, job.state.waiting_since > 0)
    await until(lambda: job.spawner.routes, "the route has moved")
    assert [DEAD_ADDRESS] == job.spawner.routes
    assert "save" == done[0]


async def test_the_route_of_a_server_that_is_not_ready(job: FakeJob) -> None:
    """A new address of a server that is not ready is saved, and JupyterHub adds the route when the
    server is ready."""
    job.spawner.ready = False
    await job.move_route("192.0.2.9", 3001)
    assert [] == job.spawner.routes
    assert ("192.0.2.9", 3001) == (job.spawner.server.ip, job.spawner.server.port)


async def test_one_resumption_a_job(job: FakeJob) -> None:
    """A job has one resumption, which makes the start pending; it ends when JupyterHub has found
    the server up."""
    resumption = job.resume()
    assert resumption is job.resume()
    assert job.restored
    job.note_ready()
    await resumption.future
    assert not job.restored


async def test_a_new_server_has_a_new_job(job: FakeJob) -> None:
    """A forgotten server's job is no longer the spawner's current job."""
    assert job.is_current()
    job.spawner.server_job = FakeJob(job.spawner, [])
    assert not job.is_current()


async def test_a_job_that_is_forgotten_leaves_the_next_one_alone(
    job: FakeJob, done: list[str]
) -> None:
    """State and address are in the same rows of the database, and are the next server's."""
    job.spawner.server_job = FakeJob(job.spawner, done)
    assert job.commit()
    await job.move_route(*DEAD_ADDRESS)
    assert [] == done == job.spawner.routes
    assert ("192.0.2.1", 3000) == (job.spawner.server.ip, job.spawner.server.port)


async def test_a_stop_that_a_submission_overtakes(job: FakeJob, done: list[str]) -> None:
    """A submission may make the state anew; that the stop was asked for is saved again."""
    go = asyncio.Event()

    async def work() -> None:
        await go.wait()
        job.state = SavedState(mark=MARK)

    start = asyncio.ensure_future(job.submit(work()))
    await asyncio.sleep(0)
    stop = asyncio.ensure_future(job.stop())
    await asyncio.sleep(0.01)
    job.confirmed.set()
    go.set()
    await asyncio.gather(start, stop)
    assert ["save, stopping", "save, stopping", "cancel"] == done
