"""Faults that are planted in the product are found: otherwise the histories would prove nothing.

Each fault is what a careless change could bring back. Random histories find some of them, and a
history that was written for it finds each of the others. docs/reliability.md has the list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

import pytest
from support.machine import run
from support.simulated_cluster import NODES, Job
from support.simulation import SERVERS, Simulation, simulation

from unispawner.job import JobInfo, JobSpec, JobState
from unispawner.monitor.followed import Followed
from unispawner.monitor.missing import MissingJobs
from unispawner.run_as.client import AgentClient
from unispawner.servers import database, endings, second_job, submission
from unispawner.servers.job import ServerJob
from unispawner.servers.scheduled_job import news
from unispawner.servers.second_job import SecondJob

pytestmark = [
    pytest.mark.filterwarnings("ignore:The `version` property of an event schema"),
    # A Hub that is killed leaves what it was about to start.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

EXAMPLES = 150
"""How many histories the state machine may need for a fault."""
Patch = pytest.MonkeyPatch


def do_nothing(*_: Any, **__: Any) -> None:
    """Do nothing, in place of what a fault leaves out."""


async def wait_for_nothing(*_: Any, **__: Any) -> None:
    """Do nothing, in place of what a fault does not wait for."""


def forget_mark_after_lost_answer(patch: Patch) -> None:
    """A submission without an answer is given up at once; the job may come all the same."""

    async def find_nothing(*_: Any) -> str:
        return ""

    patch.setattr(submission, "_find_lost", find_nothing)


def stop_ignores_submission(patch: Patch) -> None:
    """A stop returns while a submission is under way, and does not cancel its job."""
    save_and_cancel = ServerJob._save_and_cancel

    async def stop(self: ServerJob[Any]) -> None:
        if not self.submitting:
            await save_and_cancel(self)

    patch.setattr(ServerJob, "_save_and_cancel", stop)


def missing_job_counts_as_gone(patch: Patch) -> None:
    """A job that is missing from one answer counts as ended."""

    def end(self: MissingJobs, missing: Collection[Followed], _: float) -> None:
        for one in missing:
            owner = one.job.client.account.name
            one.update(
                JobInfo(owner, JobState.COMPLETED, "it is gone"), asyncio.get_running_loop().time()
            )
            self._jobs.pop(one.job, None)

    patch.setattr(MissingJobs, "handle", end)


def route_stays_after_requeue(patch: Patch) -> None:
    """A job that waits again keeps the route to where its server was."""
    patch.setattr(news, "has_moved", lambda *_: False)


def token_outlives_job(patch: Patch) -> None:
    """Only JupyterHub revokes tokens, which it can't after a restart."""
    patch.setattr(database, "revoke_token", do_nothing)
    patch.setattr(database, "revoke_token_surely", do_nothing)


def restarted_hub_submits_again(patch: Patch) -> None:
    """A restarted Hub submits a start whose id was not saved, and does not look for its job."""

    async def submit(self: AgentClient, mark: str) -> str:
        return await self.submit(JobSpec(mark=mark), "/bin/sh", environment_of=mark)

    patch.setattr(AgentClient, "find", submit)


def endings_are_forgotten(patch: Patch) -> None:
    """A restarted Hub does not go on with the ends of jobs that it was confirming."""
    patch.setattr(endings, "read_all", lambda *_: [])


def first_job_stays_after_switch(patch: Patch) -> None:
    """After a switch, the first job is not ended."""
    patch.setattr(SecondJob, "_end_first", wait_for_nothing)


def restart_forgets_second_job(patch: Patch) -> None:
    """A restarted Hub does not know the second job of a server."""
    patch.setattr(SecondJob, "restore", do_nothing)


def stop_leaves_second_job(patch: Patch) -> None:
    """A stop ends the first job only."""
    patch.setattr(SecondJob, "end", wait_for_nothing)
    patch.setattr(SecondJob, "leave_and_end", do_nothing)


def second_job_does_not_take_over(patch: Patch) -> None:
    """The route does not go to the second job when the first one's server is not there any more."""
    patch.setattr(SecondJob, "take_over_if_ready", wait_for_nothing)
    patch.setattr(SecondJob, "take_over", lambda *_, wanted=False: False)


def switch_does_not_move_route(patch: Patch) -> None:
    """A switch is saved, and the proxy's route stays where it was."""
    patch.setattr(SecondJob, "_move_route", wait_for_nothing)


