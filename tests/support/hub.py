"""A real JupyterHub for tests, run by an ordinary service user, with npm's proxy.

    hub = RunningHub(Slurm(), config="c.Spawner.http_timeout = 60")
    await hub.start()
    alice = await hub.client("alice")
    hub.set("alice", queue_name="long")     # for her next start, as an administrator's hook does
    await alice.start()
    ...
    hub.kill()                              # kills the Hub alone, with SIGKILL
    await hub.start()                       # the same Hub again
    await hub.close()

The proxy is not the Hub's child, so that the Hub can be killed and started alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import psutil
import pytest
from jupyterhub.utils import make_ssl_context

from support.clusters import Cluster
from unispawner.admin.hub_client import HubClient, HubClientError
from unispawner.run_as.broker import BrokerCommand
from unispawner.run_as.sudo import Sudo

HUB_ACCOUNT = "jupyterhub"
USER_GROUP = "hubusers"
PASSWORD = "of all users"
START_SECONDS = 60
LOG_LINES = 60

CONFIG = """\
import json

c = get_config()
c.JupyterHub.spawner_class = "unispawner.UniSpawner"
c.JupyterHub.concurrent_spawn_limit = 0
c.JupyterHub.allow_named_servers = True
c.JupyterHub.cleanup_servers = False
c.JupyterHub.cleanup_proxy = False
# A start that takes longer (10 s by default) is answered "pending".
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 2}}
c.JupyterHub.log_level = "DEBUG"
c.JupyterHub.bind_url = {url!r}
c.JupyterHub.hub_ip = {hub_ip!r}
c.JupyterHub.hub_port = {hub_port}
c.JupyterHub.db_url = "sqlite:///{folder}/hub.sqlite"
c.JupyterHub.cookie_secret_file = "{folder}/cookie_secret"
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = {proxy_api_url!r}
c.ConfigurableHTTPProxy.auth_token = {proxy_token!r}
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = {password!r}
c.Authenticator.allow_all = True
c.JupyterHub.services = [{{"name": "tests", "api_token": {api_token!r}}}]
c.JupyterHub.load_roles = [
    {{
        "name": "tests",
        "services": ["tests"],
        "scopes": [
            *("admin:users", "admin:servers", "admin:server_state", "tokens", "proxy"),
            "read:metrics",
        ],
    }}
]
c.UniSpawner.cmd = [{singleuser!r}]
c.UniSpawner.broker_group = {group!r}
c.UniSpawner.job_name = {job_name!r}
c.UniSpawner.status_interval = 1
c.UniSpawner.scheduler = {scheduler!r}
c.UniSpawner.scheduler_path = {scheduler_path!r}
c.UniSpawner.scheduler_environment = {scheduler_environment!r}


async def as_the_test_says(spawner):
    with open("{folder}/settings.json") as file:
        settings = json.load(file).get(spawner.user.name, {{}}).get(spawner.name, {{}})
    for name, value in getattr(spawner, "before_the_test", {{}}).items():
        setattr(spawner, name, value)
    spawner.before_the_test = {{name: getattr(spawner, name) for name in settings}}
    for name, value in settings.items():
        setattr(spawner, name, value)


c.Spawner.pre_spawn_hook = as_the_test_says
"""


async def until(find: Callable[[], Any], what: str, seconds: float = 20, pause: float = 0.1) -> Any:
    """Return the result of `find` as soon as it is true; `find` may be a coroutine function."""
    deadline = time.monotonic() + seconds
    while True:
        found = find()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(pause)


def command_line(process: psutil.Process) -> list[str]:
    """Return a process's command line; empty if it has ended."""
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:  # nobody may have waited for it yet
        return []


async def post_form(client: HubClient, path: str, fields: Mapping[str, str | Sequence[str]]) -> Any:
    """Send a page's form as a browser does; return the answer, without following redirections.

    A field may have several values, as a ``<select multiple>`` has.
    """
    await client.request("GET", path)
    xsrf = client._cookies.get("_xsrf", client.url("hub/"))
    body = urlencode({**fields, "_xsrf": xsrf}, doseq=True)
    return await client.request("POST", path, body=body, follow=False)


