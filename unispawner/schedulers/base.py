"""The base class of all schedulers.

A subclass defines which commands to run, how to read their output, and how to write a job's
directives. It runs nothing itself: it returns commands as argument lists, others run them, on
either side of the user boundary, and hand it the answers as :class:`Reply` values.
"""

from __future__ import annotations

import re
import shlex
from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Hashable, Iterable, Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ..errors import (
    OUTPUT_LIMIT,
    AgentError,
    CancelError,
    InvalidJobError,
    SchedulerUnavailable,
    SubmitError,
    UniSpawnerError,
)
from ..job import MARK, JobInfo, JobSpec, JobState, ResourceSpec
from ..reasons import ACCEPTS_NO_JOBS, CANT_CANCEL, NO_ANSWER, NOT_CANCELLED, REFUSED
from ..texts import fill
from ..units import WHOLE
from .estimate import StartEstimate
from .inventory import Inventory
from .reading import quote_lines
from .usable import Usable
from .usage import NO_ACCOUNTING, Accounting, EndedJob

if TYPE_CHECKING:
    from .template_dialect import Dialect

T = TypeVar("T")
Dialogue = Generator[list[str], "Reply", T]
"""A question that takes several commands.

The generator yields a command, is sent the reply, and in the end returns its result. The caller
decides where and how the commands run. A command that can't be run, or does not end in time, raises
a UniSpawnerError at the ``yield``; a dialogue that catches it goes on without that command.
"""

QUERY_ENVIRONMENT: Mapping[str, str] = {"TZ": "UTC0", "SLURM_TIME_FORMAT": "%s"}
"""Variables of every command of a dialogue, whatever the site sets.

Schedulers' commands print local times. With these variables an answer never depends on the time
zone of the Hub, of a user or of the host, and no hour comes twice when daylight saving ends. Slurm
prints seconds since the epoch (squeue(1), SLURM_TIME_FORMAT). Submissions do not have them: a job
would inherit them.
"""
ESTIMATE_ENVIRONMENT = {name: QUERY_ENVIRONMENT[name] for name in ("SLURM_TIME_FORMAT",)}
"""Variables of a command that estimates when a job would start.

TZ is not among them: the job's own options may name local times (``--begin=16:00``).
"""

QUERY_TIMEOUT = 12.0
"""How long (seconds) one command may take; squeue itself gives up after ten."""
QUERY_LIMIT = 64 * 1024**2
"""How many bytes a command may print; a job has about a hundred, but with PBS a few thousand."""

_NOT_REACHED = re.compile(
    r"connect failure|connection refused|no route to host"
    r"|(can ?not|can't|couldn't|unable to|failed to) (connect|contact|locate|find address)",
    re.IGNORECASE,
)
"""What a submit command prints that has not reached its scheduler: then there is no job.

After other failures, such as a time-out, the scheduler may still take the job.
"""
END = 1024
"""How many characters are searched for an error, at each end of what a command has printed."""


@dataclass(frozen=True)
class Reply:
    """What a command printed, and how it ended.

    Attributes
    ----------
    passed_over
        The lines of the answer that could not be read, such as a notice that a site's wrapper
        prints. The reader of the answer fills it; whoever holds the dialogue logs them.
    seconds
        How long the command took.
    """

    command: tuple[str, ...]
    exit_status: int
    stdout: str
    stderr: str = ""
    passed_over: list[str] = field(default_factory=list, compare=False, repr=False)
    seconds: float = field(default=0.0, compare=False, repr=False)

    @property
    def text(self) -> str:
        """Everything that the command printed, as a person would see it: the errors first."""
        return "\n".join(part for part in (self.stderr.strip(), self.stdout.strip()) if part)


class CommandNotFound(AgentError):
    """There is no such command on the path.

    Raised at the ``yield`` of a dialogue, by submit_host and agent.
    """


