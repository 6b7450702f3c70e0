"""Random histories of users, Hub, scheduler, nodes and faults; the guarantee holds in each.

Hypothesis makes the histories. Hub, database and handlers are real; time is simulated, and so is
what is outside the Hub (support/simulation.py). A history that has failed is a test of its own in
test_histories.py.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.guarantee import Server
from support.simulated_cluster import AGENT_FAULTS, FOREIGN, NODES, QUERY_FAULTS, Job
from support.simulation import SERVERS, Simulation

from unispawner.job import JobState

pytestmark = [
    pytest.mark.filterwarnings("ignore:The `version` property of an event schema"),
    # A Hub that is killed leaves what it was about to start.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

STEPS = 40
"""How many things happen in a history, at most."""
RESTARTS = 4
"""How often the Hub is restarted in a history, at most: that takes most of the test's time."""
servers = st.sampled_from(SERVERS)
hosts = st.sampled_from(NODES)
pauses = st.sampled_from([0.0, 0.004, 0.012, 0.1, 1.1, 5.0])
"""How long (seconds) nothing else happens after a step: the shortest are within a commit."""
which = st.integers(0, 5)
OPTIONS: list[dict[str, Any]] = [
    {},
    {"profile": "two", "cpu_cores_per_process": 2},
    {"profile": "two", "cpu_cores_per_process": 5},
    {"profile": "three"},
]


def has(*states: JobState) -> Callable[[Any], bool]:
    """Return a precondition: there is a job in one of these states."""
    return lambda machine: machine.site is not None and machine.job(0, *states) is not None


def pick(jobs: list[Job], number: int) -> Job | None:
    """Return one of the jobs, the last of them first; None if there is none."""
    return jobs[-1 - number % len(jobs)] if jobs else None


