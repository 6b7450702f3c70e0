"""What PBS and TORQUE have in common: one qsub, its directives, its attributes and its errors.

Facts without a source are of the two projects' own sources: OpenPBS 18 to 23.06, TORQUE 4.2.10.
"""

from __future__ import annotations

import re
import shlex
from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import ClassVar, NoReturn

from ..errors import InvalidJobError
from ..job import MARK_VARIABLE, Attribute, JobInfo, JobSpec
from ..units import divide_up
from . import pbs_job
from .base import Dialogue, Meaning, Reply, Scheduler
from .pbs_job import Row, read_owner
from .reading import number_waiting

_REFUSED = frozenset("CIJVXtxz")
"""Options of qsub that would make another kind of job, or (``-V``) show the agent's environment."""

# A command's exit status is the server's error number (pbs_error.h), modulo 256.
_BY_STATUS = {
    153: Meaning.GONE,  # 15001, unknown job
    35: Meaning.GONE,  # 15139, finished
    159: Meaning.DENIED,  # 15007
    255: Meaning.UNAVAILABLE,  # -1, no connection
}


class PbsFamily(Scheduler):
    """Base of PBS and TORQUE: they differ in resources, in what qstat prints and in exit codes."""

    job_id = re.compile(r"\d{1,12}(\.[A-Za-z0-9][A-Za-z0-9._-]{0,200})?", re.ASCII)
    commands = ("qsub", "qstat", "qdel", "qselect", "pbsnodes")
    identify_command = ("qstat", "--version")
    may_hide_jobs = True
    errors = (
        (
            r"cannot connect to server|Couldn't connect to|could not connect|Connection refused|"
            r"Connection (timed out|reset)|timed out|Unable to contact|No free connections|"
            r"shutting down|Communication failure|Premature end of message|End of File|trqauthd|"
            r"pbs_iff|Unknown Host|No default server|try again|temporarily unavailable|"
            r"Invalid credential|System error|internal server error",
            Meaning.UNAVAILABLE,
        ),
        (
            # A job that is being taken down can't be cancelled once more.
            r"Unknown Job ?Id|Job has finished|invalid (for )?state (of|for) job",
            Meaning.GONE,
        ),
        (r"Unauthorized Request|No Permission", Meaning.DENIED),
    )
    exit_codes: ClassVar[Mapping[int, str]]
    """What the scheduler's own negative exit codes mean."""
    nowhere: ClassVar[str]
    """Where ``-o`` sends what the scheduler itself would write, without a copy over the network."""
    longest_name: ClassVar[int]
    """Characters of a job's name."""

    # -- a job ---------------------------------------------------------------------------------

    @abstractmethod
    def resources(self, spec: JobSpec) -> dict[str, str]:
        """Return what ``-l`` asks for: names and values."""

    def extensions(self, spec: JobSpec) -> list[str]:
        """Return what ``-W x=`` tells the scheduler beside the server: Maui, Moab."""
        return []

    def queue(self, spec: JobSpec) -> str:
        """Return the queue to ask for; empty if the server chooses."""
        return spec.queue_name

    def directives(self, spec: JobSpec) -> list[str]:
        """Return ``#PBS`` lines; the site's defaults hold for all that ``spec`` leaves out.

        An attribute takes the place of our option of the same letter, and of ``-l`` with the same
        resource; ``-v`` and ``-W x=`` are joined, since qsub keeps only the last. A name of several
        letters is a job attribute: ``-W name=value``.
        """
        attributes = [_as_option(*one) for one in spec.attributes_for(self.name)]
        given = {key for key, _ in attributes}
        asked = {
            name
            for key, value in attributes
            if key == "l"
            for name in re.findall(r"(?:^|,)\s*(\w+)=", str(value))
        }
        options: list[tuple[str, Attribute]] = [
            ("N", _job_name(spec.name, self.longest_name)),
            ("j", "oe"),
            ("o", self.nowhere if spec.stdout_path else ""),
            # By default, who cancels a job gets mail for it.
            ("m", "n"),
            ("q", self.queue(spec)),
            ("A", spec.account),
        ]
        options = [(key, value) for key, value in options if key not in given]
        options += [
            ("l", f"{name}={value}")
            for name, value in self.resources(spec).items()
            if name not in asked
        ]
        variables = [f"{MARK_VARIABLE}={spec.mark}"] if spec.mark else []
        variables += [str(value) for key, value in attributes if key == "v"]
        extensions = self.extensions(spec)
        for key, value in attributes:
            if key == "W" and str(value).startswith("x="):
                extensions = [*extensions, str(value)[2:]]
            elif key != "v":
                options.append((key, value))
        options += [("W", "x=" + ";".join(extensions))] if extensions else []
        options += [("v", ",".join(variables))] if variables else []
        return [_directive(key, value) for key, value in options if value != ""]

    def preamble(self, spec: JobSpec) -> list[str]:
        """Return what the script does first: it writes its own log, as PSI/J's scripts do.

        The server would copy what a job writes when it has ended, over what there is; to write it
        at once needs PBS 18 and a site's ``$usecp``, or TORQUE's ``$spool_as_final_name``.
        """
        return [f"exec >>{shlex.quote(spec.stdout_path)} 2>&1"] if spec.stdout_path else []

    def check_supported(self, spec: JobSpec) -> None:
        """Refuse, too, options that would make another kind of job.

        Raises
        ------
        InvalidJobError
            Naming the field.
        """
        super().check_supported(spec)
        for key, _ in spec.attributes_for(self.name):
            if key in _REFUSED:
                raise InvalidJobError(
                    f"custom_attributes: {self.name}.{key} can't be set: a server"
                    " is one batch job, with an environment of its own"
                )

    # -- queries -------------------------------------------------------------------------------

    @abstractmethod
    def rows(self, reply: Reply) -> dict[str, Row] | None:
        """Return the jobs in what qstat printed; None if that isn't qstat's, or cut off.

        A job that can't be read, or that may be forged (an id or an attribute comes twice), is not
        among them.
        """

    def ask(self, command: list[str]) -> Dialogue[Reply]:
        """Ask with a status command, and as often as it takes in another way."""
        return (yield command)

    def query(self, job_ids: Collection[str] | None = None) -> Dialogue[dict[str, JobInfo]]:
        """Ask for all jobs, or for those; see :meth:`_ask_for` for these."""
        if job_ids is None:
            return self.read_status((yield from self.ask(self.status_command())))
        rows, reply = yield from self._ask_for(job_ids)
        jobs = {job_id: self._read(row) for job_id, row in rows.items()}
        if None in jobs.values():
            raise self.unreadable_error(reply)
        return {job_id: info for job_id, info in jobs.items() if info}

    def read_status(self, reply: Reply) -> dict[str, JobInfo]:
        """Read qstat's list, and number the jobs that wait."""
        rows = self._told(reply)
        jobs = {job_id: info for job_id, row in rows.items() if (info := self._read(row))}
        jobs = number_waiting(jobs, lambda job_id: pbs_job.rank(job_id, rows[job_id]))
        others = self.other_ids(rows).items()
        return {**{other: jobs[job_id] for other, job_id in others if job_id in jobs}, **jobs}

    def other_ids(self, rows: Mapping[str, Row]) -> dict[str, str]:
        """Return other ids under which jobs may be known, and the one they have here."""
        return {}

    def _read(self, row: Row) -> JobInfo | None:
        return pbs_job.read_job(row, self.state, self.exit_codes)

    def find_marks(self, owner: str) -> Dialogue[dict[str, str]]:
        """Ask for the caller's jobs, and then for these in full: all users' might be very many."""
        reply = yield ["qselect", "-u", owner]
        self.check_answered(reply)
        job_ids = [line for line in reply.stdout.split() if self.job_id.fullmatch(line)]
        if not job_ids:
            return {}
        rows, _ = yield from self._ask_for(job_ids)
        return pbs_job.read_marks(
            {key: row for key, row in rows.items() if read_owner(row) == owner}
        )

    def mark_command(self) -> list[str]:
        """Return a qstat of all jobs in full."""
        return self.status_command()

    def read_marks(self, reply: Reply) -> dict[str, str]:
        """Read the marks of a list of jobs.

        Raises
        ------
        SchedulerUnavailable
            If the command failed, or it can't be read.
        """
        return pbs_job.read_marks(self._told(reply))

    def meaning(self, reply: Reply) -> Meaning:
        """Return what a failed command means: by its words, or else by its exit status."""
        # What qstat printed of other jobs holds words, too.
        errors = replace(reply, stdout="") if reply.stderr.strip() else reply
        found = super().meaning(errors)
        return _BY_STATUS.get(reply.exit_status, found) if found is Meaning.REFUSED else found

    def _told(self, reply: Reply) -> dict[str, Row]:
        """Return the rows of an answer that is one."""
        rows = self.rows(reply)
        gone = reply.exit_status != 0 and self.meaning(reply) is Meaning.GONE
        if not gone:
            self.check_answered(reply)
            if rows is None:
                raise self.unreadable_error(reply)
        return rows or {}

    def _ask_for(self, job_ids: Collection[str]) -> Dialogue[tuple[dict[str, Row], Reply]]:
        """Ask for these jobs; returns the rows of those that there are, and the last reply.

        qstat asks the server for one job after the other and its exit status is that of one of
        them: each job has to be in the list or in an error that names it. An OpenPBS of 2025 lists
        only the first of several (openpbs#2672), so what is untold is asked for once more, alone.

        Raises
        ------
        SchedulerUnavailable
            If nothing is said of one of them.
        """
        found: dict[str, Row] = {}
        reply = yield from self.ask(self.status_command(job_ids))
        untold = self._take(reply, job_ids, found)
        if untold and len(job_ids) == 1:
            self._say_nothing(reply)
        for job_id in untold:
            reply = yield from self.ask(self.status_command([job_id]))
            if self._take(reply, [job_id], found):
                self._say_nothing(reply)
        return found, reply

    def _take(self, reply: Reply, job_ids: Iterable[str], found: dict[str, Row]) -> list[str]:
        """Add the rows of an answer; return the ids of which it says nothing."""
        rows = self.rows(reply) or {}
        by_number: dict[str, list[Row]] = {}
        for job_id, row in rows.items():
            by_number.setdefault(_number(job_id), []).append(row)
        unknown = {_number(job_id) for job_id in _named_as_gone(reply.stderr)}
        untold = []
        for job_id in job_ids:
            # The server's name behind the number may be cut or missing on one side.
            same = by_number.get(_number(job_id), [])
            if job_id in rows or len(same) == 1:
                found[job_id] = rows.get(job_id) or same[0]
            elif same or _number(job_id) not in unknown:
                untold.append(job_id)
        return untold

    def _say_nothing(self, reply: Reply) -> NoReturn:
        self.check_answered(reply)
        raise self.unreadable_error(reply)


