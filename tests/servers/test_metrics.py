"""What /hub/metrics says of servers' jobs and of their scheduler, tested with a Hub's own page."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.hub_app import NODE, OTHER, Hub, Server, hub_app, starting_server
from tornado.httpclient import AsyncHTTPClient
from traitlets.config import Config

from unispawner.errors import SchedulerUnavailable
from unispawner.job import JobState

pytestmark = [
    pytest.mark.hub,
    pytest.mark.filterwarnings("ignore:The `version` property of an event schema"),
]

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
LABELS = {"scheduler": "fake", "cluster": ""}


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hub]:
    config = Config()
    config.FakeSpawner.queue_name = "interactive"
    config.JupyterHub.authenticate_prometheus = False
    async with hub_app(tmp_path_factory.mktemp("hub"), config) as found:
        yield found


@pytest.fixture
async def server(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    async with starting_server(hub, monkeypatch) as found:
        yield found


async def scrape(hub: Hub) -> Samples:
    """Return what the page of metrics has of ours, read by Prometheus' own parser."""
    url = hub.url.removesuffix("/api") + "/metrics"
    page = await AsyncHTTPClient().fetch(url)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.body.decode())
        for sample in family.samples
        if sample.name.startswith("unispawner_")
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    """Return a metric's value; 0 if it was never set."""
    return samples.get((f"unispawner_{name}", frozenset({**LABELS, **labels}.items())), 0.0)


async def test_a_start_and_its_phases(hub: Hub, server: Server) -> None:
    """Each phase of a start is counted once, and so is the wait in its queue."""
    before = await scrape(hub)
    await server.running()
    found = await scrape(hub)
    assert 1 == value(found, "jobs", state="running")
    assert value(found, "status_age_seconds") < 60
    assert 200 == (await hub.post({"host": NODE, "port": 50123}, server.token)).code
    await server.start
    server.spawner.server_job.note_ready()
    after = await scrape(hub)
    # The first phase was over before the test could look.
    for phase in ("queue", "boot", "ready"):
        name = "start_seconds_count"
        assert value(before, name, phase=phase) + 1 == value(after, name, phase=phase)
    assert value(after, "start_seconds_count", phase="submit") >= 1
    name, of_queue = "queue_wait_seconds_count", {"queue": "interactive", "profile": ""}
    assert value(before, name, **of_queue) + 1 == value(after, name, **of_queue)


async def test_a_job_that_is_run_again_elsewhere(hub: Hub, server: Server) -> None:
    """A requeue is counted, and the start is not measured again."""
    await server.running()
    assert 200 == (await hub.post({"host": NODE, "port": 50123}, server.token)).code
    before = await scrape(hub)
    server.runs_on(OTHER)
    while server.info and server.info.exec_host != OTHER:
        await server.spawner.monitor().refresh(60)
    after = await scrape(hub)
    assert value(before, "requeues_total") + 1 == value(after, "requeues_total")
    name = "start_seconds_count"
    assert value(before, name, phase="queue") == value(after, name, phase="queue")


async def test_reports_that_are_refused(hub: Hub, server: Server) -> None:
    """A report of a host that is not the job's is counted by its error."""
    await server.running()
    before = await scrape(hub)
    assert 409 == (await hub.post({"host": OTHER, "port": 50123}, server.token)).code
    after = await scrape(hub)
    what = {"error": "InvalidJobError"}
    name = "reports_refused_total"
    assert value(before, name, **what) + 1 == value(after, name, **what)


@pytest.mark.parametrize(
    ("body", "known", "error"),
    [({"host": NODE}, False, "NotAServer"), ({"host": NODE, "port": 1}, True, "BadRequest")],
)
async def test_reports_that_no_job_is_asked_about(
    hub: Hub, server: Server, body: dict[str, object], known: bool, error: str
) -> None:
    """A report with a token of no server, or with a body that makes no sense, is counted, too."""
    await server.running()
    before = await scrape(hub)
    token = server.token if known else hub.user("bob").new_api_token()
    assert (await hub.post(body, token)).code in (400, 403)
    after, what = await scrape(hub), {"scheduler": "unknown", "error": error}
    name = "reports_refused_total"
    assert value(before, name, **what) + 1 == value(after, name, **what)


async def test_a_job_that_is_run_again_after_its_run_has_ended(hub: Hub, server: Server) -> None:
    """A requeue is also counted where the scheduler says first that the run is ending."""
    await server.running()
    assert 200 == (await hub.post({"host": NODE, "port": 50123}, server.token)).code
    before = await scrape(hub)
    job_id = server.spawner.server_job.state.job_id
    for state, ending in ((JobState.RUNNING, True), (JobState.QUEUED, False)):
        server.spawner.fake.change(job_id, state, exec_host="", ending=ending)
        while server.info and (server.info.state, server.info.ending) != (state, ending):
            await server.spawner.monitor().refresh(60)
    after = await scrape(hub)
    assert value(before, "requeues_total") + 1 == value(after, "requeues_total")


async def test_a_start_that_fails(hub: Hub, server: Server) -> None:
    """A job that ends before its server is ready is counted as failed."""
    await server.running()
    before = await scrape(hub)
    server.spawner.fake.change(server.spawner.server_job.state.job_id, JobState.FAILED)
    with pytest.raises(Exception, match="ended"):
        await server.start
    after = await scrape(hub)
    what = {"outcome": "failed", "cause": ""}
    assert value(before, "ends_total", **what) + 1 == value(after, "ends_total", **what)


async def test_a_stop(hub: Hub, server: Server) -> None:
    """A server that its user stops is counted as stopped."""
    await server.running()
    assert 200 == (await hub.post({"host": NODE, "port": 50123}, server.token)).code
    await server.start
    before = await scrape(hub)
    await server.spawner.stop()
    server.spawner.clear_state()
    after = await scrape(hub)
    what = {"outcome": "stopped", "cause": ""}
    assert value(before, "ends_total", **what) + 1 == value(after, "ends_total", **what)


async def test_a_scheduler_that_is_down(
    hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scrape answers while the scheduler does not, and says how old the last status is."""
    await server.running()
    monitor = server.spawner.monitor()

    async def fail(*_: object, **__: object) -> None:
        raise SchedulerUnavailable("it is down")

    monkeypatch.setattr(monitor.host, "_answer", fail)
    monitor.hurry()
    while monitor.problem is None:
        await monitor.refresh(60)
    monitor.answered_at -= 1000
    found = await scrape(hub)
    assert 1000 <= value(found, "status_age_seconds") < 1100
    assert 1 == value(found, "jobs", state="running")
    failed = [
        count
        for (name, labels), count in found.items()
        if name == "unispawner_scheduler_question_seconds_count"
        and ("outcome", "SchedulerUnavailable") in labels
    ]
    assert failed
    monkeypatch.undo()


async def test_no_label_names_a_user_or_a_job(hub: Hub, server: Server) -> None:
    """Prometheus keeps a series for each value of a label: users and jobs are in none."""
    await server.running()
    found = await scrape(hub)
    names = {name for _, labels in found for name, _ in labels}
    known = {
        *("scheduler", "cluster", "queue", "profile", "phase", "state", "outcome", "cause"),
        *("error", "question", "action", "what", "le"),
    }
    assert set() == names - known
    values = {value for _, labels in found for _, value in labels}
    assert "ada" not in values
    assert server.spawner.server_job.state.job_id not in values
