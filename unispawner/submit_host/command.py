"""One command: its process, its pipes, its limits. Blocks; see :mod:`.host`."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from ..errors import AgentError, SchedulerUnavailable

STDERR_LIMIT = 64 * 1024
"""Bytes of standard error that are kept; sixteen times as much is an error."""
_CHUNK = 65536
_PIPE = 512
"""Bytes that a pipe takes without blocking once it takes any (POSIX: at least 512)."""


@dataclass(frozen=True)
class Finished:
    """How a command ended and what it printed."""

    exit_status: int
    stdout: bytes
    stderr: bytes


class Command:
    """Runs once. :meth:`kill` may be called at any time and from any thread."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        standard_input: bytes,
        output_limit: int,
        seconds: float,
        directory: str = "/",
    ) -> None:
        self.command = tuple(command)
        self._directory = directory
        self._environment = dict(environment)
        self._input = memoryview(standard_input)
        self._limits = {"stdout": output_limit, "stderr": STDERR_LIMIT * 16}
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = self._done = False

    @property
    def ended(self) -> bool:
        """True if there is no process of it, or none any more."""
        return self._process is None or self._process.poll() is not None

    def run(self) -> Finished:
        """Run to the end; the errors are those of ``SubmitHost.run``."""
        deadline = time.monotonic() + self._seconds
        try:
            self._process = process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment,
                cwd=self._directory,
                start_new_session=True,
                bufsize=0,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise AgentError(
                f"{self.command[0]} can't be run: {reason}.", command=self.command
            ) from None
        try:
            if self._killed:  # before there was anything to kill
                self._kill_group()
            output = self._communicate(process, deadline)
            status = process.wait(max(0.0, deadline - time.monotonic()))
            self._done = True
            return Finished(status, output["stdout"], output["stderr"][:STDERR_LIMIT])
        except subprocess.TimeoutExpired:
            raise SchedulerUnavailable(
                f"{self.command[0]} did not end within {self._seconds:g} s.", command=self.command
            ) from None
        finally:
            self.kill()
            for pipe in (process.stdin, process.stdout, process.stderr):
                assert pipe
                with contextlib.suppress(OSError):
                    pipe.close()

    def kill(self) -> None:
        """Make sure that it, and what it has left running, has ended, or will.

        What sudo started can't be killed by a Hub that is no root; the agent limits itself.
        """
        self._killed = True
        if self._process is not None and not self._done:
            self._kill_group()

    def _kill_group(self) -> None:
        assert self._process
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        # One that has ended is no zombie from here on; another is asked for again by `ended`.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.05)

    def _communicate(self, process: subprocess.Popen[bytes], deadline: float) -> dict[str, bytes]:
        """Feed it and read from it until it has closed its output."""
        assert process.stdin
        output = {"stdout": bytearray(), "stderr": bytearray()}
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdin, selectors.EVENT_WRITE, "stdin")
            for name in output:
                selector.register(getattr(process, name), selectors.EVENT_READ, name)
            while any(key.data != "stdin" for key in selector.get_map().values()):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise subprocess.TimeoutExpired(self.command, self._seconds)
                for key, _ in selector.select(left):
                    pipe: IO[bytes] = key.fileobj  # type: ignore[assignment]
                    if key.data == "stdin":
                        self._feed(selector, pipe)
                    else:
                        self._take(selector, pipe, key.data, output[key.data])
        return {name: bytes(text) for name, text in output.items()}

    def _feed(self, selector: selectors.BaseSelector, pipe: IO[bytes]) -> None:
        try:
            self._input = self._input[os.write(pipe.fileno(), self._input[:_PIPE]) :]
        except BrokenPipeError:
            self._input = self._input[:0]
        if not self._input:
            selector.unregister(pipe)
            pipe.close()

    def _take(
        self, selector: selectors.BaseSelector, pipe: IO[bytes], name: str, taken: bytearray
    ) -> None:
        chunk = os.read(pipe.fileno(), _CHUNK)
        if not chunk:
            selector.unregister(pipe)
            return
        taken += chunk
        if len(taken) > self._limits[name]:
            raise AgentError(
                f"{self.command[0]} printed more than {self._limits[name]} bytes.",
                command=self.command,
            )
