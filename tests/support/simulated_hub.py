"""A real Hub's own application in simulated time: it can be started, stopped and killed."""

from __future__ import annotations

import asyncio
import functools
import json
import sqlite3
import time
from datetime import datetime, timezone
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import jupyterhub.objects
import jupyterhub.traitlets
import pytest
from jupyterhub import orm
from jupyterhub.app import JupyterHub
from jupyterhub.proxy import Proxy
from sqlalchemy import dialects, event
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.orm import close_all_sessions
from tornado import httputil
from tornado.httpserver import HTTPServer
from traitlets import Enum
from traitlets.config import Config

from support.simulated_cluster import (
    TIME_LIMIT,
    Agents,
    Cluster,
    SimulatedHost,
    SimulatedScheduler,
    place_of,
)
from support.simulated_time import PROCESS, Process
from unispawner import ProfilesSpawner, tasks
from unispawner.monitor import monitor as monitor_module
from unispawner.monitor.followed import Followed
from unispawner.monitor.monitor import Monitor
from unispawner.monitor.tracked_job import TrackedJob
from unispawner.servers import database, hub_start
from unispawner.servers.spawner import UniSpawner
from unispawner.submit_host.host import SubmitHost

TOKEN = "a" * 32
"""The token of who asks as an administrator."""
TERM_PATIENCE = 90.0
"""How long (seconds) a service manager waits before it kills a Hub that does not end."""


class SimulatedSpawner(UniSpawner):
    """UniSpawner on the simulated cluster; nothing else of it is replaced."""

    scheduler = Enum(("fake",), "fake").tag(config=True)
    world: ClassVar[Cluster]
    at: ClassVar[SubmitHost]

    @classmethod
    async def check_config(cls, config: Config) -> None:
        """Check nothing: that needs a scheduler's commands."""

    def get_scheduler(self) -> SimulatedScheduler:
        return self.world.scheduler

    def take_options(self, options: Any) -> None:
        """Take nothing: the scheduler has no settings."""

    async def find_scheduler(self) -> None:
        """Find nothing: the scheduler is given."""

    async def find_way(self) -> None:  # type: ignore[override] # there is no way to find
        """Do nothing: the simulated agents need no right to become users."""

    def get_host(self) -> SubmitHost:
        return self.at

    def get_run_as(self) -> Agents:
        return self.world.agents


class SimulatedProfiles(ProfilesSpawner):
    """ProfilesSpawner around it."""

    @classmethod
    async def check_config(cls, config: Config) -> None:
        """Check nothing, as above."""


class SimulatedProxy(Proxy):
    """A proxy with a process of its own: its routes outlive the Hub."""

    async def add_route(self, routespec: str, target: str, data: dict[str, Any]) -> None:
        await asyncio.sleep(0.002)
        self._check()
        routes = SimulatedSpawner.world.routes
        routes[routespec] = {"routespec": routespec, "target": target, "data": data}

    async def delete_route(self, routespec: str) -> None:
        await asyncio.sleep(0.002)
        self._check()
        SimulatedSpawner.world.routes.pop(routespec, None)

    async def get_all_routes(self) -> dict[str, dict[str, Any]]:
        await asyncio.sleep(0.002)
        return dict(SimulatedSpawner.world.routes)

    def _check(self) -> None:
        process = PROCESS.get()
        if process is not None and process.dead:
            raise asyncio.CancelledError


class SimulatedDialect(SQLiteDialect_pysqlite):
    """SQLite, in which a statement that one Hub has compiled is the next one's, too."""

    supports_statement_cache = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SimulatedDialect)

    def __hash__(self) -> int:
        return hash(SimulatedDialect)


dialects.registry.register("sqlite.simulated", __name__, "SimulatedDialect")


class _Compiled(dict[Any, Any]):
    """Statements that were compiled: to do that anew takes a Hub long when it starts."""

    def __deepcopy__(self, _: object) -> _Compiled:
        """Return itself: traitlets copies what a configuration has."""
        return self


_COMPILED = _Compiled()


hub_start.add_to_hub()  # an import of a spawner before JupyterHub's application adds nothing


class _Application(JupyterHub):
    async def init_spawners(self) -> Any:
        """A Hub that is killed meanwhile must not log that."""
        try:
            return await super().init_spawners()
        except asyncio.CancelledError:
            return 0

    def init_signal(self) -> None:
        """Do nothing: signals are simulated."""


