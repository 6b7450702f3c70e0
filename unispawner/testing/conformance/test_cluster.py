"""What a Hub needs from a real cluster: small jobs are submitted, watched and ended.

The checks run in the order in which they stand: most of them look at one job, which is then
cancelled.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import timedelta

import pytest

from ...errors import AgentError, InvalidJobError, UniSpawnerError
from ...job import Attribute, JobState
from ...schedulers.base import Scheduler
from .choice import read_literal
from .fixtures import BEGUN, Saw
from .samples import NO_JOB_IDS
from .site import (
    HUB,
    LONGEST_JOB,
    Job,
    Site,
    find_in_processes,
    has_ended,
    is_running,
    runs_or_has_ended,
)

SLEEP = f"exec sleep {LONGEST_JOB}"
HELD: Mapping[str, tuple[str, Attribute]] = {
    "flux": ("urgency", "hold"),
    "gridengine": ("h", True),
    "htcondor": ("hold", "True"),
    "lsf": ("H", True),
    "pbs": ("h", True),
    "slurm": ("hold", True),
    "torque": ("h", True),
}
"""The option of each scheduler with which a job waits until it is released."""
ODD_NAMES = (
    "two words",
    'it\'s "quoted" $(id) `id`',
    "semicolon; ampersand & pipe | star *",
    "-n",
    "1 begins with a digit",
    "ünïcode ß 日本",
    "%j:@/\\,=",
    "x" * 200,
)


def test_the_cluster_answers(site: Site, saw: Saw) -> None:
    """The scheduler answers a question about all jobs, and one about its queues and nodes.

    Why: the Hub asks the first every few seconds, and shows the second in the form.
    """
    began = time.monotonic()
    survey = site.ask("survey") if site.scheduler.status_command() else None
    seconds = time.monotonic() - began
    inventory = site.ask("inventory")
    listed = "no list of all jobs" if survey is None else f"{survey.jobs} jobs in {seconds:.1f} s"
    saw(f"{listed}; {len(inventory.queues)} queues, {len(inventory.nodes)} nodes")
    queue = site.spawner.queue_name
    names = {one.name for one in inventory.queues}
    assert not (queue and names) or queue in names, f"the scheduler shows no queue {queue!r}"


def test_a_job_gets_an_id(site: Site, job: Job, saw: Saw) -> None:
    """A submission returns the job's id, in the form that ``job_id`` says.

    Why: the id is what the Hub saves; all later questions and the stop need it.
    """
    saw(f"job {job.job_id}")
    assert site.scheduler.job_id.fullmatch(job.job_id)


def test_the_job_is_known_at_once(site: Site, job: Job, saw: Saw) -> None:
    """A job that was just submitted is known, with its owner, as one that waits or runs.

    Why: a job that no answer has looks to the Hub like one that has already ended.
    """
    seen = site.wait(job, lambda info: info is not None, 10)
    saw(seen)
    assert seen.info is not None
    assert site.account.owns(seen.info.owner), f"its owner is shown as {seen.info.owner!r}"
    assert seen.info.state in (JobState.QUEUED, JobState.HELD, JobState.RUNNING)


def test_the_job_runs(site: Site, running: Job, saw: Saw) -> None:
    """The job begins to run, and the scheduler says so.

    Why: the Hub waits for a report from the node only when the scheduler says that the job runs.
    """
    info = site.look(running)
    saw("RUNNING" if is_running(info) else info)
    assert is_running(info)


def test_the_host_is_known(site: Site, running: Job, saw: Saw) -> None:
    """The scheduler says on which host the job runs, by a name that its list of nodes has.

    Why: a report counts only if it comes from that host, so that no user can redirect a server.
    """
    seen = site.wait(running, lambda info: bool(info and info.exec_host), site.choice.answer_limit)
    host = seen.info.exec_host if seen.info else ""
    hosts = site.ask("inventory").hosts
    saw(f"{host or 'no host'}; {len(hosts)} nodes in the list")
    assert host
    assert not hosts or host in hosts


def test_the_log_is_readable_while_the_job_runs(site: Site, running: Job, saw: Saw) -> None:
    """What the job prints is in its log while it runs.

    Why: the Hub shows the end of the log if a start fails, and an administrator reads it.
    """
    text = site.wait_for_log(running, BEGUN, site.choice.answer_limit)
    saw(f"{len(text.splitlines())} lines")
    assert BEGUN in text


def test_the_job_is_the_accounts(site: Site, running: Job, saw: Saw) -> None:
    """The job runs under the account, with its own environment and not with the Hub's.

    Why: a server is its user's; the Hub's own variables hold the Hub's secrets.
    """
    text = site.wait_for_log(running, "who=", site.choice.answer_limit)
    found = dict(re.findall(r"(length|hub|who)=(.*?)(?= \w+=|$)", text, re.MULTILINE))
    saw(", ".join(f"{name}={value}" for name, value in found.items()))
    assert site.account.owns(found.get("who", ""))
    assert str(len(running.secret)) == found.get("length"), "the job lacks its environment"
    assert found.get("hub") == "unset", "the job sees a variable of the Hub's own environment"


def test_the_environment_is_hidden(site: Site, running: Job, saw: Saw) -> None:
    """The job's environment is in no answer of the scheduler and on no command line of this host.

    Why: it holds the server's token, with which another user could read the server's files.
    """
    commands = (
        site.scheduler.status_command(),
        site.scheduler.status_command([running.job_id]),
        site.scheduler.mark_command(),
    )
    printed = [site.print_of(command) for command in commands if command]
    if None in printed:
        pytest.skip("the submit host is another one, where only the broker runs commands")
    saw(f"{len(printed)} commands were asked")
    assert not any(running.secret in str(text) for text in printed)
    assert not find_in_processes(running.secret)


def test_one_question_for_many_jobs(site: Site, running: Job, saw: Saw) -> None:
    """One question answers for several jobs, however many users there are.

    Why: a Hub with a thousand servers asks once, or the scheduler suffers.
    """
    dialect = site.scheduler.dialect
    if dialect is not None and not dialect.all_jobs:
        pytest.skip("the set of templates has no [all_jobs], so each job is asked about separately")
    others = [site.begin(SLEEP) for _ in range(3)]
    for one in others:
        one.job_id = site.run(one.submission)
        site.wait(one, lambda info: info is not None, 10)
    ids = [running.job_id, *(one.job_id for one in others)]
    found = site.ask("query_tracked", *ids).jobs
    counts = site.count_commands(ids[:1]), site.count_commands(ids)
    known = [job_id for job_id in ids if job_id in found]
    saw(f"{len(known)} of {len(ids)} jobs; commands for 1 job and for {len(ids)}: {counts}")
    for one in others:
        site.run(site.client.cancel(one.job_id))
    if not known and site.scheduler.may_hide_jobs:
        pytest.skip("this cluster hides users' jobs from the Hub, which then asks as each user")
    assert ids == known
    assert counts[0] == counts[1]


def test_the_job_is_found_by_its_mark(site: Site, running: Job, saw: Saw) -> None:
    """The job is found by its mark, among the account's own jobs, and no other mark finds one.

    Why: if the answer of the submit command is lost, the mark is all that the Hub has.
    """
    if not site.scheduler.mark_command():
        pytest.skip("a set of templates has no marks; a job is found by the id that was written")
    found = {one.mark: one.job_id for one in site.run(site.client.marked())[0]}
    saw(f"{len(found)} jobs with marks")
    assert running.job_id == found.get(running.mark)
    assert site.run(site.client.find(f"{HUB}-{'0' * 16}")) == ""


def test_an_unknown_job_is_unknown(site: Site, running: Job, saw: Saw) -> None:
    """The scheduler says that it does not know an id that no job has, and answers for the others.

    Why: this answer is what ends a server in the Hub; an error instead would leave dead servers
    in the list, and one forgotten job must not hide those that live.
    """
    unknown = site.unknown_id(running)
    both = site.run(site.client.status([running.job_id, unknown]))
    alone = site.run(site.client.status([unknown]))
    saw(f"{unknown}: {'known' if alone else 'unknown'}; with {running.job_id}: {sorted(both)}")
    assert alone == {}
    assert {running.job_id} == set(both)


def test_cancelling_an_unknown_job_is_no_error(site: Site, running: Job, saw: Saw) -> None:
    """Cancelling a job that does not exist is not an error.

    Why: a job may end while its user presses Stop, and the server is then stopped.
    """
    unknown = site.unknown_id(running)
    site.run(site.client.cancel(unknown))
    saw(f"{unknown}: no error")


def test_garbage_never_reaches_a_command(site: Site, running: Job, saw: Saw) -> None:
    """Text that is no job's id is refused before a command sees it, and the job goes on.

    Why: the id comes from the user's side; "*" or "-u alice" would cancel other jobs.
    """
    for text in NO_JOB_IDS:
        with pytest.raises(AgentError):
            site.run(site.client.cancel(text))
        with pytest.raises(AgentError):
            site.run(site.client.status([text]))
    saw(f"{len(NO_JOB_IDS)} texts were refused")
    assert is_running(site.look(running))


def test_a_time_limit_is_known(site: Site, running: Job, saw: Saw) -> None:
    """If the scheduler reports ends, a job with a time limit has the right one.

    Why: users read on their pages how much time is left.
    """
    supported = site.scheduler.supported()
    if "duration" not in supported or "estimated_end" not in site.scheduler.reports:
        pytest.skip("the scheduler has no time limits, or reports no ends of jobs")
    limited = site.submit(SLEEP, duration=timedelta(minutes=10))
    seen = site.wait(limited, lambda i: bool(i and i.estimated_end), site.choice.start_limit)
    site.run(site.client.cancel(limited.job_id))
    if not runs_or_has_ended(seen.info):
        pytest.skip(f"the job with the limit did not start in time ({seen})")
    assert seen.info and seen.info.estimated_end, f"no end is reported ({seen})"
    left = seen.info.estimated_end - time.time()
    saw(f"{left:.0f} s are left of 600")
    assert 400 < left <= 700


def test_a_job_that_waits(site: Site, pytestconfig: pytest.Config, saw: Saw) -> None:
    """A job that is held waits: it is neither running nor ended nor unknown. Its cancelling works.

    Why: most servers of a busy cluster wait first, and their users see that they do.
    """
    option = hold_option(site.scheduler, pytestconfig.getoption("hold") or "")
    if not option:
        pytest.skip("--hold is not given, and no option is known that makes a job wait here")
    held = site.submit(SLEEP, custom_attributes={**site.spawner.custom_attributes, **option})
    time.sleep(2)  # a job that is not held may begin meanwhile
    seen = site.wait(held, lambda info: info is not None, 10)
    site.run(site.client.cancel(held.job_id))
    ended = site.wait(held, has_ended, site.choice.answer_limit)
    saw(f"{seen}; after the cancelling {ended}")
    assert seen.info and seen.info.state in (JobState.QUEUED, JobState.HELD)
    assert ended.holds


def hold_option(scheduler: Scheduler, text: str) -> dict[str, Attribute]:
    """Return the custom attribute that makes a job wait; empty if none is known."""
    if text:
        name, _, value = text.partition("=")
        return {name: read_literal(value) if value else True}
    if scheduler.name in HELD and HELD[scheduler.name][0] not in scheduler.refused:
        name, known = HELD[scheduler.name]
        return {f"{scheduler.name}.{name}": known}
    return {}


def test_a_hub_that_restarts_finds_the_job(site: Site, running: Job, saw: Saw) -> None:
    """After a restart of everything that asks, the same job is found, by its id and by its mark.

    Why: a Hub is updated while servers run, and takes them up again.
    """
    words = site.restart()
    seen = site.wait(running, is_running, site.choice.answer_limit)
    saw(f"{words}; {seen}")
    assert is_running(seen.info)
    assert running.job_id == site.run(site.client.find(running.mark))


def test_a_cancelled_job_ends(site: Site, running: Job, saw: Saw) -> None:
    """A cancelled job ends soon, and cancelling it once more is no error.

    Why: Stop is confirmed only when the scheduler says that the job has ended.
    """
    site.run(site.client.cancel(running.job_id))
    seen = site.wait(running, has_ended, site.choice.answer_limit)
    saw(seen)
    assert has_ended(seen.info)
    site.run(site.client.cancel(running.job_id))  # a second time is no error


def test_a_job_that_is_gone_stays_gone(site: Site, running: Job, saw: Saw) -> None:
    """A job that has ended is final or unknown in each later answer, and never runs again.

    Why: otherwise a stopped server would come back in the Hub.
    """
    if not has_ended(site.look(running)):
        pytest.skip("the job has not ended: see the check before")
    answers = []
    for _ in range(3):
        answers.append(site.look(running))
        time.sleep(1)
    saw(", ".join("unknown" if info is None else info.state.value for info in answers))
    assert all(has_ended(info) for info in answers)


def test_a_job_that_fails(site: Site, saw: Saw) -> None:
    """A job that ends with exit status 3 has failed: it is not shown as completed or running.

    Why: the page of a failed start says why; a completed server looks like a logout.
    """
    failing = site.submit("exit 3")
    seen = site.wait(failing, has_ended, site.choice.start_limit + site.choice.answer_limit)
    info = seen.info
    saw(f"{seen}, exit code {info.exit_code if info else 'not known any more'}")
    assert has_ended(info)
    assert info is None or info.state is JobState.FAILED
    if info and "exit_code" in site.scheduler.reports:
        assert info.exit_code == 3


def test_a_job_that_completes(site: Site, saw: Saw) -> None:
    """A job that ends with exit status 0 has not failed.

    Why: a user who shuts a server down from inside must not read of a failure.
    """
    done = site.submit("exit 0")
    seen = site.wait(done, has_ended, site.choice.start_limit + site.choice.answer_limit)
    saw(seen)
    assert has_ended(seen.info)
    assert seen.info is None or seen.info.state is JobState.COMPLETED


def test_odd_names(site: Site, saw: Saw) -> None:
    """A job whose name has blanks, quotes or other letters runs, or unispawner itself refuses it.

    Why: names of users and servers get into the jobs' names, and people choose them.
    """
    begun: list[Job] = []
    refused: list[str] = []
    for name in ODD_NAMES:
        try:
            begun.append(site.begin("echo 'odd name: done'", name=name))
        except InvalidJobError:
            refused.append(name)
    problems = []
    for one in begun:
        try:
            one.job_id = site.run(one.submission)
        except InvalidJobError:
            refused.append(one.spec.name)
        except UniSpawnerError as error:
            problems.append(f"{one.spec.name!r}: {error}")
    for one in (one for one in begun if one.job_id):
        seen = site.wait(one, has_ended, site.choice.start_limit)
        if not has_ended(seen.info):
            problems.append(f"{one.spec.name!r}: {seen}")
        elif "odd name: done" not in site.wait_for_log(one, "done", 10):
            problems.append(f"{one.spec.name!r}: its log does not have what it printed")
    saw("; ".join(problems) or f"{len(begun) - len(refused)} ran, {len(refused)} were refused")
    assert problems == []


def test_a_time_limit_ends_a_job(site: Site, pytestconfig: pytest.Config, saw: Saw) -> None:
    """A job is ended when its time limit is over.

    Why: the limit that users choose in the form must hold, or one server keeps its node for days.
    """
    if "duration" not in site.scheduler.supported():
        pytest.skip("the scheduler has no time limits")
    if not pytestconfig.getoption("wait_for_limits"):
        pytest.skip("--wait-for-limits is not given: it takes several minutes")
    limited = site.submit(SLEEP, duration=timedelta(minutes=1))
    seen = site.wait(limited, is_running, site.choice.start_limit)
    assert seen.holds, f"it has not begun: {seen}"
    seen = site.wait(limited, has_ended, 300)
    saw(seen)
    assert has_ended(seen.info)
    assert seen.info is None or seen.info.state is not JobState.COMPLETED


def test_nothing_is_left(site: Site, saw: Saw) -> None:
    """All jobs of this suite can be removed, and the scheduler shows none of them afterwards.

    Why: the suite runs on a cluster in use. What a check leaves behind, a Hub would leave, too.
    """
    problems = site.clean_up()
    left = [] if not site.scheduler.mark_command() else site.run(site.client.marked())[0]
    marks = {job.mark for job in site.jobs}
    still = [one.job_id for one in left if one.mark in marks]
    saw(f"{len(site.jobs)} jobs were submitted, {len(still)} are left")
    assert problems == []
    assert still == []
