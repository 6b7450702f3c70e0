"""Large answers: another process reads them, so that the Hub's event loop does not wait."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from support.attacks import HEAVY_LIST
from support.many_jobs import LISTINGS, first_id
from support.many_nodes import CLUSTERS

from unispawner.errors import AgentError, SchedulerUnavailable
from unispawner.job import JobInfo, JobState
from unispawner.schedulers import Scheduler, get_scheduler
from unispawner.schedulers.base import Reply
from unispawner.schedulers.slurm import Slurm
from unispawner.submit_host import large_answers
from unispawner.submit_host.host import SubmitHost
from unispawner.testing import FakeScheduler

COMMANDS = {"slurm": "squeue", "htcondor": "condor_q", "lsf": "bjobs"}
MANY = 20_000
"""So many jobs that each listing has more than a mebibyte."""
FIFTY_THOUSAND = 50_000
BEAT = 0.005
"""Seconds between two turns of the heartbeat."""
LONGEST_STALL = 0.25
"""How long (seconds) the event loop may have no turn for others."""
LONGEST_STALL_NODES = 0.5
"""The same while an inventory of 50,000 nodes is read: Python's JSON reader holds the interpreter's
lock for the whole text (0.37 s on a loaded machine). The largest clusters have 10,000 nodes."""
TRIES = 3


class Cluster:
    """A scheduler's command, which prints a listing, and the host that asks it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = SubmitHost()
        self.environment = {"PATH": f"{folder}:{os.defpath}"}

    def prints(self, command: str, text: str, more: str = "") -> None:
        """Let the command print a text, and run a line of shell after it."""
        (self.folder / "text").write_text(text)
        path = self.folder / command
        path.write_text(
            f"#!/bin/sh\necho $$ >>{self.folder}/runs\ncat {self.folder}/text\n{more}\n"
        )
        path.chmod(0o755)

    @property
    def runs(self) -> int:
        """How many times a command was run."""
        return len(self.processes)

    @property
    def processes(self) -> list[str]:
        """The ids of the processes of all commands so far."""
        return (self.folder / "runs").read_text().split()

    async def ask(self, scheduler: Scheduler, job_id: str) -> dict[str, JobInfo]:
        answer = await self.host.ask(
            scheduler, "query_tracked", [job_id], environment=self.environment
        )
        found: dict[str, JobInfo] = answer.jobs
        return found


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


