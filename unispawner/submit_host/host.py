"""Where commands run: here, on the Hub's own host.

Agent calls and the monitor's queries both go through :class:`SubmitHost`, the one place that would
have to know of another host.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from weakref import WeakKeyDictionary

from ..errors import SchedulerUnavailable
from .command import Command, Finished

GROUP_AT_ONCE = 2
"""Commands of one group (see :meth:`SubmitHost.run`)."""
LONGEST_TURN = 10.0
"""Seconds after which a command's turn is another's: what hangs costs no processor time."""


class SubmitHost:
    """Runs commands on this host: no shell, a time-out, capped output, a limit on how many at once.

    Parameters
    ----------
    at_once
        How many commands may run at the same time, but for those that take longer than
        ``LONGEST_TURN``; the others wait their turn. Each costs up to a fifth of a second of
        processor time. Default: 4, or two for each core if that is more.
    """

    def __init__(self, at_once: int | None = None) -> None:
        self.at_once = at_once or max(4, 2 * (os.cpu_count() or 1))
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Semaphore]] = (
            WeakKeyDictionary()
        )
        self._unfinished: dict[str, list[Command]] = {}

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
        directory: str = "/",
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
        directory
            Where it runs.

        Raises
        ------
        AgentError
            If the command can't be started or prints too much.
        SchedulerUnavailable
            If it has not ended in time; it is killed, as far as this process may.
        """
        turn = contextlib.nullcontext() if urgent else self._turn()
        # First a turn of the group's: who waits for that holds nobody else up.
        groups = self._turns_of(group, GROUP_AT_ONCE) if group else contextlib.nullcontext()
        async with groups, turn:
            self._check_unfinished(group, command)
            running = Command(
                command, environment, standard_input, output_limit, timeout, directory
            )
            try:
                return await _in_thread(running)
            finally:
                running.kill()
                if group and not running.ended:
                    self._unfinished.setdefault(group, []).append(running)

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Hold one of everybody's turns, but not for long: a few users could hang them all."""
        turns = self._turns_of("", self.at_once)
        with contextlib.ExitStack() as held:
            await turns.acquire()
            held.callback(turns.release)
            over = asyncio.get_running_loop().call_later(LONGEST_TURN, held.close)
            held.callback(over.cancel)
            yield

    def _turns_of(self, group: str, at_once: int) -> asyncio.Semaphore:
        """Return the semaphore of a group in the running event loop; "" is everybody."""
        turns = self._turns.setdefault(asyncio.get_running_loop(), {})
        return turns.setdefault(group, asyncio.Semaphore(at_once))

    def _check_unfinished(self, group: str, command: Sequence[str]) -> None:
        """Refuse a group whose earlier commands hang: each holds memory and a process."""
        left = [one for one in self._unfinished.pop(group, []) if not one.ended]
        if left:
            self._unfinished[group] = left
        if len(left) >= GROUP_AT_ONCE:
            raise SchedulerUnavailable(
                f"{len(left)} earlier commands for {group} hang and can't be ended. Does the "
                "user's home directory answer?",
                command=command,
            )


HOST = SubmitHost()
"""Where all of the Hub's commands run."""


async def _in_thread(running: Command) -> Finished:
    """Run a command in a thread of its own, which keeps no process from ending.

    Not by asyncio: its cancellation waits for the process, and for ever if it comes while the
    pipes are connected (Python 3.11). JupyterHub cancels all there is when it ends.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Finished] = loop.create_future()

    def deliver(finished: Finished | None, error: BaseException | None) -> None:
        if future.done():
            return  # cancelled meanwhile
        if error is not None:
            future.set_exception(error)
        elif finished is not None:
            future.set_result(finished)

    def work() -> None:
        try:
            outcome: tuple[Finished | None, BaseException | None] = running.run(), None
        except Exception as error:  # whatever it is, it is raised where the command was run
            outcome = None, error
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
            loop.call_soon_threadsafe(deliver, *outcome)

    threading.Thread(target=work, name=f"run {running.command[0]}", daemon=True).start()
    return await future


__all__ = ["GROUP_AT_ONCE", "HOST", "Command", "Finished", "SubmitHost"]
