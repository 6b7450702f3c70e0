"""Submits the probe's job, follows it, and always removes it."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import secrets
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jupyterhub
from tornado.httpclient import AsyncHTTPClient

from .... import tasks
from ....errors import InvalidJobError, UniSpawnerError
from ....job import JobSpec, JobState, make_mark, probe_file
from ....monitor.tracked_job import TrackedJob
from ....run_as.accounts import find_account
from ....run_as.client import AgentClient
from ....script.from_template import launcher_options
from ....script.rendering import launcher_source
from ....servers.address import ask_for_host, check_address
from ....servers.search_paths import drop_unsettable
from ....servers.spawner import UniSpawner
from ....settings.names import fill_folder
from ....web.own_host import Address
from ...signals import cancelled_by_signals
from ..results import Outcome, Result
from . import addresses, on_node
from .answers import SHELL, clean_line
from .identity import read_identity
from .listener import Listener
from .verdicts import Journey, judge

PAUSE = 0.3
"""The pause (seconds) between two looks at what the job has said."""
LOG_PAUSE = 1.0
"""The same for the job's log, which an agent of the account reads."""
LOG_LINES = 400
REMOVE_SECONDS = 60.0
"""How long the removal of the job may take."""
AFTER_END = 5.0
"""How long the log of a job that has ended is awaited: a network file system is late."""
PORT_SECONDS = 10.0
_BOOT = "import os; exec(os.environ['UNISPAWNER_PROBE'])"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Emit = Callable[[Result], None]


class Interrupted(Exception):
    """A signal has ended the probe; its job is removed."""


async def probe(spawner: UniSpawner, name: str, folder: Path, timeout: float, emit: Emit) -> None:
    """Submit a job of an account, and report what it finds.

    Parameters
    ----------
    spawner
        A spawner with the settings of the job; its user has the account's name.
    folder
        Where the Hub is started.
    timeout
        How long (seconds) everything may take, with the time in the queue. The removal of the job
        has more.
    emit
        Takes each result.

    Raises
    ------
    UniSpawnerError
        If no job could be submitted.
    Interrupted
        If a signal ended it.
    """
    run = _Run(spawner, name, folder, timeout, emit)
    work = asyncio.ensure_future(run.work())
    with cancelled_by_signals(work, _SIGNALS):
        try:
            await work
        except asyncio.CancelledError:
            raise Interrupted from None
        finally:
            await run.remove()


