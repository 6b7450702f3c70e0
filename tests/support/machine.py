"""The state machine: what can happen at a simulated site, in any order (tests/stateful).

Hypothesis makes the histories. Hub, database and handlers are real; time is simulated, and so is
what is outside the Hub (simulation.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

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
from support.simulated_cluster import AGENT_FAULTS, FOREIGN, NODES, QUERY_FAULTS, Job, jobs_of
from support.simulation import SERVERS, Simulation
from unispawner.job import JobState

STEPS = 40
"""How many things happen in a history, at most."""
RESTARTS = 4
"""How often the Hub is restarted in a history, at most: that takes most of the test's time."""
servers = st.sampled_from(SERVERS)
hosts = st.sampled_from(NODES)
pauses = st.sampled_from([0.0, 0.004, 0.012, 0.1, 1.1, 5.0])
"""How long (seconds) nothing else happens after a step: the shortest are within a commit."""
which = st.integers(0, 5)
lasting = st.sampled_from([3.0, 30.0, 300.0])
"""How long (seconds) a fault lasts, unless all are cleared before."""
faults = st.one_of(
    st.tuples(
        st.just("agent_fails"),
        st.tuples(
            st.sampled_from(["submit", "cancel", "find", "status", "cleanup", "log"]),
            st.sampled_from(AGENT_FAULTS),
            st.sampled_from([0.5, 5.0, 55.0]),
        ),
    ),
    st.tuples(
        st.just("queries_fail"),
        st.tuples(st.sampled_from(QUERY_FAULTS), st.sampled_from([0.5, 8.0]), lasting),
    ),
    st.tuples(st.just("broker_dies"), st.tuples(st.booleans(), st.just(0.0) | lasting)),
    st.tuples(st.just("cancelled_jobs_go_late"), st.tuples(st.sampled_from([5.0, 100.0]), lasting)),
    st.tuples(st.just("network_is_cut"), st.tuples(lasting)),
)
"""A method of the simulation, and what it is called with."""
OPTIONS: list[dict[str, Any]] = [
    {},
    {"profile": "two", "cpu_cores_per_process": 2},
    {"profile": "two", "cpu_cores_per_process": 5},
    {"profile": "three"},
]


def has(*states: JobState) -> Callable[[Any], bool]:
    """Return a precondition: there is a job in one of these states."""
    return lambda machine: machine.site is not None and machine.job(0, *states) is not None


def routed(machine: Any) -> bool:
    """Precondition: the Hub runs, and has a server with a route."""
    return machine.hub_is_up and len(machine.sim.cluster.routes) > 1


def has_second(machine: Any) -> bool:
    """Precondition: the Hub runs, and a server has a second job."""
    return machine.hub_is_up and any(job.continues for job in machine.sim.cluster.alive())


def pick(jobs: list[Job], number: int) -> Job | None:
    """Return one of the jobs, the last of them first; None if there is none."""
    return jobs[-1 - number % len(jobs)] if jobs else None


