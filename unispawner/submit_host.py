"""Where commands run: here, on the Hub's own host.

Agent calls and the monitor's queries both go through :class:`SubmitHost`, the one place that would
have to know of another host.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from .errors import AgentError, SchedulerUnavailable

GROUP_AT_ONCE = 2
"""Commands of one group (see :meth:`SubmitHost.run`)."""
STDERR_LIMIT = 64 * 1024
"""Bytes of standard error that are kept; sixteen times as much is an error."""


@dataclass(frozen=True)
class Finished:
    """How a command ended and what it printed."""

    exit_status: int
    stdout: bytes
    stderr: bytes


class SubmitHost:
    """Runs commands on this host: no shell, a time-out, capped output, a limit on how many at once.

    Parameters
    ----------
    at_once
        How many commands may run at the same time; the others wait their turn. Each costs up to a
        fifth of a second of processor time.
    """

    def __init__(self, at_once: int | None = None) -> None:
        self.at_once = at_once or max(4, 2 * (os.cpu_count() or 1))
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Semaphore]] = (
            WeakKeyDictionary()
        )
        self._unfinished: dict[str, list[asyncio.subprocess.Process]] = {}

    async def run(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        timeout: float,
        output_limit: int,
        standard_input: bytes = b"",
        urgent: bool = False,
        group: str = "",
    ) -> Finished:
        """Run a command to its end.

        Parameters
        ----------
        timeout
            Seconds, counted from the command's start.
        output_limit
            Bytes of standard output; more of it is an error.
        urgent
            Don't wait for a turn: for the monitor's query, which twenty starts at once wait for.
        group
            Whose command it is, if it may hang by their doing (their agent, their home): of one
            group at most ``GROUP_AT_ONCE`` run at a time, and none while as many can't be ended.

        Raises
        ------
        AgentError
            If the command can't be started or prints too much.
        SchedulerUnavailable
            If it has not ended in time; it is killed, as far as this process may.
        """
        turns = contextlib.nullcontext() if urgent else self._turn("", self.at_once)
        # First a turn of the group's: who waits for that holds nobody else up.
        async with self._turn(group, GROUP_AT_ONCE) if group else contextlib.nullcontext(), turns:
            self._check_unfinished(group, command)
            process, done = await self._start(command, environment), False
            try:
                finished = await asyncio.wait_for(
                    _communicate(process, standard_input, output_limit, command), timeout
                )
                done = True
                return finished
            except asyncio.TimeoutError:
                raise SchedulerUnavailable(
                    f"{command[0]} did not end within {timeout:g} s.", command=command
                ) from None
            finally:
                if not done:
                    _kill(process)
                if group and process.returncode is None:
                    self._unfinished.setdefault(group, []).append(process)

    def _turn(self, group: str, at_once: int) -> asyncio.Semaphore:
        """Return the semaphore of a group in the running event loop; "" is everybody."""
        turns = self._turns.setdefault(asyncio.get_running_loop(), {})
        return turns.setdefault(group, asyncio.Semaphore(at_once))

    def _check_unfinished(self, group: str, command: Sequence[str]) -> None:
        """Refuse a group whose earlier commands hang: each holds memory and a process."""
        left = [one for one in self._unfinished.pop(group, []) if one.returncode is None]
        if left:
            self._unfinished[group] = left
        if len(left) >= GROUP_AT_ONCE:
            raise SchedulerUnavailable(
                f"{len(left)} earlier commands for {group} hang and can't be ended. Does the "
                "user's home directory answer?",
                command=command,
            )

    @staticmethod
    async def _start(
        command: Sequence[str], environment: Mapping[str, str]
    ) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=dict(environment),
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise AgentError(
                f"{command[0]} can't be run: {error.strerror}.", command=command
            ) from None


async def _communicate(
    process: asyncio.subprocess.Process, data: bytes, output_limit: int, command: Sequence[str]
) -> Finished:
    async def feed() -> None:
        assert process.stdin
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(data)
            await process.stdin.drain()
        process.stdin.close()

    assert process.stdout
    assert process.stderr
    try:
        _, stdout, stderr = await asyncio.gather(
            feed(), _read(process.stdout, output_limit), _read(process.stderr, STDERR_LIMIT * 16)
        )
    except _TooMuch as error:
        message = f"{command[0]} printed more than {error} bytes."
        raise AgentError(message, command=command) from None
    return Finished(await process.wait(), stdout, stderr[:STDERR_LIMIT])


class _TooMuch(Exception):
    """A command prints more than it may."""


async def _read(stream: asyncio.StreamReader, limit: int) -> bytes:
    kept = bytearray()
    while chunk := await stream.read(65536):
        kept += chunk
        if len(kept) > limit:
            raise _TooMuch(limit)
    return bytes(kept)


def _kill(process: asyncio.subprocess.Process) -> None:
    """Make sure that a command, and what it has left running, has ended, or will.

    What sudo started can't be killed by a Hub that is no root: the agent has a limit of its own.
    asyncio's child watcher takes its exit status whenever it comes; the pipes are closed now, one
    by one, since closing the transport as a whole ends where the kill is refused (Python 3.11).
    """
    for number in range(3):
        if (pipe := process._transport.get_pipe_transport(number)) is not None:  # type: ignore[attr-defined]
            pipe.close()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
