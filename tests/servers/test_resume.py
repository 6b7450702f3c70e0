"""Resumption: an interrupted start becomes a pending spawn of JupyterHub's, and ends as one.

JupyterHub's side is a plain object with the attributes that web/bookkeeping.py uses. The whole way,
with a real Hub that is killed, is in tests/live/test_restart.py.
"""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from support.hub import until

from unispawner.errors import JobEndedError, UniSpawnerError
from unispawner.servers import resume
from unispawner.servers.resume import Resumption

URL = "http://192.0.2.1:3000"
DEAD = "http://127.0.0.1:1"


class FakeProxy:
    """A proxy that records its routes, or is down."""

    def __init__(self) -> None:
        self.routes: list[tuple[str, bool]] = []
        self.error: Exception | None = None

    async def add_user(self, user: Any, server_name: str) -> None:
        if self.error is not None:
            raise self.error
        self.routes.append((server_name, user.spawner._spawn_pending))


class FakeJob:
    """A job whose report or end a test decides."""

    def __init__(self) -> None:
        self.proxy = FakeProxy()
        user = SimpleNamespace(settings={"proxy": self.proxy})
        self.spawner: Any = SimpleNamespace(
            _spawn_future=None,
            _spawn_pending=False,
            _check_pending=True,
            _log_name="ada:work",
            name="work",
            http_timeout=120,
            user=user,
            server=SimpleNamespace(url=DEAD),
            log=logging.getLogger("JupyterHub.test"),
        )
        user.spawner = self.spawner
        self.result: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def wait_ready(self) -> str:
        return await self.result

    async def add_route(self) -> None:
        user = self.spawner.user
        await user.settings["proxy"].add_user(user, self.spawner.name)

    def note_failure(self, error: UniSpawnerError) -> None:
        self.noted = error.message


@pytest.fixture
async def job(monkeypatch: pytest.MonkeyPatch) -> FakeJob:
    monkeypatch.setattr(resume, "_DELETE_WAITS", 0.02)
    return FakeJob()


def failure(job: FakeJob) -> str:
    """Return the message that JupyterHub's pages show."""
    assert not job.spawner._spawn_pending
    error = job.spawner._spawn_future.exception()
    return str(error.jupyterhub_message)


async def test_it_is_pending_at_once(job: FakeJob) -> None:
    """A resumption makes the spawn pending at once, so that progress and DELETE find its future."""
    resumption = Resumption(job)
    assert (True, resumption.future) == (job.spawner._spawn_pending, job.spawner._spawn_future)
    assert not resumption.future.done()


async def test_the_outer_spawner_is_pending(job: FakeJob) -> None:
    """If a wrapper runs the spawner, the wrapper is made pending, because JupyterHub knows only the
    wrapper."""
    wrapper = SimpleNamespace(_spawn_pending=False, _spawn_future=None)
    job.spawner.wrapper = wrapper
    resumption = Resumption(job)
    assert (True, resumption.future) == (wrapper._spawn_pending, wrapper._spawn_future)
    assert (False, None) == (job.spawner._spawn_pending, job.spawner._spawn_future)


async def test_a_server_that_reports(job: FakeJob) -> None:
    """get_url() waits for the report and returns the URL; the spawn is pending until the route
    exists."""
    resumption = Resumption(job)
    getting = asyncio.ensure_future(resumption.get_url())
    await asyncio.sleep(0)
    assert not getting.done()
    job.result.set_result(URL)
    assert URL == await getting
    assert job.spawner._spawn_pending
    resumption.note_ready()
    await resumption.future
    assert [("work", True)] == job.proxy.routes
    assert (False, None) == (job.spawner._spawn_pending, job.spawner._spawn_future)