@pytest.fixture
def small_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process read no answer with more than a mebibyte."""
    read = Slurm.read_status

    def read_small(self: Slurm, reply: Reply) -> dict[str, JobInfo]:
        assert len(reply.stdout) <= large_answers.LARGE
        return read(self, reply)

    monkeypatch.setattr(Slurm, "read_status", read_small)


def listing(name: str, count: int = MANY) -> str:
    text = LISTINGS[name](count)
    assert (len(text) > large_answers.LARGE) == (count == MANY)
    return text


@pytest.mark.parametrize("name", sorted(COMMANDS))
async def test_a_large_answer_has_what_was_asked_for(cluster: Cluster, name: str) -> None:
    """The other process answers as this one would, and only what was asked for comes back."""
    cluster.prints(COMMANDS[name], listing(name))
    if name == "htcondor":
        (cluster.folder / "condor_status").symlink_to("/bin/false")
    large = await cluster.ask(get_scheduler(name), first_id(name))
    assert [first_id(name)] == list(large)
    cluster.prints(COMMANDS[name], listing(name, 10))
    assert large == await cluster.ask(get_scheduler(name), first_id(name))


@pytest.mark.usefixtures("small_only")
async def test_this_process_reads_small_answers_only(cluster: Cluster) -> None:
    """A command is asked once more the first time, and after that by the other process alone."""
    slurm = get_scheduler("slurm")
    cluster.prints("squeue", listing("slurm"))
    await cluster.ask(slurm, "1000")
    assert 2 == cluster.runs
    await cluster.ask(slurm, "1000")
    assert 3 == cluster.runs
    cluster.prints("squeue", listing("slurm", 10))
    for expected in (4, 5):
        assert ["1000"] == list(await cluster.ask(slurm, "1000"))
        assert expected == cluster.runs
    assert not cluster.host._large


class Heartbeat:
    """Measures how long the event loop has no turn for others.

    Attributes
    ----------
    computing
        The longest such time in seconds of this process's processor time: its work, whatever else
        the machine does.
    waiting
        The longest such time in seconds.
    """

    def __init__(self) -> None:
        self.computing = self.waiting = 0.0

    async def watch(self, work: Awaitable[object]) -> None:
        """Wait for the end of some work, and measure meanwhile."""
        beats = asyncio.create_task(self._beat())
        await asyncio.sleep(2 * BEAT)
        try:
            await work
            await asyncio.sleep(2 * BEAT)  # a stall at the very end counts, too
        finally:
            beats.cancel()

    async def _beat(self) -> None:
        while True:
            began, began_computing = time.monotonic(), time.process_time()
            await asyncio.sleep(BEAT)
            self.computing = max(self.computing, time.process_time() - began_computing)
            self.waiting = max(self.waiting, time.monotonic() - began - BEAT)


async def find_stall(work: Callable[[], Awaitable[object]], longest: float = LONGEST_STALL) -> str:
    """Return what is wrong if the event loop has no turn for others for too long; else nothing.

    A machine with more to do than it can makes every process wait, in proportion.
    """
    found = []
    for _ in range(TRIES):
        heartbeat = Heartbeat()
        await heartbeat.watch(work())
        busy = max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))
        if heartbeat.computing < longest and heartbeat.waiting < longest * busy:
            return ""
        found.append(f"{heartbeat.computing:.2f} s of work, {heartbeat.waiting:.2f} s of time")
    return "; ".join(found)


@pytest.mark.parametrize("kind", ["computing", "waiting"])
async def test_the_heartbeat_notices_a_stall(kind: str) -> None:
    """A call that holds the event loop is measured, so that the tests below can fail."""

    async def work() -> None:
        began = time.process_time()
        while kind == "computing" and time.process_time() - began < 2 * LONGEST_STALL:
            pass
        if kind == "waiting":
            time.sleep(2 * LONGEST_STALL)

    heartbeat = Heartbeat()
    await heartbeat.watch(work())
    assert LONGEST_STALL < getattr(heartbeat, kind)
    assert await find_stall(work) or kind == "waiting"


@pytest.mark.threat(**HEAVY_LIST)
@pytest.mark.parametrize("name", sorted(COMMANDS))
async def test_the_event_loop_goes_on_while_fifty_thousand_jobs_are_read(
    cluster: Cluster, name: str
) -> None:
    """While a large answer is fetched and read, the event loop has turns for others: at the first
    question, which is asked twice, and at the next one."""
    cluster.prints(COMMANDS[name], LISTINGS[name](FIFTY_THOUSAND))
    if name == "htcondor":
        (cluster.folder / "condor_status").symlink_to("/bin/false")
    scheduler = get_scheduler(name)

    async def ask_first_and_again() -> None:
        cluster.host = SubmitHost()
        for _ in range(2):
            assert [first_id(name)] == list(await cluster.ask(scheduler, first_id(name)))

    assert "" == await find_stall(ask_first_and_again)


async def test_the_event_loop_goes_on_while_fifty_thousand_nodes_are_read(
    cluster: Cluster,
) -> None:
    """The inventory of a very large cluster, which comes back as a whole, stalls nothing either."""
    nodes, jobs = CLUSTERS["slurm"](FIFTY_THOUSAND)
    cluster.prints("sinfo", nodes)
    (cluster.folder / "jobs").write_text(jobs)
    (cluster.folder / "squeue").write_text(f"#!/bin/sh\ncat {cluster.folder}/jobs\n")
    (cluster.folder / "squeue").chmod(0o755)

    async def ask() -> None:
        found = await cluster.host.ask(
            get_scheduler("slurm"), "inventory", environment=cluster.environment
        )
        assert FIFTY_THOUSAND == len(found.nodes)

    assert "" == await find_stall(ask, LONGEST_STALL_NODES)


async def test_a_scheduler_of_a_tests_own_is_asked_here(tmp_path: Path) -> None:
    """A scheduler that another process can't make from its name is asked in this one."""
    fake = FakeScheduler(tmp_path)
    job_id = fake.submit("alice")
    fake.change(job_id, JobState.RUNNING, message="x" * 2 * large_answers.LARGE)
    found = await SubmitHost().ask(fake, "query_tracked", [job_id], environment={})
    assert JobState.RUNNING is found.jobs[job_id].state


async def test_its_errors_are_the_schedulers(cluster: Cluster) -> None:
    """A command that fails after a large answer is an error with its words."""
    words = "slurm_load_jobs error: Unable to contact slurm controller"
    cluster.prints("squeue", listing("slurm"), f"echo '{words}' >&2; exit 1")
    with pytest.raises(SchedulerUnavailable, match="Slurm did not answer") as caught:
        await cluster.ask(get_scheduler("slurm"), "1000")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "program", ["raise SystemExit('out of memory')", "print(3)", 'print("{}")', "print('[1]')"]
)
async def test_a_process_that_fails_says_nothing_about_any_job(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    """If the other process ends without a reply, that is an error."""
    monkeypatch.setattr(large_answers, "_COMMAND", (sys.executable, "-c", program))
    cluster.prints("squeue", listing("slurm"))
    with pytest.raises(AgentError, match="large answers failed"):
        await cluster.ask(get_scheduler("slurm"), "1000")


async def test_a_command_that_hangs_ends_with_the_process(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the other process is out of time, its commands are killed with it."""
    cluster.prints("squeue", listing("slurm"), "exec sleep 600")
    for seconds in (2.0, 8.0, 32.0):  # until the time is enough to start the command
        monkeypatch.setattr(large_answers, "TIMEOUT", seconds)
        with pytest.raises(SchedulerUnavailable, match=f"did not end within {seconds:g} s"):
            await cluster.ask(get_scheduler("slurm"), "1000")
        if cluster.runs > 1:  # the first one was this process's, which gave up at its size
            break
    assert cluster.runs > 1
    for _ in range(1000):
        if not any(Path("/proc", pid).exists() for pid in cluster.processes):
            return
        await asyncio.sleep(0.01)
    pytest.fail("the command still runs")
