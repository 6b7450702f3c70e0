"""What PBS and TORQUE have in common: qsub with its directives, job attributes, error messages.

Facts without another source come from the code of both: OpenPBS 18 to 23.06, TORQUE 4.2.10.
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
from . import pbs_job, pbs_usage
from .base import Dialogue, Meaning, Reply, Scheduler
from .constraints import Feature, read_plain_list
from .pbs_job import Row, read_owner
from .reading import number_waiting
from .usage import NOT_YET, Accounting, EndedJob

_REFUSED = frozenset("CIJVXtxz")
"""Options of qsub that make another kind of job, or (``-V``) publish the agent's environment."""

# A command's exit status is the server's error number (pbs_error.h), modulo 256.
_BY_STATUS = {
    153: Meaning.GONE,  # 15001, unknown job
    35: Meaning.GONE,  # 15139, finished
    159: Meaning.DENIED,  # 15007
    255: Meaning.UNAVAILABLE,  # -1, no connection
}


class PbsFamily(Scheduler):
    """Base class of PBS and TORQUE, which differ in resources, qstat's output and exit codes."""

    job_id = re.compile(r"\d{1,12}(\.[A-Za-z0-9][A-Za-z0-9._-]{0,200})?", re.ASCII)
    commands = ("qsub", "qstat", "qdel", "qselect", "pbsnodes")
    identify_command = ("qstat", "--version")
    may_hide_jobs = True
    # The server would copy the output at the job's end, over an older log. To write it at once it
    # needs PBS 18 and $usecp, or TORQUE and $spool_as_final_name.
    script_opens_log = True
    causes = pbs_usage.CAUSES
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
            # A job that is ending can't be cancelled once more.
            r"Unknown Job ?Id|Job has finished|invalid (for )?state (of|for) job",
            Meaning.GONE,
        ),
        (r"Unauthorized Request|No Permission", Meaning.DENIED),
    )
    exit_codes: ClassVar[Mapping[int, str]]
    """The meaning of the scheduler's own negative exit codes."""
    nowhere: ClassVar[str]
    """The argument of ``-o`` that discards the scheduler's own log without copying it."""
    longest_name: ClassVar[int]
    """How many characters a job's name may have."""

    # -- a job ---------------------------------------------------------------------------------

    @abstractmethod
    def resources(self, spec: JobSpec) -> dict[str, str]:
        """Return the resources that ``-l`` requests, by name."""

    def extensions(self, spec: JobSpec) -> list[str]:
        """Return the extensions (``-W x=``) for a separate scheduler: Maui, Moab."""
        return []

    def queue(self, spec: JobSpec) -> str:
        """Return the queue to submit to; empty if the server chooses it."""
        return spec.queue_name

    def directives(self, spec: JobSpec) -> list[str]:
        """Return ``#PBS`` lines; the site's defaults apply to what ``spec`` leaves out.

        A custom attribute replaces unispawner's option of the same letter, and ``-l`` with the same
        resource. ``-v`` and ``-W x=`` are joined, because qsub keeps only the last one. A name of
        several letters is a job attribute: ``-W name=value``.
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
            # By default PBS sends mail to whoever cancels a job.
            ("m", "n"),
            ("q", self.queue(spec)),
            ("A", spec.account),
        ]
        options = [(key, value) for key, value in options if key not in given]
        options += [
            ("l", f"{name}={value}")
            for name, value in self.keep(spec, self.resources(spec).items())
            if name not in asked
        ]
        options = self.keep(spec, options)
        variables = [f"{MARK_VARIABLE}={spec.mark}"] if spec.mark else []
        variables += [str(value) for key, value in attributes if key == "v"]
        extensions = [] if "W" in spec.left_out(self.name) else self.extensions(spec)
        for key, value in attributes:
            if key == "W" and str(value).startswith("x="):
                extensions = [*extensions, str(value)[2:]]
            elif key != "v":
                options.append((key, value))
        options += [("W", "x=" + ";".join(extensions))] if extensions else []
        options += [("v", ",".join(variables))] if variables else []
        return [_directive(key, value) for key, value in options if value != ""]

    def omittable(self) -> frozenset[str]:
        """Return options of qsub, and the resources of its ``-l`` by their own names."""
        return frozenset(("N", "m", "q", "A", "l", *self.resource_names()))

    @abstractmethod
    def resource_names(self) -> tuple[str, ...]:
        """Return the names of the resources that :meth:`resources` may request, and their parts."""

    def check_supported(self, spec: JobSpec) -> None:
        """Refuse also options that make another kind of job.

        Raises
        ------
        InvalidJobError
            If there is one; the message names it.
        """
        super().check_supported(spec)
        for key, _ in spec.attributes_for(self.name):
            if key in _REFUSED:
                raise InvalidJobError(
                    f"custom_attributes: {self.name}.{key} can't be set. It would make a kind of "
                    "job that a server can't be, or publish its environment."
                )

    def check_needs(self, spec: JobSpec) -> None:
        """Refuse also a constraint that would replace what another field requests."""
        super().check_needs(spec)
        if re.search(r"[^\w.-]", spec.resources.gpu_type, re.ASCII):
            raise InvalidJobError(  # "+" would begin the request for another chunk
                f"gpu_type: {spec.resources.gpu_type!r} must have only letters, digits and _.-"
            )
        if not spec.resources.constraint:
            return
        for one in self._features(spec.resources.constraint):
            if one.name in self.reserved_features():
                raise InvalidJobError(
                    f"constraint: {one.text!r}: {one.name} is what another field of the job "
                    "requests; remove it"
                )

    def reserved_features(self) -> frozenset[str]:
        """Return the names that can't be a feature: other fields request them."""
        return frozenset((*self.resource_names(), "host", "vnode"))

    @abstractmethod
    def write_feature(self, feature: Feature) -> str:
        """Return the request for one feature of the nodes.

        Raises
        ------
        InvalidJobError
            If the scheduler can't request it.
        """

    def write_constraint(self, constraint: str) -> str:
        """Return the requests for the features of a constraint, as parts of a chunk."""
        return ":".join(self.write_feature(one) for one in self._features(constraint))

    def _features(self, constraint: str) -> list[Feature]:
        instead = f"use the custom attribute {self.name}.l"
        features = read_plain_list(constraint, self.title, instead)
        for one in features:
            if not re.fullmatch(r"[\w.-]+(=[\w.-]+)?", one.text, re.ASCII):
                raise InvalidJobError(
                    f"constraint: {one.text!r}: {self.title} knows only names and values of "
                    "letters, digits and _.-"
                )
        return features

    # -- queries -------------------------------------------------------------------------------

    @abstractmethod
    def rows(self, reply: Reply) -> dict[str, Row] | None:
        """Return the jobs that qstat printed; None if the text is something else, or cut off.

        A job is left out if it can't be read, or if its id or one of its attributes comes twice, so
        that it may be forged.
        """

    def ask(self, command: list[str]) -> Dialogue[Reply]:
        """Run a status command, and another one where its answer is not enough."""
        return (yield command)

    def query(self, job_ids: Collection[str] | None = None) -> Dialogue[dict[str, JobInfo]]:
        """Ask for all jobs, or for some of them: see :meth:`_ask_by_id`."""
        if job_ids is None:
            return self.read_status((yield from self.ask(self.status_command())))
        rows, reply = yield from self._ask_by_id(job_ids)
        jobs = {job_id: self._read(row) for job_id, row in rows.items()}
        if None in jobs.values():
            raise self.unreadable_error(reply)
        return {job_id: info for job_id, info in jobs.items() if info}

    def query_few(self, job_ids: Collection[str]) -> Dialogue[dict[str, JobInfo]]:
        """Ask for these jobs; those that the answer leaves open are asked for one by one."""
        found: dict[str, Row] = {}
        reply = yield from self.ask(self.status_command(job_ids))
        left = self._take_rows(reply, job_ids, found)
        if self.is_doubtful(reply):
            found, left = {}, list(job_ids)
        meaning = self.meaning(reply) if reply.exit_status else None
        if meaning is Meaning.UNAVAILABLE or (meaning is Meaning.REFUSED and not found):
            self.check_answered(reply)
        if not reply.exit_status and self.rows(reply) is None:
            raise self.unreadable_error(reply)
        for job_id in left if len(job_ids) > 1 else ():
            reply = yield from self.ask(self.status_command([job_id]))
            self._take_rows(reply, [job_id], found)
        jobs = {job_id: self._read(row) for job_id, row in found.items()}
        return {job_id: info for job_id, info in jobs.items() if info}

    def usage(self, job: EndedJob) -> Dialogue[Accounting]:
        """Ask for the job itself, which the server has for some time after its end."""
        rows, _ = yield from self._ask_by_id([job.job_id])
        row = rows.get(job.job_id)
        info = self._read(row) if row else None
        if row is None or info is None or not info.state.final:
            return NOT_YET
        return pbs_usage.read_usage(job.job_id, row, job, self.find_cause(info))

    def hides_jobs(self) -> Dialogue[bool]:
        """Ask for the server's attribute query_other_jobs.

        It is listed only if it is set; TORQUE without it hides the jobs of others, and PBS sets it
        when it is installed.
        """
        reply = yield ["qstat", "-B", "-f"]
        self.check_answered(reply)
        if not re.search(r"^Server: ", reply.stdout, re.MULTILINE):
            raise self.unreadable_error(reply)
        return not re.search(r"^[ \t]+query_other_jobs = True[ \t\r]*$", reply.stdout, re.MULTILINE)

    def is_doubtful(self, reply: Reply) -> bool:
        """Return whether no row of an answer counts, because some may be forged."""
        return False

    def read_status(self, reply: Reply) -> dict[str, JobInfo]:
        """Read qstat's list, and number the waiting jobs."""
        rows = self._read_rows(reply)
        jobs = {job_id: info for job_id, row in rows.items() if (info := self._read(row))}
        jobs = number_waiting(jobs, lambda job_id: pbs_job.rank(job_id, rows[job_id]))
        others = self.other_ids(rows).items()
        return {**{other: jobs[job_id] for other, job_id in others if job_id in jobs}, **jobs}

    def other_ids(self, rows: Mapping[str, Row]) -> dict[str, str]:
        """Return ``{other id: id}`` for the other ids that jobs may have elsewhere."""
        return {}

    def _read(self, row: Row) -> JobInfo | None:
        return pbs_job.read_job(row, self.state, self.exit_codes)

    def find_marks(self, owner: str) -> Dialogue[dict[str, str]]:
        """Ask for the caller's jobs, and then for these in full: others may have very many."""
        # In a list of users, "@" separates a host, "+" and "-" are signs, and "," is the next one.
        plain = re.fullmatch(r"[\w.][\w.-]*", owner, re.ASCII)
        reply = yield ["qselect", *(["-u", owner] if plain else [])]
        self.check_answered(reply)
        lines = (line.strip() for line in reply.stdout.splitlines())
        job_ids = [line for line in lines if self.job_id.fullmatch(line)]
        if not job_ids:
            return {}
        rows, _ = yield from self._ask_by_id(job_ids)
        return pbs_job.read_marks(
            {key: row for key, row in rows.items() if read_owner(row) == owner}
        )

    def mark_command(self) -> list[str]:
        """Return the qstat that lists all jobs in full."""
        return self.status_command()

    def read_marks(self, reply: Reply) -> dict[str, str]:
        """Read the marks from a list of jobs.

        Raises
        ------
        SchedulerUnavailable
            If the command failed, or its output can't be read.
        """
        rows = self._read_rows(reply).items()
        return pbs_job.read_marks({key: row for key, row in rows if self.job_id.fullmatch(key)})

    def meaning(self, reply: Reply) -> Meaning:
        """Return what a failed command means by its words, or else by its exit status."""
        # Standard output may contain the words of other jobs.
        errors = replace(reply, stdout="") if reply.stderr.strip() else reply
        found = super().meaning(errors)
        return _BY_STATUS.get(reply.exit_status, found) if found is Meaning.REFUSED else found

    def _read_rows(self, reply: Reply) -> dict[str, Row]:
        """Return the rows of an answer; raise SchedulerUnavailable if it is not one."""
        rows = self.rows(reply)
        gone = reply.exit_status != 0 and self.meaning(reply) is Meaning.GONE
        if not gone:
            self.check_answered(reply)
            if rows is None:
                raise self.unreadable_error(reply)
        return rows or {}

    def _ask_by_id(self, job_ids: Collection[str]) -> Dialogue[tuple[dict[str, Row], Reply]]:
        """Ask for these jobs; return the rows of those that exist, and the last reply.

        qstat asks the server for one job after the other, and its exit status is that of one of
        these questions. So each job has to be in the list, or in an error that names it. An OpenPBS
        of 2025 lists only the first of several jobs (openpbs#2672). Therefore a job that the answer
        does not mention is asked for once more by itself.

        Raises
        ------
        SchedulerUnavailable
            If the answers do not mention one of the jobs.
        """
        found: dict[str, Row] = {}
        reply = yield from self.ask(self.status_command(job_ids))
        unmentioned = self._take_rows(reply, job_ids, found)
        if unmentioned and len(job_ids) == 1:
            self._raise_unmentioned(reply)
        for job_id in unmentioned:
            reply = yield from self.ask(self.status_command([job_id]))
            if self._take_rows(reply, [job_id], found):
                self._raise_unmentioned(reply)
        return found, reply

    def _take_rows(self, reply: Reply, job_ids: Iterable[str], found: dict[str, Row]) -> list[str]:
        """Add the rows of an answer to ``found``; return the ids that it does not mention."""
        rows = self.rows(reply) or {}
        by_number: dict[str, list[Row]] = {}
        for job_id, row in rows.items():
            by_number.setdefault(_number(job_id), []).append(row)
        unknown = {_number(job_id) for job_id in _named_as_gone(reply.stderr)}
        unmentioned = []
        for job_id in job_ids:
            # The server's name after the number may be cut off or missing on either side.
            same = by_number.get(_number(job_id), [])
            if job_id in rows or len(same) == 1:
                found[job_id] = rows.get(job_id) or same[0]
            elif same or _number(job_id) not in unknown:
                unmentioned.append(job_id)
        return unmentioned

    def _raise_unmentioned(self, reply: Reply) -> NoReturn:
        self.check_answered(reply)
        raise self.unreadable_error(reply)


