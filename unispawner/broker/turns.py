"""Which request is next: fair between accounts, and bounded, so that nobody can hold up all."""

from __future__ import annotations

from collections import OrderedDict, deque

from .incoming import Request

PER_ACCOUNT = 2
"""How many children of one account may run at a time; each that hangs counts, too."""
WAITING_PER_ACCOUNT = 32
OTHERS = 8
"""How many children may run at a time for questions, and as many for look-ups of accounts."""
NAMES = 4
"""How many children may run at a time for names of nodes: users make names up that take long."""
WAITING_OTHERS = 512
WAITING = 1024
WAITING_BYTES = 64 * 1024**2
"""How many bytes all bodies that wait may have."""
RUNNING = 200
"""How many children may run at all; of these most hang, since young ones have their own limit."""
LONGEST_TURN = 10.0
"""How long (seconds) a child counts as busy: one that hangs costs no processor time."""
_AT_ONCE = {"agent": PER_ACCOUNT, "question": OTHERS, "account": OTHERS, "name": NAMES}


class Turns:
    """The requests that wait, and how many run.

    Parameters
    ----------
    at_once
        How many children of kind ``agent`` may be busy at a time.
    """

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self._waiting: OrderedDict[str, deque[Request]] = OrderedDict()
        self._running: dict[str, int] = {}
        self._count = self._bytes = 0

    def __len__(self) -> int:
        return self._count

    def refuse(self, request: Request) -> str:
        """Return why a request can't even wait; empty if it can."""
        queue = self._waiting.get(request.group, ())
        most = WAITING_PER_ACCOUNT if request.kind == "agent" else WAITING_OTHERS
        if len(queue) >= most:
            return f"{len(queue)} requests of {request.group} wait already"
        if self._count >= WAITING or self._bytes + request.length > WAITING_BYTES:
            return f"{self._count} requests with {self._bytes} bytes wait already"
        if request.kind == "agent" and sum(self._running.values()) >= RUNNING:
            return f"{RUNNING} processes run already, and most of them hang"
        return ""

    def put(self, request: Request) -> None:
        """Let a request wait for its turn."""
        self._waiting.setdefault(request.group, deque()).append(request)
        self._count += 1
        self._bytes += request.length

    def next(self, busy: int) -> Request | None:
        """Return the request whose turn it is; its account then goes to the end of the line.

        Parameters
        ----------
        busy
            How many children of kind ``agent`` are busy.
        """
        for group, queue in self._waiting.items():
            agent = queue[0].kind == "agent"
            if agent and (busy >= self.at_once or sum(self._running.values()) >= RUNNING):
                continue
            if self._running.get(group, 0) >= _AT_ONCE[queue[0].kind]:
                continue
            request = queue[0]
            self._remove(request)
            if group in self._waiting:
                self._waiting.move_to_end(group)
            self._running[group] = self._running.get(group, 0) + 1
            return request
        return None

    def end(self, request: Request) -> None:
        """Note that a request's child has ended."""
        self._running[request.group] -= 1
        if not self._running[request.group]:
            del self._running[request.group]

    def take_late(self, now: float) -> list[Request]:
        """Remove and return the requests whose deadline has passed while they waited."""
        return self._take([one for one in self._all() if one.deadline <= now])

    def take_all(self) -> list[Request]:
        """Remove and return all requests that wait."""
        return self._take(self._all())

    def first_deadline(self) -> float | None:
        """Return the first deadline of the requests that wait."""
        return min((request.deadline for request in self._all()), default=None)

    def _all(self) -> list[Request]:
        return [request for queue in self._waiting.values() for request in queue]

    def _take(self, requests: list[Request]) -> list[Request]:
        for request in requests:
            self._remove(request)
        return requests

    def _remove(self, request: Request) -> None:
        queue = self._waiting[request.group]
        queue.remove(request)
        if not queue:
            del self._waiting[request.group]
        self._count -= 1
        self._bytes -= request.length
