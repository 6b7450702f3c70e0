"""The guarantee of docs/reliability.md, held against what was seen: pure, for every kind of test.

For every start that the Hub accepted, within T after the fault clears, exactly one of: the server
is reachable at its route, or its user is told why not and no job of it is left. Never two jobs of
one start; never a route to a foreign server; never a token that outlives its job.

A test fills a `History` while it runs: what users asked for and how the Hub answered, what they
were told, when there was a fault, and as many `Sighting`s as it can take. `check` goes through all
of them, and not only through the last:

    history = History()
    alice = Server("alice")
    history.starts.append(Start(10.0, alice, answered=10.4, status=201))
    history.faults.append(Fault("the Hub is killed", began=12.0, cleared=15.0))
    history.sightings.append(Sighting(11.0, jobs=[Job("7", alice.user, mark)], ...))
    assert [] == check(history, within=30)

All times are seconds of one clock that never goes back; it may be a simulated one.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

FOREVER = float("inf")
BROKEN = 500
"""What was answered with this status, or a higher one, may have been accepted all the same: a Hub
that is being shut down answers so, and the next Hub goes on with the start."""


@dataclass(frozen=True)
class Server:
    """A server's name: its user's, and its own, which is empty for the default server."""

    user: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.user}/{self.name}"


@dataclass(frozen=True)
class Start:
    """A request for a server.

    Attributes
    ----------
    at, answered
        When it was sent, and when its answer came.
    status, text
        The answer's HTTP status and words. A status of 0 means that there was no answer, so nobody
        knows whether the Hub accepted it.
    """

    at: float
    server: Server
    answered: float
    status: int
    text: str = ""


@dataclass(frozen=True)
class Stop:
    """A request for the end of a server; the attributes are those of a `Start`."""

    at: float
    server: Server
    answered: float
    status: int
    text: str = ""


FROM_INSIDE = "from inside"
"""The text of a stop that is the end of the server itself, and no request to the Hub."""


@dataclass(frozen=True)
class HandOver:
    """A request to continue a server with a second job: two jobs are right until it is over.

    Attributes
    ----------
    at
        When it was sent.
    over
        When its user had switched to the second job, or given it up, or when a job had ended.
    """

    at: float
    server: Server
    over: float = FOREVER


@dataclass(frozen=True)
class Told:
    """What a user can read from then on: why there is no server."""

    at: float
    server: Server
    text: str


@dataclass(frozen=True)
class Fault:
    """Something breaks.

    Attributes
    ----------
    began, cleared
        From when until when. They are equal for what happens at once, as a kill.
    spares
        True if a server that could be reached before must survive.
    """

    name: str
    began: float
    cleared: float = FOREVER
    spares: bool = False


@dataclass(frozen=True)
class Job:
    """A job that waits or runs and is not being ended, as the scheduler shows it to root.

    Attributes
    ----------
    owner
        The account.
    mark
        What names the start that it belongs to.
    waits
        True while it waits in the queue.
    """

    job_id: str
    owner: str
    mark: str
    waits: bool = False


@dataclass(frozen=True)
class Listener:
    """Who listens at an address: the server's process.

    Attributes
    ----------
    server
        Whose it is; None if it is not a server of JupyterHub's.
    mark
        The mark of its job; empty if that is not known.
    pid
        Its process id, for tests that end it.
    """

    server: Server | None
    mark: str = ""
    pid: int = 0


@dataclass(frozen=True)
class Token:
    """A token of a server's in the Hub's database, with the mark of its start if it is known."""

    token_id: int
    server: Server
    mark: str = ""


@dataclass(frozen=True)
class Sighting:
    """What there was at a moment; None where nobody could look, because of the fault itself.

    Attributes
    ----------
    jobs
        The jobs of this Hub's servers.
    routes
        The proxy's routes of servers, and who listens there; None if nobody does.
    marks
        The marks that the Hub has saved for its servers.
    pending
        The servers whose start is under way, or whose job waits again, as the Hub says.
    tokens
        The tokens of servers.
    """

    at: float
    jobs: Collection[Job] | None = None
    routes: Mapping[Server, Listener | None] | None = None
    marks: Mapping[Server, str] | None = None
    pending: Collection[Server] | None = None
    tokens: Collection[Token] | None = None


@dataclass
class History:
    """All that was asked, said and seen; each list in the order of time."""

    starts: list[Start] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    hand_overs: list[HandOver] = field(default_factory=list)


class Kind(enum.Enum):
    """What can be wrong."""

    LOST = "a job runs, and its server can't be reached; or a server died that the fault spares"
    SILENT = "there is neither a server nor a word to its user"
    ORPHANED = "a job is left that no server owns"
    DOUBLED = "two jobs of one start"
    FOREIGN = "a route leads to a foreign server"
    TOKEN = "a token has outlived its job"
    UNSEEN = "the history ends before this start had to be settled, so it shows nothing"


@dataclass(frozen=True)
class Violation:
    """What was wrong, when it was seen, and of which server."""

    kind: Kind
    at: float
    server: Server
    text: str

    def __str__(self) -> str:
        return f"{self.at:.1f} {self.server}: {self.kind.value}: {self.text}"


def check(history: History, within: float, since: float = -FOREVER) -> list[Violation]:
    """Return what was wrong, each thing once, in the order in which it was seen.

    Parameters
    ----------
    within
        T: the seconds after a fault, a request, an answer or the end of a job in which all has to
        be in order again.
    since
        Judge only what was seen from then on; what was seen before says whose each job is.
    """
    lives = _Lives(history)
    found = [
        *_foreign_routes(history),
        *_doubled_jobs(history, lives, within),
        *_unowned_jobs(history, lives, within),
        *_outcomes(history, lives, within, since),
        *_lost_though_spared(history, within),
        *_tokens(history, lives, within),
    ]
    first: dict[tuple[Kind, Server, str], Violation] = {}
    for one in sorted(found, key=lambda one: one.at):
        if one.at < since and one.kind is not Kind.UNSEEN:
            continue
        first.setdefault((one.kind, one.server, one.text), one)
    return list(first.values())


def seconds_to_recover(history: History) -> float:
    """Return how long after the last fault everything was in order, and stayed so.

    It is infinite if the last sighting is not in order, and 0 without a fault.
    """
    if not history.faults:
        return 0.0
    cleared = max(one.cleared for one in history.faults)
    lives = _Lives(history)
    good_since = FOREVER
    for sighting in history.sightings:
        if sighting.at < cleared or not _is_complete(sighting):
            continue
        wrong = any(
            _judge(life, sighting, lives) for life in lives.all if life.began <= sighting.at
        )
        good_since = FOREVER if wrong else min(good_since, sighting.at)
    return good_since - cleared


# -- one life of a server: from the request for it to its end -----------------------------------


@dataclass(eq=False)
class _Life:
    """One life of a server.

    Attributes
    ----------
    began, answered
        When it was asked for, and when this was answered.
    accepted
        Whether the Hub took the start on; None if there was no answer.
    stop
        The request that ended it; a stop without an answer, or with an error, may have ended it.
    stop_asked
        When its user first asked for that, whatever the answer to it was.
    told
        What its user could read at its end.
    next
        The life that came after it.
    crossed
        True if its user asked for the end of the life before it, and for this one, before the
        first was answered: then nobody knows which of the two the Hub heard last.
    """

    server: Server
    began: float
    answered: float
    accepted: bool | None
    stop: Stop | None = None
    stop_asked: float = FOREVER
    told: Told | None = None
    next: _Life | None = None
    crossed: bool = False

    def is_over(self) -> bool:
        return self.stop is not None or self.told is not None or self.accepted is False

    def is_surely_over(self) -> bool:
        stopped = self.stop is not None and _is_sure(self.stop)
        return stopped or self.told is not None or self.accepted is False

    def moments(self) -> Iterator[float]:
        """Yield when something was decided about it."""
        yield self.answered
        if self.stop:
            yield from (self.stop.at, self.stop.answered)
        if self.told:
            yield self.told.at
        if self.next:
            yield self.next.answered


class _Lives:
    """All lives, and which job belongs to which."""

    def __init__(self, history: History) -> None:
        self.all: list[_Life] = []
        self._by_server: dict[Server, list[_Life]] = {}
        events: list[Start | Stop | Told] = [*history.starts, *history.stops, *history.told]
        for event in sorted(events, key=lambda one: one.at):
            self._add(event)
        self._servers: dict[str, Server] = {}
        self._first_seen: dict[str, float] = {}
        self._note_marks(history)
        self._join_lives()

    def _add(self, event: Start | Stop | Told) -> None:
        lives = self._by_server.setdefault(event.server, [])
        last = lives[-1] if lives else None
        if isinstance(event, Stop):
            sure = last and last.stop and _is_sure(last.stop)
            if last and not sure and _answer(event.status) is not False:
                last.stop = event
                last.stop_asked = min(last.stop_asked, event.at)
        elif isinstance(event, Told):
            if last:
                last.told = last.told or event
        elif last and not last.is_over():
            # Its user asks again for what is under way, or is up: the Hub says yes or no to that.
            if _answer(event.status):
                last.accepted = True
                last.answered = max(last.answered, event.answered)
        elif last and last.told is None and last.stop and _still_there(last.stop, event):
            last.stop = None  # nobody knows whether it goes on
        else:
            life = _Life(event.server, event.at, event.answered, _answer(event.status))
            if last:
                last.next = life
                life.crossed = last.stop is not None and last.stop.answered > event.at
            lives.append(life)
            self.all.append(life)

    def _note_marks(self, history: History) -> None:
        """Note whose each mark is, and when it was first seen."""
        for sighting in history.sightings:
            for server, mark in (sighting.marks or {}).items():
                if mark:
                    self._servers.setdefault(mark, server)
                    self._first_seen.setdefault(mark, sighting.at)
            for job in sighting.jobs or ():
                self._first_seen.setdefault(job.mark, sighting.at)
                mine = [one for one in self._by_server if one.user == job.owner]
                if len(mine) == 1:
                    self._servers.setdefault(job.mark, mine[0])

    def _join_lives(self) -> None:
        """Take two lives for the same if nobody knows whether the first was stopped, and the start
        after it had no job of its own: it was a second request for what was there."""
        with_jobs = {id(self.of(mark)) for mark in self._servers}
        for lives in self._by_server.values():
            for first, second in reversed(list(pairwise(lives))):
                unsure = first.stop and not _is_sure(first.stop) and first.told is None
                if unsure and second.accepted and id(second) not in with_jobs:
                    first.answered = max(first.answered, second.answered)
                    first.stop, first.stop_asked = second.stop, second.stop_asked
                    first.told, first.next = second.told, second.next
                    lives.remove(second)
        self.all = [life for lives in self._by_server.values() for life in lives]

    def of(self, mark: str) -> _Life | None:
        """Return the life that a mark belongs to: the last one that was asked for before it.

        A request that was refused because of what was there, while nobody knows whether that was
        stopped, has no job of its own.
        """
        lives = self._by_server.get(self._servers.get(mark, Server("")), [])
        seen = self._first_seen.get(mark, FOREVER)
        before = [life for life in lives if life.began <= seen]
        while len(before) > 1 and before[-1].accepted is False and not before[-2].is_surely_over():
            before.pop()
        return before[-1] if before else None

    def jobs(self, life: _Life, sighting: Sighting) -> list[Job]:
        return [job for job in sighting.jobs or () if self.of(job.mark) is life]


def _answer(status: int) -> bool | None:
    """Return whether the Hub said yes; None if nobody knows."""
    return None if status == 0 or status >= BROKEN else status < 400


def _still_there(stop: Stop, start: Start) -> bool:
    """Return whether a server that was shut down from inside is still there: the scheduler may have
    run its job again, and then a request for another one is refused."""
    refused = _answer(start.status) is False and "is already running" in start.text
    return refused and stop.text == FROM_INSIDE


def _is_sure(stop: Stop) -> bool:
    return _answer(stop.status) is True


# -- the rules ----------------------------------------------------------------------------------


def _foreign_routes(history: History) -> Iterator[Violation]:
    """A route never leads to the server of another user, or to another server of the same one."""
    for sighting in history.sightings:
        for server, listener in (sighting.routes or {}).items():
            if listener and listener.server != server:
                text = f"the route leads to {listener.server or 'a program that is not a server'}"
                yield Violation(Kind.FOREIGN, sighting.at, server, text)


def _doubled_jobs(history: History, lives: _Lives, within: float) -> Iterator[Violation]:
    """A start never has two jobs, except while a hand-over is under way that its user asked for;
    and that has never more than two. The first job of a hand-over that is over may still be being
    ended when the next one begins."""
    for sighting in history.sightings:
        for life in lives.all:
            jobs = lives.jobs(life, sighting)
            seconds = sum(
                one.server == life.server
                and one.at <= sighting.at <= _settled(history, sighting.at, one.over) + within
                for one in history.hand_overs
            )
            if len(jobs) > 1 + seconds:
                ids = ", ".join(sorted(job.job_id for job in jobs))
                yield Violation(Kind.DOUBLED, sighting.at, life.server, f"jobs {ids}")


def _unowned_jobs(history: History, lives: _Lives, within: float) -> Iterator[Violation]:
    """A job that belongs to no start at all is left."""
    since: dict[str, float] = {}
    for sighting in history.sightings:
        for job in sighting.jobs or ():
            first = since.setdefault(job.job_id, sighting.at)
            settled = _settled(history, sighting.at, first) + within
            if lives.of(job.mark) is None and sighting.at >= settled:
                text = f"job {job.job_id} of no start"
                yield Violation(Kind.ORPHANED, sighting.at, Server(job.owner, "?"), text)


def _outcomes(history: History, lives: _Lives, within: float, since: float) -> Iterator[Violation]:
    """Each start is settled within T, and stays so: reachable, or over with no job left."""
    for life in lives.all:
        jobs: set[tuple[str, bool]] = set()
        changed, seen = life.began, False
        for sighting in history.sightings:
            if sighting.at < life.began or not _is_complete(sighting):
                continue
            now = {(job.job_id, job.waits) for job in lives.jobs(life, sighting)}
            if now != jobs:
                jobs, changed = now, sighting.at
            known = [moment for moment in life.moments() if moment <= sighting.at]
            if life.answered > sighting.at:
                continue
            settled = _settled(history, sighting.at, changed, *known) + within
            if sighting.at >= max(settled, since):
                seen = True
                if wrong := _judge(life, sighting, lives):
                    yield wrong
        if not seen:
            text = "look longer, until T after the last fault and the last request"
            yield Violation(Kind.UNSEEN, life.began, life.server, text)


def _lost_though_spared(history: History, within: float) -> Iterator[Violation]:
    """What spares servers ends none that could be reached before."""
    for fault in history.faults:
        before = [one for one in history.sightings if one.at <= fault.began and one.routes]
        if not fault.spares or not before:
            continue
        for server, listener in (before[-1].routes or {}).items():
            if listener is None or listener.server != server:
                continue
            others = [one.began for one in history.faults if not one.spares]
            others += [one.at for one in history.stops if one.server == server]
            until = min([at for at in others if at >= fault.began] + [fault.cleared + within])
            for told in history.told:
                if told.server == server and fault.began <= told.at < until:
                    text = f"{fault.name}: its user reads: {told.text}"
                    yield Violation(Kind.LOST, told.at, server, text)


def _tokens(history: History, lives: _Lives, within: float) -> Iterator[Violation]:
    """A token goes with its job, at the latest T after it."""
    needed: dict[int, float] = {}
    for sighting in history.sightings:
        if sighting.jobs is None:
            continue
        for token in sighting.tokens or ():
            needed.setdefault(token.token_id, sighting.at)
            if any(_owns(token, job, lives) for job in sighting.jobs):
                needed[token.token_id] = sighting.at
                continue
            last = _settled(history, sighting.at, needed[token.token_id])
            if sighting.at >= last + within:
                text = f"token {token.token_id}"
                yield Violation(Kind.TOKEN, sighting.at, token.server, text)


def _owns(token: Token, job: Job, lives: _Lives) -> bool:
    if token.mark:
        return token.mark == job.mark
    life = lives.of(job.mark)
    return life is not None and life.server == token.server


def _settled(history: History, at: float, *moments: float) -> float:
    """Return the last of some moments and of the faults that had begun by then."""
    ends = [fault.cleared for fault in history.faults if fault.began <= at]
    return max([*moments, *ends])


def _is_complete(sighting: Sighting) -> bool:
    return None not in (sighting.jobs, sighting.routes, sighting.pending)


def _judge(life: _Life, sighting: Sighting, lives: _Lives) -> Violation | None:
    """Return what is wrong with a life at a moment at which everything should be in order."""
    jobs = lives.jobs(life, sighting)
    listener = (sighting.routes or {}).get(life.server)
    reached = (
        listener is not None
        and listener.server == life.server
        and (not listener.mark or lives.of(listener.mark) is life)
        and (bool(listener.mark) or not _why_over(life, sighting.at))
    )
    ids = ", ".join(sorted(job.job_id for job in jobs))

    def wrong(kind: Kind, text: str) -> Violation:
        return Violation(kind, sighting.at, life.server, text)

    if why := _why_over(life, sighting.at):
        if jobs:
            return wrong(Kind.ORPHANED, f"job {ids} is left, though {why}")
        return wrong(Kind.ORPHANED, f"its server is left, though {why}") if reached else None
    if reached:
        return None if jobs else wrong(Kind.ORPHANED, "its server is left without a job")
    if jobs and all(job.waits for job in jobs) and life.server in (sighting.pending or ()):
        return None  # its user sees that it waits in the queue
    if jobs:
        return wrong(Kind.LOST, f"job {ids} has no server at its route")
    stopped = life.stop_asked <= sighting.at
    unsure = life.accepted is None or life.crossed or stopped
    return None if unsure else wrong(Kind.SILENT, "no job, and its user was not told why")


def _why_over(life: _Life, at: float) -> str:
    """Return why a life has surely ended by then; empty if it has not."""
    if life.told and life.told.at <= at:
        return f"its user reads: {life.told.text}"
    if life.stop and life.stop.at <= at and _is_sure(life.stop):
        return "its user has stopped it"
    if life.next and life.next.began <= at and life.next.accepted:
        return "there was another start after it"
    return "the Hub has refused it" if life.accepted is False else ""
