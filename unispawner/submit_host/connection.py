"""The connection to a broker: one process, many requests at once, and a new process if it dies.

One daemon thread owns the process and its pipes. So nothing waits on an event loop, every event
loop of the Hub's process can use the same connection, and a Hub that ends does not wait for it.
The broker ends with the Hub, however that ends: the pipe that it reads is closed then.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import frames, metrics
from ..command import Finished
from ..errors import AgentError, SchedulerUnavailable, clean_output
from .broker_process import ENDED, BrokenConnection, BrokerProcess, Frame, Greeting
from .request import NO_CONNECTION, NO_TURN, UNKNOWN_OUTCOME, Request
from .restarts import Restarts
from .thread_result import ThreadResult
from .tolerance import Tolerance

log = logging.getLogger("JupyterHub.unispawner")  # with the Hub's own handlers

SSH_FAILED = 255
"""The exit status of ssh if the connection fails, also in the middle of it."""
CLOCK_TOLERANCE = 5.0
"""By how many seconds the time of day on two hosts may differ without a warning."""
GREETING_TIME = 30.0
"""How long (seconds) a broker may take until it greets: ssh and a slow file system take time."""
ANSWER_TIME = 5.0
"""How long (seconds) after a request's deadline its answer may come: the far side ends it then."""
CLOSING_TIME = 10.0
"""How long (seconds) :meth:`Connection.close` waits for the thread."""

Explain = Callable[[int | None, str, bytes], str]
"""Returns what to do about a broker that has failed; empty without advice.

Its parameters are the exit status, None if it still ran; what was printed to standard error; and
what was printed to standard output before the first frame.
"""


def no_advice(exit_status: int | None, printed: str, began: bytes) -> str:
    """Return nothing: the failure is reported without advice."""
    return ""