class Site(RuleBasedStateMachine):
    """A site in which everything can happen at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.site: Simulation | None = None

    @initialize(
        profiles=st.booleans(),
        up=st.lists(servers, max_size=2, unique=True),
        second=st.sampled_from(["no", "waits", "ready"]),
    )
    def begin(self, profiles: bool, up: list[Server], second: str) -> None:
        """Begin with some servers that are used: most of what can go wrong, goes wrong with one."""
        self.site = Simulation(profiles=profiles)
        self.site.open()
        for server in up:
            self.server_is_up(server, NODES[0])
        if up and second != "no":
            self.sim.continue_server(up[0])
            self.sim.wait(1.1)
            if second == "ready":
                self.sim.job_begins(self.sim.cluster.jobs[-1], NODES[1])
                self.sim.wait(10.0)

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

    @property
    def idle(self) -> list[Server]:
        """The servers that have no job."""
        busy = {Server(job.user, job.server) for job in self.sim.cluster.alive()}
        return [server for server in SERVERS if server not in busy]

    def second(self, number: int) -> Server:
        """Return a server that has a second job."""
        job = pick([job for job in self.sim.cluster.alive() if job.continues], number)
        assert job is not None
        return Server(job.user, job.server)

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

    @precondition(lambda self: self.hub_is_up and bool(self.idle))
    @rule(
        number=which,
        kind=st.sampled_from(["none", "slow", "lost, late", "hangs"]),
        before=st.sampled_from([0.001, 0.004, 0.1, 1.1]),
        pause=pauses,
    )
    def user_gives_up_start(self, number: int, kind: str, before: float, pause: float) -> None:
        """A stop comes while the submission is under way."""
        server = self.idle[number % len(self.idle)]
        self.sim.agent_fails("submit", kind, 5.0)
        self.sim.start(server)
        self.sim.wait(before)
        self.sim.stop(server)
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

    # -- a second job of the same server ---------------------------------------------------------

    @precondition(routed)
    @rule(server=servers, pause=pauses)
    def user_continues(self, server: Server, pause: float) -> None:
        self.sim.continue_server(server)
        self.sim.wait(pause)

    @precondition(routed)
    @rule(server=servers, host=hosts, seconds=st.sampled_from([0.1, 3.0, 20.0]))
    def second_job_comes_up(self, server: Server, host: str, seconds: float) -> None:
        """What happens most: the second job waits a little, begins and reports."""
        self.sim.continue_server(server)
        self.sim.wait(1.1)
        for job in self.sim.cluster.in_state(JobState.QUEUED):
            self.sim.job_begins(job, host)
        self.sim.wait(seconds)

    @precondition(has_second)
    @rule(number=which, pause=pauses)
    def user_switches(self, number: int, pause: float) -> None:
        self.sim.switch(self.second(number))
        self.sim.wait(pause)

    @precondition(has_second)
    @rule(number=which, pause=pauses)
    def user_cancels_second(self, number: int, pause: float) -> None:
        self.sim.cancel_second(self.second(number))
        self.sim.wait(pause)

    @precondition(has_second)
    @rule(number=which)
    def first_job_ends(self, number: int) -> None:
        """The second job takes over, or its server waits for it."""
        server = self.second(number)
        jobs = jobs_of(self.sim.cluster.alive(), server.user, server.name)
        if first := [job for job in jobs if not job.continues]:
            self.sim.job_dies(first[0])
            self.sim.wait(1.1)

    @precondition(lambda self: self.hub_may_end and has_second(self))
    @rule(
        number=which,
        what=st.sampled_from(["switch", "cancel_second", "stop"]),
        pause=st.sampled_from([0.0, 0.001, 0.003, 0.005, 0.01, 0.03, 1.0]),
    )
    def hub_is_killed_in_hand_over(self, number: int, what: str, pause: float) -> None:
        """The Hub dies at some step of what ends a hand-over."""
        getattr(self.sim, what)(self.second(number))
        self.sim.wait(pause)
        self.sim.hub_is_killed()

    @precondition(lambda self: self.hub_may_end and routed(self))
    @rule(server=servers, pause=st.sampled_from([0.0, 0.001, 0.003, 0.005, 0.01, 0.03, 1.0]))
    def hub_is_killed_as_it_continues(self, server: Server, pause: float) -> None:
        """The Hub dies at some step of the submission of a second job."""
        self.sim.continue_server(server)
        self.sim.wait(pause)
        self.sim.hub_is_killed()

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

    @precondition(lambda self: self.site is not None and bool(self.site.ended_jobs()))
    @rule()
    def scheduler_forgets(self) -> None:
        self.sim.scheduler_forgets()

    @precondition(has())
    @rule()
    def scheduler_loses_state(self) -> None:
        self.sim.scheduler_loses_state()

    @precondition(lambda self: self.site is not None and bool(self.site.free_places()))
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

    @rule(fault=faults)
    def something_breaks(self, fault: tuple[str, tuple[Any, ...]]) -> None:
        """One rule for all faults: most steps have to be of those who want something."""
        name, arguments = fault
        getattr(self.sim, name)(*arguments)

    @precondition(has())
    @rule(number=which)
    def job_is_hidden(self, number: int) -> None:
        if job := self.job(number):
            self.sim.cluster.scheduler.hide(job.job_id)

    @precondition(lambda self: self.site is not None and self.site.is_faulty)
    @rule()
    def faults_clear(self) -> None:
        self.sim.clear_faults()

    @precondition(lambda self: self.hub_is_up and bool(self.sim.cluster.jobs))
    @rule(
        number=which,
        place=which,
        event=st.sampled_from(["begun", "ready", "ended"]),
        delay=st.sampled_from([0.0, 3.0]),
        marked=st.booleans(),
        pause=pauses,
    )
    def stray_report(
        self, number: int, place: int, event: str, delay: float, marked: bool, pause: float
    ) -> None:
        """A report comes late, twice, after the end, or with another job's place."""
        jobs = self.sim.cluster.jobs
        if job := pick(jobs, number):
            places = [one for other in jobs for one in other.places] or [(NODES[0], 20_000)]
            host, port = places[place % len(places)]
            body = {"event": event, "host": host, "port": port}
            self.sim.stray_report(job, body, delay, marked=marked)
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
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, *phases],
        ),
    )
