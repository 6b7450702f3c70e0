"""Any scheduler that a set of templates describes: see docs/templates.md.

The set's commands, patterns and script replace what the modules of other schedulers contain. Either
side reads the set from its files. The script is filled in by
:mod:`unispawner.script.from_template`, because that may need Jinja.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable
from dataclasses import dataclass, replace
from typing import ClassVar

from ..errors import InvalidJobError, SchedulerUnavailable
from ..job import JobInfo, JobSpec, JobState
from ..texts import english
from .base import Dialogue, Meaning, Reply, Scheduler, ends_of, setting
from .inventory import Inventory
from .reading import keep_unique
from .template_dialect import Dialect, check_trusted, make_linear, read_dialect
from .template_fields import EXPRESSES, RESERVED, custom_fields, find_mentioned, job_values


@dataclass(frozen=True)
class Template(Scheduler):
    """A scheduler by a set of templates, which is in ``legacy_templates/`` or the site's own."""

    template: str = setting(
        "",
        """The set of templates: "torque", "moab", "pbs", "slurm", "gridengine", "htcondor" or "lsf"
        (batchspawner's templates), or the absolute path of a folder of your own. Users must be able
        to read the folder, and only root and the Hub's account may be able to change it. See
        docs/templates.md.""",
    )

    name = "template"
    title = english("The scheduler")
    # In many schedulers: a number, with a server's name or some letters around it.
    job_id = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@\[\]-]{0,199}", re.ASCII)
    supports: ClassVar = frozenset()  # depends on the set: see supported()
    reports: ClassVar = frozenset({"exec_host"})
    refused = RESERVED | {"name", "prologue", "epilogue"}
    # The first match counts, because a pattern may match too much ([QH] is pending, H is held).
    states: ClassVar = {
        "failed": JobState.FAILED,
        "ended": JobState.COMPLETED,
        "stuck": JobState.HELD,
        "held": JobState.HELD,
        "running": JobState.RUNNING,
        "pending": JobState.QUEUED,
    }
    # Messages of many schedulers; the set's own patterns are tried before these.
    errors = (
        (
            r"(can('|no)?t|could ?n[o']t|unable to|failed to) (be )?(connect|contact|reach|"
            r"communicat|talk)|connection (refused|timed out|reset|closed)|timed? ?out"
            r"|not respond|no route to host|network is unreachable|temporarily unavailable"
            r"|(server|controller|daemon|master|scheduler) (is )?(down|unavailable|not running)"
            r"|communication failure",
            Meaning.UNAVAILABLE,
        ),
        (r"no such job|unknown job|job .{0,60}(not found|does not exist)", Meaning.GONE),
        (
            r"permission denied|unauthori[sz]ed|not (authori[sz]ed|permitted|the owner|owner)"
            r"|access denied",
            Meaning.DENIED,
        ),
    )

    @property
    def dialect(self) -> Dialect:
        """The set of templates.

        Raises
        ------
        InvalidJobError
            If there is no such set, or if one of its files is wrong.
        """
        if not self.template:
            raise InvalidJobError(
                'template: it is empty, but scheduler = "template" needs a set of templates; set '
                'c.UniSpawner.template = "torque", for example, or the absolute path of a folder'
            )
        return read_dialect(self.template)

    @property
    def query_key(self) -> Hashable:
        """The name, and the set, whose commands are its own."""
        return (self.name, self.template)

    def needed_commands(self) -> tuple[str, ...]:
        """Return the programs that the set's commands run."""
        return tuple(self.dialect.programs)

    def check_set_up(self) -> None:
        """Check that the set is complete, and that only root and the Hub's account can change it.

        Raises
        ------
        InvalidJobError
            If something is wrong; the message names the file.
        """
        dialect = self.dialect
        check_trusted(dialect)
        words = dialect.words(dialect.submit)
        if words[0].rpartition("/")[2] == "condor_submit" and {"-spool", "-remote"} & set(words):
            raise InvalidJobError(
                f"template: {dialect.folder}/dialect.ini: [commands]: submit: {dialect.submit!r}: "
                "-spool and -remote can't be used, because condor_submit would copy the job's "
                "files to the schedd's host, where the server's private ones are not found. Use "
                "-name with a schedd that shares the users' homes"
            )
        if not dialect.all_jobs and not dialect.pattern("owner"):
            raise InvalidJobError(
                f"template: {dialect.folder}/dialect.ini: [patterns]: owner is missing, and there "
                "is no [all_jobs] either. One of them is needed, because only the scheduler's word "
                "counts for who owns a job"
            )
        if "memory" in self._mentioned and not dialect.fields.get("memory"):
            raise InvalidJobError(
                f"template: {dialect.folder}/dialect.ini: [fields]: memory is missing, and the "
                "script has {memory}. Say how it is written, as in memory = {mebibytes}mb"
            )

    # -- what a job asks for -------------------------------------------------------------------

    @property
    def _mentioned(self) -> set[str]:
        return find_mentioned(self.dialect.script) | find_mentioned(self.dialect.submit)

    def supported(self) -> frozenset[str]:
        """Return the fields that the set's script can express."""
        named = self._mentioned
        if not self.dialect.fields.get("gres"):  # then only a custom attribute fills it
            named.discard("gres")
        return frozenset(field for name in named for field in EXPRESSES.get(name, ()))

    def directives(self, spec: JobSpec) -> list[str]:
        """Return no directives: the set's script contains them."""
        return []

    def check_supported(self, spec: JobSpec) -> None:
        """Refuse a job that asks for something for which the set's script has no field.

        Raises
        ------
        InvalidJobError
            If there is such a field; the message names the first one and the script.
        """
        script = f"{self.dialect.folder}/{self.dialect.file}"
        try:
            super().check_supported(spec)
        except InvalidJobError as error:
            raise InvalidJobError(
                f"{error.message}; see {script} (c.UniSpawner.template)"
            ) from None
        named = self._mentioned
        if spec.resources.nodes > 1:
            raise InvalidJobError(
                f"node_count: {script} is a script for one node, and the job needs "
                f"{spec.resources.nodes}"
            )
        for name, default in (("prologue", ""), ("epilogue", ""), ("name", JobSpec().name)):
            if getattr(spec, name) != default and name not in named:
                trait = "job_name" if name == "name" else name
                raise InvalidJobError(f"{trait}: {script} has no field {{{name}}}; leave it unset")
        filled = job_values(self.dialect, spec)
        for name in custom_fields(spec):
            if name not in named:
                raise InvalidJobError(
                    f"custom_attributes: template.{name}: {script} has no field {{{name}}}"
                )
            if name in EXPRESSES and (name == "nprocs" or filled[name]):
                raise InvalidJobError(
                    f"custom_attributes: template.{name}: use {EXPRESSES[name][0]} instead"
                )
        for name in self.dialect.needs:
            if not filled.get(name) and name not in custom_fields(spec):
                what = EXPRESSES.get(name, (f"the custom attribute template.{name}",))[0]
                raise InvalidJobError(
                    f"{what}: it is not set, but {script} needs {{{name}}}; set it"
                )

    # -- status --------------------------------------------------------------------------------

    def status_command(self, job_ids: Collection[str] | None = None) -> list[str]:
        """Return the command for the first id, or for all jobs; empty if the set has none."""
        if job_ids is None:
            return self.dialect.words(self.dialect.all_jobs.get("query", ""))
        return self.command(self.dialect.query, *job_ids)

    def command(self, command: str, *job_ids: str) -> list[str]:
        """Return the words of a command about one job."""
        return [word.format(job_id=job_ids[0]) for word in self.dialect.words(command)]

    def read_status(self, reply: Reply) -> dict[str, JobInfo]:
        """Read the jobs of all users: each row with the patterns of [all_jobs].

        A row without an id or an owner does not count, and neither does a job that comes twice.
        """
        if reply.exit_status and (reply.stdout.strip() or self.meaning(reply) is not Meaning.GONE):
            self.check_answered(reply)  # LSF fails if there is no job
        patterns, text = self.dialect.all_jobs, reply.stdout.strip()
        found: list[tuple[str, JobInfo]] = []
        odd: list[str] = []
        for row in re.finditer(patterns.get("row", r"\A\Z"), text, re.MULTILINE):
            job_id, owner = (_group(patterns[name], row[0]) for name in ("job_id", "owner"))
            # An id has a digit: otherwise the first word of a site's notice could be one.
            if owner and self.job_id.fullmatch(job_id) and re.search(r"\d", job_id):
                info = replace(self._info(row[0], all_jobs=True), owner=owner)
                found.append((job_id, info))
            else:
                odd.append(row[0])
        answer = patterns.get("answer", "")
        if text and not (re.search(answer, text, re.MULTILINE) if answer else found):
            raise self.unreadable_error(reply)
        reply.passed_over.extend(odd)
        return keep_unique(found)

    def read_job(self, reply: Reply) -> JobInfo | None:
        """Read the answer about one job; return None if the scheduler knows no such job.

        Raises
        ------
        SchedulerUnavailable
            If the command failed for another reason.
        """
        text = reply.stdout.strip()
        info = self._info(text, all_jobs=False)
        if reply.exit_status == 0 and info.state is not JobState.UNKNOWN:
            return info
        if self.meaning(reply) is Meaning.GONE:
            return None
        self.check_answered(reply)
        # A set without "ended", such as batchspawner's, knows only waiting and running jobs.
        return info if text and self.dialect.pattern("ended") else None

    def _info(self, text: str, *, all_jobs: bool) -> JobInfo:
        """Return what a row, or an answer about one job, says about it."""
        patterns = {**self.dialect.patterns, **(self.dialect.all_jobs if all_jobs else {})}
        words = (one for one in self.states if patterns.get(one))
        word = next((one for one in words if re.search(patterns[one], text, re.MULTILINE)), "")
        running = word == "running"
        return JobInfo(
            owner=_group(patterns.get("owner", ""), text),
            state=self.state(word),
            message=english("the scheduler holds the job") if word == "stuck" else "",
            exec_host=_group(patterns.get("exec_host", ""), text) if running else "",
            native_state=word,
            stuck=word == "stuck",
        )

    def query(self, job_ids: Collection[str] | None = None) -> Dialogue[dict[str, JobInfo]]:
        """Ask for these jobs one after the other, or for the jobs of all users.

        If the command for one job also prints a list, the job is searched in it.
        """
        if job_ids is None:
            return self.read_status((yield self.status_command()))
        found: dict[str, JobInfo] = {}
        for job_id in job_ids:
            reply = yield self.status_command([job_id])
            if "{job_id}" in self.dialect.query:
                info = self.read_job(reply)
            else:
                info = self.read_status(reply).get(job_id)
            if info is not None:
                found[job_id] = info
        return found

    def query_tracked(self, job_ids: Collection[str]) -> Dialogue[dict[str, JobInfo]]:
        """Ask for the jobs of all users, or for each of these if the set has no such command.

        A job is left out if its owner, or anything about it, can't be found out.
        """
        self.check_set_up()
        if self.dialect.all_jobs:
            jobs = yield from self.query()
            return {**jobs, **_by_other_name(jobs, job_ids)}
        return (yield from self.query_few(job_ids))

    def query_few(self, job_ids: Collection[str]) -> Dialogue[dict[str, JobInfo]]:
        """Ask for each of these jobs.

        A job is left out if its owner, or anything about it, can't be found out.
        """
        found: dict[str, JobInfo] = {}
        for job_id in job_ids:
            reply = yield self.status_command([job_id])
            try:
                info = self.read_job(reply)
            except SchedulerUnavailable:
                if self.meaning(reply) is Meaning.UNAVAILABLE:
                    raise
                continue
            if info is not None and info.owner:
                found[job_id] = info
        return found

    # -- the rest ------------------------------------------------------------------------------

    def mark_command(self) -> list[str]:
        """Return no command: a template has no place for a mark."""
        return []

    def find_marks(self, owner: str) -> Dialogue[dict[str, str]]:
        """Return no marks. A job whose id was lost ends at once: its environment was removed."""
        yield from ()  # makes this a dialogue
        return {}

    def inventory(self) -> Dialogue[Inventory]:
        """Return an empty inventory: a set does not describe queues and nodes."""
        yield from ()
        return Inventory()

    def meaning(self, reply: Reply) -> Meaning:
        """Return what a failed command means; the set's own patterns are tried first."""
        own = (("not_found", Meaning.GONE), ("unknown", Meaning.UNAVAILABLE))
        # A set's command may succeed and say so on standard output.
        text = f"{ends_of(reply.stderr)}\n{ends_of(reply.stdout)}".strip()
        for name, meaning in own:
            pattern = self.dialect.pattern(name)
            if pattern and re.search(pattern, text, re.IGNORECASE):
                return meaning
        return super().meaning(reply)


def _group(pattern: str, text: str) -> str:
    match = re.search(make_linear(pattern), text, re.MULTILINE) if pattern else None
    return (match[1] or "") if match else ""


def _by_other_name(jobs: dict[str, JobInfo], job_ids: Collection[str]) -> dict[str, JobInfo]:
    """Return jobs whose id is "12" in the list and "12.server" at submission, or the reverse."""
    short = {job_id.partition(".")[0]: info for job_id, info in jobs.items() if "." in job_id}
    names = {job_id: job_id.partition(".")[0] for job_id in job_ids if job_id not in jobs}
    either = {**short, **jobs}
    return {job_id: either[name] for job_id, name in names.items() if name in either}


SCHEDULER = Template
