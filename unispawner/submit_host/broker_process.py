"""One running broker: its process, its pipes and the frames in them. Nothing here waits."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any, TypeGuard

from .. import frames
from .._version import __version__
from ..errors import clean_output

KEPT = 1024
"""How many bytes of what it prints to standard error are kept."""
PREAMBLE_LIMIT = 64 * 1024
"""How many bytes of other text may come before the first frame."""
ENDING_TIME = 2.0
"""How long (seconds) a process may take to end after it has closed its output."""
CLOCK_INTERVAL = 600.0
"""How long (seconds) the largest offset of the broker's clock counts."""
ENDED = "it ended"
"""Why a connection is broken if its process has closed its output."""
_CHUNK = 65536
_LARGEST = 2**53
"""No time is as large; a float still holds each whole number below it."""


class BrokenConnection(Exception):
    """The other side ended, or sent something that is not a frame of our protocol."""


@dataclass(frozen=True)
class Frame:
    """A whole frame."""

    header: dict[str, Any]
    body: bytes


@dataclass(frozen=True)
class Greeting:
    """What a broker says about itself in its first frame.

    Attributes
    ----------
    clock_offset
        How many seconds its clock is ahead of time.monotonic() here, or a little less: the time
        that the frame has travelled is missing. So a deadline is never too late over there.
    time_offset
        The same for the time of day.
    is_root
        Whether it can become other accounts than its own.
    """

    host: str
    account: str
    clock_offset: float
    time_offset: float = 0.0
    is_root: bool = True


