"""A start that a restart of the Hub has interrupted goes on in its place.

JupyterHub knows only servers that run and servers that don't. After a restart it asks each spawner
that has a server row ``poll()`` and then ``get_url()``, and waits for HTTP there; meanwhile the
spawner is pending "check", for which progress answers 400 and DELETE 500. So ``get_url()`` turns
the wait into a pending spawn, with a future that progress and DELETE know how to handle. What was
tried is in tests/live/test_restart.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Protocol

from .. import tasks
from ..errors import JobEndedError, UniSpawnerError
from ..web import bookkeeping, words

_DELETE_WAITS = 1.0
"""Seconds between DELETE's cancelling the future and its stopping the server."""
_CHECK_SECONDS = 2
"""How long JupyterHub waits for HTTP at the dead address once a start is over without a server."""


class Interrupted(Protocol):
    """The job of a start that was interrupted."""

    @property
    def spawner(self) -> Any:
        """The spawner that runs the server."""

    async def add_route(self) -> None:
        """Have the proxy send users to the server's saved address."""

    def note_failure(self, error: UniSpawnerError) -> None:
        """Keep why there is no server, in case that this Hub ends before its user can read it."""

    async def wait_ready(self) -> str:
        """Return the server's URL when it has reported.

        Raises
        ------
        UniSpawnerError
            If it never will.
        """


class Resumption:
    """One interrupted start, made a pending spawn.

    Attributes
    ----------
    future
        What progress waits for and DELETE cancels.
    forgotten
        Set when the spawner has forgotten the server.
    """

    def __init__(self, job: Interrupted) -> None:
        self._job = job
        self.forgotten = asyncio.Event()
        self._stops = 0
        self._checking = self._waiting = False
        self._check_over = asyncio.Event()
        self.future = bookkeeping.begin_pending_start(job.spawner)
        self.future.add_done_callback(self._cancelled)

    @property
    def _name(self) -> str:
        return bookkeeping.log_name(self._job.spawner)

    async def get_url(self) -> str:
        """Wait for the report; return the server's URL, or a dead one if there won't be any.

        It must not raise: that would end the Hub, or leave the spawner in "check" for ever. At the
        dead address JupyterHub's own check fails within seconds, and it cleans up.
        """
        self._checking = self._waiting = True
        waiting = tasks.start(self._wait(), f"resumed start of {self._name}")
        await asyncio.wait({waiting, self.future}, return_when=asyncio.FIRST_COMPLETED)
        self._waiting = False
        if waiting.done() and (url := waiting.result()):
            return str(url)
        waiting.cancel()
        known = bookkeeping.outer(self._job.spawner)
        known.http_timeout = _CHECK_SECONDS
        return str(known.server.url)

    def follow(self, job: Interrupted) -> None:
        """Go on with another job of the same server, which has taken over from the first."""
        self._job = job

    async def _wait(self) -> str:
        job = self._job
        try:
            return await job.wait_ready()
        except UniSpawnerError as error:
            if self._job is not job:
                return await self._wait()
            self.fail(error)
        except Exception as error:  # raised from get_url(), it would end the Hub
            self._job.spawner.log.exception(
                "%s: the start could not be continued after the restart of the Hub", self._name
            )
            self.fail(UniSpawnerError(words.start_broke_off(error)))
        return ""

    def fail(self, error: UniSpawnerError) -> None:
        """End the pending spawn: JupyterHub's pages show the error."""
        self._job.note_failure(error)
        bookkeeping.report_failed_start(self._job.spawner, error, self.future)

    def forget(self, error: UniSpawnerError) -> None:
        """Take note that the spawner has forgotten the server; a start that still waits has failed.

        The error is shown if JupyterHub itself has given the server up, which it logs only.
        """
        self.forgotten.set()
        if not (self.future.done() or self._waiting):  # what waits knows better why
            self.fail(error)

    def _cancelled(self, future: asyncio.Future[None]) -> None:
        """Let DELETE go on: it has cancelled the future, and stops the server one second later.

        It waits for half of that second, because the same future wakes progress, which would take a
        spawner with nothing pending for one that is ready.
        """
        if future.cancelled():
            allow = bookkeeping.allow_stop
            loop = asyncio.get_running_loop()
            loop.call_later(_DELETE_WAITS / 2, allow, self._job.spawner)

    async def join_stops(self) -> None:
        """Let two stops end together: DELETE's and that of JupyterHub's own check.

        The check fails at the dead address a second after DELETE has begun to stop. If the server
        were gone by then, and the user had started another, the check would stop that one.
        """
        if not (self._checking and self.future.cancelled()):
            return
        self._stops += 1
        if self._stops > 1:
            self._check_over.set()
            # JupyterHub would drop the spawner twice, but it keeps one that has an error to show.
            bookkeeping.report_failed_start(self._job.spawner, JobEndedError(words.CANCELLED))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._check_over.wait(), _CHECK_SECONDS + 3)

    def note_ready(self) -> None:
        """Take note that JupyterHub has found the server up."""
        if not self.future.done():
            tasks.start(self._add_route(), f"route of {self._name}")

    async def _add_route(self) -> None:
        """Add the route, which JupyterHub would do at its next check of all routes, in 300 s.

        Until then the spawn is pending, so that nobody is sent to an address without a route.
        """
        spawner = self._job.spawner
        try:
            await self._job.add_route()
        except Exception as error:  # the proxy isn't up yet: the Hub adds all routes when it is
            spawner.log.info(
                "%s: the route was not added; the Hub adds it at its next check of all routes: %s",
                self._name,
                error,
            )
        finally:
            bookkeeping.end_pending_start(spawner)
            if not self.future.done():
                self.future.set_result(None)
