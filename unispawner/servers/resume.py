"""A start that a Hub restart interrupted goes on in its place.

JupyterHub knows only servers that run and servers that don't. After a restart it asks each spawner
that has a server row ``poll()`` and then ``get_url()``, and waits for HTTP there; meanwhile the
spawner is pending "check", for which progress answers 400 and DELETE 500. So ``get_url()`` makes
of the wait what it is: a pending spawn, with a future that progress and cancel know how to handle.
What was tried is in tests/live/test_restart.py. JupyterHub's private attributes of a start are used
here and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from .. import tasks
from ..errors import JobEndedError, UniSpawnerError
from ..job import JobInfo, JobState
from ..monitor.monitor import TrackedJob
from ..web.bookkeeping import front
from ..web.failures import SpawnFailure

if TYPE_CHECKING:
    from .spawner import UniSpawner

_FIRST_ANSWER = 4.0
_SUBMIT_MARGIN = 30.0
_LONGEST_PAUSE = 60.0
_DELETE_WAITS = 1.0
"""Seconds between DELETE's cancelling the future and its stopping the server."""
_CHECK_SECONDS = 2
"""How long JupyterHub waits for HTTP at the dead address once a start is over without a server."""


async def attach(spawner: UniSpawner) -> None:
    """Follow the job of a server that another Hub process has submitted.

    Without an id, the Hub died in the middle of the submission: the job is looked for by its mark,
    until no agent can be at work on it any more.
    """
    state = spawner.state
    pause, deadline = 1.0, state.submit_time + spawner.agent_timeout + _SUBMIT_MARGIN
    while spawner.job is None and spawner.state is state:
        try:
            client = await spawner.client()
            over = time.time() > deadline
            if not state.job_id:
                state.job_id = await client.find(state.mark)
                spawner.commit()
            if spawner.state is not state:
                return  # it was stopped meanwhile
            if state.job_id:
                spawner.track(client, state.job_id)
            elif over:
                message = "the Hub was restarted before the job was submitted"
                info = JobInfo(client.account.name, JobState.FAILED, message)
                spawner.job = TrackedJob("", client, info=info)
                spawner.start_clean_up(client)
        except UniSpawnerError as error:
            spawner.log.warning("%s can't be looked up yet: %s", spawner._log_name, error)
        if spawner.job is None:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


async def first_answer(spawner: UniSpawner) -> None:
    """Give the scheduler a few seconds to tell of a restored server, so that the dead aren't tried.

    A start that had not reported becomes a pending spawn here; a stop that the restart interrupted
    goes on here, however long it takes.
    """
    first = spawner.attachment is None
    if spawner.attachment is None:
        if not spawner.state.port and not spawner.state.stopping:
            spawner.resumption = Resumption(spawner)
        what = f"return of {spawner._log_name}"
        spawner.attachment = tasks.start(attach(spawner), what)
    patience = None if spawner.state.stopping else _FIRST_ANSWER
    await asyncio.wait({spawner.attachment}, timeout=patience)
    until = time.monotonic() + _FIRST_ANSWER
    while spawner.job and not spawner.job.info and time.monotonic() < until:
        await spawner.job.wait_change(until - time.monotonic())
    if spawner.state.stopping and spawner.job and not spawner.job.over:
        await spawner.stop()
    if first and spawner.resumption is not None and spawner.resumption.future.cancelled():
        await spawner.resumption.stopped.wait()
    elif first and spawner.job and spawner.job.over and not spawner.state.stopping:
        tell(spawner, await spawner.ended(), spawner.resumption)