class _Connection(httputil.HTTPConnection):
    """A request's connection without a socket."""

    def __init__(self) -> None:
        self.context = SimpleNamespace(
            address=("192.0.2.10", 40_000), remote_ip="192.0.2.10", protocol="http"
        )
        self.answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.status, self.body = 0, b""

    def write_headers(self, start_line: Any, headers: Any, chunk: Any = None) -> Any:
        self.status = start_line.code
        return self.write(chunk or b"")

    def write(self, chunk: bytes) -> Any:
        self.body += chunk
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def finish(self) -> None:
        process = PROCESS.get()
        if not self.answer.done() and not (process and process.dead):
            self.answer.set_result(self.status)

    def set_close_callback(self, callback: Any) -> None:
        """Do nothing: nobody closes it."""


def hub_database(folder: Path, number: int) -> Path:
    """Return the database of one of a site's Hubs, which are numbered from 0."""
    return folder / f"hub-{number}.sqlite"


class SimulatedHub:
    """A Hub, from its start to its end.

    Parameters
    ----------
    folder
        Where its database is.
    number
        How many Hubs there have been in this folder.
    """

    def __init__(self, cluster: Cluster, folder: Path, number: int, *, profiles: bool) -> None:
        self.cluster, self.loop = cluster, cluster.loop
        self.folder, self.number = folder, number
        self.process = Process()
        self._waiting: set[_Connection] = set()
        self._users: dict[str, Any] = {}
        _reset_process()
        SimulatedSpawner.world, SimulatedSpawner.at = cluster, SimulatedHost(cluster)
        self.app = _Application(config=self._config(profiles), log_level=50)

    def _config(self, profiles: bool) -> Config:
        c = Config()
        c.JupyterHub.spawner_class = SimulatedProfiles if profiles else SimulatedSpawner
        c.JupyterHub.proxy_class = SimulatedProxy
        c.Proxy.should_start = False
        c.JupyterHub.authenticator_class = "dummy"
        c.JupyterHub.db_url = f"sqlite+simulated:///{self.database}"
        c.JupyterHub.db_kwargs = {"execution_options": {"compiled_cache": _COMPILED}}
        c.JupyterHub.cookie_secret = b"x" * 32
        c.JupyterHub.cleanup_servers = False
        c.JupyterHub.concurrent_spawn_limit = 0
        c.JupyterHub.allow_named_servers = True
        c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 1, "slow_stop_timeout": 1}
        c.JupyterHub.services = [{"name": "tests", "api_token": TOKEN}]
        c.JupyterHub.load_roles = [
            {
                "name": "tests",
                "scopes": ["admin:users", "admin:servers", "tokens"],
                "services": ["tests"],
            }
        ]
        c.PeriodicMetricsCollector.event_loop_interval_enabled = False
        c.Authenticator.allow_all = True
        c.UniSpawner.hub_id = "01234567"  # otherwise it is in a file of this folder
        c.UniSpawner.duration = TIME_LIMIT
        c.Spawner.hub_connect_url = "http://192.0.2.1:8081"
        c.SimulatedProfiles.profiles = [
            ("One", "one", SimulatedSpawner, {}),
            {
                "display_name": "Two",
                "slug": "two",
                "spawner": SimulatedSpawner,
                "options": {"cpu_cores_per_process": {"min": 1, "max": 4}},
            },
        ]
        return c

    @property
    def database(self) -> Path:
        return hub_database(self.folder, self.number)

    async def boot(self) -> None:
        """Start the Hub; it must run in the Hub's own process."""
        await self.app.initialize([])
        await self.app.start()

    async def shut_down(self) -> None:
        """End as JupyterHub does after SIGTERM; it must run in the Hub's own process."""
        await self.app.cleanup()
        others = self.process.tasks - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others)

    def end(self) -> Path:
        """Kill the Hub; return the database as it was committed at this moment."""
        after = hub_database(self.folder, self.number + 1)
        with sqlite3.connect(self.database) as source, sqlite3.connect(after) as target:
            source.backup(target)
        source.close()
        target.close()
        self.process.dead = True
        for connection in list(self._waiting):
            if not connection.answer.done():
                connection.answer.set_result(0)
        self.loop.kill(self.process)
        _reset_process()
        close_all_sessions()
        self.app.db.get_bind().dispose()
        self.database.unlink()
        return after

    async def request(
        self, method: str, path: str, body: Any = None, token: str = TOKEN
    ) -> tuple[int, Any]:
        """Return the status and the body of an answer; the status is 0 if none came."""
        if self.process.dead:
            return 0, None
        connection = _Connection()
        self._waiting.add(connection)
        self.loop.run_as(self.process, self._handle(connection, method, path, body, token))
        try:
            status = await connection.answer
        finally:
            self._waiting.discard(connection)
        try:
            return status, json.loads(connection.body or b"null")
        except ValueError:
            return status, connection.body.decode()

    async def _handle(
        self, connection: _Connection, method: str, path: str, body: Any, token: str
    ) -> None:
        headers = httputil.HTTPHeaders(
            {"Authorization": f"token {token}", "Host": "hub", "Accept": "application/json"}
        )
        request = httputil.HTTPServerRequest(
            headers=headers,
            body=b"" if body is None else json.dumps(body).encode(),
            connection=connection,
            start_line=httputil.RequestStartLine(method, f"/hub/api/{path}", "HTTP/1.1"),
        )
        try:
            found = self.app.tornado_application.find_handler(request).execute()
            if found is not None:
                await found
        except Exception as error:  # of the test's own side: who asks must not wait for ever
            if not connection.answer.done():
                connection.answer.set_exception(error)

    # -- what it knows ---------------------------------------------------------------------------

    def spawner(self, user: str, server: str) -> Any:
        """Return JupyterHub's spawner of a server; None if there is none."""
        if user not in self._users:  # not each time: it asks the database
            found = orm.User.find(self.app.db, user)
            self._users.update({} if found is None else {user: self.app.users[found]})
        return self._users[user].spawners.get(server) if user in self._users else None

    def monitors(self) -> list[Monitor]:
        """Return its monitors."""
        return list(monitor_module._monitors.values())

    def server_tokens(self) -> list[Any]:
        """Return the id, the note and the hash of each server's token in the database."""
        known = orm.APIToken
        columns = self.app.db.query(known.id, known.note, known.hashed)
        return list(columns.filter(known.note.startswith("Server at")))


