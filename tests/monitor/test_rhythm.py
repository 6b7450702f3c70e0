"""When the scheduler is asked, on a clock of the test's own: no second passes here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

from unispawner.job import JobInfo, JobState
from unispawner.monitor.followed import Followed
from unispawner.monitor.rhythm import FAST_INTERVAL, SINGLE_INTERVAL, Rhythm
from unispawner.monitor.tracked_job import TrackedJob
from unispawner.run_as.client import AgentClient

MINUTE, HOUR = 60.0, 3600.0
NOBODY = cast(AgentClient, None)


@dataclass
class Cluster:
    """Jobs, the questions about them, and what happens at which time.

    Attributes
    ----------
    takes
        How long (seconds) the scheduler takes for each answer.
    fails
        True while the scheduler does not answer.
    """

    rhythm: Rhythm = field(default_factory=Rhythm)
    takes: float = 0.05
    fails: bool = False
    now: float = 0.0
    jobs: list[Followed] = field(default_factory=list)
    states: dict[str, JobState] = field(default_factory=dict)
    events: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    all: list[float] = field(default_factory=list)
    singles: list[float] = field(default_factory=list)

    def at(self, when: float, action: Callable[..., Any], *arguments: Any) -> None:
        """Have something happen."""
        self.events.append((when, lambda: action(*arguments)))

    def submit(self, name: str) -> Followed:
        """Submit a job, which waits in the queue; the monitor hears of it."""
        one = Followed(TrackedJob(name, NOBODY), begun_at=self.now)
        self.jobs.append(one)
        self.states[name] = JobState.QUEUED
        return one

    def start(self, name: str) -> None:
        """Start a job, whose launcher reports that."""
        self.states[name] = JobState.RUNNING
        self.want(name)

    def want(self, name: str) -> None:
        one = self.find(name)
        one.wanted_at = self.now if one.wanted_at is None else one.wanted_at

    def stop(self, name: str) -> None:
        """End a job."""
        one = self.find(name)
        one.job.stopping, one.begun_at = True, self.now
        self.want(name)

    def find(self, name: str) -> Followed:
        return next(one for one in self.jobs if one.job.job_id == name)

    def state(self, name: str) -> JobState | None:
        """Return what the Hub knows of a job."""
        info = self.find(name).job.info
        return info.state if info else None

    def run(self, until: float) -> None:
        """Let time pass, as the monitor's own loop does."""
        self.events.sort(key=lambda event: event[0])
        while self.now < until:
            question = self.rhythm.next_question(self.now, self.jobs)
            if self.events and self.events[0][0] <= max(self.now, question.at):
                when, action = self.events.pop(0)
                self.now = max(self.now, when)
                action()
            elif question.at > self.now:
                self.now = min(until, question.at)
            else:
                self.ask(question.about)

    def ask(self, about: Followed | None) -> None:
        began, self.now = self.now, self.now + self.takes
        if about is None:
            self.all.append(began)
            self.rhythm.begin_all()
            self.rhythm.note_all(began, self.now, failed=self.fails)
        else:
            self.singles.append(began)
            self.rhythm.note_single(began, self.now)
        for one in self.jobs if about is None else [about]:
            if one.wanted_at is not None and one.wanted_at <= began:
                one.wanted_at = None
            if not self.fails:
                one.job.info = JobInfo("alice", self.states[one.job.job_id])

    def most_in_a_minute(self, questions: list[float]) -> int:
        return max(sum(0 <= at - first < MINUTE for at in questions) for first in questions or [0])


def test_fifty_that_wait_for_an_hour() -> None:
    """At most six questions a minute, once the submissions are over."""
    cluster = Cluster()
    for number in range(50):
        cluster.submit(str(number))
    cluster.run(HOUR)
    assert cluster.most_in_a_minute([at for at in cluster.all if at >= MINUTE]) <= 6
    assert [] == cluster.singles


def test_twenty_that_start_at_once() -> None:
    """At most twenty questions in the first minute, all kinds together, and all hosts are known."""
    cluster = Cluster()
    for number in range(20):
        cluster.at(number * 0.1, cluster.submit, str(number))
        cluster.at(3 + number * 0.15, cluster.start, str(number))
    cluster.run(MINUTE)
    assert len(cluster.all) + len(cluster.singles) <= 20
    assert {JobState.RUNNING} == {cluster.state(str(number)) for number in range(20)}


def test_a_job_that_starts_at_once() -> None:
    """It is asked for alone, at once; its submission alone is no reason to ask."""
    cluster = Cluster()
    cluster.submit("1")
    cluster.at(0.4, cluster.start, "1")
    cluster.run(0.45)
    assert ([], [0.4]) == (cluster.all, cluster.singles)
    assert JobState.RUNNING is cluster.state("1")


def test_the_list_waits_for_jobs_that_are_about_to_begin() -> None:
    """Twenty jobs that are submitted and begin within a second are all in one list: whoever comes
    too late for it would wait for min_query_interval."""
    cluster = Cluster()
    for number in range(20):
        cluster.at(number * 0.05, cluster.submit, str(number))
        cluster.at(0.3 + number * 0.04, cluster.start, str(number))
    cluster.run(1.2)
    assert 1 == len(cluster.all)
    assert {JobState.RUNNING} == {cluster.state(str(number)) for number in range(20)}


