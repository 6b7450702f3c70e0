"""A simulated cluster: a scheduler, nodes with launchers, agents, a broker and a proxy.

What a test does with it goes wrong in the ways in which real ones do. All of it outlives the Hub.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from support.simulated_time import EPOCH, PROCESS, SimulatedLoop
from unispawner.command import Finished
from unispawner.errors import (
    AgentError,
    CancelError,
    SchedulerUnavailable,
    SubmitError,
    UniSpawnerError,
)
from unispawner.job import JobState
from unispawner.run_as.accounts import Account
from unispawner.submit_host.entries import Entry
from unispawner.submit_host.host import SubmitHost
from unispawner.testing import FakeScheduler, FakeUserSide

NODES = ("192.0.2.10", "192.0.2.11")  # RFC 5737: addresses that no host has
FIRST_PORT, PORTS = 20_000, 3
REUSED = 60.0
"""After how long (seconds) a port may be another server's."""
TIME_LIMIT = 7200.0
"""The time limit (seconds) of all jobs: half of it is over when a job begins, so that its server
can be continued at once."""
Place = tuple[str, int]
FOREIGN = "another user's server"
HELD = "the launcher, which holds the port of a server that has ended"


class TakesRequests(Protocol):
    """A Hub that jobs can reach."""

    async def request(
        self, method: str, path: str, body: Any = None, token: str = ""
    ) -> tuple[int, Any]:
        """Return the status and the body of an answer; the status is 0 if none came."""


@dataclass(eq=False)
class Job:
    """A job of a Hub's server, with all that the world knows of it.

    Attributes
    ----------
    over
        True once nothing of it can run any more.
    cancelled
        True once its owner has had it cancelled.
    run
        The run on a node; None while there is none.
    continues
        The mark of the job whose server it was submitted for as the second one.
    """

    number: int
    job_id: str
    user: str
    server: str
    mark: str
    token: str
    continues: str = ""
    submitted: float = 0.0
    over: bool = False
    cancelled: bool = False
    runs: int = 0
    run: Run | None = None
    places: list[Place] = field(default_factory=list)


@dataclass(eq=False)
class Run:
    """One run of a job on a node."""

    job: Job
    host: str
    boot: float
    port: int = 0
    task: asyncio.Task[None] | None = None
    reports: list[asyncio.Task[bool]] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    requested: bool = False
    status: int = 0
    accepted: bool = False