def _reset_process() -> None:
    """Forget what modules of a process keep: a new process has nothing."""
    monitor_module._monitors.clear()
    database._batches.clear()
    tasks._running.clear()


class Installed:
    """What is replaced in JupyterHub and tornado while Hubs are simulated: what needs sockets."""

    def __init__(self) -> None:
        self._patch = pytest.MonkeyPatch()

    def install(self) -> None:
        """Replace it."""
        self._patch.setattr(jupyterhub.objects, "wait_for_http_server", _wait_for_server)
        self._patch.setattr(jupyterhub.traitlets, "entry_points", _find_entry_points)
        self._patch.setattr(HTTPServer, "listen", lambda *_, **__: None)
        # Its default was made of the real clock's function when it was imported.
        self._patch.setattr(monitor_module, "Followed", _follow)
        event.listen(orm.APIToken, "before_insert", _note_created)

    def uninstall(self) -> None:
        """Bring it back."""
        self._patch.undo()
        event.remove(orm.APIToken, "before_insert", _note_created)


@functools.cache
def _find_entry_points(**chosen: str) -> Any:
    """Read what is installed once, and not for each Hub."""
    return entry_points(**chosen)


def _note_created(_mapper: object, _connection: object, token: orm.APIToken) -> None:
    """Note when a token is made: the real clock would make all of them in the same second."""
    token.created = datetime.fromtimestamp(time.time(), timezone.utc).replace(tzinfo=None)


def _follow(job: TrackedJob) -> Followed:
    return Followed(job, time.monotonic())


async def _wait_for_server(url: str, timeout: float = 10, **_: Any) -> Any:
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + timeout, 0.1
    while not SimulatedSpawner.world.answers(*place_of(url)):
        if loop.time() > deadline:
            raise asyncio.TimeoutError(f"{url} does not answer")
        await asyncio.sleep(pause)
        pause = min(5.0, 1.3 * pause)
    return SimpleNamespace(headers={})
