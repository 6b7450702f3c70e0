"""``unispawner probe``: goes the whole way of a user over HTTP, for a monitor.

It logs in, starts a server, runs ``6*7`` in a kernel and stops the server. A monitoring system runs
it from cron, or reads the file of ``--metrics-file`` with Prometheus' node exporter.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InvalidJobError, clean_output
from .hub_client import CellError, Event, HubClient, HubClientError, StartError
from .secret_files import read_secret
from .signals import cancelled_by_signals

TOKEN = "JUPYTERHUB_API_TOKEN"  # noqa: S105 (the name of a variable)
PASSWORD = "UNISPAWNER_PROBE_PASSWORD"  # noqa: S105 (the name of a variable)
STOP_SECONDS = 60.0
"""How long a stop may take after the time of the whole probe is over."""
_SHOWN = 2000


class ProbeError(Exception):
    """A step failed; the message says what to do."""


@dataclass
class Step:
    """A step of a user's way: ``login``, ``start``, ``ready``, ``kernel`` or ``stop``."""

    name: str
    seconds: float = 0.0
    error: str = ""


@dataclass
class Result:
    """What a probe saw; ``steps`` are in their order, and the last may have failed."""

    url: str
    user: str
    server: str
    began: float
    steps: list[Step] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return bool(self.steps) and not any(step.error for step in self.steps)

    def to_json(self) -> str:
        """Return the result with times in seconds; ``began`` is a Unix time."""
        return json.dumps({"ok": self.ok, **asdict(self)}, indent=2)

    def metrics(self) -> str:
        """Return the result in the text format of Prometheus, without names of users."""
        lines = [
            "# HELP unispawner_probe_success Whether a user can log in, start a server and use it.",
            "# TYPE unispawner_probe_success gauge",
            f"unispawner_probe_success {int(self.ok)}",
            "# HELP unispawner_probe_timestamp_seconds When the last probe began.",
            "# TYPE unispawner_probe_timestamp_seconds gauge",
            f"unispawner_probe_timestamp_seconds {self.began:.0f}",
            "# HELP unispawner_probe_step_seconds How long each step of the last probe took.",
            "# TYPE unispawner_probe_step_seconds gauge",
        ]
        lines += [
            f'unispawner_probe_step_seconds{{step="{step.name}"}} {step.seconds:.3f}'
            for step in self.steps
        ]
        lines += [
            "# HELP unispawner_probe_step_success Whether each step of the last probe worked.",
            "# TYPE unispawner_probe_step_success gauge",
        ]
        lines += [
            f'unispawner_probe_step_success{{step="{step.name}"}} {int(not step.error)}'
            for step in self.steps
        ]
        return "\n".join(lines) + "\n"


def run(options: argparse.Namespace) -> int:
    """Run the probe and report; return 1 if a step has failed."""
    if options.password_file and options.token_file:
        raise InvalidJobError("--password-file and --token-file: give only one of the two")
    if options.password_file or (PASSWORD in os.environ and not options.token_file):
        secret, by_token = read_secret(options.password_file, PASSWORD, "--password-file"), False
    else:
        secret, by_token = read_secret(options.token_file, TOKEN, "--token-file"), True
    if not secret:
        raise InvalidJobError(
            "--password-file: name a file with the password of the account for the probe, or name "
            "a file with its API token with --token-file"
        )
    if options.ca_file and not os.access(options.ca_file, os.R_OK):
        raise InvalidJobError(f"--ca-file: {options.ca_file} can't be read")
    # Tornado logs tracebacks when the probe leaves a stream of progress because its time is over. A
    # monitor would mail them; the result has the step that failed.
    logging.getLogger("tornado").addHandler(logging.NullHandler())
    result = asyncio.run(_Probe(options, secret, by_token).run())
    if options.metrics_file:
        _replace(Path(options.metrics_file), result.metrics())
    if options.json:
        print(result.to_json())
    return 0 if result.ok else 1