def per_node(amount: int, nodes: int) -> str:
    """Return a node's share of an amount of bytes, in the unit that qsub reads and rounded up."""
    return f"{divide_up(amount, 1024 * nodes)}kb"


def _number(job_id: str) -> str:
    return job_id.partition(".")[0]


def _named_as_gone(errors: str) -> list[str]:
    """Return the ids of which qstat says that there are no such jobs, or that they have ended."""
    found = re.findall(r"Unknown Job ?Id(?: Error)? (\S+)|(\S+) Job has finished", errors, re.I)
    return [one or other for one, other in found]


def _job_name(name: str, longest: int) -> str:
    """Return a name that every release takes: a letter first, then letters, digits, ``-_+``."""
    legal = re.sub(r"[^A-Za-z0-9_+-]", "_", name)
    return (legal if legal[:1].isalpha() else f"j{legal}")[:longest]


def _as_option(key: str, value: Attribute) -> tuple[str, Attribute]:
    if len(key) == 1:
        return key, value
    return "W", f"{key}={'true' if value is True else value}"


def _directive(key: str, value: Attribute) -> str:
    """Write a line for qsub's reader, which knows quotes as a shell does.

    A line must not end in a backslash, with which it would go on: what has one is quoted.
    """
    return f"#PBS -{key}" if value is True else f"#PBS -{key} {shlex.quote(str(value))}"
