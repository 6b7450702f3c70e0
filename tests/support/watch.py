"""Watches a Hub, its proxy, its database and a real scheduler as root: fills a `History`.

    async with Watch(hub, cluster) as watch:
        await watch.start(alice)
        with watch.fault("the Hub is killed", spares=True):
            hub.kill()
            await hub.start()
        violations, seconds = await watch.settle(within=60)

What can't be seen because of the fault itself (a Hub that is down has no servers to show) is None
in a sighting, so it is judged as soon as it can be seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import json
import os
import re
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

from support.clusters import Cluster
from support.guarantee import (
    BROKEN,
    Fault,
    History,
    Job,
    Kind,
    Listener,
    Server,
    Sighting,
    Start,
    Stop,
    Token,
    Told,
    Violation,
    check,
)
from support.hub import RunningHub
from unispawner.admin.hub_client import HubClient, HubClientError
from unispawner.servers.state import DEAD_ADDRESS

PAUSE = 0.4
"""Seconds between two sightings."""
CALM = 3.0
"""How long (seconds) all has to stay in order until it counts as recovered."""
_OF_THE_PROXY = (502, 503, 504, 599)
"""Answers that are not the Hub's: nobody knows what it has done."""
_LISTENS = "0A"  # as /proc/PID/net/tcp has the state of a socket


