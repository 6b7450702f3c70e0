"""The fixtures of the conformance suite: the scheduler, its saved answers, and the live site."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from ...errors import SchedulerUnavailable, UniSpawnerError
from ...schedulers import get_scheduler
from ...schedulers.base import Reply, Scheduler
from ..saved import read_saved_reply
from .choice import Choice, make_spawner, read_choice
from .samples import LISTINGS, Nothing, ShowMarks, reads_lines, reply, show_lines
from .site import LONGEST_JOB, Job, Site, is_running

Saw = Callable[[object], None]
"""Notes for the report what a check has seen."""


@pytest.fixture(scope="session")
def choice(pytestconfig: pytest.Config) -> Choice:
    """Give what the command line says about the site."""
    return read_choice(pytestconfig)


# -- the dialect ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def scheduler(choice: Choice, request: pytest.FixtureRequest) -> Scheduler:
    """Give the scheduler with the site's settings."""
    spawner = make_spawner(choice)
    if spawner.scheduler == "auto":
        site: Site = request.getfixturevalue("site")
        return site.scheduler
    found = spawner.scheduler_named(spawner.scheduler)
    return get_scheduler(found.name, found.options)


@pytest.fixture
def nothing_to_check() -> Nothing:
    """Give what a check calls that finds nothing to check with this scheduler."""
    return lambda: pytest.skip("this scheduler has nothing of the kind")


@pytest.fixture(scope="session")
def saved_replies(pytestconfig: pytest.Config) -> list[Reply]:
    """Give the saved answers of --outputs."""
    folder = pytestconfig.getoption("outputs")
    return [read_saved_reply(path) for path in sorted(Path(folder).iterdir())] if folder else []


@pytest.fixture(scope="session")
def list_answer(
    scheduler: Scheduler, saved_replies: list[Reply], request: pytest.FixtureRequest
) -> str:
    """Give an answer with at least one job: a saved one, or the cluster's own; else nothing."""
    for one in saved_replies:
        if can_read(scheduler, one):
            return one.stdout
    # On the Hub's own host, no wrapper of a site's prints anything.
    if request.config.getoption("no_jobs") or not scheduler.status_command() or scheduler.loopback:
        return ""
    site: Site = request.getfixturevalue("site")
    request.getfixturevalue("job")  # so that the list is not empty
    answer = site.print_of(scheduler.status_command()) or ""
    return answer if can_read(scheduler, reply(answer)) else ""


def can_read(scheduler: Scheduler, answer: Reply) -> bool:
    """Return whether an answer to the status command has a job in it."""
    try:
        return bool(scheduler.read_status(reply(answer.stdout)))
    except SchedulerUnavailable:
        return False


@pytest.fixture
def odd_row() -> str:
    """Give a row that can't be read: only a scheduler's own tests know one."""
    return ""


@pytest.fixture
def logs_notices(list_answer: str) -> bool:
    """Give whether lines around an answer are noted; a document's reader need not."""
    return not list_answer.lstrip().startswith(("<", "{", "["))


@pytest.fixture
def quotes_answers(scheduler: Scheduler) -> bool:
    """Give whether the reader of answers may quote what it can't read."""
    return not scheduler.loopback and scheduler.dialect is None


@pytest.fixture
def reported_elsewhere() -> Collection[str]:
    """Give the fields that a scheduler reports by another command than that of its list."""
    return ()


@pytest.fixture
def show_marks(scheduler: Scheduler) -> ShowMarks:
    """Give what prints marks as the scheduler does."""
    if scheduler.name not in LISTINGS and not reads_lines(scheduler):
        pytest.skip("the scheduler prints marks in its own way, and its own tests check the reader")
    return LISTINGS.get(scheduler.name, show_lines)


# -- the cluster -----------------------------------------------------------------------------------


@contextmanager
def ended_like_interrupts() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP as Ctrl-C, after which pytest still removes what the suite made."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(f"signal {number}")

    signals = (signal.SIGTERM, signal.SIGHUP)
    before = {one: signal.signal(one, interrupt) for one in signals}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def not_interrupted() -> Iterator[None]:
    """Let Ctrl-C and its like wait while jobs are removed."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {one: signal.signal(one, signal.SIG_IGN) for one in signals}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@pytest.fixture(scope="session")
def site(choice: Choice, pytestconfig: pytest.Config) -> Iterator[Site]:
    """Give the site's cluster; remove all jobs of the suite in the end, also after Ctrl-C."""
    if pytestconfig.getoption("no_jobs"):
        pytest.skip("--no-jobs: nothing is submitted")
    try:
        found = Site(choice)
    except UniSpawnerError as error:
        pytest.exit(f"The cluster can't be used: {error}", returncode=2)
    pytestconfig.stash[SITE] = found
    with ended_like_interrupts():
        found.end_left_over()
        try:
            yield found
        finally:
            with not_interrupted():
                pytestconfig.stash[LEFT] = ["the clean-up was not finished"]
                pytestconfig.stash[LEFT] = found.clean_up()
                found.close()


SITE = pytest.StashKey[Site]()
LEFT = pytest.StashKey[list[str]]()
"""What the clean-up could not remove."""


@pytest.fixture
def saw(record_property: Callable[[str, object], None]) -> Saw:
    """Give what notes for the report what a check has seen."""
    return lambda words: record_property("saw", str(words))


BEGUN = "conformance: the job has begun"
PAYLOAD = (
    f"echo '{BEGUN}'; echo length=${{#UNISPAWNER_CONFORMANCE_SECRET}} "
    f"hub=${{UNISPAWNER_CONFORMANCE_HUB-unset}} who=$(id -un); exec sleep {LONGEST_JOB}"
)


@pytest.fixture(scope="session")
def job(site: Site) -> Job:
    """Give the job that most checks look at; it runs until it is cancelled."""
    os.environ["UNISPAWNER_CONFORMANCE_HUB"] = "a variable of the Hub's own environment"
    return site.submit(PAYLOAD)


@pytest.fixture(scope="session")
def running(site: Site, job: Job) -> Job:
    """Give that job when it runs."""
    seen = site.wait(job, is_running, site.choice.start_limit)
    if not seen.holds:
        pytest.fail(
            f"The job {job.job_id} has not begun to run: {seen}. If the queue is full, give it "
            "more time with --start-limit, or another queue with --queue."
        )
    return job