class Connection:
    """Sends requests to a broker, and starts it as soon as one is sent.

    Parameters
    ----------
    command
        The command that runs the broker, here or on another host. Its standard input and output
        lead to the broker.
    environment
        The whole environment of the command.
    explain
        Says what to do about a broker that has failed.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        explain: Explain = no_advice,
    ) -> None:
        self.command = tuple(command)
        self.problem = ""
        """Why there is no connection; empty if there is one, or if none was needed yet."""
        self.printed = ""
        """What the broker that failed had printed."""
        self._environment = dict(environment)
        self._explain = explain
        self._lock = threading.Lock()
        self._new: deque[Request] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False
        # The rest belongs to the thread.
        self._waiting: deque[Request] = deque()
        self._open: dict[int, Request] = {}
        self._process: BrokerProcess | None = None
        self._ended: list[BrokerProcess] = []
        self._selector = selectors.DefaultSelector()
        self._restarts = Restarts()
        self._hurry = False
        self._tolerance = Tolerance()
        self._logged = ("", "")
        self._wake_end, self._waker = os.pipe()
        for end in (self._wake_end, self._waker):
            os.set_blocking(end, False)
        self._selector.register(self._wake_end, selectors.EVENT_READ)

    @property
    def greeting(self) -> Greeting | None:
        """What the broker says about itself; None while there is no connection."""
        process = self._process
        return process.greeting if process else None

    @property
    def starts(self) -> int:
        """How often the broker has been started."""
        return self._restarts.starts

    @property
    def pid(self) -> int | None:
        """The process id of the command; None while it does not run."""
        process = self._process
        return process.pid if process else None

    # -- from the event loops ----------------------------------------------------------------------

    async def greet(self, seconds: float) -> Greeting:
        """Return the broker's greeting; start the broker if it does not run.

        Raises
        ------
        SchedulerUnavailable
            If the first attempt fails, or takes longer than this.
        """
        await self._exchange({}, b"", seconds)
        if (greeting := self.greeting) is None:
            raise SchedulerUnavailable(self.problem or "The broker ended after its greeting.")
        return greeting

    async def request(self, header: Mapping[str, Any], body: bytes, seconds: float) -> Finished:
        """Send a request and return how its process on the far side ended.

        While there is no connection the request waits; after its time it is never sent.

        Parameters
        ----------
        header
            ``kind`` and ``account``: see :mod:`unispawner.frames`.
        seconds
            After that time the far side is not at work on it any more.

        Raises
        ------
        SchedulerUnavailable
            If there is no connection, if it is lost, or if no answer comes in time. ``unsent`` and
            ``open_until`` say what may have become of the request.
        AgentError
            If the request is too large.
        """
        try:
            frames.pack({**header, "id": 2**63, "deadline": time.monotonic()}, len(body))
        except frames.FrameError as error:
            large = AgentError(f"The request to the broker is too large: {error}.")
            large.unsent = True
            raise large from None
        return await self._exchange(header, body, seconds)

    async def _exchange(self, header: Mapping[str, Any], body: bytes, seconds: float) -> Finished:
        request = Request(dict(header), body, time.monotonic() + seconds, ThreadResult())
        self._submit(request)
        try:
            return await request.answer.future
        finally:
            request.abandoned = True

    def hurry(self) -> None:
        """Start the broker soon, whatever the pause is, if a request waits: so does a user."""
        self._hurry = True
        self._wake()

    def close(self) -> None:
        """End the broker and the thread; requests fail. It is not used any more."""
        with self._lock:
            self._closed = True
            thread = self._thread
        self._wake()
        if thread is not None:
            thread.join(CLOSING_TIME)

    def _submit(self, request: Request) -> None:
        with self._lock:
            self._new.append(request)
            if self._closed:
                self._refuse_all()
                return
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="connection to a broker", daemon=True
                )
                self._thread.start()
        self._wake()

    def _wake(self) -> None:
        with self._lock, contextlib.suppress(OSError):  # a full pipe wakes the thread, too
            os.write(self._waker, b"\0")

    # -- in the thread: requests -------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closed:
            try:
                self._turn()
            except Exception:  # a bug must not leave requests without an end
                log.exception("The connection to the broker failed")
                self._lose("the Hub's side of the connection has failed; its log says where")
        self._lose("the Hub has closed the connection")
        for process in self._ended:
            process.exit_status()
        with self._lock:
            self._refuse_all()
            for end in (self._wake_end, self._waker):
                os.close(end)
            self._waker = self._wake_end = -1
        self._selector.close()

    def _refuse_all(self) -> None:
        for requests in (self._new, self._waiting):
            while requests:
                requests.popleft().fail("The Hub has closed the connection to the broker.")

    def _turn(self) -> None:
        with self._lock:
            self._waiting += self._new
            self._new.clear()
            hurry, self._hurry = self._hurry, False
        if hurry and self._process is None:
            self._restarts.hurry()
        now = time.monotonic()
        self._drop_late(now)
        if self._process is None and self._waiting and now >= self._restarts.next_start:
            self._start()
        if self._process is not None and self._process.greeting is not None:
            self._send(now)
        for key, events in self._selector.select(self._pause()):
            self._handle(key.data, key.fd, events)
        self._ended = [one for one in self._ended if not one.has_ended()]

    def _handle(self, name: str | None, descriptor: int, events: int) -> None:
        if descriptor == self._wake_end:
            with contextlib.suppress(OSError):
                os.read(self._wake_end, 4096)
            return
        process = self._process
        if process is None:
            return  # lost while the same events were handled
        try:
            if name == "stdout":
                greeted = process.greeting is not None
                for frame in process.read():
                    self._take_answer(frame)
                if process.greeting is not None and not greeted:
                    self._note_greeting(process)
            elif name == "stderr":
                self._take_errors(process)
            elif name == "stdin":
                self._note_sent(process.write())
                self._watch_input(process)
        except BrokenConnection as broken:
            self._lose(str(broken))

    def _send(self, now: float) -> None:
        """Hand waiting requests to the process, no more than its pipe takes."""
        process = self._process
        assert process
        assert process.greeting
        try:
            while self._waiting and not process.full:
                request = self._waiting.popleft()
                if request.only_greets:
                    request.answer.deliver(Finished(0, b"", b""))
                    continue
                self._open[request.id] = request
                deadline = request.deadline + process.greeting.clock_offset
                header = {"id": request.id, **request.header, "deadline": deadline}
                process.queue(request, header, request.body)
                self._note_sent(process.write())
            self._watch_input(process)
        except BrokenConnection as broken:
            self._lose(str(broken))

    def _note_sent(self, requests: list[object]) -> None:
        for request in requests:
            assert isinstance(request, Request)
            request.sent, request.body = True, b""

    def _watch_input(self, process: BrokerProcess) -> None:
        """Wait for room in the pipe only while something is to be written."""
        watched = process.stdin in self._selector.get_map()
        if process.full and not watched:
            self._selector.register(process.stdin, selectors.EVENT_WRITE, "stdin")
        elif watched and not process.full:
            self._selector.unregister(process.stdin)

    def _take_answer(self, frame: Frame) -> None:
        if self._process is not None:
            self._process.set_clock(frame.header.get("clock"))
        request = self._open.pop(_number(frame.header.get("id")), None)
        if request is None:
            self._tolerance.take_unasked(len(frame.body))
            return
        if "refused" in frame.header:
            request.sent = False
            request.fail(f"The broker refused the request: {frame.header.get('message')}")
            return
        status = _number(frame.header.get("status"))
        length = max(0, _number(frame.header.get("stdout")))
        if frame.header.get("late") is True:
            request.fail(
                "The request did not finish in time, so the broker ended its process.",
                frame.body[length:].decode("utf-8", "replace"),
                open_until=request.deadline,
            )
            return
        request.answer.deliver(Finished(status, frame.body[:length], frame.body[length:]))

    def _drop_late(self, now: float) -> None:
        """Let requests fail whose time is over; a broker that leaves one without answer is lost."""
        pausing = self._process is None and now < self._restarts.next_start
        hopeless = self._process is None and self._restarts.is_hopeless(now)
        kept: deque[Request] = deque()
        for request in self._waiting:
            if request.abandoned:
                continue
            known = request.only_greets and pausing and self.problem
            if now >= request.deadline or hopeless or known:
                self._fail_unsent(request)
            else:
                kept.append(request)
        self._waiting = kept
        if any(now > request.deadline + ANSWER_TIME for request in self._open.values()):
            self._lose("it did not answer in time")
        process = self._process
        if process and process.greeting is None and now > process.started + GREETING_TIME:
            self._lose(f"it did not greet within {GREETING_TIME:g} s")

    def _fail_unsent(self, request: Request) -> None:
        if request.only_greets:  # doctor, or the Hub's start: the administrator reads it
            busy = f"The broker took no request in time. It runs as: {self._shown}"
            request.fail(self.problem or busy, self.printed)
        elif self.problem:
            request.fail(NO_CONNECTION)
        else:
            request.fail(NO_TURN)

    def _pause(self) -> float | None:
        """Return how long (seconds) the thread may wait; None without limit."""
        times = [request.deadline for request in self._waiting]
        times += [request.deadline + ANSWER_TIME for request in self._open.values()]
        if self._process is None and self._waiting:
            times.append(self._restarts.next_start)
        elif self._process is not None and self._process.greeting is None:
            times.append(self._process.started + GREETING_TIME)
        if self._ended:
            times.append(time.monotonic() + 1.0)
        return max(0.0, min(times) - time.monotonic() + 0.001) if times else None

    # -- in the thread: the process ----------------------------------------------------------------

    @property
    def _shown(self) -> str:
        """The command for a message. Its end has the host and the broker's arguments."""
        text = " ".join(self.command)
        return text if len(text) <= 500 else f"{text[:20]} … {text[-450:]}"

    def _start(self) -> None:
        self._restarts.note_start()
        metrics.BROKER_STARTS.inc()
        self._tolerance.renew()
        try:
            process = BrokerProcess(self.command, self._environment)
        except OSError as error:
            self._note_failure(f"The broker can't be run: {self.command[0]}: {error.strerror}.", "")
            return
        self._process = process
        self._selector.register(process.stdout, selectors.EVENT_READ, "stdout")
        self._selector.register(process.stderr, selectors.EVENT_READ, "stderr")

    def _note_greeting(self, process: BrokerProcess) -> None:
        greeting = process.greeting
        assert greeting
        if self.problem:
            log.warning("The broker on %s answers again.", greeting.host)
        else:
            log.info(
                "The broker runs on %s for %s: %s", greeting.host, greeting.account, self._shown
            )
        self.problem, self.printed = "", ""
        self._restarts.note_greeting()
        if abs(greeting.time_offset) > CLOCK_TOLERANCE:
            log.warning(
                "The time of day on %s is %.0f s %s the Hub's. Users read wrong times of when jobs "
                "begin and end. Set the clocks of both hosts (NTP).",
                greeting.host,
                abs(greeting.time_offset),
                "ahead of" if greeting.time_offset > 0 else "behind",
            )
        if process.preamble.strip():
            log.warning(
                "Text came before the broker's greeting, from a start-up file of its account or a "
                "message of the day. It is passed over; remove what prints it: %r",
                bytes(process.preamble[:300]),
            )

    def _take_errors(self, process: BrokerProcess) -> None:
        text = process.read_errors()
        if not text:
            self._selector.unregister(process.stderr)
        self._tolerance.take_errors(len(text))

    def _lose(self, why: str) -> None:
        """End the process; what it had begun is not known any more, and the rest waits."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe in self._selector.get_map():
                self._selector.unregister(pipe)
        # It has closed its output, so its exit status says more.
        status = process.exit_status() if why == ENDED else None
        process.end()
        if not process.has_ended():
            self._ended.append(process)
        if status is not None:
            why = f"exit status {status}" if status >= 0 else f"signal {-status}"
            why = f"it ended with {why}"
        advice = ""
        if process.greeting is None or status == SSH_FAILED:
            advice = self._explain(status, process.printed, bytes(process.preamble))
        # Advice about a process that has ended says all that its exit status says.
        what = advice if advice and status is not None else f"{advice} The broker is lost: {why}."
        self._note_failure(what.strip(), _join(process))
        self._fail_open()

    def _fail_open(self) -> None:
        opened, self._open = self._open, {}
        for request in reversed(opened.values()):
            if request.sent:
                request.fail(UNKNOWN_OUTCOME, open_until=request.deadline)
            else:  # the far side has a part of it at most, and can't have begun
                self._waiting.appendleft(request)

    def _note_failure(self, what: str, printed: str) -> None:
        """Remember why there is no connection, log it once, and set the time of the next start."""
        self.problem, self.printed = what, printed
        self._restarts.note_failure()
        if (self.problem, printed) != self._logged and not self._closed:
            more = f"\n{printed}" if printed and self._tolerance.may_log(printed) else ""
            log.warning(
                "%s Its command: %s%s\nThe broker is started again when it is needed.",
                self.problem,
                self._shown,
                more,
            )
        self._logged = self.problem, printed
        for request in [one for one in self._waiting if one.only_greets]:
            self._waiting.remove(request)
            request.fail(self.problem, printed)


def _join(process: BrokerProcess) -> str:
    """Return what a broker has printed, with what came before its greeting."""
    before = clean_output(process.preamble[-300:].decode("utf-8", "replace"))
    return "\n".join(filter(None, (before, process.printed)))


def _number(value: object) -> int:
    """Return a whole number as it is, and -1 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else -1