class Watch:
    """Looks at everything several times a second, until it is left.

    Attributes
    ----------
    history
        What was asked and seen up to now.
    job_name
        The name of the jobs to look for.
    """

    def __init__(self, hub: RunningHub, cluster: Cluster, job_name: str = "") -> None:
        self.history = History()
        self.job_name = job_name or hub.job_name
        self._hub, self._cluster = hub, cluster
        self._marks: dict[str, str] = {}
        self._token_marks: dict[int, str] = {}
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Watch:
        self._watching = asyncio.ensure_future(self._watch())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._watching
        self._watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watching

    # -- what users and faults do --------------------------------------------------------------

    async def start(self, client: HubClient, name: str = "", **options: Any) -> int:
        """Ask for a server; return the status of the answer, 0 if there was none."""
        at = time.monotonic()
        status, text = await _ask(client.start(name, options))
        server, answered = Server(client.user, name), time.monotonic()
        self.history.starts.append(Start(at, server, answered, status, text))
        if 400 <= status < BROKEN:
            self.history.told.append(Told(answered, server, text))
        return status

    async def stop(self, client: HubClient, name: str = "") -> int:
        """Ask for a server's end; return the status of the answer, 0 if there was none."""
        at = time.monotonic()
        path = f"servers/{name}" if name else "server"
        status, text = await _ask(client.api("DELETE", f"users/{client.user}/{path}"))
        answered = time.monotonic()
        self.history.stops.append(Stop(at, Server(client.user, name), answered, status, text))
        return status

    @contextlib.contextmanager
    def fault(self, name: str, *, spares: bool = False) -> Iterator[None]:
        """Note a fault that lasts as long as the block."""
        fault = Fault(name, time.monotonic(), spares=spares)
        self.history.faults.append(fault)
        try:
            yield
        finally:
            ended = Fault(name, fault.began, time.monotonic(), spares)
            self.history.faults[self.history.faults.index(fault)] = ended

    async def settle(self, within: float) -> tuple[list[Violation], float]:
        """Watch until all is in order, or until `within` seconds have passed since the last change.

        Returns what was wrong up to now, and after how many seconds all was in order.
        """
        history = self.history
        moments = [one.cleared for one in history.faults]
        moments += [one.answered for one in history.starts]
        moments += [one.answered for one in history.stops]
        last = max(moments)
        while True:
            await asyncio.sleep(PAUSE)
            waited = time.monotonic() - last
            recovered = max(0.0, waited - CALM)
            if waited > CALM and not check(history, 0, since=last + recovered):
                return _without_unseen(check(history, within)), recovered
            if waited > within + CALM:
                found = _without_unseen(check(history, within))
                found += check(history, 0, since=last + recovered)
                return list({(one.kind, one.server): one for one in found}.values()), float("inf")

    # -- what there is -------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            self.history.sightings.append(await self._look())
            await asyncio.sleep(PAUSE)

    async def _look(self) -> Sighting:
        marks, tokens = await asyncio.to_thread(self._read_database)
        jobs = await asyncio.to_thread(self._read_jobs)
        routes = await self._read_routes()
        pending = await self._read_servers()
        return Sighting(time.monotonic(), jobs, routes, marks, pending, tokens)

    def _read_jobs(self) -> list[Job] | None:
        try:
            jobs = self._cluster.jobs(self.job_name)
        except (AssertionError, subprocess.SubprocessError, ValueError, LookupError):
            return None
        return [
            job if job.mark else Job(job.job_id, job.owner, self._mark_of(job.job_id), job.waits)
            for job in jobs
        ]

    def _mark_of(self, job_id: str) -> str:
        """Return the mark of a legacy class's job, which only the Hub's database has."""
        return self._marks.get(job_id, f"job {job_id}")

    def _read_database(self) -> tuple[dict[Server, str] | None, list[Token] | None]:
        """Return the marks of servers, and the tokens of servers; None if nobody can read it."""
        path = f"file:{self._hub.folder / 'hub.sqlite'}?mode=ro"
        try:
            with contextlib.closing(sqlite3.connect(path, uri=True, timeout=0.2)) as database:
                states = database.execute(
                    "SELECT users.name, spawners.name, spawners.state FROM spawners "
                    "JOIN users ON users.id = spawners.user_id"
                ).fetchall()
                rows = database.execute(
                    "SELECT api_tokens.id, users.name, api_tokens.note FROM api_tokens "
                    "JOIN users ON users.id = api_tokens.user_id "
                    "WHERE api_tokens.note LIKE 'Server at %'"
                ).fetchall()
        except sqlite3.Error:
            return None, None
        marks = {}
        for user, name, text in states:
            if mark := self._read_state(text):
                marks[Server(user, name)] = mark
        tokens = []
        for number, user, note in rows:
            parts = urlsplit(note.removeprefix("Server at ")).path.strip("/").split("/")
            name = unquote(parts[2]) if len(parts) > 2 else ""
            tokens.append(Token(number, Server(user, name), self._token_marks.get(number, "")))
        return marks, tokens

    def _read_state(self, text: str | None) -> str:
        """Return the mark in a saved state, and note whose job and token it names."""
        try:
            state = json.loads(text or "{}")
        except ValueError:
            return ""
        state = state.get("child_state") or state
        ours = state.get("unispawner") or state
        mark = str(ours.get("mark") or "")
        if mark:
            self._marks[str(state.get("job_id"))] = mark
            if isinstance(ours.get("token_id"), int):
                self._token_marks[ours["token_id"]] = mark
        return mark

    async def _read_routes(self) -> dict[Server, Listener | None] | None:
        try:
            routes = await self._hub.routes()
            found = await asyncio.to_thread(
                lambda: {path: find_listener(target) for path, target in routes.items()}
            )
            after = await self._hub.routes()
        except (HubClientError, OSError, ValueError):
            return None
        servers: dict[Server, Listener | None] = {}
        for path, target in routes.items():
            parts = path.strip("/").split("/")
            # A route that has changed meanwhile may have been read at a moment between.
            if parts[0] == "user" and after.get(path) == target:
                name = unquote(parts[2]) if len(parts) > 2 else ""
                servers[Server(unquote(parts[1]), name)] = found[path]
        return servers

    async def _read_servers(self) -> list[Server] | None:
        """Return the servers that are pending; note what their users can read.

        It is None while the Hub does not answer.
        """
        pending = []
        try:
            for server in dict.fromkeys(one.server for one in self.history.starts):
                path = f"unispawner/servers/{server.user}/{server.name}".rstrip("/")
                status = await self._hub.api("GET", path)
                if status["state"] == "failed":
                    self._note_told(server, status["message"])
                elif status["state"] not in ("running", "stopped"):
                    pending.append(server)
        except (HubClientError, OSError, ValueError):
            return None
        return pending

    def _note_told(self, server: Server, text: str) -> None:
        asked = max(one.answered for one in self.history.starts if one.server == server)
        told = [one for one in self.history.told if one.server == server and one.at >= asked]
        if not any(one.text == text for one in told):
            self.history.told.append(Told(time.monotonic(), server, text))


