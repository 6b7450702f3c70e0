"""Where commands run: on the Hub's own host.

The agent's calls, the monitor's questions and the look-ups of accounts all go through
:class:`SubmitHost`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from .. import metrics
from ..command import Command, Finished
from ..errors import SchedulerUnavailable
from ..schedulers import Scheduler
from ..schedulers.base import AnswerTooLarge
from ..schedulers.questions import Answer, Question, converse
from . import large_answers
from .dialogue import hold_dialogue
from .entries import Entry, look_up
from .notices import NOTICES
from .thread_result import ThreadResult

GROUP_AT_ONCE = 2
"""How many commands of one group may run at a time (see :meth:`SubmitHost.run`)."""
LONGEST_WAIT = 300.0
"""How long (seconds) a command may wait for its turn; after that it is not run any more."""
LONGEST_TURN = 10.0
"""How long (seconds) a command counts as running: one that hangs costs no processor time."""


class SubmitHost:
    """Runs commands on this host without a shell.

    The time and output of each command are limited, and so is the number of commands at a time.

    Parameters
    ----------
    at_once
        How many commands may run at the same time; others wait for their turn. A command that has
        run for ``LONGEST_TURN`` does not count any more. Each costs up to a fifth of a second of
        processor time. Default: 4, or two for each core if that is more.

    Attributes
    ----------
    place
        The host's name, for messages.
    here
        True if this is the Hub's own host; otherwise nothing on the Hub's own host, such as its
        files, its accounts or its sockets, says anything about jobs.
    """

    place = "the Hub's host"
    here = True

    def __init__(self, at_once: int | None = None) -> None:
        self.at_once = at_once or max(4, 2 * (os.cpu_count() or 1))
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Semaphore]] = (
            WeakKeyDictionary()
        )
        self._unfinished: dict[str, list[Command]] = {}
        self._large: set[object] = set()
        """The questions whose answers are large."""

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
            How long (seconds) the command may take from its start.
        output_limit
            How many bytes it may print to standard output; more is an error.
        urgent
            True for a command that does not wait for its turn, such as the monitor's query, for
            which twenty starts may wait.
        group
            The user whose command it is, if it may hang because of this user's agent or home. Of a
            group at most ``GROUP_AT_ONCE`` commands run at a time, and no further one while so many
            hang and can't be killed.
        directory
            The directory in which it runs.

        Raises
        ------
        AgentError
            If the command can't be started or prints too much.
        SchedulerUnavailable
            If it has not ended in time. It is killed, if this process has the right to do that.
        """
        async with self._turns_for(group, urgent=urgent):
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

    async def ask(
        self,
        scheduler: Scheduler,
        name: str,
        arguments: Collection[str] = (),
        *,
        environment: Mapping[str, str],
    ) -> Any:
        """Ask a scheduler a question; return its answer, of the type that ``RESULTS`` says.

        Lines that do not belong to the answer are logged, each kind once.

        Parameters
        ----------
        name
            The question: a key of :data:`unispawner.schedulers.questions.DIALOGUES`.
        arguments
            The ids of jobs, or the name of a node.
        environment
            The whole environment of the scheduler's commands.

        Raises
        ------
        UniSpawnerError
            If the scheduler does not answer, or its answer can't be read.
        """
        with metrics.measured(metrics.QUESTIONS, scheduler.name, name):
            answer = await self._answer(scheduler, name, arguments, environment)
        for notice in answer.notices:
            NOTICES.warn(notice, (self, scheduler.query_key, *sorted(environment.items())))
        return answer.result

    async def _answer(
        self,
        scheduler: Scheduler,
        name: str,
        arguments: Collection[str],
        environment: Mapping[str, str],
    ) -> Answer:
        """Return the answer, which another process reads if it is large (:mod:`.large_answers`)."""
        dialogue = converse(scheduler, name, arguments)
        if not large_answers.can_be_asked_elsewhere(scheduler):
            return await hold_dialogue(dialogue, self, environment)
        key = (scheduler.query_key, name, tuple(sorted(environment.items())))
        if key not in self._large:
            try:
                return await hold_dialogue(dialogue, self, environment, large_answers.LARGE)
            except AnswerTooLarge:
                self._large.add(key)
        question = Question(name, tuple(arguments), scheduler.name, scheduler.options)
        answer = await large_answers.ask(question, self, environment)
        if answer.size < large_answers.LARGE / 2:
            self._large.discard(key)
        return answer

    async def find_entry(self, name: str) -> Entry | None:
        """Return what this host's directory service knows of an account; None if nothing.

        Raises
        ------
        AgentError
            If it can't be looked up.
        SchedulerUnavailable
            If there is no connection to the host.
        """
        return await look_up(name)

    def hurry(self) -> None:
        """Take note that a user waits, if there is a connection to the host that is broken."""

    async def resolve(self, name: str, asker: str) -> tuple[str, ...]:
        """Return the addresses of a node's name, if this host knows more names than the Hub's own.

        Parameters
        ----------
        name
            A name that a job has reported; its user may have made it up.
        asker
            The user: one name at a time is resolved for each.

        Raises
        ------
        UniSpawnerError
            If the name can't be resolved now.
        """
        return ()

    @contextlib.asynccontextmanager
    async def _turns_for(self, group: str, *, urgent: bool = False) -> AsyncIterator[None]:
        """Hold the turns that a command of a group needs."""
        turn = contextlib.nullcontext() if urgent else self._turn()
        # First a turn of the group: a command that waits for it does not hold up other users.
        groups = self._turns_of(group, GROUP_AT_ONCE) if group else contextlib.nullcontext()
        asked_at = time.monotonic()
        async with groups, turn:
            if time.monotonic() - asked_at > LONGEST_WAIT:
                refusal = SchedulerUnavailable(
                    f"The command has waited {LONGEST_WAIT:g} s for its turn and was not run. Too "
                    "many commands run or hang: see the Hub's log."
                )
                refusal.unsent = True
                raise refusal
            yield

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Hold one of all users' turns, but not for long, since a few users could hang them all."""
        turns = self._turns_of("", self.at_once)
        with contextlib.ExitStack() as held:
            await turns.acquire()
            held.callback(turns.release)
            over = asyncio.get_running_loop().call_later(LONGEST_TURN, held.close)
            held.callback(over.cancel)
            yield

    def _turns_of(self, group: str, at_once: int) -> asyncio.Semaphore:
        """Return the semaphore of a group in the running event loop; "" means all users."""
        turns = self._turns.setdefault(asyncio.get_running_loop(), {})
        return turns.setdefault(group, asyncio.Semaphore(at_once))

    def _check_unfinished(self, group: str, command: Sequence[str]) -> None:
        """Refuse a command of a group whose earlier commands hang, since each uses memory."""
        left = [one for one in self._unfinished.pop(group, []) if not one.ended]
        if left:
            self._unfinished[group] = left
        if len(left) >= GROUP_AT_ONCE:
            refusal = SchedulerUnavailable(
                f"{len(left)} earlier commands for {group} still hang and can't be killed, so no "
                "more are started. Check whether the user's home directory answers.",
                command=command,
            )
            refusal.unsent = True
            raise refusal


HOST = SubmitHost()
"""Where all of the Hub's commands run."""


async def _in_thread(running: Command) -> Finished:
    """Run a command in a daemon thread, which does not keep the Hub's process from ending.

    asyncio's subprocesses are not used: their cancellation waits for the process, and for ever if
    it comes while the pipes are connected (Python 3.11). JupyterHub cancels all tasks when it ends.
    """
    result: ThreadResult[Finished] = ThreadResult()

    def work() -> None:
        try:
            finished = running.run()
        except Exception as error:  # it is raised again where somebody awaits the command
            result.deliver(None, error)
        else:
            result.deliver(finished)

    threading.Thread(target=work, name=f"run {running.command[0]}", daemon=True).start()
    return await result.future


__all__ = ["GROUP_AT_ONCE", "HOST", "Command", "Finished", "SubmitHost"]
