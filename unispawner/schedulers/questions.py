"""The questions that the Hub asks a scheduler, and their answers, as plain data.

A question names a scheduler, its settings and what is asked. Whoever answers it, on this host or on
another one, makes the commands itself: a question never holds a command or an environment. An
answer holds what was asked for and no more: the monitor's answer has the same size however many
jobs the cluster has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import AgentError, SchedulerUnavailable, UniSpawnerError
from ..job import JobInfo
from . import Scheduler, get_scheduler, plain
from .base import AnswerTooLarge, Dialogue, Reply, advance
from .identity import Identity, identify
from .inventory import Inventory
from .reading import find_mentioned, first_of_each_kind

MOST_ARGUMENTS = 100_000
ARGUMENT_LIMIT = 255
"""How many characters an id of a job or a name of a node may have."""
OPTIONS_LIMIT = 100
"""How many settings of a scheduler a question may have."""
PIECE = 100
"""How many jobs are asked for with one command, where all jobs are too many."""
MOST_NOTICES = 20
"""How many lines of each answer are kept for a warning, each of another kind."""
NOTICE_LIMIT = 500
"""How many characters of such a line are kept."""

Run = Callable[[list[str], Mapping[str, str]], Reply]
"""Runs a command and waits for its end.

The variables are those of the scheduler's settings: others that the command needs are added, and
come first. It raises a UniSpawnerError if the command can't be run or does not end in time.
"""


@dataclass(frozen=True)
class Question:
    """A question to a scheduler.

    Attributes
    ----------
    name
        What is asked: a key of ``DIALOGUES``.
    arguments
        The ids of jobs, or the name of a node.
    scheduler, options
        The scheduler and its settings, as ``get_scheduler`` takes them.
    """

    name: str
    arguments: tuple[str, ...] = ()
    scheduler: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-serialisable data."""
        return {
            "name": self.name,
            "arguments": list(self.arguments),
            "scheduler": self.scheduler,
            "options": dict(self.options),
        }

    @classmethod
    def from_dict(cls, data: Any) -> Question:
        """Return the question in data of :meth:`to_dict`.

        Raises
        ------
        AgentError
            If it is not a question.
        """
        values = data if isinstance(data, dict) else {}
        name, arguments = values.get("name"), values.get("arguments", [])
        scheduler, options = values.get("scheduler"), values.get("options", {})
        if not (isinstance(name, str) and isinstance(scheduler, str) and _are_words(arguments)):
            raise AgentError(f"The question {str(data)[:200]!r} could not be read.")
        if name not in DIALOGUES:
            raise AgentError(
                f"This unispawner does not know the question {name[:50]!r}. Install the same "
                "release on the Hub's host and on the submit host."
            )
        if not (isinstance(options, dict) and len(options) <= OPTIONS_LIMIT):
            raise AgentError("The settings in a question are not an object.")
        return cls(name, tuple(arguments), scheduler, options)

    def make_scheduler(self) -> Scheduler:
        """Return the scheduler that is asked, with what this host itself knows filled in.

        Raises
        ------
        InvalidJobError
            If there is no such scheduler or setting, or if others than root and the account of this
            process could change the commands of its set of templates.
        """
        given = get_scheduler(self.scheduler, self.options)
        scheduler = get_scheduler(self.scheduler, given.complete_settings(given.options))
        # The question names the set's folder: whoever sends it must not choose commands so.
        scheduler.check_set_up()
        return scheduler


@dataclass(frozen=True)
class Tracked:
    """What the scheduler says about the jobs that were asked for.

    Attributes
    ----------
    jobs
        The jobs that are in the scheduler's answer, by id.
    unread
        The ids that occur in lines of the answer which can't be read.
    by_id
        True if only these jobs were asked for, because the list of all jobs is too large.
    forgeable
        True if users may have written some of the answer's rows.
    seconds
        How long the scheduler's commands took; 0 if that is not known.
    """

    jobs: dict[str, JobInfo] = field(default_factory=dict)
    unread: frozenset[str] = frozenset()
    by_id: bool = False
    forgeable: bool = False
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class Survey:
    """How many jobs there are, and the accounts that have some.

    ``jobs`` is None if the list of all jobs is too large to be read.
    """

    jobs: int | None = None
    owners: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Notice:
    """Some of the lines that a command printed and that do not belong to its answer."""

    command: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """The answer to a question.

    Attributes
    ----------
    result
        What was asked for, of the type in ``RESULTS``.
    size
        How many characters the command that printed most has printed.
    """

    result: Any
    notices: tuple[Notice, ...] = ()
    size: int = 0


DIALOGUES: Mapping[str, Callable[[Scheduler, tuple[str, ...]], Dialogue[Any]]] = {
    "query_tracked": lambda scheduler, ids: _query_tracked(scheduler, ids),
    "query": lambda scheduler, ids: _query_few(scheduler, ids),
    "survey": lambda scheduler, _: _survey(scheduler),
    "hides_jobs": lambda scheduler, _: scheduler.hides_jobs(),
    "inventory": lambda scheduler, _: scheduler.inventory(),
    "find_address": lambda scheduler, names: scheduler.find_address(*names),
    "identify": lambda scheduler, _: identify(scheduler),
}
"""How each question is asked."""

RESULTS: Mapping[str, Any] = {
    "query_tracked": Tracked,
    "query": Tracked,
    "survey": Survey,
    "hides_jobs": bool,
    "inventory": Inventory,
    "find_address": str,
    "identify": Identity | None,
}
"""The type of the answer to each question."""


