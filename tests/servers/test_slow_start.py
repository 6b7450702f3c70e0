"""How long a job may run without a report, and what its user sees meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.hub import until
from support.hub_app import Hub, hub_app, starting_server
from traitlets.config import Config

from unispawner.errors import AgentError, JobEndedError
from unispawner.job import JobInfo, JobState
from unispawner.monitor.tracked_job import SlowStart, TrackedJob
from unispawner.servers import slow_start
from unispawner.servers.slow_start import LogLooks, StartLimits, StartWatch, find_limits
from unispawner.servers.spawner import UniSpawner
from unispawner.testing import FakeScheduler, fake_client

HOUR = 3600.0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (120, 600)),
        ({"http_timeout": 30}, (120, 600)),
        ({"http_timeout": 300}, (300, 600)),
        ({"http_timeout": 900}, (900, 900)),
        ({"start_timeout": 60}, (120, 600)),
        ({"start_timeout": 3600, "http_timeout": 600}, (HOUR, HOUR)),
        ({"start_timeout": 3600, "report_timeout": 120}, (120, 120)),
        ({"report_timeout": 900}, (900, 900)),
    ],
)
@pytest.mark.parametrize("section", ["UniSpawner", "Spawner"])
def test_the_limits(section: str, settings: dict[str, int], expected: tuple[float, float]) -> None:
    """report_timeout counts if it is set, and else the site's own larger time limits; the default
    of start_timeout, one day, is for the queue."""
    config = Config()
    for name, value in settings.items():
        own = "UniSpawner" if name == "report_timeout" else section
        config[own][name] = value
    assert StartLimits(*expected) == find_limits(UniSpawner(config=config))


def test_a_hook_may_change_the_limits() -> None:
    """A hook that gives one start more time is honoured, and the next start is as configured."""
    spawner = UniSpawner()
    spawner.start_timeout = 3600
    assert StartLimits(HOUR, HOUR) == find_limits(spawner)
    spawner.start_timeout = 24 * 3600
    assert StartLimits(120, 600) == find_limits(spawner)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Watched:
    """A job that runs, and the watch over its start."""

    def __init__(self, clock: Clock, folder: Path) -> None:
        info = JobInfo("alice", JobState.RUNNING, exec_host="n1")
        self.clock, self.looks, self.all_looks = clock, 0, LogLooks()
        self.text, self.size = "", 0
        self.error: AgentError | None = None
        self.job = TrackedJob("17", fake_client(FakeScheduler(folder)), info=info)
        self.watch = StartWatch(self.job, StartLimits(120, 600), self.read, self.all_looks)

    async def read(self, lines: int) -> tuple[str, int]:
        self.looks += 1
        if self.error is not None:
            raise self.error
        return self.text, self.size

    async def at(self, seconds: float) -> StartWatch:
        """Let the watch do what it does so many seconds after the start."""
        self.clock.now = 1000 + seconds
        await self.watch.wait(0)
        await asyncio.sleep(0.01)
        return self.watch


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Watched:
    clock = Clock()
    monkeypatch.setattr(slow_start, "time", clock)
    return Watched(clock, tmp_path)


async def test_a_quick_start_reads_no_log(watched: Watched) -> None:
    """Nothing is read for a server that is up within seconds."""
    await watched.at(slow_start.FIRST_LOOK - 1)
    assert (0, None) == (watched.looks, watched.job.slow_start)


async def test_a_silent_job(watched: Watched) -> None:
    """A job whose log stays empty has the shorter limit."""
    watch = await watched.at(80)
    assert SlowStart(80, 120) == watched.job.slow_start
    assert 40 == watch.left


async def test_a_job_that_shows_life(watched: Watched) -> None:
    """A job has more time as long as its log grows, and not in all more than the longer limit."""
    for seconds in range(20, 600, 60):
        watched.text, watched.size = f"step {seconds}\x1b[2J", watched.size + 10
        watch = await watched.at(seconds)
        assert 0 < watch.left <= 120
    last = watched.job.slow_start
    assert last is not None
    assert (560, 600, "step 560\ufffd[2J") == (last.seconds, last.limit, last.log_end)
    assert 40 == watch.left
    assert (await watched.at(600)).left <= 0


async def test_a_job_that_falls_silent(watched: Watched) -> None:
    """A job whose log grows no more has the shorter limit from then on."""
    watched.size = 10
    await watched.at(20)
    assert 20 == (await watched.at(120)).left
    assert (await watched.at(140)).left <= 0


async def test_looks_are_rare(watched: Watched) -> None:
    """A log is read every ten seconds at most, and less often as time goes on."""
    for tenth in range(1000):
        await watched.at(tenth / 10)
    assert 9 == watched.looks
    for second in range(100, 600):
        await watched.at(second)
    assert watched.looks < 30


async def test_a_log_that_cannot_be_read(watched: Watched) -> None:
    """A log that can't be read is no sign of life, and no error."""
    watched.error = AgentError("no home")
    watch = await watched.at(50)
    assert SlowStart(50, 120) == watched.job.slow_start
    assert 70 == watch.left


async def test_few_logs_are_read_at_once(watched: Watched) -> None:
    """While a log of the same user is read, or two of others, no further one is."""
    for seconds, others in ((20, {"alice"}), (40, {"bob", "eve"})):
        watched.all_looks.accounts.update(others)
        await watched.at(seconds)
        watched.all_looks.accounts.clear()
        assert 0 == watched.looks
    await watched.at(60)
    assert (1, set()) == (watched.looks, watched.all_looks.accounts)


@pytest.mark.threat(
    who="user",
    tries="Their home or their log hangs.",
    stopped_by="Nothing of the Hub waits for it.",
)
async def test_a_home_that_hangs_delays_nothing(watched: Watched) -> None:
    """While a log is read, a change of the job is noticed, and no second look begins."""
    hanging = asyncio.Event()

    async def hang(lines: int) -> tuple[str, int]:
        watched.looks += 1
        await hanging.wait()
        return "", 0

    watched.watch._read_log = hang
    for seconds in (20, 40, 60):
        await watched.at(seconds)
    assert 1 == watched.looks
    waiting = asyncio.ensure_future(watched.watch.wait(HOUR))
    await asyncio.sleep(0)
    watched.job.notify()
    await asyncio.wait_for(waiting, 60)
    hanging.set()
    await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hub]:
    async with hub_app(tmp_path_factory.mktemp("hub")) as found:
        yield found


@pytest.mark.filterwarnings("ignore:The `version` property of an event schema")
async def test_what_the_user_sees(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a server is slow, its page has the time, the limit and the end of the log; at the end,
    the error names the job, the time and the setting."""
    monkeypatch.setattr(slow_start, "FIRST_LOOK", 0.0)
    monkeypatch.setattr(slow_start, "SHORTEST_PAUSE", 0.05)
    async with starting_server(hub, monkeypatch) as server:
        spawner = server.spawner
        spawner.side.log = "loading modules\nfetching an image\n"
        await server.running()

        def message() -> Any:
            words = spawner.server_job.facts().message
            return words if "not up yet" in words else ""

        found = await until(message, "the page says that the server is slow")
        assert "s of 600; the server is not up yet. The end of its log:\nloading mod" in found
        monkeypatch.setattr(slow_start.StartWatch, "left", property(lambda _: -1.0))
        tracked = spawner.server_job.tracked
        assert tracked is not None
        tracked.notify()
        with pytest.raises(Exception, match="report_timeout") as caught:
            await asyncio.wait_for(server.start, 60)
        assert isinstance(caught.value.__cause__, JobEndedError)
        assert "fetching an image" in str(caught.value)
