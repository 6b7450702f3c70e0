"""A real Hub's own application for tests, in the tests' process, on a fake scheduler.

It has everything but a proxy: database, users, tokens and handlers, served on a free port of
loopback. The status query is a real process.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from jupyterhub import orm
from jupyterhub.app import JupyterHub
from jupyterhub.handlers import pages
from jupyterhub.roles import assign_default_roles
from sqlalchemy.orm import close_all_sessions
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from traitlets.config import Config

from support.accounts import ordinary_account
from support.openapi import check_answer
from unispawner.job import JobInfo, JobState
from unispawner.monitor import monitor as monitor_module
from unispawner.monitor import rhythm
from unispawner.run_as.accounts import Account
from unispawner.run_as.client import AgentClient
from unispawner.run_as.decision import Way
from unispawner.servers import hub_start
from unispawner.servers.spawner import UniSpawner
from unispawner.submit_host.host import HOST, SubmitHost
from unispawner.testing import FakeScheduler, FakeUserSide

# RFC 5737: addresses for documentation, which no host has.
NODE, OTHER = "192.0.2.10", "192.0.2.11"
PATIENCE = 60.0


class _PatientAsyncio:
    """asyncio for JupyterHub's pages, with PATIENCE instead of a time of theirs."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def wait(self, futures: Any, timeout: float) -> Any:
        return await asyncio.wait(futures, timeout=max(timeout, PATIENCE))


def answer_when_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the spawn page's form answer when the start has succeeded or failed.

    After a second JupyterHub answers with the page of pending starts instead, and on a loaded
    machine a start that fails takes longer than that.
    """
    monkeypatch.setattr(pages, "asyncio", _PatientAsyncio())


class FakeSpawner(UniSpawner):
    """UniSpawner on the fake scheduler, for Hub users that need no account."""

    fake: FakeScheduler
    side: FakeUserSide

    def get_scheduler(self) -> FakeScheduler:
        return self.fake

    async def find_scheduler(self) -> None:
        """Find nothing: the scheduler is given."""

    async def find_way(self) -> Way:
        """Decide nothing: the user's side is given."""
        return Way("fake", "it is given")

    def get_host(self) -> SubmitHost:
        return HOST

    def agent_client(self, account: Account) -> AgentClient:
        return AgentClient(account, self.fake, self.side, SubmitHost())


class Hub:
    """A Hub's application on a port, and requests to it."""

    def __init__(self, app: JupyterHub, url: str) -> None:
        self.app = app
        self.url = url

    def user(self, name: str) -> Any:
        orm_user = orm.User.find(self.app.db, name)
        if orm_user is None:
            orm_user = orm.User(name=name)
            self.app.db.add(orm_user)
            self.app.db.commit()
            assign_default_roles(self.app.db, entity=orm_user)
        return self.app.users[orm_user.id]

    @property
    def report_url(self) -> str:
        return f"{self.url}/unispawner/report"

    async def get(self, path: str, token: str | None) -> HTTPResponse:
        headers = {} if token is None else {"Authorization": f"token {token}"}
        response = await AsyncHTTPClient().fetch(
            f"{self.url}/{path}", headers=headers, raise_error=False
        )
        check_answer("GET", response)
        return response

    async def post(
        self, body: Any, token: str | None, path: str = "unispawner/report", **headers: str
    ) -> HTTPResponse:
        if token is not None:
            headers["Authorization"] = f"token {token}"
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = await AsyncHTTPClient().fetch(
            f"{self.url}/{path}", method="POST", body=raw, headers=headers, raise_error=False
        )
        check_answer("POST", response)
        return response


