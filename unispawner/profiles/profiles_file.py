"""``c.ProfilesSpawner.profiles_file``: profiles that are read anew while the Hub runs.

A file that is wrong is refused, and the profiles of before stay. What is read is shared by all
spawners of this process, and each of them takes it over when its user opens a form or starts a
server: see :meth:`.spawner.ProfilesSpawner.refresh_profiles`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from .. import metrics, tasks
from ..errors import InvalidJobError, SchedulerUnavailable
from ..submit_host.thread_result import ThreadResult
from .file_content import Content, Definition, Signature, open_and_read, parse
from .file_places import FileError
from .reading import read_profiles

INTERVAL = 5.0
"""How often (seconds) the Hub looks whether the file has changed."""
SETTLE = 0.5
"""How long (seconds) a change must have stayed the same: some editors empty the file first."""
_ROUNDS = 20
"""How often it is looked again within one look, if the file goes on changing."""
CLOCK_TICK = 3.0
"""For how long (seconds) after a change the bytes are compared, and not only size and times: some
file systems count whole seconds. No clock but this process' own is asked."""
PATIENCE = 2.0
"""How long (seconds) forms and starts wait for the news of a file. Then they go on without."""
READ_SECONDS, RUN_SECONDS = 10.0, 30.0
"""How long a file system may take for the file, and the file's code for its profiles."""
_NO_ANSWER = (
    f"its file system does not answer within {READ_SECONDS:g} s; keep the file on a disk of the Hub"
)
_RUNS_TOO_LONG = f"it takes longer than {RUN_SECONDS:g} s; do what takes long outside of this file"

Check = Callable[[Any], Awaitable[None]]
"""Checks profiles. It raises InvalidJobError, or SchedulerUnavailable if nobody can tell."""
T = TypeVar("T")