class SimulatedScheduler(FakeScheduler):
    """FakeScheduler, with its files in memory: a process would take real time."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        super().__init__(Path("/nowhere"), NODES)

    def _write(self, name: str, text: str) -> None:
        self.files[name] = text

    @property
    def hides(self) -> bool:
        """True if it shows some jobs to their own users only, or has forgotten some."""
        return bool(self._hidden)

    def lose_state(self) -> None:
        """Forget all jobs, and begin with the first id again."""
        self.jobs.clear()
        self.marks.clear()
        self._rows.clear()
        self._hidden.clear()
        self._write_queue()


class Cluster:
    """The cluster, and the proxy in front of the Hub.

    Attributes
    ----------
    jobs
        All jobs of the Hub's servers that there have ever been.
    files
        The marks of the jobs whose private files are there.
    listening
        What listens at which address: a run, ``HELD`` or ``FOREIGN``.
    routes
        The proxy's routes.
    hub
        The Hub, if it runs.
    network
        False while nodes can't reach the Hub.
    see
        Called after each submission, so that no job is overlooked.
    """

    def __init__(self, loop: SimulatedLoop, see: Callable[[], None]) -> None:
        self.loop = loop
        self.see = see
        self.scheduler = SimulatedScheduler()
        self.agents = Agents(self)
        self.jobs: list[Job] = []
        self.files: set[str] = set()
        self.listening: dict[Place, Run | str] = {}
        self._freed: dict[Place, float] = {}
        self.routes: dict[str, dict[str, Any]] = {}
        self.hub: TakesRequests | None = None
        self.network = True
        self.query: QueryFault | None = None
        self.look_up_seconds = 0.0  # how long the directory service needs for an account

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task of the world, which outlives the Hub."""
        task = self.loop.run_as(None, work)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    # -- jobs ----------------------------------------------------------------------------------

    def add(self, owner: str, spec: Mapping[str, Any], continues: str = "") -> Job:
        """Take a submission; a second job gets the environment of the one that it continues."""
        environment = spec["environment"]
        if continues:
            first = next(job for job in self.jobs if job.mark == continues)
            who = first.user, first.server, spec["mark"], first.token
        else:
            user, server = environment["JUPYTERHUB_USER"], environment["JUPYTERHUB_SERVER_NAME"]
            who = user, server, spec["mark"], environment["JUPYTERHUB_API_TOKEN"]
        job_id = self.scheduler.submit(owner, spec["mark"])
        job = Job(len(self.jobs) + 1, job_id, *who, continues, self.loop.time())
        self.jobs.append(job)
        self.files.add(job.mark)
        self.see()
        return job

    def alive(self) -> list[Job]:
        """Return the jobs that run or could run."""
        return [job for job in self.jobs if not job.over]

    def state(self, job: Job) -> JobState:
        """Return the state of a job that is not over."""
        return self.scheduler.jobs[job.job_id].state

    def in_state(self, *states: JobState) -> list[Job]:
        """Return the jobs in one of these states."""
        return [job for job in self.alive() if self.state(job) in states]

    def begin(self, job: Job, host: str, boot: float) -> None:
        """Run a job that waits."""
        job.runs += 1
        job.run = run = Run(job, host, boot)
        began = EPOCH + self.loop.time()
        times = {"start_time": began, "estimated_end": began + TIME_LIMIT / 2}
        self._change(job, JobState.RUNNING, exec_host=host, **times)
        run.task = self.start(Launcher(self, run).work())

    def finish(self, job: Job, state: JobState, **fields: Any) -> None:
        """End a job for good."""
        self._end_run(job)
        if not job.over:
            job.over = True
            self._change(job, state, ending=False, **fields)

    def requeue(self, job: Job) -> None:
        """Send a running job back to the queue, without a word to its launcher."""
        self._end_run(job)
        waits = {"exec_host": "", "start_time": None, "estimated_end": None, "ending": False}
        self._change(job, JobState.QUEUED, **waits)

    def hold(self, job: Job, *, stuck: bool = False, message: str = "") -> None:
        """Hold a job, or give it up and keep it."""
        self._end_run(job)
        self._change(job, JobState.HELD, exec_host="", stuck=stuck, message=message)

    def release(self, job: Job) -> None:
        """Let a job wait in the queue again."""
        self._change(job, JobState.QUEUED, stuck=False, message="")

    def lose_state(self) -> None:
        """Let the scheduler forget all, and other users submit jobs that get the old ids."""
        for job in self.alive():
            self._end_run(job)
            job.over = True
        count = len(self.scheduler.jobs)
        self.scheduler.lose_state()
        for _ in range(count):
            foreign = self.scheduler.submit("mallory")
            self.scheduler.change(foreign, JobState.RUNNING, exec_host=NODES[0])

    async def cancel(self, job: Job, delay: float) -> None:
        """Take a job down as its owner wants it: queued ones at once, others with a signal."""
        await asyncio.sleep(delay)
        if job.over:
            return
        job.cancelled = True
        run = job.run
        if run is None:
            self.finish(job, JobState.CANCELED)
            return
        self._change(job, JobState.RUNNING, ending=True)
        run.requested = True
        run.over.set()
        await asyncio.sleep(30.0)  # then the scheduler kills it
        if job.run is run:
            self.finish(job, JobState.CANCELED)

    def _change(self, job: Job, state: JobState, **fields: Any) -> None:
        self.scheduler.change(job.job_id, state, **fields)

    def _end_run(self, job: Job) -> None:
        run, job.run = job.run, None
        if run is not None:
            self.release_port(run)
            for task in (run.task, *run.reports):
                if task is not None:
                    task.cancel()

    # -- ports and routes ----------------------------------------------------------------------

    def take_port(self, run: Run) -> None:
        """Let a run's server listen on the first port of its node that was free for a while.

        A real one is any of thousands. So it is hardly ever that of a server which was killed a
        moment ago, and whose route is still there or is just being made. docs/security.md says that
        nobody could tell the two servers from each other.
        """
        recently = {at for at, freed in self._freed.items() if self.loop.time() - freed < REUSED}
        taken = self.led_to() | set(self.listening) | recently
        free = (port for port in range(FIRST_PORT, FIRST_PORT + PORTS * 100))
        run.port = next(port for port in free if (run.host, port) not in taken)
        self.listening[run.host, run.port] = run
        run.job.places.append((run.host, run.port))

    def led_to(self) -> set[Place]:
        """Return where the routes lead."""
        return {place_of(route["target"]) for route in self.routes.values()}

    def hold_port(self, run: Run) -> None:
        """Let the launcher listen where its server has listened."""
        if self.listening.get((run.host, run.port)) is run:
            self.listening[run.host, run.port] = HELD

    def release_port(self, run: Run) -> None:
        """Let go of a run's port."""
        if self.listening.get((run.host, run.port)) in (run, HELD):
            del self.listening[run.host, run.port]
            self._freed[run.host, run.port] = self.loop.time()

    def answers(self, host: str, port: int) -> bool:
        """Return whether a server answers there, whosever it is."""
        return self.listening.get((host, port), HELD) != HELD


