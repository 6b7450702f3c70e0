"""``unispawner demo``: a Hub on this machine to try, with the scheduler "local".

``ci/quickstart`` installs what the demo needs and runs it. Everything listens on 127.0.0.1 only.
With ``--check`` the demo uses the Hub as a person would, prints "ok" and ends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import os
import pwd
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from unispawner.admin.hub_client import Event, HubClient, HubClientError

LOOPBACK = "127.0.0.1"
USER = "demo"
HUB_UP_SECONDS = 60
"""How long the Hub may take until it answers."""
READY_SECONDS = 90
"""How long a server may take to start, with ``--check``."""
STOP_SECONDS = 30
"""How long the Hub may take to end; after that it is killed."""

CONFIG = """\
# Written by `unispawner demo`: a Hub for one person, to try. Do not use it on a network.
import unispawner

c = get_config()  # noqa: F821 (JupyterHub defines it)

c.JupyterHub.spawner_class = "unispawner"
c.JupyterHub.template_paths = [unispawner.template_path]
c.JupyterHub.concurrent_spawn_limit = 0  # starts that wait in a queue count against it
c.UniSpawner.scheduler = "local"
c.UniSpawner.ip = {ip!r}
c.UniSpawner.cmd = [{singleuser!r}]
c.UniSpawner.default_url = "/lab"
c.UniSpawner.state_dir = {job_dir!r}
# This Hub can act as one account only: everyone who logs in works as that account.
c.UniSpawner.run_as = "same_user"
c.UniSpawner.allow_shared_account = True
c.UniSpawner.min_uid = {min_uid}

c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = {password!r}
c.SharedPasswordAuthenticator.allowed_users = {{{user!r}}}

# On loopback only: the address for browsers, the Hub's API and the proxy's API.
c.JupyterHub.bind_url = {url!r}
c.JupyterHub.hub_ip = {ip!r}
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = {proxy_api_url!r}
c.ConfigurableHTTPProxy.command = {proxy_command!r}
"""

GREETING = """
  Open      {url}
  log in as {user}
  password  {password}

Everyone who logs in here works as the account {account}, because this Hub runs its servers under
its own account (c.UniSpawner.run_as = "same_user"). A Hub for several people uses run_as = "sudo".
The configuration and the log of this Hub are in {directory}.
Ctrl-C stops the Hub and the servers that it started.
"""


class DemoError(Exception):
    """The demo can't start or go on; the message says why and what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``unispawner demo`` with these arguments and return its exit status."""
    options = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        return _check(options) if options.check else _serve(options)
    except DemoError as error:
        print(f"unispawner demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="unispawner demo",
        description="Run a JupyterHub on this machine to try UniSpawner: its servers are processes "
        "of your own account, and it listens on 127.0.0.1 only.",
    )
    parser.add_argument(
        "--port", type=int, default=8000, help="port for browsers (default: %(default)s)"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="do not wait for a browser: log in, start a server, run 6*7 in a kernel, stop the "
        "server, print ok and exit; exit status 1 if a step fails",
    )
    parser.add_argument(
        "--proxy-command",
        type=shlex.split,
        default=["configurable-http-proxy"],
        metavar="COMMAND",
        help="command that starts the proxy (default: configurable-http-proxy, as found on PATH)",
    )
    return parser