def per_node(amount: int, nodes: int) -> str:
    """Return one node's share of an amount of bytes, as qsub reads it, rounded up."""
    return f"{divide_up(amount, 1024 * nodes)}kb"


def _number(job_id: str) -> str:
    return job_id.partition(".")[0]


def _named_as_gone(errors: str) -> list[str]:
    """Return the ids of jobs that do not exist or have ended, according to qstat's errors."""
    found = re.findall(
        # Without (?<!\S) each character of a long word would be tried as its beginning.
        r"Unknown Job ?Id(?: Error)? (\S+)|(?<!\S)(\S+) Job has finished",
        errors,
        re.IGNORECASE,
    )
    return [one or other for one, other in found]


def _job_name(name: str, longest: int) -> str:
    """Return a name that every release accepts: a letter, then letters, digits and ``-_+``."""
    legal = re.sub(r"[^A-Za-z0-9_+-]", "_", name)
    return (legal if legal[:1].isalpha() else f"j{legal}")[:longest]


def _as_option(key: str, value: Attribute) -> tuple[str, Attribute]:
    if len(key) == 1:
        return key, value
    return "W", f"{key}={'true' if value is True else value}"


def _directive(key: str, value: Attribute) -> str:
    """Return a directive; qsub reads quotes in it as a shell does.

    A line that ends with a backslash would continue on the next line, so that such a value is
    quoted.
    """
    return f"#PBS -{key}" if value is True else f"#PBS -{key} {shlex.quote(str(value))}"
