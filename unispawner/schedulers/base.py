"""What has to be written to teach unispawner a scheduler.

A subclass says what to ask, how to read the answer, and how a job is written down. It runs nothing:
commands are argument lists that others run, answers are :class:`Reply` values that others bring.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Hashable, Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ..errors import (
    CancelError,
    InvalidJobError,
    SchedulerUnavailable,
    SubmitError,
    UniSpawnerError,
)
from ..job import MARK, JobInfo, JobSpec, JobState
from .inventory import Inventory

if TYPE_CHECKING:
    from .template_dialect import Dialect

T = TypeVar("T")
Dialogue = Generator[list[str], "Reply", T]
"""A question that takes several commands: yields one, is sent its reply, and returns what it has
learnt. Who drives it decides where and how commands run. One that can't be run, or does not end in
time, raises where it was yielded: a dialogue goes on without it if it catches UniSpawnerError."""


@dataclass(frozen=True)
class Reply:
    """What a command printed, and how it ended."""

    command: tuple[str, ...]
    exit_status: int
    stdout: str
    stderr: str = ""

    @property
    def text(self) -> str:
        """Everything it printed, errors first: what a person would have seen."""
        return "\n".join(part for part in (self.stderr.strip(), self.stdout.strip()) if part)


def advance(dialogue: Dialogue[Any], reply: Reply | UniSpawnerError | None) -> list[str]:
    """Return a dialogue's next command, given what came of the last; None begins it.

    Raises
    ------
    StopIteration
        With the result, when it is done.
    """
    if reply is None:
        return next(dialogue)
    return dialogue.throw(reply) if isinstance(reply, UniSpawnerError) else dialogue.send(reply)


def told(command: list[str]) -> Dialogue[str | None]:
    """Ask for what one can do without; None if it is not told."""
    try:
        reply = yield command
    except UniSpawnerError:
        return None
    return None if reply.exit_status else reply.stdout


class Meaning(Enum):
    """What a failed command's text means."""

    GONE = "the job has ended or never was"
    DENIED = "the job is somebody else's"
    UNAVAILABLE = "the scheduler can't be asked just now"
    REFUSED = "the scheduler said no"


def setting(default: T, help: str, choices: Sequence[T] = ()) -> T:
    """Declare a setting of a scheduler's own: a field that administrators see as a trait.

    Parameters
    ----------
    default
        Its value where nothing is configured; its type is the setting's type.
    help
        What an administrator reads.
    choices
        The values there are; empty if any will do.
    """
    metadata = {"help": " ".join(help.split()), "choices": tuple(choices)}
    value: T = field(default=default, metadata=metadata)
    return value