class ProfilesFile:
    """One file: the profiles that count, and what is wrong with those that it holds now.

    Attributes
    ----------
    path
        Its absolute path.
    error
        Why the last content was refused, with its line; empty if it was right.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.error = ""
        self._good: Definition | None = None
        self._check: Check | None = None
        self._task: asyncio.Task[None] | None = None
        self._turn: asyncio.Task[None] | None = None  # of who waits for a reading anew
        self._began = 0.0
        self._tried = ""  # the digest of the last content, right or wrong
        self._reader = _Reader(path)

    @property
    def is_loaded(self) -> bool:
        """Whether there are profiles, without a look at the file."""
        return self._good is not None

    def get(self) -> Definition:
        """Return the profiles that count. The first time the file is read, which may take a while.

        Raises
        ------
        InvalidJobError
            If there are none, because the file can't be right; with its line.
        """
        return self._good or self.load()

    def load(self) -> Definition:
        """Read the file now, and wait: when the Hub starts, and in commands.

        Raises
        ------
        InvalidJobError
            As :meth:`get`.
        """
        try:
            content = _wait(partial(open_and_read, self.path), READ_SECONDS, _NO_ANSWER)
            found = _wait(partial(parse, self.path, content), RUN_SECONDS, _RUNS_TOO_LONG)
        except FileError as error:
            raise InvalidJobError(self._words(error)) from None
        self._good, self._tried, self.error = found, content.digest, ""
        return found

    def with_place(self, error: InvalidJobError) -> InvalidJobError:
        """Return an error about the profiles that count, with the line of what is wrong."""
        if self._good is None or error.message.startswith(self.path):  # it has its line
            return error
        return self._locate(error, self._good)

    def _locate(self, error: InvalidJobError, found: Definition) -> InvalidJobError:
        place = found.places.find(error.message, _slugs(found.profiles))
        return InvalidJobError(self._words(FileError(error.message, place)))

    def _words(self, error: FileError) -> str:
        return f"{', '.join(filter(None, (self.path, str(error.place))))}: {error.message}"

    # -- while the Hub runs --------------------------------------------------------------------

    def watch(self, check: Check) -> None:
        """Look after the file from now on: every few seconds, and on SIGHUP. Called in the Hub."""
        self._check, self._task, self._turn = check, None, None
        self._show()
        tasks.start(self._watch(), f"the watch of {self.path}")
        self._listen()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            await self.look()

    def _listen(self) -> None:
        """Read the file anew on SIGHUP, which would end the Hub: JupyterHub does nothing with it.

        A handler of the site's own stays, and so does the SIG_IGN of ``nohup``, which the Hub's
        proxy inherits from the Hub.
        """
        if threading.current_thread() is not threading.main_thread():
            return  # a Hub in somebody's tests
        global _listening
        loop = asyncio.get_running_loop()
        found = signal.getsignal(signal.SIGHUP)
        if found is not signal.SIG_DFL and (loop, found) != _listening:
            tasks.log.info("SIGHUP is ignored, or has a handler: it does not read %s", self.path)
            return
        loop.add_signal_handler(signal.SIGHUP, lambda: tasks.start(self.reload(), "SIGHUP"))
        _listening = loop, signal.getsignal(signal.SIGHUP)

    async def look(self, patience: float | None = None) -> None:
        """Read the file anew if it has changed, and check it.

        Parameters
        ----------
        patience
            How long (seconds) to wait for that, from when it has begun; None waits until it is
            done. A check of many profiles takes long while their scheduler does not answer.
        """
        if self._check is None:
            return  # this is not a Hub
        if self._task is None or self._task.done():
            if self._reader.hangs:
                return
            self._task = self._begin(anew=False)
        left = None if patience is None else self._began + patience - time.monotonic()
        if left is None or left > 0:
            await asyncio.wait({self._task}, timeout=left)

    async def reload(self) -> None:
        """Read the file anew, also if it has not changed: what its code imports may have.

        Who asks for that while somebody else still waits for a turn has the same one: many signals
        cause two readings, and not as many.
        """
        if self._turn is None:
            self._turn = tasks.start(self._take_turn(), f"the next reading of {self.path}")
        await asyncio.wait({self._turn})

    async def _take_turn(self) -> None:
        while self._task is not None and not self._task.done():
            await asyncio.wait({self._task})
        self._turn = None
        self._task = self._begin(anew=True)
        await asyncio.wait({self._task})

    def _begin(self, *, anew: bool) -> asyncio.Task[None]:
        self._began = time.monotonic()
        return tasks.start(self._take_change(anew), f"the reading of {self.path}")

    async def _take_change(self, anew: bool) -> None:
        """Take over what the file holds if it is new and right; log what is wrong, once."""
        try:
            content = await (self._reader.read() if anew else self._find_change())
            if content is None:
                return
            self._tried = content.digest
            work = partial(parse, self.path, content)
            found = await _in_thread(work, RUN_SECONDS, _RUNS_TOO_LONG)
            await self._check_definition(found)
        except FileError as error:
            self._refuse(self._words(error))
        except InvalidJobError as error:
            self._refuse(error.message)
        else:
            self._good, self.error = found, ""
            self._show()
            tasks.log.info("The profiles of %s are read anew, and are right", self.path)

    async def _find_change(self) -> Content | None:
        """Return the content if it is new, once it stays the same; None if there is nothing new."""
        try:
            content = await self._reader.read_if_changed()
        except FileError:  # it may be replaced just now: look once more
            self._tried = ""
            await asyncio.sleep(SETTLE)
            content = await self._reader.read()
        if content is None or content.digest == self._tried:
            return None
        for _ in range(_ROUNDS):
            await asyncio.sleep(SETTLE)
            again = await self._reader.read()
            if again.digest == content.digest:
                return again
            content = again
        return None  # somebody goes on writing: the next look sees what comes of it

    async def _check_definition(self, found: Definition) -> None:
        assert self._check is not None
        try:
            if isinstance(found.profiles, list):  # what a function returns depends on the user
                await self._check(found.profiles)
        except SchedulerUnavailable as error:
            tasks.log.warning("Not all of %s could be checked: %s", self.path, error)
        except InvalidJobError as error:
            raise self._locate(error, found) from None
        except Exception as error:  # code of a site's class may raise anything
            tasks.log.exception("%s could not be checked", self.path)
            raise FileError(f"the check failed with {type(error).__name__}: {error}") from None

    def _refuse(self, words: str) -> None:
        if words != self.error:
            tasks.log.error("%s\nThe profiles of before stay.", words)
        self.error = words
        self._show()

    def _show(self) -> None:
        metrics.PROFILES_FILE.labels(self.path).set(0 if self.error else 1)


class _Reader:
    """Reads one file again and again, in threads: its file system may hang."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._signature: Signature | None = None
        self._first_seen = self._last_read = 0.0
        self._open = 0

    @property
    def hangs(self) -> bool:
        """Whether a reading has not ended that nobody waits for any more."""
        return self._open > 0

    async def read(self) -> Content:
        """Return the content.

        Raises
        ------
        FileError
            If it can't be read.
        """
        found = await self._read(None)
        assert found is not None
        return found

    async def read_if_changed(self) -> Content | None:
        """Return the content; None if it is certainly that of the last time.

        Raises
        ------
        FileError
            If it can't be read.
        """
        settled = self._last_read - self._first_seen > CLOCK_TICK
        return await self._read(self._signature if settled else None)

    async def _read(self, known: Signature | None) -> Content | None:
        began = time.monotonic()
        try:
            found = await _in_thread(partial(self._open_and_read, known), READ_SECONDS, _NO_ANSWER)
        except FileError:
            self._signature = None
            raise
        if found.signature != self._signature:
            self._signature, self._first_seen = found.signature, began
        if found.data is None:
            return None
        self._last_read = began
        return found

    def _open_and_read(self, known: Signature | None) -> Content:
        self._open += 1
        try:
            return open_and_read(self._path, known)
        finally:
            self._open -= 1