# -- the launcher ------------------------------------------------------------------------------


class Launcher:
    """A launcher on a node: it behaves as unispawner/launcher.py does."""

    def __init__(self, cluster: Cluster, run: Run) -> None:
        self.cluster, self.run, self.job = cluster, run, run.job

    async def work(self) -> None:
        """Start the server and see it through to its end, and the job's."""
        run, cluster = self.run, self.cluster
        if self.job.mark not in cluster.files:
            run.status = 1
        elif await self._listens():
            await self._see_through()
        else:
            await self._report_end()
        run.task = None
        if run.requested:
            cluster.finish(self.job, JobState.CANCELED)
        else:
            state = JobState.FAILED if run.status else JobState.COMPLETED
            cluster.finish(self.job, state, exit_code=run.status)

    async def _listens(self) -> bool:
        begun = self._start_report("begun")
        over = await self._wait(self.run.boot)
        begun.cancel()
        if not over:
            self.cluster.take_port(self.run)
        return not over

    async def _see_through(self) -> None:
        run = self.run
        ready = self._start_report("ready", port=run.port)
        over = asyncio.ensure_future(run.over.wait())
        await asyncio.wait({ready, over}, return_when=asyncio.FIRST_COMPLETED)
        if ready.done() and not ready.result():  # the Hub does not know it
            run.status = 1
            over.cancel()
            return
        run.accepted = ready.done()
        await over
        ready.cancel()
        self.cluster.hold_port(run)
        await self._report_end()
        self.cluster.release_port(run)

    async def _report_end(self) -> None:
        run = self.run
        facts = {"port": run.port} if run.port else {}
        ended = self._start_report("ended", status=run.status, **facts)
        limit = 30.0 if run.accepted else 3.0
        await asyncio.wait({ended}, timeout=min(limit, 5.0) if run.requested else limit)
        ended.cancel()

    async def _wait(self, seconds: float) -> bool:
        """Return whether the server has ended within this time."""
        over = asyncio.ensure_future(self.run.over.wait())
        await asyncio.wait({over}, timeout=seconds)
        over.cancel()
        return self.run.over.is_set()

    def _start_report(self, event: str, **facts: Any) -> asyncio.Task[bool]:
        """Report in a thread of the launcher's, which ends with it."""
        report = self.cluster.start(self._report(event, **facts))
        self.run.reports.append(report)
        return report

    async def _report(self, event: str, **facts: Any) -> bool:
        """Report until the Hub has answered; return whether it has accepted that."""
        body = {"event": event, "host": self.run.host, **facts}
        pause, refused_since = 0.2, None
        while True:
            status = await send_report(self.cluster, self.job, body)
            if 200 <= status < 300:
                return True
            if status == 0 or status == 429 or status >= 500:
                refused_since = None
            elif event != "ready":
                return False
            else:
                now = self.cluster.loop.time()
                refused_since = now if refused_since is None else refused_since
                if now - refused_since > 120:
                    return False
            await asyncio.sleep(1.0 if status == 503 else pause)
            pause = min(2 * pause, 30.0)