def _interrupt(signum: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


# -- a Hub --------------------------------------------------------------------------------------


class DemoHub:
    """A Hub process with its folder; :meth:`running` leaves no process behind."""

    def __init__(self, port: int, proxy_command: Sequence[str], directory: Path) -> None:
        self.port = port
        self.url = f"http://{LOOPBACK}:{port}"
        self.password = secrets.token_urlsafe(12)
        self.account = _account()
        self.directory = directory
        self.log = directory / "hub.log"
        self._config = directory / "jupyterhub_config.py"
        _check_proxy(proxy_command)
        _check_port(port)
        _write_private(self._config, self._config_text(proxy_command))

    def _config_text(self, proxy_command: Sequence[str]) -> str:
        hub_port, api_port = _free_ports(2)
        return CONFIG.format(
            hub_port=hub_port,
            ip=LOOPBACK,
            job_dir=str(self.directory / "jobs"),
            min_uid=min(os.getuid(), 1000),  # on some systems people have lower uids
            password=self.password,
            proxy_api_url=f"http://{LOOPBACK}:{api_port}",
            proxy_command=list(proxy_command),
            singleuser=str(_beside_python("jupyterhub-singleuser")),
            url=self.url,
            user=USER,
        )

    def greeting(self) -> str:
        """Return the text that a person needs to use the Hub: address, password and warning."""
        return GREETING.format(
            account=self.account,
            directory=self.directory,
            password=self.password,
            url=self.url,
            user=USER,
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Start the Hub and wait until it answers; at the end stop it, also after an error."""
        bin_dir = str(_beside_python("x").parent)  # node is here if it was installed from PyPI
        environment = dict(os.environ, PATH=f"{bin_dir}:{os.environ.get('PATH', os.defpath)}")
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", str(self._config)],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches only us, and we stop the Hub in order
            )
        try:
            self._wait_until_up(process)
            yield process
        finally:
            self._stop(process)

    def _wait_until_up(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + HUB_UP_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise DemoError(_ended_early(process.returncode))
            if self._is_up():
                return
            time.sleep(0.1)
        raise DemoError(f"the Hub did not answer within {HUB_UP_SECONDS} s; its log is above")

    def _is_up(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=5)
        try:
            connection.request("GET", "/hub/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        """Stop the Hub, which stops its servers and its proxy; kill Hub and proxy if it hangs."""
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with contextlib.suppress(OSError, ValueError):
            proxy = int((self.directory / "jupyterhub-proxy.pid").read_text())
            if b"configurable-http-proxy" in Path(f"/proc/{proxy}/cmdline").read_bytes():
                os.kill(proxy, signal.SIGKILL)

    def log_end(self, lines: int = 40) -> str:
        """Return the last lines of the Hub's log."""
        with contextlib.suppress(OSError):
            text = self.log.read_text(errors="replace")
            return "\n".join(text.splitlines()[-lines:])
        return ""


def _ended_early(status: int) -> str:
    return f"the Hub ended with exit status {status}; its log is above"


def _account() -> str:
    """Return the name of our own account, under which the servers will run."""
    uid = os.getuid()
    if uid == 0:
        raise DemoError(
            "root can't run the demo, because its servers would run as root: run ci/quickstart,"
            " which creates an account for the demo, or log in as another user"
        )
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        raise DemoError(
            f"this machine has no account with your uid {uid}: run the demo under another account"
        ) from None


def _check_proxy(command: Sequence[str]) -> None:
    if not command or not shutil.which(command[0]):
        raise DemoError(
            f"the proxy's command {shlex.join(command)!r} was not found: run ci/quickstart,"
            " which installs it, or npm install -g configurable-http-proxy, or set --proxy-command"
        )


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            other = port + 1000 if 1024 <= port < 60000 else 9000
            raise DemoError(
                f"port {port} of {LOOPBACK} can't be used ({reason}):"
                f" choose another, for example --port {other}"
            ) from None


def _free_ports(count: int) -> list[int]:
    """Return ports on which nobody listens now, all different: each is held until all are found."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _beside_python(name: str) -> Path:
    """Return the path of a command in the environment of this Python, which need not be on PATH."""
    return Path(sys.executable).parent / name


def _write_private(path: Path, text: str) -> None:
    """Write a file that nobody else can read at any moment: it holds the password."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


# -- the two ways to run it ---------------------------------------------------------------------


def _serve(options: argparse.Namespace) -> int:
    """Run the Hub until it is interrupted."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    directory = state / "unispawner" / f"demo-{options.port}"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    hub = DemoHub(options.port, options.proxy_command, directory)
    with _log_end_on_failure(hub), hub.running() as process:
        print(hub.greeting(), flush=True)
        try:
            status = process.wait()
        except KeyboardInterrupt:
            print("\nStopping the Hub and its servers.", flush=True)
            return 0
        raise DemoError(_ended_early(status))


def _check(options: argparse.Namespace) -> int:
    """Run the Hub, use it as a person would, and stop it."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="unispawner-", ignore_cleanup_errors=True) as folder:
        hub = DemoHub(options.port, options.proxy_command, Path(folder))
        with _log_end_on_failure(hub), hub.running():
            print(f"The Hub answers at {hub.url}", flush=True)
            try:
                asyncio.run(_use_server(hub))
            except (HubClientError, OSError) as error:
                raise DemoError(str(error)) from error
    print(f"All done after {time.monotonic() - started:.0f} s\nok", flush=True)
    return 0


async def _use_server(hub: DemoHub) -> None:
    """Log in, start a server, run a cell in a kernel and stop the server."""
    async with HubClient(hub.url) as client:
        await client.login(USER, hub.password)
        print(f"Logged in as {USER}; starting a server", flush=True)
        await client.start()
        await client.wait_ready(timeout=READY_SECONDS, on_event=_print_event)
        answer = await client.run_cell("6*7")
        print(f"A kernel of the server computed 6*7 = {answer}", flush=True)
        if answer != "42":
            raise DemoError(f"the kernel computed 6*7 = {answer!r} instead of 42")
        await client.stop()
        print("The server has stopped", flush=True)


def _print_event(event: Event) -> None:
    print(f"  {event.get('progress', 0):3}% {event.get('message', '')}", flush=True)


@contextlib.contextmanager
def _log_end_on_failure(hub: DemoHub) -> Iterator[None]:
    """Print the end of the Hub's log if the demo fails."""
    try:
        yield
    except DemoError:
        print(f"--- the last lines of {hub.log} ---\n{hub.log_end()}\n---", file=sys.stderr)
        raise


if __name__ == "__main__":
    sys.exit(main())
