"""Runs one command with limits on its time and output. It blocks its thread.

The Hub runs it in threads (:class:`.submit_host.host.SubmitHost`), the agent as it is.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from .errors import AgentError, SchedulerUnavailable
from .schedulers.base import AnswerTooLarge, CommandNotFound

STDERR_LIMIT = 64 * 1024
"""How many bytes of standard error are kept; sixteen times as much is an error."""
_CHUNK = 65536
_PIPE = 512
"""How many bytes a pipe takes without blocking if it takes any (POSIX: at least 512)."""


@dataclass(frozen=True)
class Finished:
    """How a command ended, what it printed, and how long (seconds) it took."""

    exit_status: int
    stdout: bytes
    stderr: bytes
    seconds: float = field(default=0.0, compare=False)


class Command:
    """A command that runs once. :meth:`kill` may be called at any time and from any thread.

    Parameters
    ----------
    standard_input
        What it reads.
    output_limit
        How many bytes it may print to standard output.
    seconds
        How long it may take.
    new_session
        True if it begins a session of its own, so that all that it starts can be killed with it.
        The agent's commands stay in the agent's session, with which they end; each begins a process
        group of its own.
    umask
        The command's umask; that of this process if it is negative.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        standard_input: bytes,
        output_limit: int,
        seconds: float,
        directory: str | None = "/",
        *,
        new_session: bool = True,
        umask: int = -1,
    ) -> None:
        self.command = tuple(command)
        self._directory = directory
        self._new_session, self._umask = new_session, umask
        self._environment = dict(environment)
        self._input = memoryview(standard_input)
        self._limits = {"stdout": output_limit, "stderr": STDERR_LIMIT * 16}
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = self._done = False

    @property
    def ended(self) -> bool:
        """True if its process has not started, or has ended."""
        return self._process is None or self._process.poll() is not None

    def run(self) -> Finished:
        """Run the command to its end; raise what ``SubmitHost.run`` raises."""
        began = time.monotonic()
        deadline = began + self._seconds
        self._process = process = self._start()
        try:
            if self._killed:  # before there was a process
                self._kill_group()
            output = self._communicate(process, deadline)
            status = process.wait(max(0.0, deadline - time.monotonic()))
            self._done = True
            took = time.monotonic() - began
            return Finished(status, output["stdout"], output["stderr"][:STDERR_LIMIT], took)
        except subprocess.TimeoutExpired:
            raise SchedulerUnavailable(
                f"{self.command[0]} did not end within {self._seconds:g} s.", command=self.command
            ) from None
        finally:
            if not self._done:  # before its number is free: others could get it
                self._signal_group()
                self._kill_other_groups()
            self.kill()
            for pipe in (process.stdin, process.stdout, process.stderr):
                assert pipe
                with contextlib.suppress(OSError):
                    pipe.close()

    def _start(self) -> subprocess.Popen[bytes]:
        """Start the process; the error says what to do if that is not possible."""
        try:
            return subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment,
                cwd=self._directory,
                umask=self._umask,
                bufsize=0,
                **_apart(session=self._new_session),
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            name, hint = self.command[0], ""
            found = shutil.which(name, path=self._environment.get("PATH")) is not None
            if isinstance(error, FileNotFoundError) and "/" not in name and name != "sudo":
                hint = " If it is in another folder, set c.UniSpawner.scheduler_path."
            failure = (AgentError if found else CommandNotFound)(
                f"{name} can't be run: {reason}.{hint}", command=self.command
            )
            failure.unsent = True
            raise failure from None

    def kill(self) -> None:
        """Kill the command and all that it has left running.

        A Hub that is not root can't kill what sudo started; the agent ends itself in time.
        """
        self._killed = True
        if self._process is not None and not self._done:
            self._kill_group()

    def _signal_group(self) -> None:
        assert self._process
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _kill_group(self) -> None:
        assert self._process
        self._signal_group()
        # This removes the zombie of a process that has ended; `ended` asks again for another one.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.05)

    def _kill_other_groups(self) -> None:
        """Kill what the command has started in further process groups, as ``set -m`` does.

        The agent looks for them if it leads its session: then nobody else's processes are in it.
        """
        assert self._process
        if self._new_session:
            found = members(self._process.pid)
        elif os.getsid(0) == os.getpid():
            found = members(os.getpid(), spared_group=os.getpgrp())
        else:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def _communicate(self, process: subprocess.Popen[bytes], deadline: float) -> dict[str, bytes]:
        """Write its input and read its output until it has closed its output."""
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
                    pipe: IO[bytes] = key.fileobj  # type: ignore[assignment] # as registered above
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
            raise AnswerTooLarge(
                f"{self.command[0]} printed more than {self._limits[name]} bytes, so its output "
                "was not read.",
                command=self.command,
            )


def _apart(*, session: bool) -> dict[str, Any]:
    """Return the options with which a process begins its own session, or its own group."""
    if session:
        return {"start_new_session": True}
    if sys.version_info >= (3, 11):
        return {"process_group": 0}
    return {"preexec_fn": os.setpgrp}


def members(session: int, *, spared_group: int = 0) -> Iterator[int]:
    """Yield the processes of a session that live, except its leader and those of a group.

    Each is yielded as soon as it is found: a user must not have the time to let it end and its
    number become that of another process, which would be killed instead.
    """
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == session:
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                # The command's name is in brackets, and may contain anything.
                state, _, group, owner = file.read().rpartition(b")")[2].split()[:4]
        except (OSError, ValueError):
            continue  # it has ended
        if int(owner) == session and int(group) != spared_group and state not in (b"Z", b"X"):
            yield int(name)
