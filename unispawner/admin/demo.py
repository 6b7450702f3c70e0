"""`unispawner demo`: a Hub on this machine to look at, with the `local` scheduler.

`ci/quickstart` installs what this needs and calls it. Everything listens on loopback only. With
`--check` the demo tries itself as a user would, prints "ok" and ends.
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
READY_SECONDS = 90
STOP_SECONDS = 30

CONFIG = """\
# Written by `unispawner demo`: a Hub for one person, to look at. Do not put it on a network.
import unispawner

c = get_config()  # noqa: F821

c.JupyterHub.spawner_class = "unispawner"
c.JupyterHub.template_paths = [unispawner.template_path]
c.JupyterHub.concurrent_spawn_limit = 0  # starts that queue would count against it
c.UniSpawner.scheduler = "local"
c.UniSpawner.ip = {ip!r}
c.UniSpawner.cmd = [{singleuser!r}]
c.UniSpawner.default_url = "/lab"
c.UniSpawner.state_dir = {job_dir!r}
# This Hub has the rights of one account only: whoever logs in works as that account.
c.UniSpawner.run_as = "same_user"
c.UniSpawner.allow_shared_account = True
c.UniSpawner.min_uid = {min_uid}

c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = {password!r}
c.SharedPasswordAuthenticator.allowed_users = {{{user!r}}}

# Loopback only: the address for browsers, the Hub's own, and that of the proxy's API.
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

Whoever logs in here works as the account {account}: this Hub runs as {account} and can become
nobody else (run_as = "same_user"). A Hub for several people has run_as = "sudo" or "fork".
Configuration and log are in {directory}.
Ctrl-C ends the Hub and the servers it started.
"""


class DemoError(Exception):
    """The demo can't go on; the message says what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `unispawner demo` with these arguments; returns the exit status."""
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
        description="Run a JupyterHub on this machine, with the local scheduler, on loopback only.",
    )
    parser.add_argument(
        "--port", type=int, default=8000, help="the port for browsers (default: %(default)s)"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="log in, run a cell in a server, stop, print ok; exit status 1 if that fails",
    )
    parser.add_argument(
        "--proxy-command",
        type=shlex.split,
        default=["configurable-http-proxy"],
        metavar="COMMAND",
        help="how to start configurable-http-proxy (default: as found on PATH)",
    )
    return parser


def _interrupt(signum: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


# -- a Hub --------------------------------------------------------------------------------------


class DemoHub:
    """A Hub process with its folder; `stop` leaves no process behind."""

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
            min_uid=min(os.getuid(), 1000),  # a person's own account may well be below 1000
            password=self.password,
            proxy_api_url=f"http://{LOOPBACK}:{api_port}",
            proxy_command=list(proxy_command),
            singleuser=str(_beside_python("jupyterhub-singleuser")),
            url=self.url,
            user=USER,
        )

    def greeting(self) -> str:
        """What a person must know to use it."""
        return GREETING.format(
            account=self.account,
            directory=self.directory,
            password=self.password,
            url=self.url,
            user=USER,
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Start the Hub and wait until it answers; stop it at the end, come what may."""
        bin_dir = str(_beside_python("x").parent)  # where node is, if it came from PyPI
        environment = dict(os.environ, PATH=f"{bin_dir}:{os.environ.get('PATH', os.defpath)}")
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", str(self._config)],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us: we end the Hub in good order
            )
        try:
            self._wait_up(process)
            yield process
        finally:
            self._stop(process)

    def _wait_up(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + HUB_UP_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise DemoError(f"the Hub ended with exit status {process.returncode}")
            if self._answers():
                return
            time.sleep(0.1)
        raise DemoError(f"the Hub did not answer within {HUB_UP_SECONDS} s")

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=5)
        try:
            connection.request("GET", "/hub/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        """Ask the Hub to end, which stops its servers and its proxy; else kill Hub and proxy."""
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
        """The last lines of the Hub's log."""
        with contextlib.suppress(OSError):
            text = self.log.read_text(errors="replace")
            return "\n".join(text.splitlines()[-lines:])
        return ""


def _account() -> str:
    uid = os.getuid()
    if uid == 0:
        raise DemoError(
            "servers are never started as root, and with the demo's one account they would be:"
            " run ci/quickstart, which makes an account for this, or be somebody else"
        )
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        raise DemoError(f"this machine has no account with our uid {uid}") from None


def _check_proxy(command: Sequence[str]) -> None:
    if not command or not shutil.which(command[0]):
        raise DemoError(
            f"there is no command {shlex.join(command)!r}: run ci/quickstart, which installs the"
            " proxy, or npm install -g configurable-http-proxy, or give --proxy-command"
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
                f" take another, for example --port {other}"
            ) from None


def _free_ports(count: int) -> list[int]:
    """Ports nobody listens on just now. All are held until all are found: no two are the same."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _beside_python(name: str) -> Path:
    """A command of the environment we run in, which need not be on PATH."""
    return Path(sys.executable).parent / name


def _write_private(path: Path, text: str) -> None:
    """Write a file that only we may read: the password must not be seen, not even for a moment."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


# -- what can be done with it -------------------------------------------------------------------


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
            print("\nstopping the Hub and its servers", flush=True)
            return 0
        raise DemoError(f"the Hub ended with exit status {status}")


def _check(options: argparse.Namespace) -> int:
    """Run the Hub, use it as a user would, and stop it."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="unispawner-", ignore_cleanup_errors=True) as folder:
        hub = DemoHub(options.port, options.proxy_command, Path(folder))
        with _log_end_on_failure(hub), hub.running():
            print(f"the Hub is up at {hub.url}", flush=True)
            try:
                asyncio.run(_use(hub))
            except (HubClientError, OSError) as error:
                raise DemoError(str(error)) from error
    print(f"done after {time.monotonic() - started:.0f} s\nok", flush=True)
    return 0


async def _use(hub: DemoHub) -> None:
    async with HubClient(hub.url) as client:
        await client.login(USER, hub.password)
        print(f"logged in as {USER}", flush=True)
        await client.start()
        await client.wait_ready(timeout=READY_SECONDS, on_event=_print_event)
        answer = await client.run_cell("6*7")
        print(f"a kernel behind the proxy says 6*7 = {answer}", flush=True)
        if answer != "42":
            raise DemoError(f"6*7 should be 42, but the kernel answered {answer!r}")
        await client.stop()
        print("the server has stopped", flush=True)


def _print_event(event: Event) -> None:
    print(f"  {event.get('progress', 0):3}% {event.get('message', '')}", flush=True)


@contextlib.contextmanager
def _log_end_on_failure(hub: DemoHub) -> Iterator[None]:
    try:
        yield
    except DemoError:
        print(f"--- the end of the Hub's log ---\n{hub.log_end()}\n---", file=sys.stderr)
        raise


if __name__ == "__main__":
    sys.exit(main())
