"""Any scheduler that a set of templates describes: see docs/templates.md.

The set's commands, patterns and script stand for what the other files of this folder know of their
schedulers. It is read from files, on either side; the script is filled in elsewhere
(:mod:`unispawner.script.from_template`), for that may take Jinja.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable
from dataclasses import dataclass, replace
from typing import ClassVar

from ..errors import InvalidJobError, SchedulerUnavailable
from ..job import JobInfo, JobSpec, JobState
from .base import Dialogue, Meaning, Reply, Scheduler, setting
from .inventory import Inventory
from .reading import keep_unique
from .template_dialect import Dialect, check_trusted, linear, read_dialect
from .template_fields import CARRIES, OURS, asked, attributes, mentioned


@dataclass(frozen=True)
class Template(Scheduler):
    """A set of templates: of ``legacy_templates/``, or a site's own."""

    template: str = setting(
        "",
        """The set of templates: "torque", "moab", "pbs", "slurm", "gridengine", "htcondor" or
        "lsf", which are batchspawner's, or the whole path of a folder of your own, which users can
        read and nobody but root or the Hub's account can write (docs/templates.md).""",
    )

    name = "template"
    title = "The scheduler"
    # Of many schedulers: a number, with a server's name or a letter or two around it.
    job_id = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@\[\]-]{0,199}", re.ASCII)
    supports: ClassVar = frozenset()  # it depends on the set: see supported()
    reports: ClassVar = frozenset({"exec_host"})
    refused = OURS | {"name", "prologue", "epilogue"}
    # In this order: a pattern may be wider than it should be ([QH] is pending, H is held).
    states: ClassVar = {
        "ended": JobState.COMPLETED,
        "stuck": JobState.HELD,
        "held": JobState.HELD,
        "running": JobState.RUNNING,
        "pending": JobState.QUEUED,
    }
    # What is said in many words by many schedulers; a set's own patterns come first.
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
        """The set, as read.

        Raises
        ------
        InvalidJobError
            If there is none of that name, or it can't be right.
        """
        if not self.template:
            raise InvalidJobError(
                'template: scheduler = "template" needs a set of templates: c.UniSpawner.template '
                '= "torque", or the whole path of a folder'
            )
        return read_dialect(self.template)

    @property
    def query_key(self) -> Hashable:
        """Each set has commands of its own."""
        return (self.name, self.template)

    def needed_commands(self) -> tuple[str, ...]:
        """Return the programs of the set's commands."""
        return tuple(self.dialect.programs)

    def check_set_up(self) -> None:
        """Make sure that the set is complete, and that only root and the Hub can change it.

        Raises
        ------
        InvalidJobError
            Saying what is wrong in which file.
        """
        dialect = self.dialect
        check_trusted(dialect)
        if not dialect.all_jobs and not dialect.pattern("owner"):
            raise InvalidJobError(
                f"template: {dialect.folder}/dialect.ini: [patterns] needs owner, or there must be "
                "[all_jobs]: nobody's word counts for whose a job is but the scheduler's"
            )
        if "memory" in self._mentioned and not dialect.fields.get("memory"):
            raise InvalidJobError(
                f"template: {dialect.folder}/dialect.ini: the script names {{memory}}: [fields] "
                "must say how it is written, as in memory = {mebibytes}mb"
            )

    # -- what a job asks for -------------------------------------------------------------------

    @property
    def _mentioned(self) -> set[str]:
        return mentioned(self.dialect.script) | mentioned(self.dialect.submit)

    def supported(self) -> frozenset[str]:
        """Return what the set's script has a field for."""
        named = self._mentioned
        if not self.dialect.fields.get("gres"):  # then it is an attribute's alone
            named.discard("gres")
        return frozenset(field for name in named for field in CARRIES.get(name, ()))

    def directives(self, spec: JobSpec) -> list[str]:
        """Return none: they are in the set's script."""
        return []

    def check_supported(self, spec: JobSpec) -> None:
        """Refuse what the set's script has no field for.

        Raises
        ------
        InvalidJobError
            Naming the first such field, and the script.
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
            raise InvalidJobError(f"node_count: {script} is for one node")
        for name, default in (("prologue", ""), ("epilogue", ""), ("name", JobSpec().name)):
            if getattr(spec, name) != default and name not in named:
                trait = "job_name" if name == "name" else name
                raise InvalidJobError(f"{trait}: {script} has no {{{name}}}")
        filled = asked(self.dialect, spec)
        for name in attributes(spec):
            if name not in named:
                raise InvalidJobError(
                    f"custom_attributes: template.{name}: {script} has no {{{name}}}"
                )
            if name in CARRIES and (name == "nprocs" or filled[name]):
                raise InvalidJobError(
                    f"custom_attributes: template.{name}: this is what {CARRIES[name][0]} says"
                )
        for name in self.dialect.needs:
            if not filled.get(name) and name not in attributes(spec):
                what = CARRIES.get(name, (f"the custom attribute template.{name}",))[0]
                raise InvalidJobError(f"{what}: {script} can't do without {{{name}}}: set it")

    # -- what became of it ---------------------------------------------------------------------

    def status_command(self, job_ids: Collection[str] | None = None) -> list[str]:
        """Return the command for everybody's jobs, none if there is none; or for the first id."""
        if job_ids is None:
            return self.dialect.words(self.dialect.all_jobs.get("query", ""))
        return self.command(self.dialect.query, *job_ids)

    def command(self, command: str, *job_ids: str) -> list[str]:
        """Return the words of a command about a job."""
        return [word.format(job_id=job_ids[0]) for word in self.dialect.words(command)]

    def read_status(self, reply: Reply) -> dict[str, JobInfo]:
        """Read everybody's jobs: each row by the patterns of [all_jobs].

        A row without an id or owner is none; a job that comes twice is left out.
        """
        if not (self.meaning(reply) is Meaning.GONE and not reply.stdout.strip()):
            self.check_answered(reply)  # LSF fails where there is no job
        patterns, text = self.dialect.all_jobs, reply.stdout.strip()
        found: list[tuple[str, JobInfo]] = []
        for row in re.finditer(patterns.get("row", r"\A\Z"), text, re.MULTILINE):
            job_id, owner = (_group(patterns[name], row[0]) for name in ("job_id", "owner"))
            if owner and self.job_id.fullmatch(job_id):
                info = replace(self._info(row[0], all_jobs=True), owner=owner)
                found.append((job_id, info))
        answer = patterns.get("answer", "")
        if text and not (re.search(answer, text, re.MULTILINE) if answer else found):
            raise self.unreadable_error(reply)
        return keep_unique(found)

    def read_job(self, reply: Reply) -> JobInfo | None:
        """Read the answer about one job; None if the scheduler knows no such job.

        Raises
        ------
        SchedulerUnavailable
            If it failed, and not because there is no such job.
        """
        text = reply.stdout.strip()
        info = self._info(text, all_jobs=False)
        if reply.exit_status == 0 and info.state is not JobState.UNKNOWN:
            return info
        if self.meaning(reply) is Meaning.GONE:
            return None
        self.check_answered(reply)
        # A set that names no end says all there is with waiting and running, as batchspawner's do.
        return info if text and self.dialect.pattern("ended") else None

    def _info(self, text: str, *, all_jobs: bool) -> JobInfo:
        """Return what a row or an answer says of its job."""
        patterns = {**self.dialect.patterns, **(self.dialect.all_jobs if all_jobs else {})}
        words = (one for one in self.states if patterns.get(one))
        word = next((one for one in words if re.search(patterns[one], text, re.MULTILINE)), "")
        running = word == "running"
        return JobInfo(
            owner=_group(patterns.get("owner", ""), text),
            state=self.state(word),
            message="the scheduler holds it" if word == "stuck" else "",
            exec_host=_group(patterns.get("exec_host", ""), text) if running else "",
            native_state=word,
            stuck=word == "stuck",
        )

    def query(self, job_ids: Collection[str] | None = None) -> Dialogue[dict[str, JobInfo]]:
        """Ask for these jobs one after the other, or for everybody's.

        Where the command for one job is a list, too, the job is looked for in it.
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
        """Ask for everybody's jobs, or for each of these where there is no such command.

        A job whose owner isn't told, or of which nothing is learnt, is left out.
        """
        self.check_set_up()
        if self.dialect.all_jobs:
            jobs = yield from self.query()
            return {**jobs, **_by_other_name(jobs, job_ids)}
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
        """Return none: a template has no place for a mark."""
        return []

    def find_marks(self, owner: str) -> Dialogue[dict[str, str]]:
        """Find none. A job whose id got lost finds its environment removed, and ends at once."""
        yield from ()  # a dialogue all the same
        return {}

    def inventory(self) -> Dialogue[Inventory]:
        """Know nothing of queues and nodes."""
        yield from ()
        return Inventory()

    def meaning(self, reply: Reply) -> Meaning:
        """Return what a failed command means, by the set's own patterns before the general ones."""
        own = (("not_found", Meaning.GONE), ("unknown", Meaning.UNAVAILABLE))
        for name, meaning in own:
            pattern = self.dialect.pattern(name)
            if pattern and re.search(pattern, reply.text, re.IGNORECASE):
                return meaning
        return super().meaning(reply)


def _group(pattern: str, text: str) -> str:
    match = re.search(linear(pattern), text, re.MULTILINE) if pattern else None
    return (match[1] or "") if match else ""


def _by_other_name(jobs: dict[str, JobInfo], job_ids: Collection[str]) -> dict[str, JobInfo]:
    """Return the jobs that the list calls "12" and the submission "12.server", or the reverse."""
    short = {job_id.partition(".")[0]: info for job_id, info in jobs.items() if "." in job_id}
    names = {job_id: job_id.partition(".")[0] for job_id in job_ids if job_id not in jobs}
    either = {**short, **jobs}
    return {job_id: either[name] for job_id, name in names.items() if name in either}


SCHEDULER = Template