async def send_report(
    cluster: Cluster, job: Job, body: Mapping[str, Any], *, marked: bool = True
) -> int:
    """Send one report with a job's token; return the status, 0 if no answer came.

    An older launcher does not name the job's mark, and has no second job.
    """
    await asyncio.sleep(0.005)
    if marked or job.continues:
        body = {**body, "mark": job.mark}
    if cluster.hub is None or not cluster.network:
        return 0
    path = "unispawner/report"
    return (await cluster.hub.request("POST", path, dict(body), job.token))[0]


# -- the agents and the broker -------------------------------------------------------------------


@dataclass(frozen=True)
class AgentFault:
    """What goes wrong with one request to an agent.

    Attributes
    ----------
    kind
        A key of the table in :meth:`Agents._serve`.
    delay
        Seconds, less than a request may take.
    """

    kind: str
    delay: float = 0.0


AGENT_FAULTS = (
    *("unsent", "slow", "lost", "lost before", "lost, late", "hangs", "garbage", "refused"),
)


class Agents(FakeUserSide):
    """The agents of all accounts, behind a broker.

    Attributes
    ----------
    faults
        What goes wrong with the next requests, by action.
    down
        True while there is no broker.
    unswept
        The marks of the jobs whose private files could not be removed when they should have been.
        The agent of the account's next start removes them, if there is one.
    """

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.scheduler)
        self.cluster = cluster
        self.faults: dict[str, list[AgentFault]] = {}
        self.take_down_delay = 0.0
        self.down = False
        self.unswept: set[str] = set()
        self._broken: asyncio.Event = asyncio.Event()
        self._at_work: set[asyncio.Task[Any]] = set()

    def die(self, *, with_children: bool) -> None:
        """Kill the broker, and the agents at work if ``with_children``."""
        self._broken.set()
        self._broken = asyncio.Event()
        for task in list(self._at_work) if with_children else []:
            task.cancel()

    async def call(
        self, host: SubmitHost, account: Account, request: Mapping[str, Any], seconds: float
    ) -> Any:
        process = PROCESS.get()
        if process is not None and process.dead:
            raise asyncio.CancelledError
        await asyncio.sleep(0.002)
        action = request["action"]
        if action == "cleanup":
            self.unswept.add(request["mark"])
        if self.down:
            raise _lost("There is no broker.", unsent=True)
        faults = self.faults.get(action)
        fault = faults.pop(0) if faults else AgentFault("none")
        work = self.cluster.start(self._serve(fault, account.name, dict(request), seconds))
        self._at_work.add(work)
        work.add_done_callback(self._at_work.discard)
        broken = asyncio.ensure_future(self._broken.wait())
        try:
            await asyncio.wait({work, broken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            broken.cancel()
        if not work.done() or work.cancelled():
            raise _lost("The broker has ended.", self.cluster.loop.time() + seconds)
        return work.result()

    async def _serve(
        self, fault: AgentFault, owner: str, request: dict[str, Any], seconds: float
    ) -> Any:
        deadline = self.cluster.loop.time() + seconds
        kind = fault.kind
        if kind == "unsent":
            raise _lost("It was not sent.", unsent=True)
        if kind == "refused":
            errors = {"submit": SubmitError, "cancel": CancelError}
            raise errors.get(request["action"], AgentError)("The scheduler refuses it.")
        if kind == "lost before":
            raise _lost("The answer was lost.", deadline)
        if kind == "lost, late":
            self.cluster.start(self._serve(AgentFault("slow", fault.delay), owner, request, 0))
            raise _lost("The answer was lost.", deadline)
        if kind == "slow":
            await asyncio.sleep(fault.delay)
        result = self._do(owner, request)
        if kind == "hangs":
            await asyncio.sleep(seconds)
        if kind in ("lost", "hangs"):
            raise _lost("The answer was lost.", deadline + (seconds if kind == "hangs" else 0))
        return {"job_id": "; rm -rf", "tail": 3} if kind == "garbage" else result

    def _do(self, owner: str, request: dict[str, Any]) -> Any:
        return getattr(self, f"_{request['action']}")(owner, request)

    def _submit(self, owner: str, request: Mapping[str, Any]) -> dict[str, str]:
        before = request.get("environment_of", "")
        if before and before not in self.cluster.files:
            error = AgentError("The environment of the running server can't be copied.")
            error.unsent = True
            raise error
        return {"job_id": self.cluster.add(owner, request["spec"], before).job_id}

    def _cancel(self, owner: str, request: Mapping[str, Any]) -> dict[str, str]:
        info = self.scheduler.jobs.get(request["job_id"])
        if info is not None and info.owner not in ("", owner):
            raise CancelError("The fake scheduler did not cancel the job:", output="not your job")
        for job in self.cluster.alive():
            if job.job_id == request["job_id"]:
                self.cluster.start(self.cluster.cancel(job, self.take_down_delay))
        return {}

    def _cleanup(self, owner: str, request: Mapping[str, Any]) -> dict[str, str]:
        self.cluster.files.discard(request["mark"])
        return {}


def _lost(message: str, open_until: float = 0.0, *, unsent: bool = False) -> UniSpawnerError:
    error = SchedulerUnavailable(message)
    error.unsent, error.open_until = unsent, open_until
    return error


# -- the queries ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class QueryFault:
    """What goes wrong with every query: see :meth:`SimulatedHost.run`."""

    kind: str
    delay: float = 0.0


QUERY_FAULTS = ("nothing", "garbage", "half", "error", "raises", "hangs", "late", "empty")


class SimulatedHost(SubmitHost):
    """The submit host, on which queries run."""

    place = "login1"
    here = False

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self.cluster = cluster

    async def find_entry(self, name: str) -> Entry | None:
        await asyncio.sleep(self.cluster.look_up_seconds)
        return Entry(name, 60_000 + sum(name.encode()), f"/home/{name}")

    async def run(self, command: Sequence[str], *, timeout: float, **_: Any) -> Finished:
        fault = self.cluster.query or QueryFault("none")
        name = "queue" if command[0] == "/bin/sh" else Path(command[1]).name
        text = self.cluster.scheduler.files[name]
        await asyncio.sleep(0.002)
        if fault.kind == "hangs":
            await asyncio.sleep(timeout)
            raise SchedulerUnavailable("The command did not end in time.")
        if fault.kind == "raises":
            raise AgentError("The command can't be started.")
        if fault.kind == "late":
            await asyncio.sleep(fault.delay)
        answers: dict[str, tuple[int, str, str]] = {
            "nothing": (0, "", ""),
            "garbage": (0, "\x00 slurm_load_jobs: ~ {", ""),
            "half": (0, text[: len(text) // 2 or 1], ""),
            "error": (1, "", "does not answer"),
            "empty": (0, "{}", ""),
        }
        status, stdout, stderr = answers.get(fault.kind, (0, text, ""))
        return Finished(status, stdout.encode(), stderr.encode())


def place_of(target: str) -> Place:
    """Return the host and the port of a route's target."""
    parts = urlsplit(target)
    return parts.hostname or "", parts.port or 80


def jobs_of(jobs: Collection[Job], user: str, server: str) -> list[Job]:
    """Return the jobs of one server."""
    return [job for job in jobs if (job.user, job.server) == (user, server)]