def free_ports(address: str, count: int) -> list[int]:
    """Return different ports on which nothing listens at the moment.

    They are below those that Linux gives to connections (ip_local_port_range). Otherwise, while a
    Hub restarts, a connection of somebody who asks for it may get its port, even to itself.
    """
    ports: list[int] = []
    for port in random.sample(range(20000, 32000), 1000):
        with contextlib.suppress(OSError), socket.create_server((address, port)):
            ports.append(port)
        if len(ports) == count:
            return ports
    raise AssertionError(f"{address} has no free ports")


def find_program(name: str) -> str | None:
    """Return the path of a program beside the Python that runs the tests, or on PATH."""
    beside = str(Path(sys.executable).parent)
    return shutil.which(name, path=f"{beside}:{os.environ.get('PATH', '')}")


def why_no_hub() -> str:
    """Return why a RunningHub can't be started here; empty if it can."""
    if os.geteuid() != 0:
        return "only root can start a Hub as a service user"
    for name in ("sudo", "setpriv", "configurable-http-proxy", "jupyterhub-singleuser"):
        if find_program(name) is None:
            return f"there is no {name} on PATH"
    try:
        pwd.getpwnam(HUB_ACCOUNT)
    except KeyError:
        return f"there is no account {HUB_ACCOUNT}: ci/slurm/up and the others make one"
    return ""