class Resumption:
    """One interrupted start, made a pending spawn.

    Attributes
    ----------
    future
        What progress waits for and DELETE cancels.
    stopped
        Set when the spawner has forgotten the server.
    """

    def __init__(self, spawner: UniSpawner) -> None:
        self.spawner = spawner
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.stopped = asyncio.Event()
        self._stops = 0
        self._checking = False
        self._check_over = asyncio.Event()
        self._known = front(spawner)
        self._known._spawn_future = self.future
        self._known._spawn_pending = True
        self.future.add_done_callback(self._cancelled)

    async def get_url(self) -> str:
        """Wait for the report; return the server's URL, or a dead one if there won't be any.

        It must not raise: that would end the Hub, or leave the spawner in "check" for ever. At the
        dead address JupyterHub's own check fails within seconds, and it cleans up.
        """
        spawner = self.spawner
        self._checking = True
        waiting = tasks.start(self._wait(), f"resumed start of {spawner._log_name}")
        await asyncio.wait({waiting, self.future}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done() and (url := waiting.result()):
            return str(url)
        waiting.cancel()
        self._known.http_timeout = _CHECK_SECONDS
        return str(spawner.server.url)

    async def _wait(self) -> str:
        try:
            return await self.spawner.wait_ready()
        except UniSpawnerError as error:
            tell(self.spawner, error, self)
        except Exception as error:  # raised from get_url(), it would end the Hub
            self.spawner.log.exception("%s: the start can't go on", self.spawner._log_name)
            message = f"The start can't go on: {type(error).__name__}: {error}"
            tell(self.spawner, UniSpawnerError(message), self)
        return ""

    def _cancelled(self, future: asyncio.Future[None]) -> None:
        """Let DELETE go on: it has cancelled the future, and stops one second later.

        Not at once: progress, woken by the same future, would take a spawner with nothing pending
        for one that is ready.
        """
        if future.cancelled():
            asyncio.get_running_loop().call_later(_DELETE_WAITS / 2, self._clear_pending)

    def _clear_pending(self) -> None:
        """Let ``stop_single_user`` in, which refuses while anything is pending.

        ``user.stop`` asks a done future for its exception, which raises for a cancelled one.
        """
        self._known._spawn_pending = False
        self._known._check_pending = False
        self._known._spawn_future = None

    async def stopping(self) -> None:
        """Let two stops end together: DELETE's and that of JupyterHub's own check.

        The check fails at the dead address a second after DELETE has begun to stop. Were the server
        gone by then, and the user had started another, the check would stop that one.
        """
        if not (self._checking and self.future.cancelled()):
            return
        self._stops += 1
        if self._stops > 1:
            self._check_over.set()
            # JupyterHub would drop the spawner twice, but keeps one that has something to tell.
            tell(self.spawner, JobEndedError("The start was cancelled."))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._check_over.wait(), _CHECK_SECONDS + 3)

    def ready(self) -> None:
        """Called when JupyterHub has found the server up."""
        if not self.future.done():
            tasks.start(self._add_route(), f"route of {self.spawner._log_name}")

    async def _add_route(self) -> None:
        """Add the route, which JupyterHub would do at its next check of all routes, in 300 s.

        Until then the spawn is pending, so that nobody is sent to an address without a route.
        """
        spawner = self.spawner
        try:
            await spawner.user.settings["proxy"].add_user(spawner.user, spawner.name)
        except Exception as error:  # the proxy isn't up yet: the Hub adds all routes when it is
            spawner.log.info("The route of %s is added later: %s", spawner._log_name, error)
        finally:
            self._known._spawn_pending = False
            self._known._spawn_future = None
            if not self.future.done():
                self.future.set_result(None)


async def notify_end(spawner: Any) -> None:
    """Have JupyterHub forget a server that has ended; until it has, the spawner is pending "stop".

    JupyterHub deletes the route first, and has the spawner ready until then. Another start, which
    the API would let in, would be what it then forgets: a job that nobody follows.
    """
    known = front(spawner)
    if known.pending == "stop":
        return  # it is being forgotten
    if not known.ready:
        await known.poll_and_notify()
        return
    known._stop_pending = True
    try:
        await known.poll_and_notify()
    finally:
        known._stop_pending = False


def tell(spawner: Any, error: UniSpawnerError, resumption: Resumption | None = None) -> None:
    """Have JupyterHub's pages say why a server is gone: they show the last start's exception."""
    if resumption is None or resumption.future.done():
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    else:
        future = resumption.future
    _fail(spawner, future, SpawnFailure(error))


def tell_end(
    spawner: Any, error: UniSpawnerError, instead: asyncio.Future[None] | None = None
) -> asyncio.Future[None]:
    """Have JupyterHub's pages say why a server that was running is gone; return what tells it.

    With ``instead``, which told it before, only if there has been no other start since.
    """
    if instead is not None and front(spawner)._spawn_future is not instead:
        return instead
    failure = SpawnFailure(error)
    failure.was_running = True
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    _fail(spawner, future, failure)
    return future


def _fail(spawner: Any, future: asyncio.Future[None], failure: SpawnFailure) -> None:
    future.set_exception(failure)
    future.exception()  # it is told on the page; asyncio need not say that nobody asked
    front(spawner)._spawn_future = future
    front(spawner)._spawn_pending = False


def failure(spawner: Any) -> BaseException | None:
    """Return why there is no server, if that was by a failure that JupyterHub's pages tell."""
    known = front(spawner)
    return known._spawn_future.exception() if known._failed and not known.active else None