class BrokerProcess:
    """A broker that has been started, with non-blocking pipes.

    Attributes
    ----------
    greeting
        None until the first frame has come.
    preamble
        What was printed before the first frame: a message of the day, an ``echo`` in ``.bashrc``.
    errors
        The end of what was printed to standard error.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the process.

        Raises
        ------
        OSError
            If it can't be started.
        """
        self.command = tuple(command)
        self.started = time.monotonic()
        self.greeting: Greeting | None = None
        self.preamble = bytearray()
        self.errors = bytearray()
        self._clock_set, self._largest_offset = self.started, float("-inf")
        # A session of its own: Ctrl-C in the Hub's terminal is for the Hub, which still needs it.
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )
        self._outgoing: deque[tuple[object, memoryview]] = deque()
        self._incoming = bytearray()
        for pipe in self._pipes():
            os.set_blocking(pipe.fileno(), False)

    @property
    def stdin(self) -> IO[bytes]:
        """Where requests go."""
        assert self._process.stdin
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """Where answers come from."""
        assert self._process.stdout
        return self._process.stdout

    @property
    def stderr(self) -> IO[bytes]:
        """Where messages for people come from."""
        assert self._process.stderr
        return self._process.stderr

    @property
    def pid(self) -> int:
        """The process id of the command, which may be sudo's or ssh's."""
        return self._process.pid

    def _pipes(self) -> tuple[IO[bytes], ...]:
        return self.stdin, self.stdout, self.stderr

    # -- to the broker ---------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """True while a frame waits to be written: no further one should be queued."""
        return bool(self._outgoing)

    def queue(self, owner: object, header: dict[str, Any], body: bytes) -> None:
        """Queue a frame; :meth:`write` returns its owner when it is written completely."""
        self._outgoing.append((owner, memoryview(frames.pack(header, len(body)) + body)))

    def write(self) -> list[object]:
        """Write as much as the pipe takes; return the owners of the frames that are complete."""
        done = []
        while self._outgoing:
            owner, data = self._outgoing[0]
            try:
                written = os.write(self.stdin.fileno(), data)
            except BlockingIOError:
                break
            except OSError:
                raise BrokenConnection("it reads no more requests") from None
            if written < len(data):
                self._outgoing[0] = owner, data[written:]
                break
            self._outgoing.popleft()
            done.append(owner)
        return done

    # -- from the broker -------------------------------------------------------------------------

    def read(self) -> list[Frame]:
        """Read what has come; return the frames that are complete, without the greeting.

        Raises
        ------
        BrokenConnection
            If its output has ended, or if it is not made of frames that this Hub understands.
        """
        try:
            chunk = os.read(self.stdout.fileno(), _CHUNK)
        except BlockingIOError:
            return []
        if not chunk:
            if self.greeting is None:
                self.preamble += self._incoming
            raise BrokenConnection(ENDED)
        self._incoming += chunk
        if self.greeting is None:
            self._take_preamble()
        try:
            found = self._take_frames()
        except frames.FrameError as error:
            raise BrokenConnection(f"it sent something that is not a frame: {error}") from None
        if found and self.greeting is None:
            self.greeting = _read_greeting(found.pop(0).header)
        return found

    def set_clock(self, clock: object) -> None:
        """Take the broker's clock from an answer: within weeks, two hosts' clocks drift apart.

        Each answer shows an offset that is too small by the time that it has travelled or waited,
        so the largest one of the last minutes counts.
        """
        if self.greeting is None or not _is_number(clock):
            return
        now = time.monotonic()
        self._largest_offset = max(self._largest_offset, clock - now)
        is_over = now >= self._clock_set + CLOCK_INTERVAL
        if is_over or self._largest_offset > self.greeting.clock_offset:
            self.greeting = replace(self.greeting, clock_offset=self._largest_offset)
        if is_over:
            self._clock_set, self._largest_offset = now, float("-inf")

    def read_errors(self) -> bytes:
        """Read what has come on standard error, keep its end, and return it."""
        taken = b""
        with contextlib.suppress(OSError):
            taken = os.read(self.stderr.fileno(), _CHUNK)
        self.errors += taken
        del self.errors[:-KEPT]
        return taken

    def _take_preamble(self) -> None:
        """Move what stands before the first frame out of the way."""
        start = self._incoming.find(frames.MAGIC)
        if start < 0:  # the beginning of a frame may be at the end of what has come
            start = max(0, len(self._incoming) - len(frames.MAGIC) + 1)
        self.preamble += self._incoming[:start]
        del self._incoming[:start]
        if len(self.preamble) > PREAMBLE_LIMIT:
            raise BrokenConnection(f"it printed {PREAMBLE_LIMIT} bytes and no greeting")

    def _take_frames(self) -> list[Frame]:
        found = []
        while len(self._incoming) >= frames.PREFIX_SIZE:
            header, body = frames.unpack_prefix(bytes(self._incoming[: frames.PREFIX_SIZE]))
            begin = frames.PREFIX_SIZE + header
            if len(self._incoming) < begin + body:
                break
            text = bytes(self._incoming[frames.PREFIX_SIZE : begin])
            found.append(
                Frame(frames.unpack_header(text), bytes(self._incoming[begin : begin + body]))
            )
            del self._incoming[: begin + body]
        return found

    # -- its end ---------------------------------------------------------------------------------

    @property
    def printed(self) -> str:
        """The end of what it printed to standard error, without control characters."""
        return clean_output(self.errors.decode("utf-8", "replace"), KEPT)

    def end(self) -> None:
        """Close the pipes, and kill the process if this Hub may.

        A broker that only root may kill ends by itself when its input has ended.
        """
        for _ in range(16):  # what came last says why
            if not self.read_errors():
                break
        for pipe in self._pipes():
            with contextlib.suppress(OSError):
                pipe.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def has_ended(self) -> bool:
        """Return whether the process has ended; this removes its zombie."""
        return self._process.poll() is not None

    def exit_status(self, seconds: float = ENDING_TIME) -> int | None:
        """Return its exit status; None if it has not ended within that time."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None


def _read_greeting(header: dict[str, Any]) -> Greeting:
    """Return the greeting.

    Raises
    ------
    BrokenConnection
        If it is of another protocol or another version of unispawner; the message says what to do.
    """
    there = _word(header.get("version"), 40)
    if header.get("protocol") != frames.PROTOCOL or there != __version__:
        raise BrokenConnection(
            f"it has unispawner {there}, and the Hub has {__version__}. Install the same version "
            "for both, and restart the Hub if it was started before the last installation"
        )
    clock, now = header.get("clock"), header.get("time", time.time())
    if not (_is_number(clock) and _is_number(now)):
        raise BrokenConnection("its greeting has no clock")
    return Greeting(
        _word(header.get("host")),
        _word(header.get("account")),
        clock - time.monotonic(),
        now - time.time(),
        header.get("uid", 0) == 0,
    )


def _word(value: object, limit: int = 255) -> str:
    """Return a short text of the far side's, without line breaks: it goes into the log."""
    return clean_output(" ".join(str(value)[:limit].split()))


def _is_number(value: object) -> TypeGuard[float]:
    """Return whether this can be a time. JSON has NaN, infinity, and numbers no float can hold."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) < _LARGEST