_files: dict[str, ProfilesFile] = {}
_listening: tuple[asyncio.AbstractEventLoop, Any] | None = None
"""The event loop in which SIGHUP has a handler of ours, and what Python calls that handler."""


def find_file(path: str) -> ProfilesFile:
    """Return what this process knows of a file; it is read when it is first needed."""
    path = os.path.abspath(path)
    return _files.setdefault(path, ProfilesFile(path))


def _slugs(profiles: Any) -> list[str]:
    try:
        return [one.slug for one in read_profiles(profiles)]
    except (InvalidJobError, TypeError):  # the message has the number of a profile, or no profile
        return []


# -- threads -------------------------------------------------------------------------------------


def _wait(work: Callable[[], T], seconds: float, words: str) -> T:
    """Return the result of some work that may hang.

    Raises
    ------
    FileError
        If the work does, or if it takes too long; then with these words.
    """
    results: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:  # raised where the work is waited for
            errors.append(error)

    thread = _start_thread(run)
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise FileError(words)
    return results[0]


async def _in_thread(work: Callable[[], T], seconds: float, words: str) -> T:
    """Do the same without blocking the event loop."""
    result: ThreadResult[T] = ThreadResult()

    def run() -> None:
        try:
            result.deliver(work())
        except Exception as error:  # raised where the work is waited for
            result.deliver(None, error)

    _start_thread(run)
    try:
        return await asyncio.wait_for(result.future, seconds)
    except (TimeoutError, asyncio.TimeoutError):
        raise FileError(words) from None


def _start_thread(run: Callable[[], None]) -> threading.Thread:
    """Start a thread for which nobody waits when the process ends."""
    thread = threading.Thread(target=run, name="unispawner-profiles-file", daemon=True)
    thread.start()
    return thread
