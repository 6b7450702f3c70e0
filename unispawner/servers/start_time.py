"""When a server would start: asked of the scheduler as the user, or estimated from the inventory.

A question costs the scheduler's time, so there are few: answers are reused for a while, and
:class:`.QuestionQueue` lets only some questions be under way. Whoever gets no answer shows nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from .. import tasks
from ..errors import UniSpawnerError
from ..job import JobSpec
from ..schedulers.estimate import StartEstimate
from ..web.availability import availability
from ..web.per_hub import PerHub
from .as_user import find_account_of
from .question_queue import QuestionQueue

log = logging.getLogger("JupyterHub.unispawner")  # with the Hub's own handlers

LIFETIME = 60.0
"""How long (seconds) an answer is reused."""
PATIENCE = 15.0
"""How long (seconds) a question may wait for its turn, and how long it may take then."""
PAUSE = 60.0
"""How long (seconds) after a failure a user's questions are not asked; longer after each further
one, up to LONGEST_PAUSE."""
LONGEST_PAUSE = 600.0
FAILING = 3
"""If the questions of so many users fail one after the other, the cluster is taken for down: for
PAUSE seconds it gets a question only every TRIAL_PAUSE seconds, of a user whose last one did not
fail. If that is answered, it was only these users: homes that hang, or forged replies, must not
stop the answers of others."""
TRIAL_PAUSE = 10.0
REST = 4.0
"""After a question its turn rests for so many times as long: a fifth of the time at most."""
MOST_KEPT = 5000
"""How many answers are kept."""

Key = Hashable
Ask = Callable[[], Awaitable[StartEstimate]]


@dataclass
class _Failing:
    """The users whose last question to a cluster failed: how often, and until when they wait."""

    users: dict[str, tuple[int, float]] = field(default_factory=dict)
    in_a_row: set[str] = field(default_factory=set)
    """Those whose questions have failed since one was answered."""
    until: float = float("-inf")
    next_trial: float = float("-inf")
    """When somebody may ask although the cluster is taken for down."""

    def pauses(self, user: str) -> bool:
        """Return whether a user gets no answer now; if not, the user's question must follow."""
        now = time.monotonic()
        if now < self.users.get(user, (0, now))[1]:
            return True
        if now < self.until:
            if now < self.next_trial:
                return True
            self.next_trial = now + TRIAL_PAUSE
        return False

    def add(self, user: str) -> bool:
        """Note a failure; return whether it is the first one since all questions were answered."""
        now, is_first = time.monotonic(), not self.users
        count = self.users.get(user, (0, 0.0))[0] + 1
        self.users[user] = count, now + min(PAUSE * 2 ** (count - 1), LONGEST_PAUSE)
        self.in_a_row.add(user)
        if len(self.in_a_row) >= FAILING:
            self.until, self.next_trial = now + PAUSE, now + TRIAL_PAUSE
        return is_first

    def remove(self, user: str) -> None:
        """Note that a question was answered."""
        self.users.pop(user, None)
        self.in_a_row.clear()
        self.until = float("-inf")


