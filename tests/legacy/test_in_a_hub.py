"""Legacy spawners in a real Hub's application: what is saved and when, restarts, late answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.batch_dummy import HOST, JOB, Dummy, soon
from support.hub import until
from support.hub_app import NODE, Hub
from support.legacy_in_a_hub import dummy_hub, dummy_in, saved, started

from unispawner.errors import SchedulerUnavailable, UniSpawnerError
from unispawner.legacy import job as job_module
from unispawner.run_as.client import AgentClient
from unispawner.servers.state import DEAD_ADDRESS
from unispawner.web import bookkeeping
from unispawner.web.reports import Report, ServerEnd

pytestmark = [
    pytest.mark.hub,
    pytest.mark.filterwarnings("ignore:The `version` property of an event schema"),
]
RUNS, PENDING, FAILS = f"echo RUN {HOST}", "echo PEND", "exit 7"


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hub]:
    async with dummy_hub(tmp_path_factory.mktemp("hub")) as found:
        yield found


@pytest.fixture
async def spawner(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Dummy]:
    """A user's spawner."""
    with dummy_in(hub, monkeypatch, tmp_path) as made:
        yield made


async def restarted(spawner: Dummy, start: asyncio.Task[Any]) -> Dummy:
    """Return the spawner that the next Hub makes of what is saved."""
    start.cancel()
    await asyncio.wait({start})
    spawner.user.spawners.pop("")
    found: Dummy = spawner.user.spawners[""]
    return found


async def test_a_failed_query_after_a_job_that_is_gone(spawner: Dummy) -> None:
    """That one job is gone says nothing of the next one: unknown is not gone."""
    start = await started(spawner)
    spawner.batch_query_cmd = "echo"
    await asyncio.wait({start}, timeout=20)
    assert "has disappeared" in str(start.exception())
    spawner.clear_state()
    spawner.batch_query_cmd = FAILS
    start = asyncio.ensure_future(spawner.start())
    await asyncio.wait({start}, timeout=1)
    assert not start.done()
    spawner.batch_query_cmd = RUNS
    await spawner.take_report(Report(4000))
    assert (NODE, 4000) == await soon(start)


@pytest.mark.parametrize(
    ("status", "signalled", "expected"),
    [
        (0, False, ""),
        (1, False, f"The job {JOB} of this server"),
        (0, True, f"The job {JOB} of this server"),
    ],
)
async def test_why_a_ready_server_is_gone(
    spawner: Dummy,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    signalled: bool,
    expected: str,
) -> None:
    """If the job of a ready server is gone, JupyterHub's pages say so. batchspawner says nothing. A
    server that has ended in order is not a failure if its user shut it down; after a cancellation
    at the command line, or at the end of its time, the user is told."""

    async def move_route(host: str, port: int) -> None:
        """There is no proxy."""

    start = await started(spawner)
    monkeypatch.setattr(spawner.server_job, "move_route", move_route)
    spawner.batch_query_cmd = RUNS
    await spawner.take_report(Report(4000))
    assert (NODE, 4000) == await soon(start)
    await spawner.take_end(ServerEnd(HOST, 4000, status, signalled=signalled))
    spawner.batch_query_cmd = "echo"
    assert 1 == await soon(spawner.poll())
    spawner.server = None
    assert str(bookkeeping.failure(spawner) or "").startswith(expected)
    assert bool(expected) == bool(bookkeeping.failure(spawner))


@pytest.mark.parametrize(("knows_id", "expected"), [(True, f"The job {JOB}"), (False, "The Hub")])
async def test_why_a_server_of_an_earlier_hub_is_gone(
    spawner: Dummy, knows_id: bool, expected: str
) -> None:
    """JupyterHub only logs that a server has ended while there was no Hub. Its user reads why, also
    if the Hub was killed before the submit command had printed the job's id."""
    start = await started(spawner)
    if knows_id:
        await spawner.take_report(Report(4000))
        await soon(start)
    state = saved(spawner)
    if not knows_id:
        spawner.server.ip, spawner.server.port = DEAD_ADDRESS
        state = {"unispawner": {**state["unispawner"], "job_words": []}}
    after = await restarted(spawner, start)
    after.load_state(state)
    after.batch_query_cmd = "echo"
    await soon(after.user.stop(""))
    assert str(bookkeeping.failure(after) or "").startswith(expected)


@pytest.mark.parametrize(("shut_down", "cancellations"), [(False, 3), (True, 0)])
async def test_a_job_that_only_a_query_lacks(
    spawner: Dummy,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    shut_down: bool,
    cancellations: int,
) -> None:
    """A job that a query lacks is cancelled at once and twice later, since the query may be wrong,
    or its pattern may not know a state. A server that its user has shut down needs none of that."""

    async def move_route(host: str, port: int) -> None:
        """There is no proxy."""

    monkeypatch.setattr(job_module, "_LATER_CANCELS", (0.01, 0.01))
    start = await started(spawner)
    monkeypatch.setattr(spawner.server_job, "move_route", move_route)
    spawner.batch_query_cmd = RUNS
    await spawner.take_report(Report(4000))
    await soon(start)
    if shut_down:
        await spawner.take_end(ServerEnd(HOST, 4000, 0))
    cancelled = tmp_path / "cancelled"
    cancelled.touch()
    spawner.batch_cancel_cmd = f"echo {{job_id}} >> {cancelled}"
    spawner.batch_query_cmd = "echo STRANGE"
    assert 1 == await soon(spawner.poll())
    expected = [str(JOB)] * cancellations
    await until(lambda: expected == cancelled.read_text().split(), "it is cancelled")
    spawner.server = None


