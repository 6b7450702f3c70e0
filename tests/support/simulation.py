"""A simulated site: users, a Hub that can die, a cluster that goes wrong, and what was seen of it.

Each method is one thing that happens. A test calls some of them, in any order, and then
:meth:`Simulation.settle`, which lets all faults clear and holds the guarantee over the whole
history (support/guarantee.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from jupyterhub.utils import compare_token

from support import guarantee
from support.guarantee import (
    FOREVER,
    FROM_INSIDE,
    Fault,
    HandOver,
    History,
    Listener,
    Server,
    Sighting,
    Start,
    Stop,
    Token,
    Told,
)
from support.simulated_cluster import (
    FOREIGN,
    HELD,
    NODES,
    AgentFault,
    Cluster,
    Job,
    Place,
    QueryFault,
    jobs_of,
    place_of,
    send_report,
)
from support.simulated_hub import Installed, SimulatedHub, hub_database
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
        self._tokens: dict[str, list[Job]] = {}
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

    def continue_server(self, server: Server) -> None:
        """Have a user continue a server with a second job; the answer comes later."""
        if self.hub is not None:
            self.cluster.start(self._continue(self.hub, server))

    async def _continue(self, hub: SimulatedHub, server: Server) -> None:
        if self._hand_over(server) is None:
            self.history.hand_overs.append(HandOver(self.now, server))
        status, _ = await hub.request("POST", _continuation(server, "continue"))
        if 400 <= status < 500 and not self._seconds(server):
            self._end_hand_over(server)

    def switch(self, server: Server) -> None:
        """Have a user switch to the second job of a server; the answer comes later."""
        if self.hub is not None:
            self.cluster.start(self._switch(self.hub, server))

    async def _switch(self, hub: SimulatedHub, server: Server) -> None:
        before = self._routes().get(server)
        status, _ = await hub.request("POST", _continuation(server, "switch"))
        if status == 200:
            self._end_hand_over(server)
            after = self._routes().get(server)
            if before and after and before.mark == after.mark:
                self.problems.bugs.append(f"{server} was switched, and its route did not change")

    def cancel_second(self, server: Server) -> None:
        """Have a user cancel the second job of a server; the answer comes later."""
        if self.hub is not None:
            self.cluster.start(self._cancel_second(self.hub, server))

    async def _cancel_second(self, hub: SimulatedHub, server: Server) -> None:
        status, _ = await hub.request("DELETE", _continuation(server, "continue"))
        if 200 <= status < 300:
            self._end_hand_over(server)

    def _hand_over(self, server: Server) -> HandOver | None:
        """Return the hand-over of a server that is under way."""
        known = self.history.hand_overs
        return next((one for one in known if one.server == server and one.over == FOREVER), None)

    def _end_hand_over(self, server: Server) -> None:
        if (open_ := self._hand_over(server)) is not None:
            known = self.history.hand_overs
            known[known.index(open_)] = replace(open_, over=self.now)

    def _seconds(self, server: Server) -> list[Job]:
        """Return the jobs that were submitted as second ones in the hand-over under way."""
        open_ = self._hand_over(server)
        return [
            job
            for job in jobs_of(self.cluster.jobs, server.user, server.name)
            if open_ is not None and job.continues and job.submitted >= open_.at
        ]

    def _note_hand_overs(self) -> None:
        """Take note of hand-overs that are over because one of the two jobs is."""
        for server in {one.server for one in self.history.hand_overs}:
            left = [
                job
                for job in jobs_of(self.cluster.alive(), server.user, server.name)
                if not job.cancelled
            ]
            if len(left) < 2 and self._seconds(server):
                self._end_hand_over(server)

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
            self.history.stops.append(Stop(self.now, server, self.now, 204, FROM_INSIDE))
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
        self.cluster.scheduler.forget(*self.ended_jobs())

    def ended_jobs(self) -> list[str]:
        """Return the ids of the jobs that have ended and that the scheduler still knows."""
        jobs = self.cluster.scheduler.jobs
        return [job_id for job_id, info in jobs.items() if info.state.final and info.owner]

    def scheduler_loses_state(self) -> None:
        """Let the scheduler lose all jobs, and other users get their ids."""
        self.cluster.lose_state()
        self.see()

    def ports_are_taken(self) -> None:
        """Let another user's servers listen where servers of this Hub have listened.

        They can take only ports that are free, and that no route leads to: a launcher holds a port
        until the Hub knows. Nor do they take what is saved: a Hub that has been started makes these
        routes again.
        """
        for place in self.free_places():
            self.cluster.listening[place] = FOREIGN
        self.see()

    def free_places(self) -> set[Place]:
        """Return where servers of this Hub have listened and anybody may listen now."""
        places = {place for job in self.cluster.jobs for place in job.places}
        return places - self.cluster.led_to() - self._saved_places() - set(self.cluster.listening)

    def _saved_places(self) -> set[Place]:
        """Return where this Hub or the next one takes servers to be."""
        number = self._databases if self.hub is None else self.hub.number
        with contextlib.closing(sqlite3.connect(hub_database(self.folder, number))) as db:
            rows = set(db.execute("SELECT ip, port FROM servers"))
            states = [
                json.loads(text) for (text,) in db.execute("SELECT state FROM spawners") if text
            ]
        return rows | {place for state in states for place in _places_in(state)}

    def ports_are_left(self) -> None:
        """End the other user's servers."""
        listening = self.cluster.listening
        for place in [place for place, who in listening.items() if who == FOREIGN]:
            del listening[place]

    # -- faults --------------------------------------------------------------------------------

    def agent_fails(self, action: str, kind: str, delay: float = 0.0) -> None:
        """Let the next request for an action go wrong."""
        self.cluster.agents.faults.setdefault(action, []).append(AgentFault(kind, delay))

    def queries_fail(self, kind: str, delay: float = 0.0, lasts: float = FOREVER) -> None:
        """Let queries go wrong from now on."""
        self.cluster.query = fault = QueryFault(kind, delay)

        def work_again() -> None:
            if self.cluster.query is fault:
                self.cluster.query = None

        self._later(lasts, work_again)

    def broker_dies(self, with_children: bool, stays_down: float) -> None:
        """Kill the broker, and the agents at work; nobody starts it again for some seconds."""
        agents = self.cluster.agents
        agents.die(with_children=with_children)
        agents.down = stays_down > 0
        self._later(stays_down, lambda: setattr(agents, "down", False))

    def cancelled_jobs_go_late(self, delay: float, lasts: float) -> None:
        """Let a cancellation take effect late."""
        agents = self.cluster.agents
        agents.take_down_delay = delay
        self._later(lasts, lambda: setattr(agents, "take_down_delay", 0.0))

    def network_is_cut(self, lasts: float) -> None:
        """Let no report of a job arrive."""
        self.cluster.network = False
        self._later(lasts, lambda: setattr(self.cluster, "network", True))

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        async def act() -> None:
            await asyncio.sleep(seconds)
            action()

        if seconds < FOREVER:
            self.cluster.start(act())

    @property
    def is_faulty(self) -> bool:
        """True while something does not work."""
        agents, cluster = self.cluster.agents, self.cluster
        broken = agents.down or agents.take_down_delay or any(agents.faults.values())
        return bool(broken or cluster.query or not cluster.network or cluster.scheduler.hides)

    def clear_faults(self) -> None:
        """Let everything work again."""
        agents = self.cluster.agents
        agents.faults.clear()
        agents.down, agents.take_down_delay = False, 0.0
        self.cluster.query, self.cluster.network = None, True
        self.cluster.scheduler.show(*self.cluster.scheduler.jobs)

    def stray_report(
        self, job: Job, body: dict[str, Any], delay: float, *, marked: bool = True
    ) -> None:
        """Have a report of a job arrive that its launcher does not send now.

        A job that reports another one's server, or the end of one that runs, harms only its own
        user: that is not tried.
        """

        async def send() -> None:
            await asyncio.sleep(delay)
            there = self.cluster.listening.get((str(body["host"]), int(body["port"])))
            own = job.run is not None and there is job.run
            if body["event"] == "begun" or there is None or own == (body["event"] == "ready"):
                await send_report(self.cluster, job, body, marked=marked)

        self.cluster.start(send())

    # -- what is seen ----------------------------------------------------------------------------

    def see(self) -> None:
        """Take note of all that there is."""
        hub = self.hub
        self._note_hand_overs()
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
            tokens.append(Token(number, Server(user, name), self._mark_of(known)))
        return tokens

    def _mark_of(self, token: str) -> str:
        """Return the mark of the job that has a token; of two, of one that is not over."""
        jobs = self._tokens.get(token, [])
        if not jobs:
            secrets = {job.token for job in self.cluster.jobs}
            mine = next((one for one in secrets if compare_token(token, one)), None)
            if mine is None:
                return ""
            self._tokens[token] = jobs = [job for job in self.cluster.jobs if job.token == mine]
        else:
            jobs += [
                job for job in self.cluster.jobs[jobs[-1].number :] if job.token == jobs[0].token
            ]
        needed = [job for job in jobs if not (job.over or job.cancelled)]
        return (needed or jobs)[0].mark

    # -- the end -------------------------------------------------------------------------------

    def settle(self) -> None:
        """Let the faults clear, and hold the guarantee; then end all servers, and hold it again."""
        self.clear_faults()
        if self.hub is None:
            self.hub_starts()
        self.see()
        self.history.faults.append(Fault("this history", self.began, self.now))
        self._let_jobs_wait()
        self._check_owners()
        self._let_jobs_run()
        self._requeue_all()
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

    def _requeue_all(self) -> None:
        """Let all jobs wait again for longer than T: no route may stay where it was."""
        for job in self.cluster.in_state(JobState.RUNNING):
            self.job_is_requeued(job)
        self._let_jobs_wait()

    def _check_owners(self) -> None:
        """The Hub knows each job that is there: as a server's first or second, or to be ended."""
        assert self.hub is not None
        known = {row.mark for row in endings.read_raw(self.hub.app.db)}
        for _, spawner in self._spawners(self.hub):
            if job := getattr(bookkeeping.inner(spawner), "server_job", None):
                known |= {state.mark for state in job.states()}
        unknown = [job for job in self.cluster.alive() if job.mark not in known]
        assert not unknown, f"the Hub does not know {unknown}"

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
            "endings": endings.read_raw(self.hub.app.db),
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


def _continuation(server: Server, action: str) -> str:
    path = f"unispawner/servers/{server.user}"
    return f"{path}/{server.name}/{action}" if server.name else f"{path}/{action}"


def _fastest_folder() -> str | None:
    """Return a folder in memory, if there is one: a Hub waits for the disk at each commit."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _places_in(saved: Any) -> Iterator[Place]:
    """Yield where jobs have reported from, at any depth of what a spawner has saved."""
    if not isinstance(saved, dict):
        return
    if "host" in saved and "port" in saved:
        yield str(saved["host"]), int(saved["port"] or 0)
    for value in saved.values():
        yield from _places_in(value)