class Scheduler(ABC):
    """One scheduler's commands, words and job scripts.

    A subclass is a frozen dataclass; its fields, each made with :func:`setting`, are the
    scheduler's own settings and become traits of the spawner. It writes five methods
    (:meth:`directives`, :meth:`status_command`, :meth:`read_status`, :meth:`mark_command`,
    :meth:`inventory`) and the tables below; more only where the scheduler is unlike others.
    """

    name: ClassVar[str]
    """As in ``c.UniSpawner.scheduler`` and before the dot of a custom attribute."""
    title: ClassVar[str]
    """As its makers write it, for messages."""
    commands: ClassVar[tuple[str, ...]] = ()
    """The commands a submit host must have."""
    identify_command: ClassVar[tuple[str, ...]] = ()
    """What prints the scheduler's name: several have a ``qstat``."""
    identity: ClassVar[str] = ""
    """A regular expression that only this scheduler's answer to that matches."""
    states: ClassVar[Mapping[str, JobState]]
    """The scheduler's own words for states. What isn't here is UNKNOWN."""
    job_id: ClassVar[re.Pattern[str]]
    """What a job id looks like; anything else is refused before it reaches a command."""
    supports: ClassVar[frozenset[str]]
    """Fields of ResourceSpec and JobSpec that the scheduler can express."""
    tells: ClassVar[frozenset[str]] = frozenset()
    """Fields of JobInfo that it can fill, besides owner and state: what users get to know."""
    errors: ClassVar[tuple[tuple[str, Meaning], ...]] = ()
    """Pairs of a regular expression and its meaning, tried in order on a failed command's text."""
    loopback: ClassVar[bool] = False
    """True if jobs run on the Hub's own host, so that loopback addresses are right."""
    refused: ClassVar[frozenset[str]] = frozenset()
    """Options that no custom attribute may be: those of another kind of job than a server is."""
    may_hide_jobs: ClassVar[bool] = False
    """True if a site can have the scheduler hide users' jobs from the Hub's account. Of a hidden
    job its user's own side tells, which might tell anything."""
    directives_in_script: ClassVar[bool] = True
    """False if :meth:`directives` go beside the script: a submit description, options."""

    def __post_init__(self) -> None:
        for one in self.settings():
            value, choices = getattr(self, one.name), one.metadata["choices"]
            if type(value) is not type(one.default) or (choices and value not in choices):
                right = f"one of {', '.join(map(str, choices))}" if choices else "of another type"
                raise InvalidJobError(f"{one.name}: {value!r} must be {right}")

    @classmethod
    def settings(cls) -> tuple[Field[Any], ...]:
        """Return its own settings: fields with ``help`` and ``choices`` in their metadata."""
        return fields(cls) if is_dataclass(cls) else ()

    @classmethod
    def complete_settings(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings, those filled in that this host itself shows; on the Hub's side."""
        return dict(settings)

    @property
    def dialect(self) -> Dialect | None:
        """The set of templates that the job's script is made from; None if we write the script."""
        return None

    @property
    def options(self) -> dict[str, Any]:
        """The scheduler's own settings: what :func:`~unispawner.schedulers.get_scheduler` takes."""
        return asdict(self) if is_dataclass(self) else {}

    @property
    def asked_as(self) -> Hashable:
        """What a query depends on, besides its environment: those alike share one monitor."""
        return self.name

    def supported(self) -> frozenset[str]:
        """Return the fields that can be expressed with the settings as they are."""
        return self.supports

    def needed_commands(self) -> tuple[str, ...]:
        """Return the commands a submit host must have, with the settings as they are."""
        return self.commands

    def check_set_up(self) -> None:  # noqa: B027 - most have nothing to check
        """Make sure that what the settings name is there and can be trusted; on the Hub's side.

        Raises
        ------
        InvalidJobError
            Naming the setting.
        """

    def environment(self) -> dict[str, str]:
        """Return the variables that the scheduler's commands need, by its own settings."""
        return {}

    @abstractmethod
    def directives(self, spec: JobSpec) -> list[str]:
        """Return the lines that ask the scheduler for what ``spec`` says, in its own language."""

    def preamble(self, spec: JobSpec) -> list[str]:
        """Return what the job's script has to do before anything else, in shell lines.

        For a scheduler that can't write a job's log while the job runs: the script opens it.
        """
        return []

    @abstractmethod
    def status_command(self, job_ids: Collection[str] | None = None) -> list[str]:
        """Return the command that lists these jobs, or every user's jobs if None.

        It asks for no field that a user can write, since a name can forge a row.
        """

    @abstractmethod
    def read_status(self, reply: Reply) -> dict[str, JobInfo]:
        """Return what an answer to :meth:`status_command` says of each job.

        Raises
        ------
        SchedulerUnavailable
            If it can't be read or is an error, other than of an unknown job.
        """

    def query(self, job_ids: Collection[str] | None = None) -> Dialogue[dict[str, JobInfo]]:
        """Ask for these jobs, or for every user's if None.

        Overridden where one command isn't enough: where jobs that have ended are asked for
        elsewhere, or an older release needs another command. With ids it is asked as the jobs'
        user, and an id that isn't in the result is one of which the scheduler itself said that it
        knows no such job.

        Raises
        ------
        SchedulerUnavailable
            If the scheduler does not answer, or not legibly.
        """
        reply = yield self.status_command(job_ids)
        return self.read_status(reply)

    def query_tracked(self, job_ids: Collection[str]) -> Dialogue[dict[str, JobInfo]]:
        """Ask for every user's jobs, these among them: what the monitor asks, as the Hub.

        Overridden where there may be no command for everybody's: only these are asked for then.

        Raises
        ------
        SchedulerUnavailable
            If the scheduler does not answer, or not legibly.
        """
        return (yield from self.query())

    @abstractmethod
    def mark_command(self) -> list[str]:
        """Return the command that lists the calling user's own jobs with their marks."""

    def find_marks(self, owner: str) -> Dialogue[dict[str, str]]:
        """Ask for the marks of the calling user's own jobs; returns ``{mark: job id}``.

        Parameters
        ----------
        owner
            The caller's account.

        Raises
        ------
        SchedulerUnavailable
            If the scheduler does not answer, or not legibly.
        """
        return self.read_marks((yield self.mark_command()))

    @abstractmethod
    def inventory(self) -> Dialogue[Inventory]:
        """Ask for the cluster's queues and nodes.

        The nodes' names are those that ``exec_host`` gives: where jobs are hidden from the Hub,
        their user's word for a host counts only if it is one of these.

        Raises
        ------
        SchedulerUnavailable
            If the scheduler does not answer, or not legibly.
        """

    def read_marks(self, reply: Reply) -> dict[str, str]:
        """Return ``{mark: job id}`` from lines of ``<job id> … unispawner:<mark>``.

        Raises
        ------
        SchedulerUnavailable
            If the command failed.
        """
        self.check_answered(reply)
        pairs = re.findall(rf"^(\S+)\b.*\bunispawner:({MARK})\b", reply.stdout, re.MULTILINE)
        return {mark: job_id for job_id, mark in pairs if self.job_id.fullmatch(job_id)}

    def state(self, word: str) -> JobState:
        """Return the state that a word of the scheduler's stands for; UNKNOWN if it is new."""
        return self.states.get(word, JobState.UNKNOWN)

    def meaning(self, reply: Reply) -> Meaning:
        """Return what a failed command means, by its text; REFUSED if no pattern fits."""
        for pattern, meaning in self.errors:
            if re.search(pattern, reply.text, re.IGNORECASE):
                return meaning
        return Meaning.REFUSED

    def check_answered(self, reply: Reply) -> None:
        """Raise SchedulerUnavailable unless a query succeeded."""
        if reply.exit_status != 0:
            raise self._error(
                SchedulerUnavailable, f"{self.title} could not be asked about jobs.", reply
            )

    def unreadable(self, reply: Reply) -> UniSpawnerError:
        """Return the error for an answer that isn't what the command should print."""
        message = f"The answer of {self.title}'s {reply.command[0]} could not be read."
        return self._error(SchedulerUnavailable, message, reply)

    def submit_error(self, reply: Reply) -> UniSpawnerError:
        """Return the error for a failed submission: refused, or not to be asked just now."""
        if self.meaning(reply) is Meaning.UNAVAILABLE:
            return self._error(
                SchedulerUnavailable, f"{self.title} can't take jobs just now; try later.", reply
            )
        return self._error(SubmitError, f"{self.title} refused the job:", reply)

    def cancel_error(self, reply: Reply) -> UniSpawnerError | None:
        """Return the error for a failed cancellation; None if the job is gone anyway."""
        meaning = self.meaning(reply)
        if meaning is Meaning.GONE:
            return None
        if meaning is Meaning.UNAVAILABLE:
            return self._error(
                SchedulerUnavailable, f"{self.title} can't cancel jobs just now.", reply
            )
        return self._error(CancelError, f"{self.title} did not cancel the job:", reply)

    def check_supported(self, spec: JobSpec) -> None:
        """Refuse a job that asks for what the scheduler can't express; nothing is dropped.

        Raises
        ------
        InvalidJobError
            Naming the first such field.
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
                    f"custom_attributes: {self.name}.{key} can't be set: it would make another "
                    "kind of job, or take its log or its environment away"
                )
        supported = self.supported()
        for name, value in asked.items():
            if value and name not in supported and not (name in _COUNTS and value == 1):
                raise InvalidJobError(f"{name}: {self.title} can't be asked for this ({value!r})")

    @staticmethod
    def _error(cls: type[UniSpawnerError], message: str, reply: Reply) -> UniSpawnerError:
        return cls(message, command=reply.command, exit_status=reply.exit_status, output=reply.text)


_COUNTS = ("node_count", "process_count", "processes_per_node")
"""Of these every job has one: to say so asks for nothing."""
_ASKABLE = (
    *_COUNTS,
    "cpu_cores_per_process",
    "gpu_cores_per_process",
    "memory",
    "exclusive_node_use",
    "duration",
    "queue_name",
    "account",
    "reservation_id",
)

ALL_FIELDS = frozenset(_ASKABLE)
"""Every field that a scheduler may or may not be able to express."""
