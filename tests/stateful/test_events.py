"""The event log over kills of the Hub: no event is lost, and none is doubled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.events import EventsInMemory
from support.simulated_cluster import NODES
from support.simulated_hub import SimulatedHub
from support.simulation import SERVERS, Simulation, simulation
from traitlets.config import Config

from unispawner.job import JobState

pytestmark = pytest.mark.filterwarnings("ignore:The `version` property of an event schema")

ALICE = SERVERS[0]
START = ["asked", "accepted", "submitted"]


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Iterator[EventsInMemory]:
    """All events of all Hubs of a history."""
    handler, made = EventsInMemory(), SimulatedHub._config

    def config(self: SimulatedHub, profiles: bool) -> Config:
        found = made(self, profiles)
        found.EventLogger.handlers = [handler]
        return found

    monkeypatch.setattr(SimulatedHub, "_config", config)
    yield handler


def restart(site: Simulation) -> None:
    site.hub_is_killed()
    site.hub_starts()
    site.wait(20.0)


@pytest.mark.parametrize("profiles", [False, True])
def test_a_life_without_a_restart(events: EventsInMemory, profiles: bool) -> None:
    """Each step is an event once, also where a profile's spawner is within another one."""
    with simulation(profiles=profiles) as site:
        site.start(ALICE)
        site.wait(10.0)
        site.job_begins(site.cluster.jobs[0])
        site.wait(20.0)
        site.stop(ALICE)
        site.wait(20.0)
        site.settle()
    assert [*START, "queued", "started", "ready", "ended:stopped"] == events.names
    assert {"one" if profiles else ""} == {one["profile"] for one in events.all}
    assert 1 == len({one["mark"] for one in events.all[1:]})
    assert [NODES[0]] * 2 == [one["host"] for one in events.all if "host" in one]


def test_a_hub_that_is_killed_after_each_step(events: EventsInMemory) -> None:
    """Each new Hub says what it has found again, and goes on with the next event."""
    with simulation() as site:
        site.start(ALICE)
        site.wait(10.0)
        restart(site)
        restart(site)
        site.job_begins(site.cluster.jobs[0])
        site.wait(20.0)
        restart(site)
        site.job_is_requeued(site.cluster.jobs[0])
        site.wait(20.0)
        restart(site)
        site.job_begins(site.cluster.jobs[0], NODES[1])
        site.wait(20.0)
        site.stop(ALICE)
        site.wait(20.0)
        site.settle()
    expected = [*START, "queued", "resumed:start", "resumed:start", "started", "ready"]
    expected += ["resumed:server", "requeued", "resumed:start", "started", "ready"]
    assert [*expected, "ended:stopped"] == events.names


def test_what_happens_while_there_is_no_hub(events: EventsInMemory) -> None:
    """A job that begins and ends without a Hub has its events when the next Hub learns of it."""
    with simulation() as site:
        site.start(ALICE)
        site.wait(10.0)
        site.hub_is_killed()
        site.job_begins(site.cluster.jobs[0])
        site.wait(20.0)
        site.hub_starts()
        site.wait(60.0)
        site.hub_is_killed()
        site.job_dies(site.cluster.jobs[0], JobState.FAILED)
        site.hub_starts()
        site.wait(60.0)
        site.settle()
    expected = [*START, "queued", "resumed:start", "started", "ready", "ended:failed"]
    assert expected == events.names


def test_a_hub_that_is_killed_during_a_submission(events: EventsInMemory) -> None:
    """The job is found by its mark, and that it was submitted is written then."""
    with simulation() as site:
        site.agent_fails("submit", "slow", 5.0)
        site.start(ALICE)
        site.wait(3.0)
        site.hub_is_killed()
        site.wait(20.0)
        site.hub_starts()
        site.wait(60.0)
        site.stop(ALICE)
        site.wait(60.0)
        site.settle()
    assert [*START[:2], "resumed:start", "submitted", "queued", "ended:stopped"] == events.names


def test_a_server_that_is_continued_with_a_second_job(events: EventsInMemory) -> None:
    """Each of the two jobs has its own events, also if the Hub is killed between them."""
    with simulation() as site:
        site.start(ALICE)
        site.wait(10.0)
        site.job_begins(site.cluster.jobs[0])
        site.wait(20.0)
        site.continue_server(ALICE)
        site.wait(10.0)
        restart(site)
        site.job_begins(site.cluster.jobs[1], NODES[1])
        site.wait(20.0)
        site.switch(ALICE)
        site.wait(20.0)
        site.stop(ALICE)
        site.wait(20.0)
        site.settle()
    first, second = (job.mark for job in site.cluster.jobs)
    asked = [one for one in events.all if one["event"] == "asked"]
    assert [None, first] == [one.get("continues") for one in asked]
    life = [*START[1:], "queued", "started", "ready", "ended"]
    for mark in (first, second):
        of_job = [one["event"] for one in events.all if one["mark"] == mark]
        assert life == [one for one in of_job if one not in ("asked", "resumed")]
