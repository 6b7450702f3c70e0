"""The children of the broker: one process for each request."""

from __future__ import annotations

import math
import os
import signal
import time
from typing import Any

from ..command import members
from ..frames import BODY_LIMIT
from .accounts import Rules
from .incoming import Request
from .memory import make_file
from .outgoing import Part
from .turns import LONGEST_TURN
from .work import ALARM_AFTER, work

KILL_AFTER = ALARM_AFTER + 1.0
"""How long (seconds) after its deadline a child and its session are killed."""
GIVE_UP_AFTER = KILL_AFTER + 2.0
"""How long after its deadline the answer says that a process could not be killed."""
STDERR_LIMIT = 64 * 1024
"""How many bytes at the end of standard error an answer has."""
_LOOK_EVERY = 0.1
"""How often (seconds) the session of a killed child is searched for what has been forked since."""
_EARLY = 0.05
"""How long (seconds) before its deadline a child's own timer may go off."""
_STDERR_SIZE = 1024**2
_REPLY_SIZES = {
    "agent": 1024**2,
    "question": BODY_LIMIT - 2 * STDERR_LIMIT,
    "account": 64 * 1024,
    "name": 64 * 1024,
}


class Child:
    """A process that serves one request."""

    def __init__(self, request: Request, rules: Rules, limits: Any) -> None:
        self.request = request
        self.started = time.monotonic()
        self.status: int | None = None
        self.killed = self.answered = False
        self._next_look = 0.0
        self._left: list[int] = []
        self._files = [make_file("reply", _REPLY_SIZES[request.kind])]
        try:
            self._files.append(make_file("errors", _STDERR_SIZE))
            self.pid = self._fork(rules, limits)
        except OSError:
            self.close()
            raise
        request.close()

    def _fork(self, rules: Rules, limits: Any) -> int:
        """Return the process id of the child, which never returns from here."""
        everything = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = os.fork()
            if not pid:
                work(self.request, self._files[0], self._files[1], rules, limits)
            return pid
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, everything)

    @property
    def busy(self) -> bool:
        """True if it counts among those that may run at a time."""
        return self.request.kind == "agent" and time.monotonic() < self.started + LONGEST_TURN

    def next_step(self) -> float:
        """Return when something has to be done about it, if it does not end before."""
        if self.given_up:
            return math.inf  # SIGCHLD says when it ends after all
        if self.killed:
            return self._next_look
        kill = self.request.deadline + KILL_AFTER
        return min(kill, self.started + LONGEST_TURN) if self.busy else kill

    def kill_if_late(self) -> bool:
        """Kill it and its session once its time is up; return whether that is new.

        That is so, too, if it ends by its own time-out or by a signal: the commands that it has
        started may still be at work, such as a submission.
        """
        now = time.monotonic()
        if self.status is not None or self.given_up:
            return False
        if now < self.request.deadline + KILL_AFTER and not (self.killed or self._gave_out(now)):
            return False
        new, self.killed = not self.killed, True
        if now >= self._next_look:  # reading all of /proc takes a while
            self._next_look = now + _LOOK_EVERY
            _kill(self.pid)
            self._left = []
            for pid in members(self.pid):
                _kill(pid)
                self._left.append(pid)
        return new and now >= self.request.deadline + KILL_AFTER

    def _gave_out(self, now: float) -> bool:
        """Return whether it has ended without having come to the end of its work.

        It is not reaped by this, so that its session's number can't become another one's.
        """
        how = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if how is None:
            return False
        return how.si_code != os.CLD_EXITED or now >= self.request.deadline - _EARLY

    def reap(self) -> bool:
        """Return whether it has ended. It keeps its number until its session has been killed."""
        if self.status is None:
            if self.killed and self._left and not self.given_up:
                return False
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    @property
    def given_up(self) -> bool:
        """True if it was killed long ago: it hangs in the kernel, on a dead file system, say."""
        return self.killed and time.monotonic() > self.request.deadline + GIVE_UP_AFTER

    def answer(self) -> tuple[dict[str, Any], tuple[Part | bytes, ...]]:
        """Return the header and the body of the answer."""
        self.answered = True
        reply, errors = self._files
        status = -signal.SIGKILL if self.status is None else self.status
        written = min(os.lseek(reply, 0, os.SEEK_CUR), os.fstat(reply).st_size)
        end = min(os.lseek(errors, 0, os.SEEK_CUR), os.fstat(errors).st_size)
        begin = max(0, end - STDERR_LIMIT)
        late = status < 0 and time.monotonic() >= self.request.deadline
        header = {"id": self.request.id, "status": status, "stdout": written}
        if late:
            header["late"] = True
        return header, (
            Part(reply, 0, written),
            Part(errors, begin, end - begin),
            self._explain(status, late).encode(),
        )

    def _explain(self, status: int, late: bool) -> str:
        """Return what the broker itself has to say about the end of the process."""
        if status >= 0:
            return ""
        how = f"The process for this request was ended by signal {-status}"
        if not late:
            return f"{how} before its time was up.\n"
        left = " It hangs and can't be killed now." if self.status is None else ""
        return f"{how}, because it did not finish in time.{left}\n"

    def close(self) -> None:
        """Free the reply."""
        for descriptor in self._files:
            os.close(descriptor)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # it has ended, or is not an ordinary user's own to kill
