"""How often the log of a server that starts is read, however often it is asked for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from unispawner.errors import AgentError
from unispawner.servers import live_log
from unispawner.servers.live_log import LiveLogs, ReadLater


class Clock:
    """A clock that a test moves on."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Job:
    """A job whose log grows with each reading."""

    name = "a server"

    def __init__(self) -> None:
        self.count = 0
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def read_log(self, lines: int) -> str:
        self.count += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return f"line {self.count}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def logs(clock: Clock) -> LiveLogs:
    return LiveLogs(clock)


@pytest.mark.threat(
    who="user",
    tries="They ask for the log of their server without any pause.",
    stopped_by="An answer is reused for some seconds, and a user's logs are read at a steady pace.",
)
async def test_an_answer_is_reused(logs: LiveLogs, clock: Clock) -> None:
    """Many pages of a server, and a page without a pause, have its log read once in a while."""
    job: Any = Job()
    answers = await asyncio.gather(*(logs.read(job, "ada") for _ in range(100)))
    assert {"line 1"} == set(answers)
    clock.now += live_log.LIFETIME - 0.1
    assert "line 1" == await logs.read(job, "ada")
    clock.now += 0.2
    assert "line 2" == await logs.read(job, "ada")
    assert 2 == job.count


async def test_a_home_that_hangs(logs: LiveLogs, clock: Clock) -> None:
    """While a reading hangs, nobody begins another one of this log."""
    job: Any = Job()
    job.gate.clear()
    asking = [asyncio.create_task(logs.read(job, "ada"))]
    await asyncio.sleep(0)
    clock.now += 100
    asking.append(asyncio.create_task(logs.read(job, "ada")))
    await asyncio.sleep(0)
    job.gate.set()
    assert ["line 1"] * 2 == await asyncio.gather(*asking)


async def test_a_failure_is_an_answer(logs: LiveLogs, clock: Clock) -> None:
    """An error is not asked for again at once, either."""
    job: Any = Job()
    job.error = AgentError("no home")
    for _ in range(5):
        with pytest.raises(AgentError, match="no home"):
            await logs.read(job, "ada")
    assert 1 == job.count
    clock.now += live_log.LIFETIME
    job.error = None
    assert "line 2" == await logs.read(job, "ada")


async def test_many_servers_of_a_user(logs: LiveLogs, clock: Clock) -> None:
    """The logs of all servers of a user have one pace; other users do not feel that."""
    jobs: list[Any] = [Job() for _ in range(live_log.AT_FIRST + 1)]
    for job in jobs[:-1]:
        await logs.read(job, "ada")
    with pytest.raises(ReadLater, match="Ask again in 2 s"):
        await logs.read(jobs[-1], "ada")
    assert "line 1" == await logs.read(jobs[0], "ada")
    assert "line 1" == await logs.read(jobs[-1], "bob")
    clock.now += live_log.PAUSE + live_log.LIFETIME
    assert "line 2" == await logs.read(jobs[-1], "ada")


async def test_a_reader_who_goes_away(logs: LiveLogs) -> None:
    """Whoever leaves does not end the reading for the others."""
    job: Any = Job()
    job.gate.clear()
    first, second = (asyncio.create_task(logs.read(job, "ada")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    job.gate.set()
    assert "line 1" == await second
