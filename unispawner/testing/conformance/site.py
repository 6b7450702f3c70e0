"""A site's cluster as the Hub sees it, with the jobs that the suite has submitted.

Everything goes the Hub's own way: its settings, its broker, its agent, its questions.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import re
import secrets
import signal
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from ...command import Finished
from ...errors import AgentError, SchedulerUnavailable, UniSpawnerError
from ...job import JobInfo, JobSpec, JobState, hub_of_mark, make_mark, start_of_mark
from ...run_as.accounts import find_account
from ...schedulers.base import QUERY_ENVIRONMENT, QUERY_LIMIT, QUERY_TIMEOUT
from ...schedulers.questions import converse
from ...submit_host.brokered import BrokeredHost
from ...submit_host.dialogue import hold_dialogue
from ...submit_host.host import HOST
from .choice import Choice, make_spawner

T = TypeVar("T")
HUB = "conformance"
"""The Hub's id in the marks of the suite's jobs: no real Hub looks after them."""
LONGEST_JOB = 900
"""How many seconds a job of the suite runs at most, if nothing ends it."""
_LEFT_OVER = 1800.0
"""The age (seconds) at which a job of an earlier run counts as left behind."""
_PAUSE = 1.0
SECRET = "UNISPAWNER_CONFORMANCE_SECRET"  # noqa: S105 (the name of a variable)


@dataclass
class Job:
    """A job that the suite has submitted, or has tried to."""

    mark: str
    spec: JobSpec
    secret: str
    submission: asyncio.Task[str]
    job_id: str = ""
    ended: bool = False


class Site:
    """A cluster, its user, and the suite's jobs on it.

    Raises
    ------
    UniSpawnerError
        If the settings are wrong, or if the scheduler can't be reached.
    """

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.loop = asyncio.new_event_loop()
        self.jobs: list[Job] = []
        self.left_over = 0
        self.run(self._connect())

    async def _connect(self) -> None:
        """Make the way to the scheduler anew, as a Hub does that has just started."""
        self.spawner = make_spawner(self.choice)
        await self.spawner.check_way()
        await self.spawner.find_scheduler()
        self.scheduler = self.spawner.get_scheduler()
        self.host = self.spawner.get_host()
        name = self.choice.account or getpass.getuser()
        self.account = await find_account(name, self.spawner.min_uid, host=self.host)
        self.client = self.spawner.agent_client(self.account)
        self.make_spec("true")  # so that a setting that no job can have ends the run at once

    def run(self, work: Coroutine[Any, Any, T] | asyncio.Task[T]) -> T:
        """Run a coroutine to its end."""
        return self.loop.run_until_complete(work)

    @property
    def title(self) -> str:
        """The scheduler, the account and the queue, for people."""
        queue = f", queue {self.spawner.queue_name}" if self.spawner.queue_name else ""
        dialect = self.scheduler.dialect
        used = f" (templates of {dialect.folder})" if dialect else ""
        return f"{self.scheduler.title}{used}, account {self.account.name}{queue}"

    # -- jobs --------------------------------------------------------------------------------------

    def make_spec(self, payload: str, **fields: Any) -> tuple[JobSpec, str]:
        """Return a job that runs a line of shell, and the secret in its environment."""
        secret = secrets.token_hex(16)
        spec = self.spawner.job_spec(
            make_mark(HUB, time.time()), {SECRET: secret}, self.account.name
        )
        command = ("-c", payload)
        values = {"executable": "/bin/sh", "arguments": command, "signal_before_end": 0, **fields}
        return replace(spec, **values), secret

    def submit(self, payload: str, **fields: Any) -> Job:
        """Submit a job that runs a line of shell, and return it when it has an id.

        Raises
        ------
        UniSpawnerError
            If the job can't be submitted.
        """
        job = self.begin(payload, **fields)
        job.job_id = self.run(job.submission)
        return job

    def begin(self, payload: str, **fields: Any) -> Job:
        """Begin a submission. The clean-up knows the job from now on, even without its id."""
        spec, secret = self.make_spec(payload, **fields)
        self.scheduler.check_supported(spec)
        work = self.client.submit(spec, self.spawner.job_shell)
        job = Job(spec.mark, spec, secret, self.loop.create_task(work))
        self.jobs.append(job)
        return job

    def ask(self, question: str, *arguments: str) -> Any:
        """Ask the scheduler a question of the Hub's: see ``schedulers/questions.py``."""
        environment = self.spawner.command_environment()
        return self.run(self.host.ask(self.scheduler, question, arguments, environment=environment))

    def count_commands(self, job_ids: Sequence[str]) -> int | None:
        """Return how many commands a question about these jobs takes; None if that is not known.

        A broker runs them itself. Where it is on this host, they are run here as well.
        """
        if not self.host.here:
            return None
        dialogue = converse(self.scheduler, "query_tracked", job_ids)
        counter = _Counter()
        self.run(hold_dialogue(dialogue, counter, self.spawner.command_environment()))
        return counter.count

    def print_of(self, command: list[str]) -> str | None:
        """Return what a command of the scheduler prints here; None on another submit host."""
        if not self.host.here:
            return None
        done = self.run(
            HOST.run(
                command,
                environment={**self.spawner.command_environment(), **QUERY_ENVIRONMENT},
                timeout=QUERY_TIMEOUT,
                output_limit=QUERY_LIMIT,
            )
        )
        return done.stdout.decode("utf-8", "replace")

    def look(self, job: Job) -> JobInfo | None:
        """Return what the scheduler says about a job: to the Hub, or, if not there, to its user.

        None means that it does not know the job.
        """
        found: Mapping[str, JobInfo] = self.ask("query_tracked", job.job_id).jobs
        if job.job_id in found:
            return found[job.job_id]
        return self.run(self.client.status([job.job_id])).get(job.job_id)

    def wait(self, job: Job, holds: Callable[[JobInfo | None], bool], seconds: float) -> Seen:
        """Look at a job until a condition holds, or the time is over; return what was seen."""
        seen = Seen(time.monotonic())
        while True:
            seen.note(self.look(job))
            if holds(seen.info) or time.monotonic() - seen.began > seconds:
                seen.holds = holds(seen.info)
                return seen
            time.sleep(_PAUSE)

    def wait_for_log(self, job: Job, word: str, seconds: float) -> str:
        """Return the end of a job's log when it contains a word, or the time is over."""
        began = time.monotonic()
        while True:
            text = self.run(self.client.log_tail(job.mark, 20))
            if word in text or time.monotonic() - began > seconds:
                return text
            time.sleep(_PAUSE)

    def unknown_id(self, job: Job) -> str:
        """Return an id of the right form that no job has."""
        first = re.search(r"\d+", job.job_id)
        assert first, f"the id {job.job_id!r} has no digits"
        number = str(int(first[0]) + 5_000_000)
        return job.job_id[: first.start()] + number + job.job_id[first.end() :]

    def restart(self) -> str:
        """Make the way to the scheduler anew; return in words what was restarted."""
        words = "new settings and a new client"
        if isinstance(self.host, BrokeredHost) and (pid := self.host.connection.pid):
            try:
                os.kill(pid, signal.SIGTERM)
                words = "the broker was ended and started again"
            except PermissionError:
                words += "; the broker belongs to another account and went on"
        began = time.monotonic()
        while True:
            try:
                self.run(self._connect())
                self.ask("inventory")
                return words
            except SchedulerUnavailable:  # the broker is just being started
                if time.monotonic() - began > self.choice.answer_limit:
                    raise
                time.sleep(_PAUSE)

    # -- clean-up ----------------------------------------------------------------------------------

    def end_left_over(self) -> None:
        """End the jobs that a run has left which was killed."""
        old = {
            one.mark: one.job_id
            for one in self.run(self.client.marked())[0]
            if hub_of_mark(one.mark) == HUB and time.time() - start_of_mark(one.mark) > _LEFT_OVER
        }
        if old:
            self.run(self.client.end_marked(old))
            self.left_over = len(old)

    def clean_up(self) -> list[str]:
        """End all jobs of the suite and remove their files; return what could not be removed."""
        problems = []
        for job in self.jobs:
            try:
                self.run(self._end(job))
            except UniSpawnerError as error:
                problems.append(f"job {job.job_id or job.mark}: {error}")
        for job in self.jobs:
            try:
                problems += self._remove(job)
            except UniSpawnerError as error:
                problems.append(f"job {job.job_id}: {error}")
        return problems

    def _remove(self, job: Job) -> list[str]:
        """Remove the files of a job that has ended; return a problem if it does not end."""
        if job.ended or not job.job_id:
            return []
        seen = self.wait(job, has_ended, self.choice.answer_limit)
        if not seen.holds:
            return [f"job {job.job_id}: {seen}"]
        self.run(self.client.cleanup(job.mark))
        self._remove_log(job)
        job.ended = True
        return []

    def _remove_log(self, job: Job) -> None:
        """Remove a job's log, which a Hub would keep; only the account itself can do that."""
        if self.account.uid == os.getuid() and self.host.here:
            folder = self.client.log_dir or f"{self.client.state_dir}/logs"
            path = Path(re.sub("^~(?=/)", self.account.home, folder)) / f"{job.mark}.log"
            path.unlink(missing_ok=True)

    async def _end(self, job: Job) -> None:
        if job.ended:
            return
        await asyncio.wait([job.submission], timeout=self.spawner.agent_timeout)
        if not job.job_id:
            refused = job.submission.done() and job.submission.exception()
            if refused and not isinstance(refused, AgentError):
                job.ended = True  # the scheduler has refused it
                return
            job.job_id = await self.client.find(job.mark)
        if job.job_id:
            await self.client.cancel(job.job_id)

    def close(self) -> None:
        """End the connection to the broker, if there is one."""
        if isinstance(self.host, BrokeredHost):
            self.host.connection.close()
        self.loop.close()