async def test_a_proxy_that_is_down(job: FakeJob) -> None:
    """If the route can't be added, the spawn ends nevertheless: the Hub adds all routes when the
    proxy is up."""
    job.proxy.error = ConnectionRefusedError("no proxy")
    resumption = Resumption(job)
    resumption.note_ready()
    await resumption.future
    assert ([], False) == (job.proxy.routes, job.spawner._spawn_pending)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (JobEndedError("The job 7 ended.", output="a log"), "The job 7 ended.\na log"),
        (ZeroDivisionError("oh"), "The start could not be continued: ZeroDivisionError: oh"),
    ],
)
async def test_a_start_that_fails(job: FakeJob, error: Exception, message: str) -> None:
    """If the start fails, get_url() returns the dead address, because an exception would end the
    Hub. JupyterHub checks that address only briefly, and its pages show the error."""
    resumption = Resumption(job)
    job.result.set_exception(error)
    assert DEAD == await resumption.get_url()
    assert message == failure(job)
    assert job.spawner.http_timeout < 10
    assert job.spawner._spawn_future is resumption.future


async def test_a_start_that_is_known_to_have_failed(job: FakeJob) -> None:
    """An error that is known before JupyterHub asks for the URL ends get_url() at once."""
    resumption = Resumption(job)
    resumption.fail(UniSpawnerError("It ended while the Hub was down."))
    assert DEAD == await resumption.get_url()
    assert "It ended while the Hub was down." == failure(job)


async def test_delete_while_it_waits(job: FakeJob) -> None:
    """DELETE cancels the future: get_url() returns the dead address, and a stop is let in a moment
    later. The same future wakes progress, which takes a spawner with nothing pending for a ready
    one."""
    resumption = Resumption(job)
    getting = asyncio.ensure_future(resumption.get_url())
    await asyncio.sleep(0)
    job.spawner._spawn_future.cancel()
    assert DEAD == await getting
    assert job.spawner._spawn_pending
    await until(lambda: not job.spawner._spawn_pending, "a stop is let in")
    assert (None, False) == (job.spawner._spawn_future, job.spawner._check_pending)


async def test_two_stops_end_together(job: FakeJob) -> None:
    """The stop of DELETE waits for the stop of JupyterHub's own check, and the pages show why."""
    resumption = Resumption(job)
    getting = asyncio.ensure_future(resumption.get_url())
    await asyncio.sleep(0)
    job.spawner._spawn_future.cancel()
    await getting
    first = asyncio.ensure_future(resumption.join_stops())
    await asyncio.sleep(0.01)
    assert not first.done()
    await asyncio.gather(first, resumption.join_stops())
    assert "The start was cancelled." == failure(job)


async def test_one_stop_does_not_wait_for_ever(
    job: FakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If JupyterHub's check never stops the server, the first stop goes on after a while."""
    monkeypatch.setattr(resume, "_CHECK_SECONDS", -2.99)
    resumption = Resumption(job)
    getting = asyncio.ensure_future(resumption.get_url())
    await asyncio.sleep(0)
    job.spawner._spawn_future.cancel()
    await getting
    await asyncio.wait_for(resumption.join_stops(), 20)


@pytest.mark.parametrize("checking", [True, False])
async def test_a_stop_of_a_start_that_was_not_cancelled(job: FakeJob, checking: bool) -> None:
    """The stop of a start that was not cancelled waits for no other stop: JupyterHub's check makes
    none, or has not begun."""
    resumption = Resumption(job)
    if checking:
        job.result.set_result(URL)
        await resumption.get_url()
    else:
        resumption.future.cancel()
    await asyncio.wait_for(resumption.join_stops(), 20)


async def test_a_server_that_does_not_answer(job: FakeJob) -> None:
    """JupyterHub forgets a server that reports and does not answer: whoever waits for it is shown
    why, and does not wait for ever."""
    resumption = Resumption(job)
    job.result.set_result(URL)
    await resumption.get_url()
    resumption.forget(JobEndedError("It did not answer."))
    assert resumption.forgotten.is_set()
    assert "It did not answer." == failure(job)
    assert job.spawner._spawn_future is resumption.future


async def test_a_job_that_ends_while_it_is_waited_for(job: FakeJob) -> None:
    """A legacy class forgets its server when its job is gone: that is the reason which is shown."""
    resumption = Resumption(job)
    getting = asyncio.ensure_future(resumption.get_url())
    await asyncio.sleep(0)
    resumption.forget(JobEndedError("It did not answer."))
    job.result.set_exception(JobEndedError("The job is gone."))
    await getting
    assert "The job is gone." == failure(job)
    assert job.spawner._spawn_future is resumption.future