class _Run:
    """One probe."""

    def __init__(
        self, spawner: UniSpawner, name: str, folder: Path, timeout: float, emit: Emit
    ) -> None:
        self._spawner, self._name, self._folder = spawner, name, folder
        self._timeout, self._emit = timeout, emit
        self._deadline = time.monotonic() + timeout
        self._token = secrets.token_hex(16)
        self._client: AgentClient | None = None
        self._spec: JobSpec | None = None
        self._listener: Listener | None = None
        self._submission: asyncio.Task[str] | None = None
        self._tracked: TrackedJob | None = None
        self._home_file = ""

    async def work(self) -> None:
        """Do everything but the removal."""
        spawner = self._spawner
        await spawner.find_way()
        await spawner.find_scheduler()
        account = await find_account(self._name, spawner.min_uid, host=spawner.get_host())
        hub = addresses.find_hub(spawner.config, spawner)
        identity, tls = None, None
        if spawner.config.JupyterHub.get("internal_ssl"):
            identity, tls = read_identity(spawner, spawner.config, self._folder)
        listening, free = addresses.listen(hub)
        listener = self._listener = Listener(hub.path, self._token, tls)
        listener.start(listening)
        doctor = hub if free else hub.with_port(listening.getsockname()[1])
        version = jupyterhub.__version__
        if not free:
            version = await self._ask_running_hub(hub, version)
        self._client = spawner.agent_client(account)
        self._spec = self._make_spec(hub, doctor, account.name, account.home)
        journey = Journey(
            hub,
            version,
            list(spawner.cmd),
            self._timeout,
            prologue=spawner.prologue,
            hub_runs=not free,
        )
        await self._submit(journey, identity.files if identity else None)
        await self._follow(journey)
        if journey.answers.complete:
            await self._try_port(journey)
        await self._look_for_home(journey)
        for result in judge(journey):
            self._emit(result)

    async def _ask_running_hub(self, hub: addresses.HubAddress, default: str) -> str:
        """Report that the Hub's port is taken; return the version of the Hub that has it."""
        host = "127.0.0.1" if hub.host in addresses.WILDCARDS else hub.host
        url = f"http://{f'[{host}]' if ':' in host else host}:{hub.port}{hub.path}/"
        version = ""
        if hub.scheme == "http":
            with contextlib.suppress(Exception):  # whatever program has the port
                answer = await AsyncHTTPClient().fetch(url, request_timeout=10, max_redirects=0)
                version = clean_line(str(json.loads(answer.body[:65536])["version"]))
        who = f"the Hub (JupyterHub {version})" if version else "another program, or the Hub,"
        self._emit(
            Result(
                "probe.listen",
                "probe listen",
                Outcome.OK,
                f"{who} has port {hub.port}, so the doctor listens on another port for the job's "
                "answers: whether the running Hub would accept a report is not proved by this",
            )
        )
        return version or default

    # -- the job ---------------------------------------------------------------------------------

    def _make_spec(
        self, hub: addresses.HubAddress, doctor: addresses.HubAddress, account: str, home: str
    ) -> JobSpec:
        """Return the job of a start, with the probe in the launcher's place."""
        spawner = self._spawner
        mark = make_mark("", time.time())
        state_dir = fill_folder(spawner.state_dir_text(), account)
        if state_dir != "~" and not state_dir.startswith(("~/", f"{home.rstrip('/')}/")):
            self._home_file = f"{home}/{probe_file(mark)}"
        plain = {k: v for k, v in spawner.environment.items() if isinstance(v, str)}
        scheme = "https" if hub.scheme == "https" else "http"
        environment = {
            **drop_unsettable(plain, spawner.log),
            "JUPYTERHUB_API_URL": doctor.url,
            "JUPYTERHUB_API_TOKEN": self._token,
            "JUPYTERHUB_SERVICE_URL": f"{scheme}://{spawner.ip}:{spawner.port}/",
            on_node.HUB: hub.url,
            on_node.SECONDS: str(int(self._timeout) + 30),
            on_node.HOME_FILE: self._home_file.rpartition("/")[2],
            on_node.PROBE: job_text(),
        }
        spec = spawner.job_spec(mark, environment, account)
        if spawner.get_scheduler().dialect is None:
            arguments = (spec.arguments[0], "-c", _BOOT, *spec.arguments[2:])
        else:  # the site's script runs the launcher itself, and that runs the probe as a server
            options, command = launcher_options(spec)
            inner = [spec.executable, "-I", "-c", _BOOT, *options, "--", *command]
            arguments = (*spec.arguments[:2], *options, "--", *inner)
        prologue = f"{_PROLOGUE}\n{spec.prologue}".rstrip("\n")
        return replace(spec, arguments=arguments, prologue=prologue)

    async def _submit(self, journey: Journey, certificates: Any) -> None:
        client, spec, spawner = self._client, self._spec, self._spawner
        assert client and spec
        began = time.monotonic()
        self._submission = tasks.start(
            client.submit(spec, spawner.job_shell, certificates=certificates), "probe"
        )
        job_id = await asyncio.shield(self._submission)
        journey.submit_seconds = time.monotonic() - began
        self._emit(
            Result(
                "probe.submit",
                "probe submit",
                Outcome.OK,
                f"{spawner.get_scheduler().title} took job {job_id} of {self._name} in "
                f"{journey.submit_seconds:.1f} s",
            )
        )
        self._tracked = TrackedJob(job_id, client)
        spawner.monitor().track(self._tracked, submitted=True)

    async def _follow(self, journey: Journey) -> None:
        """Collect what the job says until it has said all, has ended, or the time is over."""
        tracked, listener = self._tracked, self._listener
        assert tracked and listener
        began = time.monotonic() - (journey.submit_seconds or 0.0)
        log_at, ended_at = 0.0, 0.0
        while True:
            now = time.monotonic()
            while not listener.reports.empty():
                journey.answers.take_report(*listener.reports.get_nowait())
            info = journey.info = tracked.info
            runs = info is not None and info.state not in (JobState.QUEUED, JobState.HELD)
            if (runs or journey.answers.found) and now - log_at > LOG_PAUSE:
                await self._read_log(journey)
                log_at = time.monotonic()
            if journey.answers.complete and (journey.answers.arrived or _gave_up(journey)):
                break
            if tracked.final and not ended_at:
                ended_at = now
            if ended_at and now - ended_at > AFTER_END:
                break
            if now > self._deadline:
                journey.timed_out = True
                break
            await asyncio.sleep(PAUSE)
        journey.total_seconds = time.monotonic() - began
        await self._read_log(journey)

    async def _read_log(self, journey: Journey) -> None:
        client, spec = self._client, self._spec
        assert client and spec
        journey.log_path = f"{client.log_dir or f'{client.state_dir}/logs'}/{spec.mark}.log"
        with contextlib.suppress(UniSpawnerError):  # the next look may succeed
            tail, size = await client.log_end(spec.mark, LOG_LINES)
            if size:
                journey.log_seen = True
                journey.answers.take_log(tail)
                if "begun" in journey.answers.found:
                    journey.log_read = journey.log_read or time.time()

    async def _try_port(self, journey: Journey) -> None:
        """Connect to the probe's port on the node, if the scheduler says that the job is there."""
        port, tracked, spawner = journey.answers.get("port"), self._tracked, self._spawner
        if port is None or not port.ok or tracked is None or port.port < 1024:
            return
        monitor = spawner.monitor()

        async def on_own_host(found: set[Address], own: set[Address]) -> str:
            return min(map(str, found & own))

        try:
            await ask_for_host(tracked, monitor)
            address = await check_address(
                tracked,
                port.text,
                spawner.host_map,
                monitor,
                asker=self._name,
                on_own_host=on_own_host,
            )
        except UniSpawnerError as error:
            journey.host_error = error.message
            return
        began = time.monotonic()
        try:
            await asyncio.wait_for(self._shake_hands(address, port.port), PORT_SECONDS)
        except asyncio.TimeoutError:
            journey.port_error = f"no answer within {PORT_SECONDS:g} s at {address}"
        except (OSError, InvalidJobError) as error:
            journey.port_error = clean_line(str(error))
        else:
            journey.port_seconds = time.monotonic() - began

    async def _shake_hands(self, address: str, port: int) -> None:
        reader, writer = await asyncio.open_connection(address, port)
        try:
            question = secrets.token_hex(16).encode()
            writer.write(question + b"\n")
            answer = (await reader.read(200)).strip()
            if not hmac.compare_digest(answer, on_node.sign(self._token, question).encode()):
                raise InvalidJobError(f"another program answers at {address}")
        finally:
            writer.transport.abort()

    async def _look_for_home(self, journey: Journey) -> None:
        home = journey.answers.get("home")
        if self._home_file and home is not None and home.ok and self._client is not None:
            with contextlib.suppress(UniSpawnerError):
                found = await self._client.check_path(self._home_file, "file")
                journey.home_seen = found is None or found.problem != "missing"

    # -- the end ---------------------------------------------------------------------------------

    async def remove(self) -> None:
        """End the job, also one whose submission is under way, and stop listening."""
        try:
            await asyncio.wait_for(self._remove_job(), REMOVE_SECONDS)
        except (UniSpawnerError, asyncio.TimeoutError) as error:
            job = self._tracked.job_id if self._tracked else "of the account, if there is one,"
            why = str(error) or f"not within {REMOVE_SECONDS:g} s"
            self._emit(
                Result(
                    "probe.removed",
                    "probe removed",
                    Outcome.WRONG,
                    f"the probe's job {job} could not be ended: {why}",
                    "Cancel it yourself; it also ends by itself within the given time after it "
                    "has begun",
                )
            )
        finally:
            if self._listener is not None:
                await self._listener.close()

    async def _remove_job(self) -> None:
        client, spec = self._client, self._spec
        if client is None or spec is None or self._submission is None:
            return
        job_id = await self._find_job(client, spec)
        if job_id:
            await client.cancel(job_id)
            tracked = self._tracked or TrackedJob(job_id, client)
            monitor = self._spawner.monitor()
            monitor.track(tracked)
            while not tracked.over:
                tracked.stopping = True
                monitor.expect_end(tracked)
                await asyncio.sleep(PAUSE)
            tracked.cancelled = True
            monitor.untrack(tracked)
            self._emit(
                Result("probe.removed", "probe removed", Outcome.OK, f"job {job_id} is ended")
            )
        await client.cleanup(spec.mark, probe=bool(self._home_file))

    async def _find_job(self, client: AgentClient, spec: JobSpec) -> str:
        """Return the id of the job; empty if there is certainly none."""
        assert self._submission
        try:
            return await self._submission
        except UniSpawnerError as error:
            refused = isinstance(error, InvalidJobError) or error.unsent
            return "" if refused else await client.find(spec.mark)


def _gave_up(journey: Journey) -> bool:
    """Return whether the job could not send its report."""
    return "report" in journey.answers.found


@cache
def job_text() -> str:
    """Return the program of the job: the launcher's text, and the probe's."""
    probe_source = files(__package__).joinpath("on_node.py").read_text(encoding="utf-8")
    return "\n".join(
        [
            "import sys, types",
            "launcher, probe = types.ModuleType('launcher'), types.ModuleType('probe')",
            f"exec({launcher_source()!r}, launcher.__dict__)",
            f"exec({probe_source!r}, probe.__dict__)",
            "sys.exit(probe.main(launcher, sys.argv[1:]))",
        ]
    )


_FOUND = json.dumps({"name": SHELL, "ok": True, "text": "WORD"})
_PROLOGUE = f"""\
UNISPAWNER_PROBE_SHELL=$$; export UNISPAWNER_PROBE_SHELL
if type module >/dev/null 2>&1; then
  echo '{on_node.PREFIX}{_FOUND.replace("WORD", "module")}' >&2
else
  echo '{on_node.PREFIX}{_FOUND.replace("WORD", "none")}' >&2
fi"""
"""What the job's shell runs between its start-up files and the prologue of the configuration."""