class Site(RuleBasedStateMachine):
    """A site in which everything can happen at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.site: Simulation | None = None

    @initialize(profiles=st.booleans())
    def begin(self, profiles: bool) -> None:
        self.site = Simulation(profiles=profiles)
        self.site.open()

    @property
    def sim(self) -> Simulation:
        assert self.site is not None
        return self.site

    @property
    def hub_is_up(self) -> bool:
        return self.site is not None and self.site.hub is not None

    @property
    def hub_may_end(self) -> bool:
        return self.hub_is_up and self.sim.hubs <= RESTARTS

    def job(self, number: int, *states: JobState) -> Job | None:
        return pick(self.sim.cluster.in_state(*(states or JobState)), number)

    # -- users ---------------------------------------------------------------------------------

    @precondition(lambda self: self.hub_is_up)
    @rule(server=servers, options=st.sampled_from(OPTIONS), pause=pauses)
    def user_starts(self, server: Server, options: dict[str, Any], pause: float) -> None:
        self.sim.start(server, options)
        self.sim.wait(pause)

    def _bring_up(self, server: Server, host: str) -> None:
        self.sim.start(server)
        self.sim.wait(1.1)
        for job in self.sim.cluster.in_state(JobState.QUEUED):
            self.sim.job_begins(job, host)

    @precondition(lambda self: self.hub_is_up)
    @rule(server=servers, kind=st.sampled_from(AGENT_FAULTS), pause=pauses)
    def user_starts_and_it_fails(self, server: Server, kind: str, pause: float) -> None:
        """Of all that goes wrong, this is what a job is lost by most easily."""
        self.sim.agent_fails("submit", kind, 5.0)
        self.sim.start(server)
        self.sim.wait(pause)

    @precondition(lambda self: self.hub_is_up)
    @rule(server=servers, host=hosts, pause=pauses)
    def server_comes_up(self, server: Server, host: str, pause: float) -> None:
        """What happens most: a start, a node that is free, and a server."""
        self._bring_up(server, host)
        self.sim.wait(pause)

    @precondition(lambda self: self.hub_is_up)
    @rule(server=servers, host=hosts)
    def server_is_up(self, server: Server, host: str) -> None:
        """The same with all the time that it needs: what comes next meets a server that is used."""
        self._bring_up(server, host)
        self.sim.wait(10.0)

    @precondition(lambda self: self.hub_is_up)
    @rule(server=servers, pause=pauses)
    def user_stops(self, server: Server, pause: float) -> None:
        self.sim.stop(server)
        self.sim.wait(pause)

    @rule(seconds=st.sampled_from([0.02, 0.5, 3.0, 20.0, 70.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.sim.wait(seconds)

    # -- the Hub and the broker ----------------------------------------------------------------

    @precondition(lambda self: self.hub_may_end)
    @rule()
    def hub_is_killed(self) -> None:
        self.sim.hub_is_killed()

    @precondition(lambda self: self.hub_may_end)
    @rule()
    def hub_stops(self) -> None:
        self.sim.hub_stops()

    @precondition(lambda self: not self.hub_is_up)
    @rule(pause=pauses)
    def hub_starts(self, pause: float) -> None:
        self.sim.hub_starts()
        self.sim.wait(pause)

    @rule(with_children=st.booleans(), stays_down=st.booleans())
    def broker_dies(self, with_children: bool, stays_down: bool) -> None:
        self.sim.cluster.agents.die(with_children=with_children)
        self.sim.cluster.agents.down = stays_down

    @precondition(lambda self: self.site is not None and self.site.cluster.agents.down)
    @rule()
    def broker_is_back(self) -> None:
        self.sim.cluster.agents.down = False

    # -- jobs ----------------------------------------------------------------------------------

    @precondition(has(JobState.QUEUED))
    @rule(number=which, host=hosts, boot=st.sampled_from([0.0, 2.0, 100.0]), pause=pauses)
    def job_begins(self, number: int, host: str, boot: float, pause: float) -> None:
        if job := self.job(number, JobState.QUEUED):
            self.sim.job_begins(job, host, boot)
            self.sim.wait(pause)

    @precondition(has(JobState.RUNNING))
    @rule(number=which, status=st.sampled_from([0, 1]), pause=pauses)
    def server_ends(self, number: int, status: int, pause: float) -> None:
        if job := self.job(number, JobState.RUNNING):
            self.sim.server_ends(job, status)
            self.sim.wait(pause)

    @precondition(has())
    @rule(number=which, state=st.sampled_from([JobState.FAILED, JobState.CANCELED]), pause=pauses)
    def job_dies(self, number: int, state: JobState, pause: float) -> None:
        if job := self.job(number):
            self.sim.job_dies(job, state)
            self.sim.wait(pause)

    @precondition(has(JobState.RUNNING))
    @rule(number=which, pause=pauses)
    def job_is_requeued(self, number: int, pause: float) -> None:
        if job := self.job(number, JobState.RUNNING):
            self.sim.job_is_requeued(job)
            self.sim.wait(pause)

    @precondition(has(JobState.QUEUED, JobState.RUNNING))
    @rule(number=which, stuck=st.booleans(), pause=pauses)
    def job_is_held(self, number: int, stuck: bool, pause: float) -> None:
        if job := self.job(number, JobState.RUNNING, JobState.QUEUED):
            self.sim.job_is_held(job, stuck=stuck)
            self.sim.wait(pause)

    @precondition(has(JobState.HELD))
    @rule(number=which)
    def job_is_released(self, number: int) -> None:
        if job := self.job(number, JobState.HELD):
            self.sim.job_is_released(job)

    @precondition(lambda self: self.site is not None and bool(self.site.cluster.jobs))
    @rule()
    def scheduler_forgets(self) -> None:
        self.sim.scheduler_forgets()

    @precondition(has())
    @rule()
    def scheduler_loses_state(self) -> None:
        self.sim.scheduler_loses_state()

    @precondition(lambda self: self.site is not None and bool(self.site.cluster.jobs))
    @rule()
    def ports_are_taken(self) -> None:
        self.sim.ports_are_taken()

    @precondition(
        lambda self: self.site is not None and FOREIGN in self.site.cluster.listening.values()
    )
    @rule()
    def ports_are_left(self) -> None:
        self.sim.ports_are_left()

    # -- faults --------------------------------------------------------------------------------

    @rule(
        action=st.sampled_from(["submit", "submit", "cancel", "find", "status", "cleanup", "log"]),
        kind=st.sampled_from(AGENT_FAULTS),
        delay=st.sampled_from([0.5, 5.0, 55.0]),
    )
    def agent_fails(self, action: str, kind: str, delay: float) -> None:
        self.sim.agent_fails(action, kind, delay)

    @rule(kind=st.sampled_from(QUERY_FAULTS), delay=st.sampled_from([0.5, 8.0]))
    def queries_fail(self, kind: str, delay: float) -> None:
        self.sim.queries_fail(kind, delay)

    @rule(delay=st.sampled_from([0.0, 5.0, 100.0]))
    def cancelled_jobs_go_late(self, delay: float) -> None:
        self.sim.cluster.agents.take_down_delay = delay

    @rule(network=st.booleans())
    def network_changes(self, network: bool) -> None:
        self.sim.cluster.network = network

    @precondition(has())
    @rule(number=which)
    def job_is_hidden(self, number: int) -> None:
        if job := self.job(number):
            self.sim.cluster.scheduler.hide(job.job_id)

    @rule()
    def faults_clear(self) -> None:
        self.sim.clear_faults()

    @precondition(lambda self: self.hub_is_up and bool(self.sim.cluster.jobs))
    @rule(
        number=which,
        place=which,
        event=st.sampled_from(["begun", "ready", "ended"]),
        delay=st.sampled_from([0.0, 3.0]),
        pause=pauses,
    )
    def stray_report(self, number: int, place: int, event: str, delay: float, pause: float) -> None:
        """A report comes late, twice, after the end, or with another job's place."""
        jobs = self.sim.cluster.jobs
        if job := pick(jobs, number):
            places = [one for other in jobs for one in other.places] or [(NODES[0], 20_000)]
            host, port = places[place % len(places)]
            body = {"event": event, "host": host, "port": port}
            self.sim.stray_report(job, body, delay)
            self.sim.wait(pause)

    def teardown(self) -> None:
        if self.site is None:
            return
        try:
            if sys.exc_info()[0] is None:  # otherwise hypothesis has given this history up
                self.site.settle()
        finally:
            self.site.close()


