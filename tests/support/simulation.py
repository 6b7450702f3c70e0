"""A simulated site: users, a Hub that can die, a cluster that goes wrong, and what was seen of it.

Each method is one thing that happens. A test calls some of them, in any order, and then
:meth:`Simulation.settle`, which lets all faults clear and holds the guarantee over the whole
history (support/guarantee.py).
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support import guarantee
from support.guarantee import Fault, History, Listener, Server, Sighting, Start, Stop, Token, Told
from support.simulated_cluster import (
    FOREIGN,
    HELD,
    NODES,
    AgentFault,
    Cluster,
    Job,
    QueryFault,
    place_of,
    send_report,
)
from support.simulated_hub import Installed, SimulatedHub
from support.simulated_time import Clock, SimulatedLoop
from unispawner.job import JobState
from unispawner.servers import endings
from unispawner.web import bookkeeping

SERVERS = (Server("alice"), Server("alice", "two"), Server("bob"))
WITHIN = 1000.0
"""T (seconds): how long after the last fault and the last request all is in order again.

The longest single wait is for jobs that vanished together: for ten minutes the scheduler is not
believed. A submission without an answer is looked for as long as it may have an effect, 390 s.
"""
_prepared: list[bytes] = []
"""A database with the users, which takes some time to make."""
START_PATH = "users/{}/servers/{}"


class Simulation:
    """One history of a site.

    Parameters
    ----------
    profiles
        Whether servers are started by ProfilesSpawner.
    """

    def __init__(self, *, profiles: bool = False) -> None:
        self.profiles = profiles
        self.clock = Clock()
        self.loop = SimulatedLoop(self.clock)
        self.folder = Path(tempfile.mkdtemp(prefix="unispawner-simulated-", dir=_fastest_folder()))
        self.cluster = Cluster(self.loop, self.see)
        self.history = History()
        self.problems = Problems()
        self.hub: SimulatedHub | None = None
        self.hubs = self._databases = 0
        self._installed = Installed()
        self._seen_failures: set[int] = set()
        self._kept: list[Any] = []
        self._tokens: dict[str, str] = {}
        self._token_numbers: dict[str, int] = {}

    def open(self) -> None:
        """Begin: a Hub runs, and its users exist."""
        asyncio.set_event_loop(self.loop)
        self.clock.install()
        self._installed.install()
        self.problems.install()
        first = self.folder / "hub-0.sqlite"
        if _prepared:
            first.write_bytes(_prepared[0])
        self.hub_starts()
        if not _prepared:
            self._run(self._make_users())
            self.hub_is_killed()
            _prepared.append((self.folder / "hub-1.sqlite").read_bytes())
            self.hub_starts()
        self.hubs, self.began = 1, self.now

    async def _make_users(self) -> None:
        for user in dict.fromkeys(server.user for server in SERVERS):
            assert self.hub is not None
            assert 201 == (await self.hub.request("POST", f"users/{user}"))[0]

    def close(self) -> None:
        """End everything, in any state."""
        try:
            if self.hub is not None:
                self.hub_is_killed()
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.wait(0.0)
        finally:
            self.problems.uninstall()
            self._installed.uninstall()
            self.clock.uninstall()
            self.loop.close()
            asyncio.set_event_loop(None)
            shutil.rmtree(self.folder)

    @property
    def now(self) -> float:
        return self.clock.now

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(self.loop.run_as(None, work))

    # -- time ----------------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._run(asyncio.sleep(seconds))
        self.see()
        self.clock.now += 0.001  # what comes next comes later than what was seen

    # -- users ---------------------------------------------------------------------------------

    def start(self, server: Server, options: dict[str, Any] | None = None) -> None:
        """Have a user ask for a server; the answer comes later."""
        if self.hub is not None:
            body = {"profile": "one", **(options or {})} if self.profiles else (options or {})
            self.cluster.start(self._start(self.hub, server, body))

    async def _start(self, hub: SimulatedHub, server: Server, body: dict[str, Any]) -> None:
        at = self.now
        status, text = await hub.request("POST", _path(server), body)
        self.history.starts.append(Start(at, server, self.now, status, str(text)))
        self.history.starts.sort(key=lambda one: one.at)

    def stop(self, server: Server) -> None:
        """Have a user stop a server, or cancel its start; the answer comes later."""
        if self.hub is not None:
            self.cluster.start(self._stop(self.hub, server))

    async def _stop(self, hub: SimulatedHub, server: Server) -> None:
        at = self.now
        status, text = await hub.request("DELETE", _path(server))
        self.history.stops.append(Stop(at, server, self.now, status, str(text)))
        self.history.stops.sort(key=lambda one: one.at)

    # -- the Hub -------------------------------------------------------------------------------

    def hub_is_killed(self) -> None:
        """Kill the Hub: what its database has committed at this moment survives."""
        assert self.hub is not None
        self.see()
        self.cluster.hub = None
        self.hub.end()
        self.hub = None

    def hub_stops(self) -> None:
        """End the Hub as a service manager does, which kills it if it does not end in time."""
        assert self.hub is not None
        self.see()
        hub = self.hub
        work = self.loop.run_as(hub.process, hub.shut_down())
        self._run(_first(work, 90.0))
        assert work.done(), "the Hub did not end within 90 s of SIGTERM"
        self.cluster.hub = None
        hub.end()
        self.hub = None

    def hub_starts(self) -> None:
        """Start a Hub."""
        assert self.hub is None
        hub = SimulatedHub(self.cluster, self.folder, self._databases, profiles=self.profiles)
        self.hubs, self._databases = self.hubs + 1, self._databases + 1
        booting = self.loop.run_as(hub.process, hub.boot())
        self._run(_first(booting, 120.0))
        assert booting.done(), "the Hub did not start within 120 s"
        booting.result()
        self.hub = self.cluster.hub = hub
        self.see()

    # -- the scheduler and the nodes -------------------------------------------------------------

    def job_begins(self, job: Job, host: str = NODES[0], boot: float = 2.0) -> None:
        """Run a job that waits; its server needs some seconds until it listens."""
        if self.cluster.state(job) is JobState.QUEUED:
            self.cluster.begin(job, host, boot)
            self.see()

    def server_ends(self, job: Job, status: int = 0) -> None:
        """End a server from inside; the launcher reports that, and the job ends."""
        if job.run is None:
            return
        if status == 0 and not job.run.over.is_set() and job.run.port:
            # Its user has ended it.
            server = Server(job.user, job.server)
            self.history.stops.append(Stop(self.now, server, self.now, 204, "from inside"))
        job.run.status = status
        job.run.over.set()

    def job_dies(self, job: Job, state: JobState = JobState.FAILED) -> None:
        """End a job without a word of its launcher, as a node does that loses its power."""
        self.cluster.finish(job, state, exit_code=9 if state is JobState.FAILED else None)
        self.see()

    def job_is_requeued(self, job: Job) -> None:
        """Send a running job back to the queue."""
        if job.run is not None and not job.cancelled:
            self.cluster.requeue(job)
            self.see()

    def job_is_held(self, job: Job, *, stuck: bool = False) -> None:
        """Hold a job; a stuck one has been given up by its scheduler."""
        if not job.cancelled:
            self.cluster.hold(job, stuck=stuck, message="held by a test")
            self.see()

    def job_is_released(self, job: Job) -> None:
        """Let a held job wait again."""
        if self.cluster.state(job) is JobState.HELD:
            self.cluster.release(job)

    def scheduler_forgets(self) -> None:
        """Let the scheduler forget all jobs that have ended."""
        for job_id, info in self.cluster.scheduler.jobs.items():
            if info.state.final and info.owner:
                self.cluster.scheduler.forget(job_id)

    def scheduler_loses_state(self) -> None:
        """Let the scheduler lose all jobs, and other users get their ids."""
        self.cluster.lose_state()
        self.see()

    def ports_are_taken(self) -> None:
        """Let another user's servers listen where servers of this Hub have listened.

        They can take only ports that are free, and that no route leads to: a launcher holds a port
        until the Hub knows.
        """
        for job in self.cluster.jobs:
            for place in set(job.places) - self.cluster.led_to() - set(self.cluster.listening):
                self.cluster.listening[place] = FOREIGN
        self.see()

    def ports_are_left(self) -> None:
        """End the other user's servers."""
        listening = self.cluster.listening
        for place in [place for place, who in listening.items() if who == FOREIGN]:
            del listening[place]

    # -- faults --------------------------------------------------------------------------------

    def agent_fails(self, action: str, kind: str, delay: float = 0.0) -> None:
        """Let the next request for an action go wrong."""
        self.cluster.agents.faults.setdefault(action, []).append(AgentFault(kind, delay))

    def queries_fail(self, kind: str, delay: float = 0.0) -> None:
        """Let queries go wrong from now on."""
        self.cluster.query = QueryFault(kind, delay)

    def clear_faults(self) -> None:
        """Let everything work again."""
        agents = self.cluster.agents
        agents.faults.clear()
        agents.down, agents.take_down_delay = False, 0.0
        self.cluster.query, self.cluster.network = None, True
        self.cluster.scheduler.show(*self.cluster.scheduler.jobs)

    def stray_report(self, job: Job, body: dict[str, Any], delay: float) -> None:
        """Have a report of a job arrive that its launcher does not send now.

        A job that reports another one's server, or the end of one that runs, harms only its own
        user: that is not tried.
        """

        async def send() -> None:
            await asyncio.sleep(delay)
            there = self.cluster.listening.get((str(body["host"]), int(body["port"])))
            own = job.run is not None and there is job.run
            if body["event"] == "begun" or there is None or own == (body["event"] == "ready"):
                await send_report(self.cluster, job, body)

        self.cluster.start(send())

    # -- what is seen ----------------------------------------------------------------------------

    def see(self) -> None:
        """Take note of all that there is."""
        hub = self.hub
        if hub is not None:
            self._note_failures(hub)
        self.history.sightings.append(
            Sighting(
                self.now,
                jobs=[
                    guarantee.Job(str(job.number), job.user, job.mark, waits=job.run is None)
                    for job in self.cluster.alive()
                    if not job.cancelled
                ],
                routes=self._routes(),
                marks={Server(job.user, job.server): job.mark for job in self.cluster.jobs},
                pending=None if hub is None else self._pending(hub),
                tokens=None if hub is None else self._server_tokens(hub),
            )
        )

    def _routes(self) -> dict[Server, Listener | None]:
        routes = {}
        for route in self.cluster.routes.values():
            if "user" not in route["data"]:
                continue
            who = self.cluster.listening.get(place_of(route["target"]), HELD)
            listener = None
            if who == FOREIGN:
                listener = Listener(Server("mallory"))
            elif not isinstance(who, str):
                listener = Listener(Server(who.job.user, who.job.server), who.job.mark)
            routes[Server(route["data"]["user"], route["data"]["server_name"])] = listener
        return routes

    def _pending(self, hub: SimulatedHub) -> list[Server]:
        """Return the servers that wait: their pages show what for.

        A server that was up and whose job waits again is one that JupyterHub calls ready.
        """
        return [
            server
            for server, spawner in self._spawners(hub)
            if spawner.pending == "spawn"
            or (spawner.ready and not bookkeeping.inner(spawner).server_job.url)
        ]

    def _spawners(self, hub: SimulatedHub) -> Iterator[tuple[Server, Any]]:
        for server in SERVERS:
            if (spawner := hub.spawner(server.user, server.name)) is not None:
                yield server, spawner

    def _note_failures(self, hub: SimulatedHub) -> None:
        for server, spawner in self._spawners(hub):
            failure = bookkeeping.failure(spawner)
            if failure is not None and id(failure) not in self._seen_failures:
                self._seen_failures.add(id(failure))
                self._kept.append(failure)  # or another could get its id
                text = getattr(failure, "jupyterhub_message", "") or str(failure)
                self.history.told.append(Told(self.now, server, text))

    def _server_tokens(self, hub: SimulatedHub) -> list[Token]:
        """Return the servers' tokens. The database gives a removed row's id to the next token."""
        tokens = []
        for token in hub.server_tokens():
            path = token.note.removeprefix("Server at /user/").strip("/")
            user, _, name = path.partition("/")
            known = str(token.hashed)
            number = self._token_numbers.setdefault(known, len(self._token_numbers) + 1)
            if known not in self._tokens:
                marks = [job.mark for job in self.cluster.jobs if token.match(job.token)]
                if marks:
                    self._tokens[known] = marks[0]
            tokens.append(Token(number, Server(user, name), self._tokens.get(known, "")))
        return tokens

    # -- the end -------------------------------------------------------------------------------

    def settle(self) -> None:
        """Let the faults clear, and hold the guarantee; then end all servers, and hold it again."""
        self.clear_faults()
        if self.hub is None:
            self.hub_starts()
        self.see()
        self.history.faults.append(Fault("this history", self.began, self.now))
        self._let_jobs_wait()
        self._let_jobs_run()
        self.ports_are_taken()
        self._let_jobs_run(120.0)
        self.check()
        for server in SERVERS:
            self.stop(server)
        self._let_jobs_run()
        self.check()
        self._check_leftovers()

    def _let_jobs_wait(self) -> None:
        """Begin no job for longer than T: one that no server owns would end as soon as it ran."""
        until = self.now + WITHIN + 100.0
        while self.now < until:
            self.wait(100.0)

    def _let_jobs_run(self, seconds: float = 2 * WITHIN + 200.0) -> None:
        until, node = self.now + seconds, 0
        while self.now < until:
            for job in self.cluster.in_state(JobState.HELD):
                if not self.cluster.scheduler.jobs[job.job_id].stuck:
                    self.cluster.release(job)
            for job in self.cluster.in_state(JobState.QUEUED):
                node += 1
                self.job_begins(job, NODES[node % len(NODES)])
            self.wait(50.0)

    def check(self) -> None:
        """Hold the guarantee over all that has happened."""
        wrong = [str(one) for one in guarantee.check(self.history, WITHIN)]
        assert not wrong, "\n".join([*wrong, *self.problems.lines])
        assert [] == self.problems.bugs

    def _check_leftovers(self) -> None:
        assert self.hub is not None
        left = {
            "jobs": self.cluster.alive(),
            "routes": [path for path in self.cluster.routes if path != "/"],
            "tokens": self._server_tokens(self.hub),
            "private files": sorted(self.cluster.files - self.cluster.agents.unswept),
            "endings": endings.read_all(self.hub.app.db),
            "followed": [job.job_id for one in self.hub.monitors() for job in one.jobs],
        }
        assert {} == {what: found for what, found in left.items() if found}


class Problems(logging.Handler):
    """What the Hub logs: errors with a traceback are bugs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self.bugs: list[str] = []

    def install(self) -> None:
        """Begin to listen."""
        self._loggers = [logging.getLogger(name) for name in ("JupyterHub", "asyncio")]
        for logger in self._loggers:
            logger.addHandler(self)

    def uninstall(self) -> None:
        """Listen no more."""
        for logger in self._loggers:
            logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.lines.append(f"{record.created:.1f} {text}")
        if record.exc_info and "unispawner" in self.format(record):
            self.bugs.append(self.format(record))


@contextmanager
def simulation(*, profiles: bool = False) -> Iterator[Simulation]:
    """Give a simulated site, and end it."""
    found = Simulation(profiles=profiles)
    try:
        found.open()
        yield found
    finally:
        found.close()


async def _first(task: asyncio.Task[Any], seconds: float) -> None:
    await asyncio.wait({task}, timeout=seconds)


def _path(server: Server) -> str:
    if not server.name:
        return f"users/{server.user}/server"
    return START_PATH.format(server.user, server.name)


def _fastest_folder() -> str | None:
    """Return a folder in memory, if there is one: a Hub waits for the disk at each commit."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