def switch_is_not_saved(patch: Patch) -> None:
    """A Hub that is killed after a switch leaves a database that names the first job."""
    patch.setattr(second_job, "_save_route", do_nothing)
    take_over = SecondJob.take_over

    def unsaved(self: SecondJob, *, wanted: bool = False) -> bool:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(ServerJob, "commit", lambda *_: True)
            return take_over(self, wanted=wanted)

    patch.setattr(SecondJob, "take_over", unsaved)


FOUND_AT_RANDOM: list[Callable[[Patch], None]] = [
    forget_mark_after_lost_answer,
    stop_ignores_submission,
    token_outlives_job,
    restarted_hub_submits_again,
    route_stays_after_requeue,
    endings_are_forgotten,
    first_job_stays_after_switch,
    restart_forgets_second_job,
]


@pytest.mark.long
@pytest.mark.parametrize("plant", FOUND_AT_RANDOM, ids=lambda plant: plant.__name__)
def test_random_histories_find_fault(plant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    """A fault that is planted in the product makes some random history end badly."""
    plant(monkeypatch)
    with pytest.raises(AssertionError) as found:
        run(EXAMPLES, 1)
    print(found.value)


# -- histories that are written for a fault ------------------------------------------------------

ALICE = SERVERS[0]


def begin_server(site: Simulation) -> Job:
    """Bring a server up, and return its job."""
    site.start(ALICE)
    site.wait(1.1)
    [job] = site.cluster.jobs
    site.job_begins(job)
    site.wait(10.0)
    return job


def begin_second_job(site: Simulation) -> tuple[Job, Job]:
    """Bring a server up and a second job of it, and return both jobs."""
    first = begin_server(site)
    site.continue_server(ALICE)
    site.wait(1.1)
    second = site.cluster.jobs[1]
    site.job_begins(second, NODES[1])
    site.wait(10.0)
    return first, second


def hide_job(site: Simulation) -> None:
    """The scheduler shows a running job to its owner only."""
    job = begin_server(site)
    site.cluster.scheduler.hide(job.job_id)
    site.wait(60.0)
    site.settle()


def stop_both_jobs(site: Simulation) -> None:
    """A server with two jobs is stopped."""
    begin_second_job(site)
    site.stop(ALICE)
    site.wait(40.0)
    site.settle()


def end_first_job(site: Simulation) -> None:
    """The first job ends while the second one is ready: the server moves."""
    first, second = begin_second_job(site)
    site.job_dies(first)
    site.wait(20.0)
    assert second.places[0] in site.cluster.led_to(), "no route leads to the second job"
    site.settle()


def switch(site: Simulation) -> None:
    """A user switches to the second job: at once the route leads there."""
    _, second = begin_second_job(site)
    site.switch(ALICE)
    site.wait(1.0)
    assert second.places[0] in site.cluster.led_to(), "no route leads to the second job"
    site.settle()


def kill_hub_in_switch(site: Simulation) -> None:
    """A user switches to the second job, and the Hub is killed before the first one has ended."""
    begin_second_job(site)
    site.switch(ALICE)
    site.wait(0.003)
    site.hub_is_killed()
    site.settle()


FOUND_BY_HISTORY: list[tuple[Callable[[Patch], None], Callable[[Simulation], None], str]] = [
    (missing_job_counts_as_gone, hide_job, "the Hub does not know"),
    (stop_leaves_second_job, stop_both_jobs, "the Hub does not know"),
    (second_job_does_not_take_over, end_first_job, "no route leads to the second job"),
    (switch_does_not_move_route, switch, "no route leads to the second job"),
    (switch_is_not_saved, kill_hub_in_switch, "two jobs of one start"),
]
"""Faults that random histories were not seen to find, the history that finds each, and what is
wrong at its end."""


@pytest.mark.parametrize(
    ("plant", "history", "wrong"),
    [pytest.param(*one, id=one[0].__name__) for one in FOUND_BY_HISTORY],
)
def test_history_finds_fault(
    plant: Callable[[Patch], None],
    history: Callable[[Simulation], None],
    wrong: str,
    monkeypatch: Patch,
) -> None:
    """A history ends well, and badly when a fault is planted in the product."""
    with simulation() as site:
        history(site)
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=wrong), simulation() as site:
        history(site)