def test_the_list_does_not_wait_long_for_a_job_that_stays_in_the_queue() -> None:
    """Jobs that have begun wait a second at most for one that was submitted with them."""
    cluster = Cluster()
    for name in "123":
        cluster.submit(name)
    cluster.at(0.3, cluster.start, "1")
    cluster.at(0.4, cluster.start, "2")
    cluster.run(1.5)
    assert JobState.RUNNING is cluster.state("1")
    assert JobState.RUNNING is cluster.state("2")


def test_a_cluster_of_running_servers() -> None:
    """While nothing starts or stops, all jobs are asked for every status_interval."""
    cluster = Cluster(Rhythm(status_interval=15))
    for number in range(10):
        cluster.submit(str(number))
        cluster.start(str(number))
    cluster.run(HOUR)
    assert abs(len(cluster.all) - HOUR / 15) <= 2


def test_questions_grow_rarer_after_a_submission() -> None:
    """The intervals double, from the shortest one to status_interval."""
    cluster = Cluster(Rhythm(status_interval=15))
    cluster.submit("1")
    cluster.run(50)
    gaps = [later - sooner for sooner, later in pairwise(cluster.all)]
    assert [2, 3, 6, 12, 15] == [round(gap) for gap in gaps[:5]]


def test_the_shortest_interval_holds_whatever_happens() -> None:
    """However often jobs report, come and go: all are asked for no more often than allowed, and
    single ones once a second."""
    for least in (2.0, 10.0, 60.0):
        cluster = Cluster(Rhythm(min_query_interval=least))
        for number in range(200):
            cluster.at(number * 0.3, cluster.submit, str(number))
            cluster.at(number * 0.3 + 1, cluster.start, str(number))
            cluster.at(number * 0.3 + 2, cluster.want, str(number))
            cluster.at(number * 0.3 + 5, cluster.stop, str(number))
        cluster.run(3 * MINUTE)
        for questions, shortest in ((cluster.all, least), (cluster.singles, SINGLE_INTERVAL)):
            pairs = pairwise(questions)
            assert all(round(later - sooner, 6) >= shortest for sooner, later in pairs)
        assert len(cluster.singles) > 0


def test_a_large_interval_is_only_slower() -> None:
    """With a minute between two lists, single questions still find every start."""
    cluster = Cluster(Rhythm(min_query_interval=60))
    for number in range(20):
        cluster.submit(str(number))
        cluster.at(1.0, cluster.start, str(number))
    cluster.run(30)
    assert {JobState.RUNNING} == {cluster.state(str(number)) for number in range(20)}
    assert 1 == len(cluster.all)


def test_a_stop_is_asked_about_at_once_and_then_less() -> None:
    """The job is asked for alone, then with all others at growing intervals."""
    cluster = Cluster(Rhythm(status_interval=15))
    cluster.submit("1")
    cluster.start("1")
    cluster.run(100)
    before = len(cluster.all)
    cluster.stop("1")
    cluster.run(130)
    assert 100.0 == cluster.singles[-1]
    assert 3 <= len(cluster.all) - before <= 6


def test_a_slow_scheduler_is_asked_less() -> None:
    """Questions for all jobs take a tenth of the time at most, whoever hurries."""
    cluster = Cluster(takes=3)
    cluster.submit("1")
    for second in range(100):
        cluster.at(float(second), cluster.rhythm.hurry)
    cluster.run(100)
    assert 100 / 30 + 1 >= len(cluster.all) > 1


def test_a_failing_scheduler_is_asked_less_and_less() -> None:
    """The intervals grow to status_interval, and no single job is asked for."""
    cluster = Cluster(Rhythm(status_interval=15), fails=True)
    cluster.submit("1")
    cluster.run(2)
    cluster.start("1")
    cluster.run(100)
    gaps = [later - sooner for sooner, later in pairwise(cluster.all)]
    assert [2, 4, 8, 15] == [round(gap) for gap in gaps[:4]]
    assert [] == cluster.singles


def test_who_makes_the_monitor_restless() -> None:
    """Jobs that wait after a submission, and jobs that are being ended; no others."""

    def interval(state: JobState | None, **fields: Any) -> float:
        job = TrackedJob("1", NOBODY, info=None if state is None else JobInfo("alice", state))
        one = Followed(job, begun_at=fields.pop("begun_at", None))
        job.stopping = fields.pop("stopping", False)
        return Rhythm(status_interval=15).interval([one])

    for state in (None, JobState.QUEUED, JobState.HELD):
        assert (FAST_INTERVAL, 15.0) == (interval(state, begun_at=0.0), interval(state))
    for state in (JobState.RUNNING, JobState.SUSPENDED, JobState.UNKNOWN):
        assert 15.0 == interval(state, begun_at=0.0)
        assert FAST_INTERVAL == interval(state, begun_at=0.0, stopping=True)