@asynccontextmanager
async def hub_app(folder: Path, more: Config | None = None) -> AsyncIterator[Hub]:
    """Give a Hub's application; `more` is added to its configuration."""
    FakeSpawner.fake = FakeScheduler(folder)
    FakeSpawner.side = FakeUserSide(FakeSpawner.fake)
    listener, port = bind_unused_port()
    config = Config()
    config.JupyterHub.spawner_class = FakeSpawner
    config.FakeSpawner.min_query_interval = 0.0
    config.FakeSpawner.status_interval = 1.0  # nobody waits for the next question in vain
    config.FakeSpawner.account_name = lambda _: ordinary_account().pw_name
    config.JupyterHub.authenticator_class = "dummy"
    config.JupyterHub.db_url = "sqlite:///:memory:"
    config.JupyterHub.cookie_secret = b"x" * 32
    config.JupyterHub.cookie_secret_file = str(folder / "cookie_secret")
    config.ConfigurableHTTPProxy.auth_token = "unused"
    config.Authenticator.allow_all = True
    # On a loaded machine a start may take longer than JupyterHub's 1 s for the answer "pending".
    config.JupyterHub.tornado_settings = {"slow_spawn_timeout": PATIENCE}
    config.merge(more or Config())
    hub_start.add_to_hub()  # an import of a spawner before JupyterHub's application adds nothing
    app = JupyterHub(config=config, hub_ip="127.0.0.1", hub_port=port, log_level=50)
    await app.initialize([])
    server = HTTPServer(app.tornado_application)
    server.add_socket(listener)
    yield Hub(app, f"http://127.0.0.1:{port}/hub/api")
    server.stop()
    await server.close_all_connections()
    await _close_http_client()
    for monitor in monitor_module._monitors.values():
        for job in monitor.jobs:
            monitor.untrack(job)
        if monitor.scheduler is FakeSpawner.fake and monitor._task is not None:
            # Let it end by itself: Python 3.11 hangs if all is cancelled while a command starts.
            await asyncio.wait({monitor._task}, timeout=PATIENCE)
    close_all_sessions()
    app.db.get_bind().dispose()


@asynccontextmanager
async def profiles_hub(
    folder: Path, profiles: Any = None, *, keeps: bool = False, **settings: Any
) -> AsyncIterator[Hub]:
    """Give a Hub whose users choose among profiles; ``settings`` are ProfilesSpawner's.

    With ``keeps`` its database is a file in the folder: a second Hub finds what the first has kept.
    """
    from unispawner import ProfilesSpawner

    config = Config()
    config.JupyterHub.spawner_class = ProfilesSpawner
    config.ProfilesSpawner = Config(settings)
    if profiles is not None:
        config.ProfilesSpawner.profiles = profiles
    if keeps:
        config.JupyterHub.db_url = f"sqlite:///{folder}/hub.sqlite"
    async with hub_app(folder, config) as found:
        yield found


async def _close_http_client() -> None:
    """Close the client that JupyterHub 6 opens for its proxy and does not close itself."""
    if find_spec("jupyterhub.httpclient"):
        from jupyterhub.httpclient import JupyterHubHTTPClient

        await JupyterHubHTTPClient.loop_instance().close()


class Server:
    """A server that is starting, with its spawner, its token and its job."""

    def __init__(self, spawner: FakeSpawner) -> None:
        self.spawner = spawner
        self.token = spawner.api_token = spawner.user.new_api_token(scopes=["users:activity!user"])
        self.start = asyncio.ensure_future(spawner.start())

    async def submitted(self) -> Server:
        while not self.spawner.server_job.state.job_id:
            await asyncio.wait({self.start}, timeout=0.01)
            if self.start.done():
                self.start.result()
        return self

    def runs_on(self, host: str) -> None:
        job_id = self.spawner.server_job.state.job_id
        self.spawner.fake.change(job_id, JobState.RUNNING, exec_host=host)

    async def running(self, host: str = NODE) -> Server:
        await self.submitted()
        self.runs_on(host)
        while not (self.info and self.info.exec_host):
            await self.spawner.monitor().refresh(PATIENCE)
        return self

    @property
    def info(self) -> JobInfo | None:
        """The Hub's last information about the job."""
        tracked = self.spawner.server_job.tracked
        return tracked.info if tracked else None

    @property
    def where(self) -> tuple[str, int]:
        return self.spawner.server_job.state.host, self.spawner.server_job.state.port


@asynccontextmanager
async def starting_server(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, user: str = "ada"
) -> AsyncIterator[Server]:
    """Give a user's default server while it starts, with a fast monitor; it is stopped at the
    end."""
    from unispawner.servers import address

    monkeypatch.setattr(rhythm, "FAST_INTERVAL", 0.02)
    monkeypatch.setattr(rhythm, "LARGEST_SHARE", 1.0)
    monkeypatch.setattr(address, "REPORT_WAITS", 0.2)
    ordinary_account()  # skips the test if there is none
    found = Server(hub.user(user).spawners[""])
    yield found
    found.start.cancel()
    await asyncio.wait({found.start})
    await found.spawner.stop()
    found.spawner.clear_state()