class _Probe:
    """One run of the command."""

    def __init__(self, options: argparse.Namespace, secret: str, by_token: bool) -> None:
        self._options = options
        self._secret = secret
        self._by_token = by_token
        self._deadline: float = time.monotonic() + options.timeout
        self._started = False
        self._result = Result(options.url, options.user, options.server, time.time())

    async def run(self) -> Result:
        """Go through the steps up to the first that fails, and stop what was started."""
        timeout = min(60.0, self._options.timeout)
        async with HubClient(
            self._options.url, request_timeout=timeout, ca_file=self._options.ca_file
        ) as client:
            task = asyncio.ensure_future(self._use_server(client))
            with cancelled_by_signals(task):
                try:
                    await task
                except ProbeError:
                    pass  # it is in the result
                except asyncio.CancelledError:
                    if not self._result.steps or not self._result.steps[-1].error:
                        self._result.steps.append(Step("interrupted", error="a signal ended it"))
                await self._stop(client)
        return self._result

    async def _use_server(self, client: HubClient) -> None:
        options = self._options
        async with self._step("login"):
            if self._by_token:
                await client.use_token(options.user, self._secret)
            else:
                await client.login(options.user, self._secret)
        async with self._step("start"):
            await self._make_room(client)
            self._started = True  # as long as the Hub has not refused it
            try:
                await client.start(options.server, self._user_options())
            except HubClientError as error:
                self._started = not 400 <= error.status < 500
                raise
        async with self._step("ready"):
            await client.wait_ready(
                options.server, timeout=self._left(), on_event=self._print_event
            )
        async with self._step("kernel"):
            answer = await client.run_cell("6*7", options.server, timeout=self._left())
            if answer != "42":
                raise ProbeError(f"a kernel computed 6*7 = {answer!r}")

    async def _make_room(self, client: HubClient) -> None:
        """Stop a server that an earlier probe has left, if that is permitted."""
        if self._options.server not in await client.servers():
            return
        name = f"server {self._options.server!r}" if self._options.server else "default server"
        if not self._options.replace:
            raise ProbeError(
                f"{self._options.user} already has a {name}. If an earlier probe has left it, add "
                "--replace, which stops it first; use an account that belongs to the probe alone"
            )
        await client.stop(self._options.server, timeout=self._left())

    async def _stop(self, client: HubClient) -> None:
        """Stop the server if we may have started it."""
        if not self._started:
            return
        self._deadline = max(self._deadline, time.monotonic() + STOP_SECONDS)
        name = self._options.server
        with contextlib.suppress(ProbeError):
            async with self._step("stop"):
                if name or name in await client.servers():  # a start that failed left none
                    await client.stop(name, remove=bool(name), timeout=STOP_SECONDS)

    @contextlib.asynccontextmanager
    async def _step(self, name: str) -> AsyncIterator[None]:
        """Measure a step, end it at the deadline, and report its error."""
        step = Step(name)
        began = time.monotonic()
        try:
            async with _time_limit(self._left()):
                yield
        except asyncio.CancelledError:
            step.error = "the probe was ended by a signal"
            raise
        except Exception as error:
            step.error = _describe(error, self._options)
            raise ProbeError(step.error) from error
        finally:
            step.seconds = round(time.monotonic() - began, 3)
            self._result.steps.append(step)
            self._print(step)

    def _left(self) -> float:
        return max(0.1, self._deadline - time.monotonic())

    def _user_options(self) -> dict[str, Any]:
        chosen: dict[str, Any] = dict(self._options.option)
        if self._options.profile:
            chosen["profile"] = self._options.profile
        return chosen

    def _print(self, step: Step) -> None:
        if self._options.json:
            return
        if step.error:
            print(f"WRONG   {step.name}: {step.error}", flush=True)
        else:
            print(f"ok      {step.name}: {step.seconds:.1f} s", flush=True)

    def _print_event(self, event: Event) -> None:
        if not self._options.json:
            message = clean_output(str(event.get("message", "")))  # it may have lines of the log
            message = message.replace("\n", "\n             ")
            print(f"        {event.get('progress', 0):3}% {message}", flush=True)


def _message_of(error: Exception) -> str:
    """Return what an error says; of the Hub's answer, which is JSON, only its message."""
    if isinstance(error, HubClientError) and error.body:
        with contextlib.suppress(ValueError, RecursionError):
            answer = json.loads(error.body)
            if isinstance(answer, dict) and isinstance(answer.get("message"), str):
                return answer["message"] or str(error)
    return str(error)


def _describe(error: Exception, options: argparse.Namespace) -> str:
    """Return what failed, and what to do if we know it."""
    words = clean_output(_message_of(error))[:_SHOWN]
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return (
            f"nothing came within the {options.timeout:g} s of --timeout; look at the Hub's log, "
            "or allow more time"
        )
    if isinstance(error, StartError | CellError | ProbeError):
        return words
    if isinstance(error, HubClientError) and error.status in (401, 403):
        return (
            f"{words.removesuffix('.')}. Look at the password or the token; a token needs the "
            "scopes access:servers, servers and read:users of its own user"
        )
    if isinstance(error, OSError):
        return f"{options.url} can't be reached: {words}"
    return words or type(error).__name__


@contextlib.asynccontextmanager
async def _time_limit(seconds: float) -> AsyncIterator[None]:
    """Cancel the caller's task after some time, and raise TimeoutError in its place.

    ``asyncio.timeout`` does the same from Python 3.11 on.
    """
    task = asyncio.current_task()
    assert task is not None
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(seconds, expire)
    try:
        yield
    except asyncio.CancelledError:
        if expired:
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()


def _replace(path: Path, text: str) -> None:
    """Write a file in one step: the node exporter may read it at any moment.

    Raises
    ------
    InvalidJobError
        If it can't be written.
    """
    name = ""
    try:
        descriptor, name = tempfile.mkstemp(prefix=".probe-", dir=path.parent)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(file.fileno(), 0o644)  # the node exporter has an account of its own
            file.write(text)
        os.replace(name, path)
    except OSError as error:
        if name:  # cron would leave one more each time, on a disk that is full already
            Path(name).unlink(missing_ok=True)
        raise InvalidJobError(
            f"--metrics-file: {path} can't be written: {error.strerror}"
        ) from None