def run(examples: int, number: int, *phases: Phase) -> None:
    """Try histories; the number is hypothesis's seed: the same one makes the same histories."""
    run_state_machine_as_test(
        seed(number)(type("Site", (Site,), {})),
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, *phases],
        ),
    )


def test_every_history_ends_well() -> None:
    """Whatever happens in whichever order: when the faults have cleared, each server can be reached
    or its user was told why not, and nothing is left."""
    run(6, 1)


@pytest.mark.long
@pytest.mark.parametrize("part", range(10))  # in parts, because a test may take ten minutes
def test_many_histories_end_well(part: int) -> None:
    """The same with 10,000 steps in all, and others each time.

    A history that ends badly is printed, with its seed. To run it again, and no other one, to make
    it shorter (which takes minutes), and to try more histories of each seed::

        UNISPAWNER_SEED=123 pytest "tests/stateful/test_machine.py" -k "many and 0"
        UNISPAWNER_SEED=123 UNISPAWNER_SHORTEN=1 pytest …
        UNISPAWNER_HISTORIES=100 pytest …
    """
    number = int(os.environ.get("UNISPAWNER_SEED") or random.randrange(10**6)) + part
    shorten = [Phase.shrink] if os.environ.get("UNISPAWNER_SHORTEN") else []
    print(f"To run this again: UNISPAWNER_SEED={number}, and part 0")
    run(int(os.environ.get("UNISPAWNER_HISTORIES", "25")), number, *shorten)
