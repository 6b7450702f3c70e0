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

STDERR_LIMIT = 64 * 1024
"""Bytes of standard error that are kept; the rest is read and dropped."""


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
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
            WeakKeyDictionary()
        )

    async def run(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        timeout: float,
        output_limit: int,
        standard_input: bytes = b"",
        urgent: bool = False,
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

        Raises
        ------
        AgentError
            If the command can't be started or prints too much.
        SchedulerUnavailable
            If it has not ended in time; it is killed, as far as this process may.
        """
        turns = self._turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self.at_once))
        async with contextlib.nullcontext() if urgent else turns:
            process = await self._start(command, environment)
            try:
                return await asyncio.wait_for(
                    _communicate(process, standard_input, output_limit, command), timeout
                )
            except asyncio.TimeoutError:
                raise SchedulerUnavailable(
                    f"{command[0]} did not end within {timeout:g} s.", command=command
                ) from None
            finally:
                _kill(process)

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
    _, stdout, stderr = await asyncio.gather(
        feed(), _read(process.stdout, output_limit + 1), _read(process.stderr, STDERR_LIMIT)
    )
    if len(stdout) > output_limit:
        raise AgentError(f"{command[0]} printed more than {output_limit} bytes.", command=command)
    return Finished(await process.wait(), stdout, stderr)


async def _read(stream: asyncio.StreamReader, limit: int) -> bytes:
    """Read to the end, keeping at most ``limit`` bytes."""
    kept = bytearray()
    while chunk := await stream.read(65536):
        kept += chunk[: limit - len(kept)]
    return bytes(kept)


def _kill(process: asyncio.subprocess.Process) -> None:
    """Make sure that a command has ended, or will.

    What sudo started can't be killed by a Hub that is no root: the agent has a limit of its own.
    asyncio's child watcher takes its exit status whenever it comes.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