class _Counter:
    """Runs commands on this host and counts them."""

    def __init__(self) -> None:
        self.count = 0

    async def run(self, command: Sequence[str], **how: Any) -> Finished:
        """Run a command to its end."""
        self.count += 1
        return await HOST.run(command, **how)


@dataclass
class Seen:
    """What was seen of a job while it was waited for."""

    began: float
    info: JobInfo | None = None
    holds: bool = False
    states: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def note(self, info: JobInfo | None) -> None:
        """Note an answer of the scheduler."""
        self.info = info
        self.seconds = time.monotonic() - self.began
        state = "unknown to the scheduler" if info is None else info.state.value
        if not self.states or self.states[-1] != state:
            self.states.append(state)

    def __str__(self) -> str:
        words = f"{' > '.join(self.states)} within {self.seconds:.0f} s"
        more = self.info.message if self.info else ""
        return f"{words} ({more})" if more else words


def is_running(info: JobInfo | None) -> bool:
    """Return whether a job runs."""
    return info is not None and info.state is JobState.RUNNING


def has_ended(info: JobInfo | None) -> bool:
    """Return whether a job has ended, or is not known any more."""
    return info is None or info.state.final


def runs_or_has_ended(info: JobInfo | None) -> bool:
    """Return whether a job does not wait any more."""
    return is_running(info) or has_ended(info)


def find_in_processes(secret: str) -> Collection[str]:
    """Return the command lines on this host that contain a secret, as every user can read them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue  # it has ended, or is hidden
        if secret in text:
            found.append(text[:100])
    return found