class AnswerTooLarge(AgentError):
    """A command printed more than is read of an answer.

    Raised at the ``yield`` of a dialogue, by submit_host and agent.
    """


def advance(dialogue: Dialogue[Any], reply: Reply | UniSpawnerError | None) -> list[str]:
    """Return a dialogue's next command.

    Parameters
    ----------
    reply
        The reply to the last command, or its error; None begins the dialogue.

    Raises
    ------
    StopIteration
        At the dialogue's end; its ``value`` is the result.
    """
    if reply is None:
        return next(dialogue)
    return dialogue.throw(reply) if isinstance(reply, UniSpawnerError) else dialogue.send(reply)


def meaningful_parts(reply: Reply) -> list[str]:
    """Return the parts of a reply in which an error may be: a few KiB, however long the reply is.

    These are the ends of standard error and, if the command failed, of standard output as well.
    """
    errors = ends_of(reply.stderr)
    parts = [errors, f"{errors}\n{ends_of(reply.stdout)}".strip() if reply.exit_status else ""]
    return [part for part in parts if part]


def ends_of(text: str) -> str:
    """Return the beginning and the end of a text, or all of it if it is short."""
    text = text.strip()
    return text if len(text) <= 2 * END else f"{text[:END]}\n{text[-END:]}"


def ask_optionally(command: list[str]) -> Dialogue[str | None]:
    """Ask for something that is useful but not needed; return the output, or None on failure."""
    try:
        reply = yield command
    except UniSpawnerError:
        return None
    return None if reply.exit_status else reply.stdout


def open_log(spec: JobSpec) -> list[str]:
    """Return the shell line that appends the job's output to its log."""
    return [f"exec >>{shlex.quote(spec.stdout_path)} 2>&1"]


class Meaning(Enum):
    """What the text of a failed command means."""

    GONE = "the job has ended or never existed"
    DENIED = "the job belongs to somebody else"
    UNAVAILABLE = "the scheduler does not answer just now"
    REFUSED = "the scheduler refused"


def setting(default: T, help: str, choices: Sequence[T] = ()) -> T:
    """Declare a setting of one scheduler: a field that administrators see as a trait.

    Parameters
    ----------
    default
        The value where nothing is configured; its type is the setting's type.
    help
        The text that an administrator reads.
    choices
        The allowed values; empty if every value of the type is allowed.
    """
    metadata = {"help": " ".join(help.split()), "choices": tuple(choices)}
    value: T = field(default=default, metadata=metadata)
    return value