async def test_a_job_that_disappears_while_answers_are_cut_off(
    spawner: Dummy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What makes the query of a start wrong makes the search for its job wrong, too, by an error or
    by an answer without the job: it is searched for again, until it is found and cancelled."""
    answers: list[list[str] | UniSpawnerError] = [SchedulerUnavailable("cut off"), [], [JOB]]

    async def search_client(self: job_module.BatchJob) -> AgentClient:
        return await self.client()

    async def cancel_jobs(client: AgentClient, mark: str) -> list[str]:
        answer = answers.pop(0)
        if isinstance(answer, UniSpawnerError):
            raise answer
        return answer

    monkeypatch.setattr(job_module, "_LATER_CANCELS", (0.01, 0.01))
    monkeypatch.setattr(job_module.BatchJob, "_search_client", search_client)
    monkeypatch.setattr(job_module, "cancel_jobs", cancel_jobs)
    start = await started(spawner)
    spawner.batch_query_cmd = "echo"
    await asyncio.wait({start}, timeout=20)
    assert "has disappeared" in str(start.exception())
    await until(lambda: not answers, "it is found")


async def test_a_stop_before_the_private_files_are_written(
    spawner: Dummy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it was asked for is saved with the job, or a Hub that ends would leave the job alone."""
    go = asyncio.Event()

    async def get_options_form(self: Dummy) -> str:
        await go.wait()
        return '<input name="partition">'

    monkeypatch.setattr(Dummy, "get_options_form", get_options_form)
    spawner.user_options = {"partition": "debug"}
    spawner.batch_cancel_cmd = FAILS
    start = asyncio.ensure_future(spawner.start())
    await asyncio.sleep(0.05)
    stop = asyncio.ensure_future(spawner.stop())
    await asyncio.sleep(0.05)
    go.set()
    await until(lambda: JOB == saved(spawner).get("job_id"), "the job is submitted", pause=0.01)
    await until(lambda: saved(spawner)["unispawner"]["stopping"], "the stop is saved")
    for task in (start, stop):
        task.cancel()  # as a Hub does that ends
    await asyncio.wait({start, stop})
    spawner.server = None
    spawner.clear_state()
    assert saved(spawner)["unispawner"]["stopping"]
    assert spawner.orm_spawner.server is not None
    spawner.batch_cancel_cmd = "true"
    await soon(spawner.server_job.start_stop())


async def test_a_report_that_the_end_of_the_hub_follows(spawner: Dummy) -> None:
    """A job reports once: its port is saved, and the next Hub finds the host by itself."""
    spawner.batch_query_cmd = PENDING
    start = await started(spawner)
    await spawner.take_report(Report(4000, from_here=True))
    after = await restarted(spawner, start)
    assert await after.poll() is None
    assert "spawn" == after.pending
    assert f"http://{NODE}:4000" == await soon(after.get_url())
    assert after.server_job.state.from_here


async def test_the_end_of_a_server_whose_job_goes_on(
    spawner: Dummy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its launcher reports the end: the route leads to the dead address, and the job is polled as
    before. An end at another port is that of an earlier run."""
    start = await started(spawner)
    await spawner.take_report(Report(4000, "node7"))
    assert (NODE, 4000) == await soon(start)
    moves: list[tuple[str, int]] = []

    async def note(host: str, port: int) -> None:
        moves.append((host, port))

    monkeypatch.setattr(spawner.server_job, "move_route", note)
    await spawner.take_end(ServerEnd("node7", 3999, 0))
    await spawner.take_end(ServerEnd("node8", 4000, 0))
    assert ([], 4000) == (moves, spawner.server_job.state.port)
    await spawner.take_end(ServerEnd("node7", 4000, 0))
    assert ([DEAD_ADDRESS], 0) == (moves, spawner.server_job.state.port)
    assert await spawner.poll() is None


async def test_a_report_while_a_restarted_hub_looks_for_the_server(spawner: Dummy) -> None:
    """A wrapper yields between poll() and get_url(): the port of a report then is used."""
    start = await started(spawner)
    after = await restarted(spawner, start)
    assert await after.poll() is None
    await after.take_report(Report(4000))
    assert f"http://{NODE}:4000" == await soon(after.get_url())


async def test_an_answer_that_comes_too_late(spawner: Dummy) -> None:
    """JupyterHub would stop the user's next server if the last one's poll said that it is gone."""
    start = await started(spawner)
    go = asyncio.Event()

    async def run_command(*args: Any, **more: Any) -> str:
        await go.wait()
        return ""

    spawner.run_command = run_command
    poll = asyncio.ensure_future(spawner.poll())
    await asyncio.sleep(0.05)
    start.cancel()
    await asyncio.wait({start})
    spawner.clear_state()
    spawner.user.spawners.pop("")
    go.set()
    assert await soon(poll) is None