@dataclass
class StartTimes:
    """The answers of the last minute, and the questions that are under way.

    Attributes
    ----------
    queue
        Who may ask now.
    """

    queue: QuestionQueue = field(default_factory=QuestionQueue)
    _answers: dict[Key, tuple[float, StartEstimate]] = field(default_factory=dict)
    _open: dict[Key, asyncio.Task[StartEstimate | None]] = field(default_factory=dict)
    _failing: dict[Hashable, _Failing] = field(default_factory=dict)
    _newest: dict[str, object] = field(default_factory=dict)

    @contextlib.contextmanager
    def request(self, user: str) -> Iterator[Callable[[], bool]]:
        """Give a function that returns whether a user has asked nothing newer since."""
        mine = self._newest[user] = object()
        try:
            yield lambda: self._newest.get(user) is mine
        finally:
            if self._newest.get(user) is mine:
                del self._newest[user]

    async def get(
        self, user: str, cluster: Hashable, content: str, ask: Ask
    ) -> StartEstimate | None:
        """Return the answer to a question; None if there is none now.

        Parameters
        ----------
        user
            Who asks. Their earlier question that still waits for its turn is dropped.
        cluster, content
            What the answer depends on, beside the user.
        ask
            Asks the scheduler.
        """
        key = (user, cluster, content)
        if (answer := self._recall(key)) is not None:
            return answer
        task = self._open.get(key)
        if task is None or task.done():
            if self._failing_at(cluster).pauses(user):
                return None
            task = tasks.start(self._ask(key, ask), f"start time for {user}")
            self._open[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    async def _ask(self, key: tuple[str, Hashable, str], ask: Ask) -> StartEstimate | None:
        user, cluster, _ = key
        if not await self.queue.enter(user, PATIENCE):
            return None
        began = time.monotonic()
        try:
            answer = await asyncio.wait_for(ask(), PATIENCE)
        except (UniSpawnerError, asyncio.TimeoutError) as error:
            if self._failing_at(cluster).add(user):
                log.warning("The start of %s's server can't be estimated: %s", user, error)
            self.queue.leave(user)
            return None
        except BaseException:  # a cancellation, too: the next user's turn must come
            self.queue.leave(user)
            raise
        self.queue.leave(user, REST * (time.monotonic() - began))
        self._failing_at(cluster).remove(user)
        _keep_few(self._answers)
        self._answers[key] = time.monotonic(), answer
        return answer

    def _forget(self, key: Key, task: asyncio.Task[StartEstimate | None]) -> None:
        if self._open.get(key) is task:
            del self._open[key]

    def _recall(self, key: Key) -> StartEstimate | None:
        at, answer = self._answers.get(key, (float("-inf"), None))
        return answer if time.monotonic() - at < LIFETIME else None

    def _failing_at(self, cluster: Hashable) -> _Failing:
        return self._failing.setdefault(cluster, _Failing())


START_TIMES = PerHub(StartTimes)


async def estimate_start(spawner: Any, start_times: StartTimes | None = None) -> StartEstimate:
    """Return when the job would start that a UniSpawner would submit now.

    Raises
    ------
    UniSpawnerError
        If the spawner's settings make no job.
    """
    if not spawner.estimate_start:
        return StartEstimate()
    await spawner.find_way()
    await spawner.find_scheduler()
    scheduler = spawner.get_scheduler()
    spec: JobSpec = spawner.job_spec("", environment={})
    found = availability(spawner)
    if found is None or scheduler.loopback or found.exceeds_limits(spec):
        return StartEstimate()
    if not scheduler.estimates_start:
        return found.estimate_start(spec, scheduler)
    monitor = spawner.monitor()
    if monitor.problem is not None or not scheduler.estimate_command(spec):
        return StartEstimate()
    cluster = (scheduler.query_key, spawner.submit_host, tuple(sorted(monitor.environment.items())))
    start_times = start_times or START_TIMES.of(spawner.user.settings)
    answer = await start_times.get(
        spawner.user.name, cluster, _content_of(spec, spawner), lambda: _ask(spawner)
    )
    return answer or StartEstimate()


async def _ask(spawner: Any) -> StartEstimate:
    account = await find_account_of(spawner)
    spec: JobSpec = spawner.job_spec("", environment={}, account=account.name)
    client = replace(spawner.agent_client(account), seconds=PATIENCE - 2)
    estimate: StartEstimate = await client.estimate(spec, spawner.job_shell)
    return estimate


def _content_of(spec: JobSpec, spawner: Any) -> str:
    return json.dumps([spec.to_dict(), spawner.job_shell], sort_keys=True, default=str)


def _keep_few(answers: dict[Key, tuple[float, StartEstimate]]) -> None:
    """Drop the older half of the answers if they are too many."""
    if len(answers) >= MOST_KEPT:
        for key in sorted(answers, key=lambda one: answers[one][0])[: MOST_KEPT // 2]:
            del answers[key]