class Scheduler(ABC):
    """One scheduler's commands, the readers of their output, and its directives.

    A subclass is a frozen dataclass. Its fields, each made with :func:`setting`, are the
    scheduler's own settings and become traits of the spawner. It has to define five methods
    (:meth:`directives`, :meth:`status_command`, :meth:`read_status`, :meth:`mark_command`,
    :meth:`inventory`) and the tables below. It overrides other methods only where the scheduler
    differs from most.
    """

    name: ClassVar[str]
    """The value of ``c.UniSpawner.scheduler``, and the prefix of custom attributes."""
    title: ClassVar[str]
    """The name as its makers write it, for messages."""
    commands: ClassVar[tuple[str, ...]] = ()
    """The commands that a submit host must have."""
    identify_command: ClassVar[tuple[str, ...]] = ()
    """A command that prints which scheduler this is: several have a ``qstat``."""
    identity: ClassVar[str] = ""
    """A regular expression that matches the answer of this scheduler to ``identify_command``, and
    of no other."""
    states: ClassVar[Mapping[str, JobState]]
    """The scheduler's own words for states. A word that is not here means UNKNOWN."""
    job_id: ClassVar[re.Pattern[str]]
    """The form of a job's id; anything else is refused before it reaches a command."""
    supports: ClassVar[frozenset[str]]
    """Fields of ResourceSpec and JobSpec that a job can ask this scheduler for."""
    alternatives: ClassVar[Mapping[str, str]] = {}
    """What to set instead of a field that this scheduler does not support, in words."""
    reports: ClassVar[frozenset[str]] = frozenset()
    """Fields of JobInfo that this scheduler fills, besides owner and state."""
    causes: ClassVar[Mapping[str, str]] = {}
    """What ``native_state`` or ``message`` of an ended job means: see :data:`.usage.CAUSES`."""
    errors: ClassVar[tuple[tuple[str, Meaning], ...]] = ()
    """Pairs of a regular expression and its meaning, tried in order on a failed command's text."""
    whole_memory: ClassVar[bool] = False
    """True if a job with whole nodes can request all of their memory."""
    blanks_in_gpu_types: ClassVar[bool] = False
    """True if the name of a type of GPU may have blanks."""
    node_memory_counts: ClassVar[bool] = True
    """False if a job may ask for more memory than the inventory has for its node."""
    replaces_needs: ClassVar[frozenset[str]] = frozenset()
    """Custom attributes that may replace or extend what a job's fields ask of its nodes: whether a
    node fits is then not known."""
    replaces_duration: ClassVar[frozenset[str]] = frozenset()
    """Custom attributes that may replace a job's time limit, or what its queue allows, in small
    letters."""
    tried: ClassVar[bool] = True
    """False if it was never run with the real scheduler: the docs say so."""
    loopback: ClassVar[bool] = False
    """True if jobs run on the Hub's own host, so that loopback addresses are right."""
    refused: ClassVar[frozenset[str]] = frozenset()
    """Options that can't be custom attributes: they make a kind of job that a server can't be."""
    may_hide_jobs: ClassVar[bool] = False
    """True if a site can make the scheduler hide users' jobs from the Hub's account. Only the
    user's own side can report a hidden job, and it may report anything."""
    silent_without_jobs: ClassVar[bool] = False
    """True if the status command prints nothing at all where there is no job. ``check_no_jobs``
    then says whether that is so."""
    estimates_start: ClassVar[bool] = False
    """True if a command of the scheduler prints when a job would start, without submitting it."""
    script_opens_log: ClassVar[bool] = False
    """True if the script sends its output to the log itself, and appends to the log of an earlier
    run, because the scheduler can't do that while the job runs."""
    announces: ClassVar[bool] = False
    """True if a job can ask for a signal before its end: see :meth:`announcement`."""
    signal_before_end: ClassVar[int] = 0
    """How many seconds before its end a job gets the signal where nothing is set; 0: never."""
    directives_in_script: ClassVar[bool] = True
    """False if the :meth:`directives` are not lines of the script, but options, for example."""

    def __post_init__(self) -> None:
        for one in self.settings():
            value, choices = getattr(self, one.name), one.metadata["choices"]
            if type(value) is not type(one.default) or (choices and value not in choices):
                kind = f"of type {type(one.default).__name__}"
                right = f"one of {', '.join(map(str, choices))}" if choices else kind
                raise InvalidJobError(f"{one.name}: {value!r} must be {right}")

    @classmethod
    def settings(cls) -> tuple[Field[Any], ...]:
        """Return the scheduler's settings: fields with ``help`` and ``choices`` as metadata."""
        return fields(cls) if is_dataclass(cls) else ()

    @classmethod
    def complete_settings(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings, with what this host itself knows filled in; on the Hub's side."""
        return dict(settings)

    @property
    def dialect(self) -> Dialect | None:
        """The set of templates for the job's script; None where unispawner writes the script."""
        return None

    @property
    def options(self) -> dict[str, Any]:
        """The scheduler's settings, as :func:`~unispawner.schedulers.get_scheduler` takes them."""
        return asdict(self) if is_dataclass(self) else {}

    @property
    def query_key(self) -> Hashable:
        """What a query depends on, besides its environment: equal keys share one monitor."""
        return self.name

    @property
    def cluster_name(self) -> str:
        """The scheduler's own name of the cluster, where the settings name one; else empty."""
        return ""

    def show_cluster(self, name: str) -> None:
        """Add a cluster's name to the title: a Hub may have two clusters of one scheduler."""
        object.__setattr__(self, "title", f"{type(self).title} ({name})")

    def supported(self) -> frozenset[str]:
        """Return the fields that a job can ask for, with the present settings."""
        return self.supports

    def needed_commands(self) -> tuple[str, ...]:
        """Return the commands that a submit host must have, with the present settings."""
        return self.commands

    def check_set_up(self) -> None:  # noqa: B027 (not abstract: most have nothing to check)
        """Check that what the settings name exists and can be trusted; on the Hub's side.

        Raises
        ------
        InvalidJobError
            If it does not or can't; the message names the setting.
        """

    def check_environment(self, environment: Mapping[str, str]) -> None:  # noqa: B027 (as above)
        """Check the variables that a site sets for the scheduler's commands.

        Raises
        ------
        InvalidJobError
            If a variable contradicts the settings.
        """

    def environment(self) -> dict[str, str]:
        """Return the variables that the scheduler's settings mean for its commands."""
        return {}

    @abstractmethod
    def directives(self, spec: JobSpec) -> list[str]:
        """Return the lines that ask for what ``spec`` says, in the scheduler's own language.

        They lack those of :meth:`omittable` that ``spec`` leaves out.
        """

    def announcement(self, spec: JobSpec) -> tuple[str, int] | None:
        """Return the signal with which the :meth:`directives` let a job's end be announced.

        A subclass with ``announces`` overrides it.

        Returns
        -------
        tuple
            The signal's name without SIG, and how many seconds before the end it comes; None if no
            signal comes.
        """
        return None

    def omittable(self) -> frozenset[str]:
        """Return the names of the options that a site may have left out of each job.

        They have the scheduler's own names. A job can do without them.
        """
        return frozenset()

    def keep(self, spec: JobSpec, options: Iterable[tuple[str, T]]) -> list[tuple[str, T]]:
        """Return our options, each a name and a value, without those that ``spec`` leaves out."""
        left_out = spec.left_out(self.name) & self.omittable()
        return [(name, value) for name, value in options if name not in left_out]

    def check_omitted(self, names: Iterable[str]) -> None:
        """Refuse to leave out what no job has, or what a server needs.

        Raises
        ------
        InvalidJobError
            If there is such a name; the message lists those that can be left out.
        """
        known = sorted(self.omittable(), key=str.lower)
        for name in names:
            if name.lstrip("-") in known and name not in known:
                raise InvalidJobError(
                    f"omit_directives: {name!r}: write the name without hyphens, as in "
                    f"{name.lstrip('-')!r}"
                )
            if name not in known:
                raise InvalidJobError(
                    f"omit_directives: {name!r} can't be left out of {self.title}'s jobs; names "
                    f"that can: {', '.join(known) or 'none'}"
                )

    def preamble(self, spec: JobSpec) -> list[str]:
        """Return the shell lines with which the job's script begins: they may open the log."""
        return open_log(spec) if self.script_opens_log and spec.stdout_path else []

    @abstractmethod
    def status_command(self, job_ids: Collection[str] | None = None) -> list[str]:
        """Return the command that lists these jobs; None means the jobs of all users.

        It asks for no field that a user can write, because a job's name can forge a row.
        """

    @abstractmethod
    def read_status(self, reply: Reply) -> dict[str, JobInfo]:
        """Return what an answer to :meth:`status_command` says about each job, by job id.

        Raises
        ------
        SchedulerUnavailable
            If the answer can't be read, or is an error other than that a job is unknown.
        """

    def query(self, job_ids: Collection[str] | None = None) -> Dialogue[dict[str, JobInfo]]:
        """Ask for these jobs; None means the jobs of all users.

        A subclass overrides it where one command isn't enough: where another command reports jobs
        that have ended, or where an older release needs another command. With ids, the question is
        asked as the user of the jobs. An id is missing from the result only if the scheduler itself
        said that it knows no such job.

        Raises
        ------
        SchedulerUnavailable
            If the scheduler does not answer, or its answer can't be read.
        """
        jobs, _ = yield from self.ask_status(job_ids)
        return jobs

    def ask_status(
        self, job_ids: Collection[str] | None = None
    ) -> Dialogue[tuple[dict[str, JobInfo], Reply]]:
        """Ask the status command, and return the jobs with the reply.

        If nothing can be read, ask whether there is no such job at all: a site's wrapper may print
        a notice also where the scheduler itself prints nothing. An answer about certain jobs that
        is empty is no better where ``silent_without_jobs``: a wrapper that does nothing prints
        nothing, too, and the jobs would count as gone.

        Raises
        ------
        SchedulerUnavailable
            If the scheduler does not answer, or its answer can't be read.
        """
        reply = yield self.status_command(job_ids)
        unreadable: UniSpawnerError
        try:
            jobs = self.read_status(reply)
        except SchedulerUnavailable as error:
            unreadable = error
        else:
            says_nothing = not (reply.exit_status or reply.stdout.strip())
            if not (job_ids is not None and self.silent_without_jobs and says_nothing):
                return jobs, reply
            unreadable = self.unreadable_error(reply)
        if reply.exit_status or not (yield from self.check_no_jobs(job_ids)):
            raise unreadable
        reply.passed_over.extend(reply.stdout.splitlines())
        return {}, reply

    def check_no_jobs(self, job_ids: Collection[str] | None) -> Dialogue[bool]:
        """Ask whether none of these jobs exists; a failure, or no answer, is False.

        A subclass overrides it where the status command prints nothing if there is no job.
        """
        yield from ()  # makes this a dialogue
        return False

    def is_forgeable(self, reply: Reply) -> bool:
        """Return whether users may have written a row of this answer about several jobs.

        A subclass overrides it where the scheduler prints users' text that can look like a row.
        What such an answer says about a job's host, its end or a move counts only when an answer
        about that job alone confirms it. There nobody can forge a row: for a job that the scheduler
        does not know it prints none, and of two rows with the same id neither counts.
        """
        return False

    def hides_jobs(self) -> Dialogue[bool]:
        """Ask whether the site hides users' jobs from accounts like the Hub's.

        A subclass with ``may_hide_jobs`` overrides it.

        Raises
        ------
        SchedulerUnavailable
            If the scheduler does not answer, or its answer can't be read.
        """
        yield from ()  # makes this a dialogue
        return False

    def query_tracked(self, job_ids: Collection[str]) -> Dialogue[dict[str, JobInfo]]:
        """Ask for the jobs of all users, these among them: the monitor's question, as the Hub.

        A subclass overrides it where there may be no command for the jobs of all users; then it
        asks for these jobs only.

        Raises
        ------
        SchedulerUnavailable
            If the scheduler does not answer, or its answer can't be read.
        """
        return (yield from self.query())

    def query_few(self, job_ids: Collection[str]) -> Dialogue[dict[str, JobInfo]]:
        """Ask for these jobs only, as the Hub, so that the answer is small.

        The monitor does so for one job, and where the list of all jobs is too large. A job that is
        unknown, or about which the answer says nothing that can be read, is left out. A subclass
        overrides it where :meth:`query` with ids has to be asked as the user of the jobs.

        Raises
        ------
        SchedulerUnavailable
            If the scheduler does not answer, or its answer can't be read.
        """
        return (yield from self.query(job_ids))

    @abstractmethod
    def mark_command(self) -> list[str]:
        """Return the command that lists the calling user's own jobs with their marks."""

    def find_marks(self, owner: str) -> Dialogue[dict[str, str]]:
        """Ask for the marks of the calling user's own jobs; return ``{mark: job id}``.

        Parameters
        ----------
        owner
            The caller's account.

        Raises
        ------
        SchedulerUnavailable
            If the scheduler does not answer, or its answer can't be read.
        """
        return (yield from self.ask_marks(self.mark_command()))

    def ask_marks(self, command: list[str]) -> Dialogue[dict[str, str]]:
        """Ask for marks with a command, and if it prints nothing, whether there is no job at all.

        Raises
        ------
        SchedulerUnavailable
            If the scheduler does not answer, or its answer can't be read.
        """
        reply = yield command
        marks = self.read_marks(reply)
        if marks or reply.stdout.strip() or not self.silent_without_jobs:
            return marks
        if reply.exit_status or not (yield from self.check_no_own_jobs(command)):
            raise self.unreadable_error(reply)
        return {}

    def check_no_own_jobs(self, command: list[str]) -> Dialogue[bool]:
        """Ask whether a command for marks has printed nothing because its user has no job.

        A failure, or no answer, is False. A subclass with ``silent_without_jobs`` overrides it if
        that command prints nothing, too.
        """
        yield from ()  # makes this a dialogue
        return False

    def find_jobs(self, mark: str, owner: str) -> Dialogue[list[str]]:
        """Ask for the calling user's own jobs that show a mark anywhere; return their ids.

        The legacy classes' scripts are a site's own and have no place for a mark, but the path of
        the job's private folder contains it, and so does the environment of the submit command. A
        subclass overrides this where the scheduler shows more than :meth:`find_marks` reads.

        Parameters
        ----------
        owner
            The caller's account.

        Raises
        ------
        SchedulerUnavailable
            If the scheduler does not answer, or its answer can't be read.
        """
        marks = yield from self.find_marks(owner)
        return [marks[mark]] if mark in marks else []

    @abstractmethod
    def inventory(self) -> Dialogue[Inventory]:
        """Ask for the cluster's queues and nodes.

        A node has the name that ``exec_host`` of its jobs has: if a job is hidden from the Hub, the
        host that its user reports counts only if it is one of these nodes.

        Raises
        ------
        SchedulerUnavailable
            If the scheduler does not answer, or its answer can't be read.
        """

    def usable(self, owner: str, groups: Sequence[str]) -> Dialogue[Usable]:
        """Ask what the calling user may use: accounts, queues, and so on.

        A subclass overrides it where the scheduler knows some of that. What can't be known is left
        out of the answer, and then the scheduler decides when it gets the job.

        Parameters
        ----------
        owner
            The caller's account.
        groups
            The names of the caller's groups, the primary one first.

        Raises
        ------
        SchedulerUnavailable
            If the scheduler does not answer, or its answer can't be read.
        """
        yield from ()  # makes this a dialogue
        return Usable()

    def usage(self, job: EndedJob) -> Dialogue[Accounting]:
        """Ask the accounting, as the user, what a job has used that has ended.

        A subclass overrides it where there is an accounting that users can ask. It must compare
        more than the job's id: see :meth:`.usage.EndedJob.is_run`.

        Raises
        ------
        UniSpawnerError
            If the accounting does not answer.
        """
        yield from ()  # makes this a dialogue
        return NO_ACCOUNTING

    def find_cause(self, info: JobInfo) -> str:
        """Return why a job has ended, one of :data:`.usage.CAUSES`; empty if that is not known."""
        found = self.causes.get(info.native_state) or self.causes.get(info.message)
        return found or ("cancelled" if info.state is JobState.CANCELED else "")

    def estimate_command(self, spec: JobSpec) -> list[str]:
        """Return the command that reads a job's script and prints when that job would start.

        It must submit nothing. Empty if the scheduler has no such command, or not for this job. A
        subclass with such a command has ``estimates_start``.
        """
        return []

    def read_estimate(self, reply: Reply) -> StartEstimate:
        """Return what an answer to :meth:`estimate_command` says.

        Raises
        ------
        SchedulerUnavailable
            If the scheduler does not answer.
        """
        raise self.unreadable_error(reply)

    def smaller_may_start(self, info: JobInfo) -> bool:
        """Return whether a smaller job might start before one that waits, by its reason.

        A subclass overrides it where a reason may be a limit that holds for every job of the user.
        """
        return True

    def find_address(self, host: str) -> Dialogue[str]:
        """Ask for the address of a node, by the scheduler's name of it; return "" if unknown.

        It is needed where the Hub's host can't resolve the name. A subclass overrides it where the
        scheduler itself has the addresses.

        Raises
        ------
        SchedulerUnavailable
            If the scheduler does not answer, or its answer can't be read.
        """
        yield from ()
        return ""

    def read_marks(self, reply: Reply) -> dict[str, str]:
        """Return ``{mark: job id}`` from lines of ``<job id> … unispawner:<mark>``.

        Raises
        ------
        SchedulerUnavailable
            If the command failed.
        """
        self.check_answered(reply)
        marks = {}
        # A single pattern for both would try each part of a line with each other part.
        for line in reply.stdout.split("\n"):
            job_id, _, rest = line.partition(" ")
            found = re.findall(rf"\bunispawner:({MARK})(?![\w-])", rest)
            if found and self.job_id.fullmatch(job_id):
                marks[found[-1]] = job_id
        return marks

    def state(self, word: str) -> JobState:
        """Return the state that a word of the scheduler means; UNKNOWN for a new word."""
        return self.states.get(word, JobState.UNKNOWN)

    def meaning(self, reply: Reply) -> Meaning:
        """Return what the text of a failed command means; REFUSED if no pattern matches it.

        What it printed as an error counts first: on standard output there may be a notice of the
        site's, or the words of other users. If the command succeeded, only errors count.
        """
        for text in meaningful_parts(reply):
            for pattern, meaning in self.errors:
                if re.search(pattern, text, re.IGNORECASE):
                    return meaning
        return Meaning.REFUSED

    def check_answered(self, reply: Reply) -> None:
        """Raise SchedulerUnavailable unless a query succeeded."""
        if reply.exit_status != 0:
            raise self._error(SchedulerUnavailable, NO_ANSWER, reply)

    def unreadable_error(self, reply: Reply) -> UniSpawnerError:
        """Return the error for an answer that is not what the command should print."""
        message = f"The answer of {self.title}'s {reply.command[0]} could not be read."
        if not reply.text:
            return self._error(SchedulerUnavailable, message, reply)
        return SchedulerUnavailable(
            f"{message} It printed:",
            command=reply.command,
            exit_status=reply.exit_status,
            output=quote_lines(reply.text.splitlines()),
        )

    def submit_error(self, reply: Reply) -> UniSpawnerError:
        """Return the error for a failed submission."""
        if self.meaning(reply) is Meaning.UNAVAILABLE:
            error = self._error(SchedulerUnavailable, ACCEPTS_NO_JOBS, reply)
            error.unsent = _NOT_REACHED.search(reply.text) is not None
            return error
        return self._error(SubmitError, REFUSED, reply)

    def cancel_error(self, reply: Reply) -> UniSpawnerError | None:
        """Return the error for a failed cancellation; None if the job has ended anyway."""
        meaning = self.meaning(reply)
        if meaning is Meaning.GONE:
            return None
        if meaning is Meaning.UNAVAILABLE:
            return self._error(SchedulerUnavailable, CANT_CANCEL, reply)
        return self._error(CancelError, NOT_CANCELLED, reply)

    def check_supported(self, spec: JobSpec) -> None:
        """Refuse a job that asks for something unsupported, so that nothing is left out silently.

        Raises
        ------
        InvalidJobError
            If there is such a field; the message names the first one.
        """
        asked = {
            name: getattr(where, name)
            for where in (spec, spec.resources)
            for name in _ASKABLE
            if hasattr(where, name)
        }
        for key, _ in spec.attributes_for(self.name):
            if key in self.refused:
                raise InvalidJobError(
                    f"custom_attributes: {self.name}.{key} can't be set. It would make a kind of "
                    "job that a server can't be, or take away its log or its environment."
                )
        if spec.resources.memory == WHOLE:
            self._check_whole_memory(spec)
        if spec.signal_before_end and not self.announces:
            raise InvalidJobError(
                f"signal_before_end: {spec.signal_before_end}: {self.title} sends no signal before "
                "a job's end; leave it unset, or set it to 0"
            )
        supported = self.supported()
        for name, value in asked.items():
            if value and name not in supported and not (name in _ONE_IN_EVERY_JOB and value == 1):
                instead = self.alternatives.get(name, "leave it unset")
                raise InvalidJobError(
                    f"{name}: {self.title} does not support this ({value!r}); {instead}"
                )
        resources = spec.resources
        if resources.gpu_type and resources.gpu_cores_per_process is None:
            raise InvalidJobError(
                f"gpu_type: {resources.gpu_type!r} is set, but not how many of these GPUs; set "
                "gpu_cores_per_process as well"
            )
        self.check_needs(spec)

    def check_needs(self, spec: JobSpec) -> None:
        """Refuse a type of GPU, or a constraint, that can't be written for this scheduler.

        Raises
        ------
        InvalidJobError
            If there is such a value; the message names the field.
        """
        kind = spec.resources.gpu_type
        if kind.startswith("shard:") or (" " in kind and not self.blanks_in_gpu_types):
            raise InvalidJobError(
                f"gpu_type: {self.title} can't have a type named {kind!r}; write a name "
                "without blanks and colons"
            )
        if spec.resources.constraint:
            self.write_constraint(spec.resources.constraint)

    def write_constraint(self, constraint: str) -> str:
        """Return a constraint in the scheduler's own language.

        Raises
        ------
        InvalidJobError
            If this language can't express it.
        """
        return constraint

    def _check_whole_memory(self, spec: JobSpec) -> None:
        if not self.whole_memory:
            raise InvalidJobError(
                f"memory: 'all': {self.title} has no such request; write an amount, like '4G', or "
                "leave it unset for the scheduler's default"
            )
        if not spec.resources.exclusive_node_use:
            raise InvalidJobError(
                "memory: 'all' means all memory of the nodes, which needs exclusive_node_use: "
                "True; otherwise write an amount, like '4G'"
            )

    def _error(self, cls: type[UniSpawnerError], message: str, reply: Reply) -> UniSpawnerError:
        # An error keeps the end of its output. A long list must not push out what went wrong.
        errors = reply.stderr.strip()[-OUTPUT_LIMIT:]
        rest = reply.stdout.strip()[-max(OUTPUT_LIMIT - len(errors) - 1, 1) :]
        output = "\n".join(filter(None, (errors, rest)))
        message = fill(message, {"scheduler": self.title})
        return cls(message, command=reply.command, exit_status=reply.exit_status, output=output)


_ONE_IN_EVERY_JOB = ("node_count", "process_count", "processes_per_node")
"""Every job has one of each, so that a value of 1 asks for nothing."""
_PARTS_OF_EVERY_JOB = {
    *("name", "executable", "arguments", "directory", "environment", "stdout_path", "resources"),
    *("custom_attributes", "prologue", "epilogue", "mark", "signal_before_end"),
}
"""Fields of JobSpec that no scheduler has to support: the script has them, or each scheduler."""
_ASKABLE = (
    *(f.name for f in fields(ResourceSpec)),
    *(f.name for f in fields(JobSpec) if f.name not in _PARTS_OF_EVERY_JOB),
)

ALL_FIELDS = frozenset(_ASKABLE)
"""Every field that a scheduler may support: a new field of a job is one until it is listed above,
so that it is never left out silently."""