def converse(scheduler: Scheduler, name: str, arguments: Collection[str] = ()) -> Dialogue[Answer]:
    """Ask a question of ``DIALOGUES``: the same dialogue, whose result is the whole answer.

    What does not look like the id of a job is not asked for: the answer about other jobs counts.

    Raises
    ------
    AgentError
        If the number of arguments is not right.
    UniSpawnerError
        If the scheduler does not answer, or its answer can't be read.
    """
    given = _check_arguments(scheduler, name, arguments)
    dialogue = DIALOGUES[name](scheduler, given)
    replies: list[Reply] = []
    reply: Reply | UniSpawnerError | None = None
    while True:
        try:
            command = advance(dialogue, reply)
        except StopIteration as stop:
            result = stop.value
            break
        try:
            reply = yield command
            replies.append(reply)
        except UniSpawnerError as error:
            reply = error
    if isinstance(result, Tracked):
        lines = [line for one in replies for line in one.passed_over]
        unread = result.unread | find_mentioned(lines, given)
        forgeable = any(scheduler.is_forgeable(one) for one in replies)
        seconds = sum(one.seconds for one in replies)
        result = replace(result, unread=unread, forgeable=forgeable, seconds=seconds)
    size = max((len(one.stdout) for one in replies), default=0)
    return Answer(result, tuple(_notices(replies)), size)


def answer(question: Question, run: Run) -> dict[str, Any]:
    """Answer a question with commands that this process runs; return :func:`encode`'s data.

    Raises
    ------
    UniSpawnerError
        If the question is not right, if the scheduler does not answer, or if its answer can't be
        read.
    """
    scheduler = question.make_scheduler()
    dialogue = converse(scheduler, question.name, question.arguments)
    environment = scheduler.environment()
    reply: Reply | UniSpawnerError | None = None
    while True:
        try:
            command = advance(dialogue, reply)
        except StopIteration as stop:
            return encode(stop.value)
        try:
            reply = run(command, environment)
        except UniSpawnerError as error:
            reply = error


def encode(found: Answer) -> dict[str, Any]:
    """Return an answer as plain JSON data."""
    return {name: plain.encode(value) for name, value in vars(found).items()}


def decode(name: str, data: Any) -> Answer:
    """Return the answer to a question in data of :func:`encode`.

    Raises
    ------
    SchedulerUnavailable
        If the data is not such an answer.
    """
    try:
        return Answer(
            plain.decode(RESULTS[name], data["result"]),
            plain.decode(tuple[Notice, ...], data.get("notices", [])),
            plain.decode(int, data.get("size", 0)),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SchedulerUnavailable(
            f"The answer to the question {name!r} could not be read: {str(error)[:300]}. Install "
            "the same release of unispawner on the Hub's host and on the submit host."
        ) from None


def _query_tracked(scheduler: Scheduler, ids: tuple[str, ...]) -> Dialogue[Tracked]:
    """Ask for the jobs of all users, or only for these if there are too many of all users."""
    try:
        jobs = yield from scheduler.query_tracked(ids)
    except AnswerTooLarge:
        return (yield from _query_few(scheduler, ids))
    return Tracked({job_id: jobs[job_id] for job_id in ids if job_id in jobs})


def _query_few(scheduler: Scheduler, ids: tuple[str, ...]) -> Dialogue[Tracked]:
    """Ask for these jobs only, several with one command.

    A few jobs may also be too large together: a user can submit a job with megabytes of variables.
    Positions in the queue are left out, because nothing is known about the jobs of others.
    """
    found: dict[str, JobInfo] = {}
    unread: set[str] = set()
    pieces = [ids[start : start + PIECE] for start in range(0, len(ids), PIECE)]
    while pieces:
        piece = pieces.pop()
        try:
            found.update((yield from scheduler.query_few(piece)))
        except AnswerTooLarge:
            half = len(piece) // 2
            pieces += [piece[:half], piece[half:]] if half else []
            unread.update(piece if not half else ())
    jobs = {job_id: found[job_id] for job_id in ids if job_id in found}
    jobs = {job_id: replace(info, queue_position=None) for job_id, info in jobs.items()}
    return Tracked(jobs, frozenset(unread), by_id=True)


def _survey(scheduler: Scheduler) -> Dialogue[Survey]:
    try:
        jobs = yield from scheduler.query()
    except AnswerTooLarge:
        return Survey()
    return Survey(len(jobs), frozenset(info.owner for info in jobs.values()))


def _notices(replies: Iterable[Reply]) -> Iterable[Notice]:
    for reply in replies:
        lines = first_of_each_kind(reply.passed_over, MOST_NOTICES)
        if lines:
            yield Notice(reply.command[0], tuple(line[:NOTICE_LIMIT] for line in lines))


def _are_words(arguments: Any) -> bool:
    return (
        isinstance(arguments, list)
        and len(arguments) <= MOST_ARGUMENTS
        and all(isinstance(one, str) and len(one) <= ARGUMENT_LIMIT for one in arguments)
    )


def _check_arguments(
    scheduler: Scheduler, name: str, arguments: Collection[str]
) -> tuple[str, ...]:
    """Return the arguments that may become words of a command."""
    if name == "find_address" and len(arguments) != 1:
        raise AgentError(f"The question {name!r} takes one name, and not {len(arguments)}.")
    if name in ("query_tracked", "query"):
        return tuple(one for one in arguments if scheduler.job_id.fullmatch(one))
    return tuple(arguments)