class RunningHub:
    """A JupyterHub and its proxy. `start()` before use; `close()` stops and removes all.

    Attributes
    ----------
    url
        The address for browsers, which is the proxy's.
    folder
        The Hub's folder, with configuration, database and log.
    job_name
        The name of this Hub's jobs; no other jobs have it.
    """

    running: list[RunningHub] = []
    """The Hubs that are not closed; their logs are shown when a test fails."""
    _scheme = "http"
    """How the Hub, its proxy and the servers speak with each other."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        config: str = "",
        prefix: Sequence[str] = (),
        umask: int = 0o022,
        sudoers: str = "",
        path: str = "",
        account: str = HUB_ACCOUNT,
    ) -> None:
        """Prepare a Hub without starting it.

        Parameters
        ----------
        cluster
            The cluster that its servers run on.
        config
            Lines for jupyterhub_config.py. They come last, so they override the others.
        prefix
            A command that runs the Hub's command: `["prlimit", "--nofile=512"]`.
        umask
            The umask of the Hub.
        sudoers
            The line that lets the Hub act as its users. Default: the lines that administrators of
            UniSpawner are given, so that the Hub uses the broker.
        path
            Folders with other scheduler's commands, which come before the cluster's own.
        account
            The account of the Hub; it may be root.
        """
        self.account = account
        self._sudoers_line = sudoers
        self.prefix, self.umask = list(prefix), umask
        mine = secrets.token_hex(4)
        self.job_name = f"jupyter-{mine}"
        self.folder = Path(tempfile.mkdtemp(prefix="unispawner-hub-"))
        shutil.chown(self.folder, account, account)
        # The last matching line counts. A wider line, with SETENV, must come after another Hub's.
        self._sudoers = Path(f"/etc/sudoers.d/unispawner-tests-{'z' if sudoers else ''}{mine}")
        self._settings: dict[str, dict[str, dict[str, Any]]] = {}
        self._hub: subprocess.Popen[bytes] | None = None
        self._proxy: subprocess.Popen[bytes] | None = None
        self._clients: list[HubClient] = []
        self.api_token, self._proxy_token = secrets.token_hex(16), secrets.token_hex(16)
        self.cluster = cluster
        self.path = ":".join(filter(None, (path, cluster.path)))
        self._choose_addresses()
        self.url = f"http://{self.front_ip}:{self.front_port}/"
        self._proxy_api_url = f"{self._scheme}://{self.front_ip}:{self._proxy_port}"
        self._write_settings()
        self._write_config(self._more_config() + config)
        RunningHub.running.append(self)

    def _choose_addresses(self) -> None:
        self.front_ip = "127.0.0.1"
        self.front_port, self._proxy_port = free_ports(self.front_ip, 2)
        self.hub_ip = self.cluster.hub_ip
        (self.hub_port,) = free_ports(self.hub_ip, 1)

    def _more_config(self) -> str:
        """Return lines of the configuration that come before the test's own."""
        return ""

    # -- its files -----------------------------------------------------------------------------

    def _write_config(self, more: str) -> None:
        text = CONFIG.format(
            url=self.url,
            hub_ip=self.hub_ip,
            hub_port=self.hub_port,
            folder=self.folder,
            proxy_api_url=self._proxy_api_url,
            proxy_token=self._proxy_token,
            password=PASSWORD,
            api_token=self.api_token,
            singleuser=find_program("jupyterhub-singleuser"),
            job_name=self.job_name,
            group=USER_GROUP,
            scheduler=self.cluster.name,
            scheduler_path=self.path,
            scheduler_environment=self.cluster.environment,
        )
        self._write("jupyterhub_config.py", text + more)

    def configure(self, lines: str) -> None:
        """Write other lines in place of the test's own; the Hub reads them at its next start."""
        self._write_config(self._more_config() + lines)

    def _let_it_become_users(self) -> None:
        """Let the Hub act as its users, with the line that administrators are given."""
        lines = [self._sudoers_line] if self._sudoers_line else self._lines()
        # sudo ignores files with a dot in the name, so it never reads an incomplete file.
        draft = self._sudoers.with_name(self._sudoers.name + ".new")
        draft.write_text("".join(f"{line}\n" for line in lines))
        draft.chmod(0o440)
        subprocess.run(["visudo", "-cqf", draft], check=True)
        draft.rename(self._sudoers)

    def _lines(self) -> list[str]:
        """Return a line for the broker, which the Hub uses, and one for `run_as = "sudo"`."""
        broker = BrokerCommand(
            sys.executable,
            group=USER_GROUP,
            path=self.path,
            environment=self.cluster.environment,
        )
        return [
            broker.sudoers_line(HUB_ACCOUNT),
            Sudo(sys.executable).sudoers_line(HUB_ACCOUNT, USER_GROUP),
        ]

    def _write_settings(self) -> None:
        self._write("settings.json", json.dumps(self._settings))

    def _write(self, name: str, text: str) -> None:
        draft = self.folder / f"{name}.new"
        draft.write_text(text)
        shutil.chown(draft, self.account, self.account)
        draft.chmod(0o600)
        draft.rename(self.folder / name)

    def set(self, user: str, server_name: str = "", **settings: Any) -> None:
        """Set traits of a server's spawner from its next start on; traits set before are reset."""
        self._settings.setdefault(user, {})[server_name] = settings
        self._write_settings()

    def log(self) -> str:
        """Return all that the Hub has logged."""
        try:
            return (self.folder / "hub.log").read_text(errors="replace")
        except OSError:
            return ""

    def log_tail(self) -> str:
        return "\n".join(self.log().splitlines()[-LOG_LINES:])

    # -- its processes -------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The Hub's process id."""
        assert self._hub is not None
        return self._hub.pid

    async def start(self) -> None:
        """Start the Hub, and the proxy unless it runs; return when the Hub answers."""
        if self._proxy is None:
            self._let_it_become_users()
            self._proxy = self._start_proxy()
        assert self._hub is None, "the Hub runs already"
        config = str(self.folder / "jupyterhub_config.py")
        self._hub = self._popen(
            [*self.prefix, sys.executable, "-m", "jupyterhub", "-f", config], "hub.log"
        )
        client = HubClient(self.url, request_timeout=5)
        try:
            await until(lambda: self._answers(client), "the Hub answers", START_SECONDS)
        finally:
            client.close()

    async def _answers(self, client: HubClient) -> bool:
        assert self._hub is not None
        assert self._proxy is not None
        for process in (self._hub, self._proxy):
            assert process.poll() is None, f"{process.args!r} ended:\n{self.log_tail()}"
        try:
            return (await client.request("GET", "hub/api/")).code == 200
        except (OSError, HubClientError):
            return False  # the proxy does not listen yet, or a new network is not there yet

    def _start_proxy(self) -> subprocess.Popen[bytes]:
        program = find_program("configurable-http-proxy")
        assert program, "there is no configurable-http-proxy on PATH"
        options = self._proxy_options()
        hub = f"{self._scheme}://{self.hub_ip}:{self.hub_port}"
        command = [program, f"--ip={self.front_ip}", f"--port={self.front_port}"]
        command += [f"--api-ip={self.front_ip}", f"--api-port={self._proxy_port}"]
        command += [f"--default-target={hub}", f"--error-target={hub}/hub/error", *options]
        return self._popen(command, "proxy.log", CONFIGPROXY_AUTH_TOKEN=self._proxy_token)

    def _proxy_options(self) -> list[str]:
        """Return further options of the proxy."""
        return []

    def _popen(self, command: list[str], log: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a command as the Hub's account, without the environment of the tests."""
        become = ["setpriv", f"--reuid={self.account}", f"--regid={self.account}", "--init-groups"]
        with open(self.folder / log, "ab") as output:
            return subprocess.Popen(
                [*self._enter(), *become, "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={
                    "HOME": str(self.folder),
                    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                    "LANG": "C.UTF-8",
                    **environment,
                },
                umask=self.umask,
                start_new_session=True,
            )

    def _enter(self) -> list[str]:
        """Return the words before a command of the Hub that run it where the Hub is."""
        return []

    def kill(self) -> None:
        """Kill the Hub alone, with SIGKILL."""
        self._end_hub(signal.SIGKILL)

    async def terminate(self) -> None:
        """End the Hub with SIGTERM, as a service manager does, and wait for its end."""
        await asyncio.to_thread(self._end_hub, signal.SIGTERM)

    def _end_hub(self, number: int) -> None:
        if self._hub is not None:
            self._hub.send_signal(number)
            self._hub.wait(30)
            self._hub = None

    def kill_proxy(self) -> None:
        """Kill the proxy alone, with SIGKILL; it forgets all routes."""
        assert self._proxy is not None
        self._proxy.kill()
        self._proxy.wait(30)

    def start_proxy(self) -> None:
        """Start the proxy again."""
        self._proxy = self._start_proxy()

    def forbid_sudo(self) -> None:
        """Let sudo refuse everything to the Hub."""
        self._sudoers.rename(self._sudoers_away)

    def permit_sudo(self) -> None:
        """Let sudo permit again what it did before `forbid_sudo`."""
        self._sudoers_away.rename(self._sudoers)

    @property
    def _sudoers_away(self) -> Path:
        return self._sudoers.with_name(f"{self._sudoers.name}.away")  # sudo ignores it for its dot

    def brokers(self) -> list[psutil.Process]:
        """Return the broker's own processes: below the Hub, and no child that serves a user."""
        below = psutil.Process(self.pid).children(recursive=True)
        ours = [one for one in below if "unispawner.broker" in command_line(one)]
        return [one for one in ours if one.ppid() not in [other.pid for other in ours]]

    async def close(self) -> None:
        """Stop the Hub and the proxy in any state, and remove their files."""
        try:
            for client in self._clients:
                client.close()
            await self.terminate()
        finally:
            self.kill()
            if self._proxy is not None:
                self._proxy.kill()
                self._proxy.wait(30)
            self._sudoers.unlink(missing_ok=True)
            self._sudoers_away.unlink(missing_ok=True)
            RunningHub.running.remove(self)
            shutil.rmtree(self.folder, ignore_errors=True)

    # -- requests to it ------------------------------------------------------------------------

    async def client(self, user: str) -> HubClient:
        """Return a browser in which the user has logged in; it is closed with the Hub."""
        client = HubClient(self.url)
        self._clients.append(client)
        await client.login(user, PASSWORD)
        return client

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        """Call the Hub's REST API as an administrator; raise HubClientError for 400 and above."""
        return await self._call(method, f"{self.url}hub/api/{path}", self.api_token, body)

    async def server(self, user: str, server_name: str = "") -> dict[str, Any]:
        """Return a server as the Hub shows it to an administrator, with its saved state.

        It is `{}` if there is no server.
        """
        model = await self.api("GET", f"users/{user}?include_stopped_servers")
        return dict(model["servers"].get(server_name) or {})

    async def state(self, user: str, server_name: str = "") -> dict[str, Any]:
        """Return a server's saved state: `job_id`, `mark`, `host`, `port` …; `{}` if there is
        none."""
        return dict((await self.server(user, server_name)).get("state") or {})

    async def job_id(self, user: str, server_name: str = "") -> str:
        """Return the id of a server's job as soon as the Hub has it; a wrapper may be around it."""

        async def find() -> str:
            state = await self.state(user, server_name)
            return str(state.get("child_state", state).get("job_id", ""))

        return str(await until(find, f"a job for {user}'s server {server_name!r}"))

    async def routes(self) -> dict[str, str]:
        """Return the targets of the proxy's routes, by path."""
        table = await self._call("GET", f"{self._proxy_api_url}/api/routes", self._proxy_token)
        return {path: route["target"] for path, route in table.items()}

    async def _call(
        self, method: str, url: str, token: str, body: Any = None, **options: Any
    ) -> Any:
        client = HubClient(self.url)
        try:
            response = await client.request(
                method,
                url,
                body=None if body is None else json.dumps(body),
                headers={"Authorization": f"token {token}"},
                allow_nonstandard_methods=True,
                **options,
            )
        finally:
            client.close()
        text = response.body.decode() if response.body else ""
        if response.code >= 400:
            raise HubClientError(f"{method} {url}", response.code, text)
        return json.loads(text) if text else None


AnyHub = TypeVar("AnyHub", bound=RunningHub)


@contextlib.asynccontextmanager
async def running_hub(cluster: Cluster, **arguments: Any) -> AsyncIterator[RunningHub]:
    """Give a Hub on a cluster; at the end none of its jobs is left."""
    if reason := why_no_hub():
        pytest.skip(f"no Hub: {reason}")
    async with started(RunningHub(cluster, **arguments)) as running:
        yield running


@contextlib.asynccontextmanager
async def started(hub: AnyHub) -> AsyncIterator[AnyHub]:
    """Start a Hub; at the end it is stopped, and none of its jobs is left."""
    try:
        await hub.start()
        yield hub
    finally:
        await hub.close()
        hub.cluster.cancel_named(hub.job_name)


class EncryptedHub(RunningHub):
    """A Hub with ``internal_ssl``: Hub, proxy and servers check each other's certificates."""

    _scheme = "https"

    def _more_config(self) -> str:
        return f"""{super()._more_config()}
c.JupyterHub.internal_ssl = True
c.JupyterHub.trusted_alt_names = ["IP:{self.hub_ip}"]
"""

    @property
    def certificates(self) -> Path:
        """The folder with the Hub's own keys and certificates."""
        return self.folder / "internal-ssl"

    async def route(self, path: str, target: str) -> None:
        """Let the proxy send requests for a path to a target."""
        url = f"{self._proxy_api_url}/api/routes/{path}"
        await self._call("POST", url, self._proxy_token, {"target": target})

    def _proxy_options(self) -> list[str]:
        """Have JupyterHub make its certificates; return its options for a proxy."""
        config = str(self.folder / "jupyterhub_config.py")
        make = [sys.executable, "-m", "jupyterhub", "--generate-certs", "-f", config]
        assert 0 == self._popen(make, "hub.log").wait(60), self.log_tail()
        store = self.certificates
        options = []
        for side, name in (("api", "proxy-api"), ("client", "proxy-client")):
            folder = store / name
            options += [f"--{side}-ssl-key={folder / name}.key"]
            options += [f"--{side}-ssl-cert={folder / name}.crt"]
            options += [f"--{side}-ssl-ca={store / f'{name}-ca_trust.crt'}"]
            options += [f"--{side}-ssl-request-cert", f"--{side}-ssl-reject-unauthorized"]
        return options

    async def _call(self, method: str, url: str, token: str, body: Any = None, **_: Any) -> Any:
        """Call an API with the Hub's own certificate, for which the proxy asks."""
        store = self.certificates
        context = make_ssl_context(
            str(store / "hub-internal" / "hub-internal.key"),
            str(store / "hub-internal" / "hub-internal.crt"),
            cafile=str(store / "hub-ca_trust.crt"),
        )
        return await super()._call(method, url, token, body, ssl_options=context)