def _without_unseen(found: list[Violation]) -> list[Violation]:
    """Leave out that the history has not lasted for T: `settle` has seen all in order before."""
    return [one for one in found if one.kind is not Kind.UNSEEN]


async def _ask(request: Any) -> tuple[int, str]:
    """Return the status of an answer and, of an error, its words."""
    try:
        await request
    except HubClientError as error:
        if error.status in _OF_THE_PROXY:
            return 0, str(error)
        with contextlib.suppress(ValueError, TypeError, KeyError):
            return error.status, str(json.loads(error.body)["message"])
        return error.status, error.body or str(error)
    except OSError as error:
        return 0, str(error)
    return 202, ""


# -- who listens --------------------------------------------------------------------------------


def find_listener(target: str) -> Listener | None:
    """Return who listens at a URL, in whichever network namespace of this machine; None if nobody.

    Raises
    ------
    ValueError
        If the URL has no port.
    """
    parts = urlsplit(target)
    if parts.hostname is None or parts.port is None:
        raise ValueError(f"no address: {target}")
    if (parts.hostname, parts.port) == DEAD_ADDRESS:
        return None
    address = _resolve(parts.hostname)
    for namespace in _namespaces().values():
        if not _has_address(namespace[0], address):
            continue
        sockets = _listening(namespace[0], parts.port)
        for pid in namespace if sockets else ():
            if sockets & _sockets(pid):
                found = _identify(pid)
                if found.server or _has_program(pid):
                    return found
    return None


@functools.lru_cache
def _resolve(host: str) -> str:
    return socket.gethostbyname(host)


def _namespaces() -> dict[str, list[int]]:
    """Return the processes of each network namespace."""
    found: dict[str, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found.setdefault(os.readlink(entry / "ns/net"), []).append(int(entry.name))
    return found


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _has_address(pid: int, address: str) -> bool:
    if ipaddress.ip_address(address).is_loopback:
        return os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net")
    trie = _read(pid, "net/fib_trie").decode()
    return re.search(rf"\|-- {re.escape(address)}\n\s+/32 host LOCAL", trie) is not None


def _listening(pid: int, port: int) -> set[str]:
    """Return the sockets that listen on a port in a process's namespace."""
    found = set()
    for name in ("net/tcp", "net/tcp6"):
        for line in _read(pid, name).decode().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found


def _sockets(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found.add(os.readlink(entry.path))
    return found


def environment_of(pid: int) -> dict[str, str]:
    """Return the variables that a process was started with; empty if it has ended."""
    lines = _read(pid, "environ").decode(errors="replace").split("\0")
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _has_program(pid: int) -> bool:
    """Return whether a process still runs: one that was just killed has no environment to read,
    while the kernel closes its sockets."""
    try:
        return bool(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return False


def _identify(pid: int) -> Listener:
    """Return whose server a process is, by its environment, which only root can read."""
    variables = environment_of(pid)
    user = variables.get("JUPYTERHUB_USER")
    server = Server(user, variables.get("JUPYTERHUB_SERVER_NAME", "")) if user else None
    return Listener(server, variables.get("UNISPAWNER_MARK", ""), pid)


def processes_with_mark(mark: str) -> list[int]:
    """Return the processes of a job, which all have its mark in their environment."""
    pids = [pid for group in _namespaces().values() for pid in group]
    return [pid for pid in pids if environment_of(pid).get("UNISPAWNER_MARK") == mark]
