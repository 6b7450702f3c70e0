"""The parent: reads requests, starts a child for each, and writes answers. It has no thread."""

from __future__ import annotations

import math
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from typing import Any

from .. import __version__
from ..errors import clean_output
from ..frames import PROTOCOL, FrameError
from .accounts import Rules
from .incoming import Incoming, InvalidRequestError, Request, parse_header
from .memory import Buffer, make_file
from .outgoing import Outgoing, Part
from .processes import Child
from .turns import Turns

DRAIN = 5.0
"""How long (seconds) the broker waits at its end for somebody to read the last answers."""
LEAST_AT_ONCE = 16
"""How many agents may be busy at a time, on a host with few cores.

An agent waits for the scheduler for most of its time, and a busy scheduler may take seconds.
"""
_MOST_ANSWERS = 256
"""How many answers may wait for their reader before no more requests are read."""
_DESCRIPTORS = 4096
"""Each request that waits has a descriptor, and each child two."""


class Broker:
    """Serves the requests of one Hub until they end."""

    def __init__(self, rules: Rules, account: str) -> None:
        self._rules = rules
        self._buffer = Buffer()
        self._incoming = Incoming(0, self._buffer, self._accept, self._take)
        self._outgoing = Outgoing(1, self._buffer)
        self._turns = Turns(max(LEAST_AT_ONCE, 4 * (os.cpu_count() or 1)))
        self._children: list[Child] = []
        self._reading = True
        self._ending = False
        self._limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        _raise_limit(self._limits)
        self._signals = _catch_signals()
        self._outgoing.put(
            {
                "protocol": PROTOCOL,
                "version": __version__,
                "clock": time.monotonic(),
                "time": time.time(),
                "host": os.uname().nodename,
                "account": account,
                "uid": rules.uid,
            }
        )

    def run(self) -> None:
        """Serve requests until the end of standard input, or until SIGTERM; then end."""
        while not self._ending or self._children or len(self._turns):
            self._wait()
            self._look_after_children()
            self._refuse_late()
            self._start_children()
        over = time.monotonic() + DRAIN
        while self._outgoing and time.monotonic() < over:
            select.select([], [self._outgoing.descriptor], [], 0.1)
            self._outgoing.write()
        log("ended")

    # -- waiting ------------------------------------------------------------------------------

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        if self._reading and self._outgoing.waiting < _MOST_ANSWERS:
            poll.register(self._incoming.descriptor, select.POLLIN)
        if self._outgoing:
            poll.register(self._outgoing.descriptor, select.POLLOUT)
        elif not self._outgoing.broken:
            poll.register(self._outgoing.descriptor, 0)  # only whether the reader has gone
        for descriptor, _ in poll.poll(self._patience()):
            if descriptor == self._signals:
                self._read_signals()
            elif descriptor == self._incoming.descriptor:
                self._read()
            elif descriptor == self._outgoing.descriptor:
                self._write()

    def _patience(self) -> float | None:
        """Return for how long (milliseconds) nothing has to be done; None means for ever."""
        times = [child.next_step() for child in self._children]
        if (first := self._turns.first_deadline()) is not None:
            times.append(first)
        if not times:
            return None
        patience = max(0.0, min(times) - time.monotonic()) * 1000 + 1
        return None if math.isinf(patience) else patience

    def _read_signals(self) -> None:
        numbers = os.read(self._signals, 4096)
        if any(number != signal.SIGCHLD for number in numbers):
            self._end("a signal")

    def _read(self) -> None:
        try:
            if self._incoming.read():
                return
            why = "standard input has ended"
        except FrameError as error:
            self._refuse(None, "invalid", f"{error}. No more requests are read.")
            why = "what came is not a request"
        except OSError as error:
            why = f"standard input can't be read: {error.strerror}"
        self._reading = False
        self._incoming.abandon()
        self._end(why)

    def _write(self) -> None:
        if self._outgoing:
            self._outgoing.write()
        else:  # poll reports an error: the other end is closed
            self._outgoing.drop()
        if self._outgoing.broken:
            self._reading = False
            self._end("nobody reads the answers")

    def _end(self, why: str) -> None:
        """Begin to end: what runs is finished, and nothing new is begun."""
        if not self._ending:
            self._ending = True
            log(f"ends: {why}; {len(self._children)} processes are being waited for")
        for request in self._turns.take_all():
            self._refuse_request(request, "ending", "The broker ends.")

    # -- requests -----------------------------------------------------------------------------

    def _accept(self, header: bytes, length: int) -> Request | None:
        """Return the request of a header; refuse it if it can't be served."""
        now = time.monotonic()
        try:
            request = parse_header(header, length, now)
        except InvalidRequestError as error:
            self._refuse(error.id, "invalid", str(error))
            return None
        if self._ending:
            self._refuse(request.id, "ending", "The broker ends.")
        elif request.deadline <= now:
            self._refuse(request.id, "late", "The deadline has passed.")
        elif reason := self._turns.refuse(request):
            self._refuse(request.id, "busy", f"{reason}. Try again later.")
        else:
            try:
                request.body = make_file("request")
                return request
            except OSError as error:
                self._refuse(request.id, "busy", f"There is no room for a request: {error}")
        return None

    def _take(self, request: Request) -> None:
        if self._ending:  # since its header has come
            self._refuse_request(request, "ending", "The broker ends.")
        else:
            self._turns.put(request)

    def _refuse(self, request_id: int | str | None, refused: str, message: str) -> None:
        if refused != "late":
            log(f"refused ({refused}): {message}")
        self._send({"id": request_id, "refused": refused, "message": clean_output(message, 1000)})

    def _send(
        self,
        header: dict[str, Any],
        parts: tuple[Part | bytes, ...] = (),
        done: Callable[[], None] | None = None,
    ) -> None:
        """Send an answer or a refusal, with the time: another host's clock may drift away."""
        self._outgoing.put({**header, "clock": time.monotonic()}, parts, done)

    def _refuse_request(self, request: Request, refused: str, message: str) -> None:
        request.close()
        self._refuse(request.id, refused, message)

    def _refuse_late(self) -> None:
        for request in self._turns.take_late(time.monotonic()):
            self._refuse_request(request, "late", "The deadline passed while it waited.")

    # -- children -----------------------------------------------------------------------------

    def _start_children(self) -> None:
        while request := self._turns.next(sum(child.busy for child in self._children)):
            try:
                self._children.append(Child(request, self._rules, self._limits))
            except OSError as error:  # there is no memory, or there are too many processes
                self._turns.end(request)
                self._refuse_request(request, "busy", f"No process can be started: {error}")

    def _look_after_children(self) -> None:
        for child in list(self._children):
            if child.kill_if_late():
                log(f"killed the process for {child.request.group!r}: its time was up")
            ended = child.reap()
            if (ended or child.given_up) and not child.answered:
                self._send(*child.answer(), done=child.close)
            if ended or (self._ending and child.given_up):
                self._children.remove(child)
                self._turns.end(child.request)


def log(text: str) -> None:
    """Write a line to standard error; it is lost if nobody reads there."""
    line = f"unispawner.broker: {clean_output(text, 400)}\n".encode()
    try:
        if select.select([], [2], [], 0)[1]:
            os.write(2, line[:511])
    except (OSError, ValueError):
        pass  # standard error is closed


def _raise_limit(limits: tuple[int, int]) -> None:
    """Raise the limit on open files for the broker itself; its children get the old one."""
    soft, hard = limits
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _catch_signals() -> int:
    """Return the descriptor from which the numbers of signals can be read.

    Ctrl-C on the Hub's terminal reaches the broker, too, but the Hub still needs it then.
    """
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _note)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return read


def _note(*_: Any) -> None:
    """Do nothing: the number of the signal is in the pipe."""
