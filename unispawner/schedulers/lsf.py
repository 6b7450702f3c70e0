"""IBM Spectrum LSF and its relatives with the same commands: Platform LSF, OpenLava, Volclava.

Written against IBM's manual pages of 10.1, the sources of OpenLava and Volclava, and the output of
OpenLava 2.2. LSF differs from other schedulers in two ways. Unless the site set LSB_STDOUT_DIRECT,
it holds a job's output back until the job ends, and then appends a report with the whole script. So
the script opens the log itself, and LSF's own output is discarded. Secondly,
``bjobs -l`` shows everybody the beginning of a job's script, which is where the mark is written.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import ClassVar

from ..errors import InvalidJobError
from ..job import Attribute, JobInfo, JobSpec, JobState
from ..units import MEMORY_UNITS, divide_up
from . import lsf_inventory, lsf_jobs, lsf_usable, lsf_usage
from .base import ALL_FIELDS, Dialogue, Meaning, Reply, Scheduler, ask_optionally, setting
from .constraints import All, Expression, Feature, Not, parse
from .inventory import Inventory
from .usable import Usable
from .usage import NO_ACCOUNTING, NOT_YET, Accounting, EndedJob

_UNITS = {f"{letter}B": MEMORY_UNITS[letter] for letter in "KMGT"}
_PLAIN = re.compile(r"[\w.,:/=+@^~][\w.,:/=+@^~-]*", re.ASCII)
_WRITTEN_BY_US = {"J", "o", "oo", "e", "eo", "I", "Ip", "Is", "IS", "ISp", "ISs", "IX", "K", "pack"}
"""Options that would make another kind of job, or take its log away."""


@dataclass(frozen=True)
class Lsf(Scheduler):
    """LSF by bsub, bjobs and bkill.

    The job asks for its ``duration`` as it is. Unless the site set ABS_RUNLIMIT, LSF takes it for
    the time on a reference host and scales it by the processors' speed (CPU factors).
    """

    lsf_unit_for_limits: str = setting(
        "KB",
        """The unit in which LSF counts memory: the value of LSF_UNIT_FOR_LIMITS in the site's
        lsf.conf. "KB" (the default): for a site that does not set it, and for OpenLava; limits
        (bsub -M) are then in KB, but reservations (rusage[mem=…]) in MB. "explicit": every number
        is written with its unit, whatever lsf.conf says; this needs LSF 10.1.0.2 or later.""",
        (*_UNITS, "explicit"),
    )
    lsf_memory_reserved_per: str = setting(
        "host",
        """Whether a memory reservation (rusage[mem=…]) and a number of GPUs count for each "host"
        of the job (the default) or for each "task". Use "task" if the site's lsb.params has
        RESOURCE_RESERVE_PER_TASK=Y. A server has as many tasks as cores.""",
        ("host", "task"),
    )
    lsf_memory_limit_per: str = setting(
        "job",
        """Whether a memory limit (bsub -M) counts for the whole "job" (the default) or for each
        "task". Use "task" where cgroups enforce the limit (LSB_RESOURCE_ENFORCE=memory). With
        LSB_JOB_MEMLIMIT=Y, "job" is right; elsewhere it allows the server too much rather than too
        little.""",
        ("job", "task"),
    )

    name = "lsf"
    title = "LSF"
    commands = ("bsub", "bjobs", "bkill")
    identify_command = ("lsid",)
    identity = r"^ *(IBM (Spectrum|Platform) LSF|Platform LSF|(?i:openlava|volclava|lavalite))\b"
    job_id = re.compile(r"\d{1,10}", re.ASCII)
    supports: ClassVar = ALL_FIELDS - {"qos"}
    alternatives: ClassVar = {
        "qos": "leave it unset, and use a queue, or a service class with the custom attribute "
        "lsf.sla",
    }
    announces = True
    may_hide_jobs = True
    node_memory_counts = False  # swap may count, too
    replaces_needs: ClassVar = frozenset(("R", "n", "q", "gpu", "m", "app"))
    replaces_duration: ClassVar = frozenset(("w", "we"))
    script_opens_log = True
    reports: ClassVar = frozenset(
        (
            *("exec_host", "message", "queue_position", "estimated_start", "start_time"),
            *("estimated_end", "exit_code"),
        )
    )
    # bjobs(1), "Job status". UNKWN, a job on a host that LSF can't reach, becomes UNKNOWN.
    states: ClassVar = {
        "PEND": JobState.QUEUED,
        "WAIT": JobState.QUEUED,
        "PROV": JobState.QUEUED,
        "PSUSP": JobState.HELD,
        "RUN": JobState.RUNNING,
        "ZOMBI": JobState.RUNNING,
        "USUSP": JobState.SUSPENDED,
        "SSUSP": JobState.SUSPENDED,
        "DONE": JobState.COMPLETED,
        "EXIT": JobState.FAILED,
    }
    causes: ClassVar = {lsf_jobs.REASONS[word]: cause for word, cause in lsf_usage.CAUSES.items()}
    # The exit status of every failure is 255. "Please wait" may come before any answer, so that its
    # pattern is the last one.
    errors = (
        (
            r"is not found|No matching job found|already finished|\bNo ([\w/]+ )?job found",
            Meaning.GONE,
        ),
        (r"permission denied", Meaning.DENIED),
        (
            r"Please wait|still trying|\b(LSF|LIM|RES|daemon|mbatchd) is down|try (again )?later|"
            r"not responding|Communication timeout|Timeout on connect|Connection refused|"
            r"Unable to contact|Server is not connected|Failed in an LSF library call|"
            r"A (connect|socket) |Batch (library|protocol|daemon) |Batch service not registered|"
            r"batch daemon internal error|query limit exceeded|Cannot contact|Cannot connect|"
            r"Failed in sending|sending/receiving|XDR|ls_getclustername",
            Meaning.UNAVAILABLE,
        ),
    )

    # -- submission ----------------------------------------------------------------------------

    def directives(self, spec: JobSpec) -> list[str]:
        """Return ``#BSUB`` lines; the site's defaults apply to what ``spec`` leaves out.

        A custom attribute replaces unispawner's option of the same name, but ``lsf.R`` and
        ``lsf.gpu`` are joined with it, because OpenLava accepts only one ``-R``.
        """
        resources = spec.resources
        attributes = spec.attributes_for(self.name)
        own = [(key, value) for key, value in attributes if key not in ("R", "gpu")]
        given = {key for key, _ in own}
        options: list[tuple[str, Attribute | None]] = [
            ("J", _job_name(spec.name)),
            ("o", "/dev/null" if spec.stdout_path else None),
            ("n", self._slots(spec)),
            ("R", self._requirements(spec, [str(v) for k, v in attributes if k == "R"])),
            ("M", self._memory_limit(spec)),
            ("gpu", self._gpus(spec, [str(v) for k, v in attributes if k == "gpu"])),
            ("x", resources.exclusive_node_use or None),
            ("W", _minutes(spec.duration) if spec.duration else None),
            ("q", spec.queue_name),
            ("P", spec.account),
            ("U", spec.reservation_id),
            *self._signal(spec),
        ]
        options = [(key, value) for key, value in self.keep(spec, options) if key not in given]
        options += own
        # The first line, because bjobs may show only the first 255 characters of a script.
        lines = [f"# unispawner:{spec.mark}"] if spec.mark else []
        return lines + [_directive(key, value) for key, value in options if value not in (None, "")]

    def announcement(self, spec: JobSpec) -> tuple[str, int] | None:
        """Return SIGUSR1, which comes some whole minutes before a job action (bsub(1), -wa, -wt).

        OpenLava and its relatives have no such options, and refuse a job with them.
        """
        own = {key for key, _ in spec.attributes_for(self.name)} | spec.left_out(self.name)
        if not spec.signal_before_end or own & {"wa", "wt"}:
            return None
        return "USR1", 60 * divide_up(spec.signal_before_end, 60)

    def _signal(self, spec: JobSpec) -> list[tuple[str, Attribute | None]]:
        announced = self.announcement(spec)
        if announced is None:
            return []
        return [("wa", announced[0]), ("wt", str(announced[1] // 60))]

    def omittable(self) -> frozenset[str]:
        """Return options of bsub, and sections of its ``-R`` by their own names."""
        return frozenset(
            (
                *("J", "n", "R", "M", "gpu", "x", "W", "q", "P", "U", "wa", "wt"),
                *("rusage", "span", "select"),
            )
        )

    def check_supported(self, spec: JobSpec) -> None:
        """Refuse also values that bsub would misread in a ``#BSUB`` line.

        Raises
        ------
        InvalidJobError
            If there is one; the message names the field.
        """
        super().check_supported(spec)
        named = [(name, getattr(spec, name)) for name in ("queue_name", "account")]
        named += [("reservation_id", spec.reservation_id)]
        for key, value in spec.attributes_for(self.name):
            if key in _WRITTEN_BY_US:
                raise InvalidJobError(
                    f"custom_attributes: lsf.{key} can't be set, because unispawner sets it"
                )
            if value is not True and (key, value) != ("gpu", "-"):
                named.append((f"custom_attributes: lsf.{key}", str(value)))
        for field, value in named:
            if reason := _unwritable(value):
                raise InvalidJobError(f"{field}: bsub can't read {value!r}: {reason}")

    def _slots(self, spec: JobSpec) -> int:
        return spec.resources.processes * (spec.resources.cpu_cores_per_process or 1)

    def _requirements(self, spec: JobSpec, given: list[str]) -> str:
        """Return the one ``-R``: the custom attributes' text, and then unispawner's own.

        A section in the text (``span[…]``) replaces unispawner's own. If the text has a
        ``rusage[…]`` without memory, the memory is inserted.
        """
        theirs = " ".join(" ".join(given).split())
        if spec.resources.constraint and "select" not in spec.left_out(self.name):
            theirs = _add_selection(theirs, self.write_constraint(spec.resources.constraint))
        nodes, slots = spec.resources.nodes, self._slots(spec)
        left_out = spec.left_out(self.name)
        memory = "" if "rusage" in left_out else self._reserved_memory(spec)
        ours = []
        if memory and "rusage[" not in theirs:
            ours += [f"rusage[{memory}]"]
        elif memory and not re.search(r"rusage\[[^]]*\bmem\s*=", theirs):
            # Each alternative in "rusage[a=1 || b=1]" needs the memory.
            theirs = re.sub(
                r"(?<=rusage\[)[^]]*",
                lambda match: " || ".join(
                    f"{memory},{part.strip()}" for part in match[0].split("||")
                ),
                theirs,
            )
        if slots > 1 and "span[" not in theirs and "span" not in left_out:
            ours += ["span[hosts=1]" if nodes == 1 else f"span[ptile={slots // nodes}]"]
        return " ".join(filter(None, (theirs, *ours)))

    def _reserved_memory(self, spec: JobSpec) -> str:
        if not spec.resources.memory:
            return ""
        shares = spec.resources.nodes
        if self.lsf_memory_reserved_per == "task":
            shares = self._slots(spec)
        # Where lsf.conf sets no unit, reservations are in MB, but limits in KB.
        unit = "MB" if self.lsf_unit_for_limits == "KB" else self.lsf_unit_for_limits
        return f"mem={_amount(spec.resources.memory, shares, unit)}"

    def _memory_limit(self, spec: JobSpec) -> str:
        if not spec.resources.memory:
            return ""
        shares = self._slots(spec) if self.lsf_memory_limit_per == "task" else 1
        return _amount(spec.resources.memory, shares, self.lsf_unit_for_limits)

    def _gpus(self, spec: JobSpec, given: list[str]) -> str:
        """Return the GPUs of each host, with the custom attributes: ``mode=…``, ``gmodel=…``."""
        theirs = ":".join(given)
        count = (spec.resources.gpu_cores_per_process or 0) * spec.resources.per_node
        if not count or theirs == "-" or re.search(r"(^|:)num=", theirs):
            return theirs
        per_host = "/host" if self.lsf_memory_reserved_per == "task" else ""
        kind = spec.resources.gpu_type
        model = f"gmodel={kind}" if kind and not re.search(r"(^|:)gmodel=", theirs) else ""
        return ":".join(filter(None, (f"num={count}{per_host}", model, theirs)))

    def write_constraint(self, constraint: str) -> str:
        """Return a selection: each feature is a Boolean resource, or has its value."""
        return _select(parse(constraint))

    # -- status --------------------------------------------------------------------------------

    def status_command(self, job_ids: Collection[str] | None = None) -> list[str]:
        """Return the bjobs with ``FIELDS`` as JSON (LSF 10.1.0.2 and later)."""
        # -X: hosts have their own names, not those of condensed groups (bjobs(1)).
        form = ["-X", "-o", " ".join(lsf_jobs.FIELDS), "-json"]
        return ["bjobs", *_all_users(job_ids), "-a", *form, *(job_ids or ())]

    def wide_status_command(self, job_ids: Collection[str] | None = None) -> list[str]:
        """Return the bjobs with columns, which every release and relative of LSF has."""
        return ["bjobs", *_all_users(job_ids), "-a", "-w", *(job_ids or ())]

    def query(self, job_ids: Collection[str] | None = None) -> Dialogue[dict[str, JobInfo]]:
        """Ask for JSON; if bjobs refuses that, ask for columns, and separately for the reasons."""
        jobs, reply = yield from self._ask(job_ids, as_user=job_ids is not None)
        unaccounted = set(job_ids or ()) - set(jobs) - lsf_jobs.read_not_found(reply.text)
        if unaccounted:  # bjobs does not even say that they do not exist
            raise self.unreadable_error(reply)
        return jobs

    def query_few(self, job_ids: Collection[str]) -> Dialogue[dict[str, JobInfo]]:
        """Ask for these jobs, whoever has submitted them."""
        jobs, _ = yield from self._ask(job_ids, as_user=False)
        return jobs

    def _ask(
        self, job_ids: Collection[str] | None, *, as_user: bool
    ) -> Dialogue[tuple[dict[str, JobInfo], Reply]]:
        """Ask for jobs, as their user or as the Hub; return them with the reply that has them."""
        form = list if as_user else _of_everybody
        reply = yield form(self.status_command(job_ids))
        if wide := self._read(reply) is None and _meaning_of_errors(self, reply) is Meaning.REFUSED:
            reply = yield form(self.wide_status_command(job_ids))
        jobs = self.read_status(reply)
        if wide and not as_user:
            # A job's name may contain line breaks and so forge a row. That a job has ended is
            # believed only when its own user asks.
            jobs = {job_id: info for job_id, info in jobs.items() if not info.state.final}
        if wide and any(_lacks_reason(info) for info in jobs.values()):
            text = yield from ask_optionally(form(["bjobs", "-p", *(job_ids or ())]))
            jobs = _add_reasons(jobs, lsf_jobs.read_pending_reasons(text or ""))
        return jobs, reply

    def read_status(self, reply: Reply) -> dict[str, JobInfo]:
        """Read JSON or columns; bjobs fails if it knows none of the ids, or if there is no job."""
        meaning = _meaning_of_errors(self, reply)
        jobs = self._read(reply)
        # Volclava fails without a message if there is no job.
        if meaning is not Meaning.GONE and (jobs is None or reply.stderr.strip()):
            self.check_answered(reply)
        if jobs is None and meaning is Meaning.GONE and reply.exit_status:
            # "No job found" is all that bjobs has to say; the rest is a notice of the site's.
            reply.passed_over.extend(self._unexplained(reply.stdout))
            return {}
        if jobs is None and not (meaning is Meaning.GONE and not reply.stdout.strip()):
            raise self.unreadable_error(reply)
        return jobs or {}

    def is_forgeable(self, reply: Reply) -> bool:
        """A table is, because it has the jobs' names, which may contain line breaks."""
        return "-json" not in reply.command

    def hides_jobs(self) -> Dialogue[bool]:
        """Ask for SECURE_JOB_INFO_LEVEL (lsb.params); relatives of LSF do not have it."""
        reply = yield ["bparams", "-a"]
        self.check_answered(reply)
        level = re.search(r"\bSECURE_JOB_INFO_LEVEL\s*=\s*(\d)", reply.stdout, re.ASCII)
        return level is not None and level[1] != "0"

    def _unexplained(self, text: str) -> list[str]:
        """Return the lines that are none of LSF's messages."""
        patterns = [pattern for pattern, _ in self.errors]
        return [
            line
            for line in text.splitlines()
            if not any(re.search(pattern, line, re.IGNORECASE) for pattern in patterns)
        ]

    def _read(self, reply: Reply) -> dict[str, JobInfo] | None:
        """Read an answer in the form that the command asks for.

        A table has the jobs' names, and a name may be JSON with a line break before it.
        """
        reply.passed_over.clear()
        read = lsf_jobs.read_records if "-json" in reply.command else lsf_jobs.read_rows
        return read(reply.stdout, self.state, reply.passed_over)

    def mark_command(self) -> list[str]:
        """Return the bjobs that shows the caller's own jobs and the beginnings of their scripts."""
        return ["bjobs", "-a", "-l"]

    def read_marks(self, reply: Reply) -> dict[str, str]:
        """Read the marks from the beginnings of the scripts.

        Raises
        ------
        SchedulerUnavailable
            If bjobs failed for another reason than that there is no job.
        """
        if reply.exit_status and _meaning_of_errors(self, reply) is Meaning.GONE:
            return {}
        self.check_answered(reply)
        return lsf_jobs.read_long_marks(reply.stdout)

    def find_jobs(self, mark: str, owner: str) -> Dialogue[list[str]]:
        """Ask for the beginnings of the scripts of the caller's own jobs that have not ended."""
        reply = yield ["bjobs", "-l"]
        if reply.exit_status and _meaning_of_errors(self, reply) is Meaning.GONE:
            return []
        self.check_answered(reply)
        return lsf_jobs.find_in_long_list(reply.stdout, mark)

    # -- the cluster ---------------------------------------------------------------------------

    @property
    def query_key(self) -> Hashable:
        """The name, and whether a queue's memory limit is the limit of a whole job."""
        return (self.name, self.lsf_memory_limit_per)

    def usable(self, owner: str, groups: Sequence[str]) -> Dialogue[Usable]:
        """Ask for the queues that are open to the user, and for advance reservations."""
        return (yield from lsf_usable.ask(self, owner, groups))

    def usage(self, job: EndedJob) -> Dialogue[Accounting]:
        """Ask bjobs for the resources; relatives of LSF have no such fields."""
        reply = yield ["bjobs", "-a", "-o", " ".join(lsf_usage.FIELDS), "-json", job.job_id]
        records = lsf_jobs.read_json(reply.stdout)
        if records is not None:
            return lsf_usage.read_usage(records, job)
        meaning = _meaning_of_errors(self, reply)
        if meaning is Meaning.REFUSED and reply.exit_status:
            return NO_ACCOUNTING
        if meaning is Meaning.GONE:
            return NOT_YET
        self.check_answered(reply)
        raise self.unreadable_error(reply)

    def inventory(self) -> Dialogue[Inventory]:
        """Ask for queues, hosts, their hardware, their GPUs, and groups of hosts if needed."""
        reply = yield ["bqueues", "-l"]
        self.check_answered(reply)
        queues = lsf_inventory.read_queues(reply.stdout)
        if not queues:
            raise self.unreadable_error(reply)
        hosts = yield ["bhosts", "-w", "-X"]  # -X: as in status_command
        if hosts.exit_status and _meaning_of_errors(self, hosts) is not Meaning.UNAVAILABLE:
            hosts = yield ["bhosts", "-w"]
        self.check_answered(hosts)
        notice = lsf_inventory.find_notice(hosts.stdout)
        if notice is None:
            raise self.unreadable_error(hosts)
        hosts.passed_over.extend(notice)
        static = (yield from ask_optionally(["lshosts", "-w"])) or ""
        gpus = (yield from ask_optionally(["bhosts", "-gpu", "-w"])) or ""
        names = frozenset(node.name for node in lsf_inventory.read_nodes(hosts.stdout, "", "", ()))
        groups: dict[str, lsf_inventory.HostTerms] = {}
        if lsf_inventory.needs_groups([terms for _, terms in queues], names):
            groups = lsf_inventory.read_groups((yield from ask_optionally(["bmgroup", "-w"])) or "")
        allowed = lsf_inventory.find_hosts(queues, names, groups)
        nodes = lsf_inventory.read_nodes(hosts.stdout, static, gpus, allowed)
        found = [queue for queue, _ in queues]
        if self.lsf_memory_limit_per == "task":
            found = [lsf_inventory.without_memory(queue) for queue in found]
        return Inventory(tuple(found), tuple(nodes))


def _select(one: Expression) -> str:
    """Return an expression of resources (lsf.conf guide, "Resource requirement strings")."""
    if isinstance(one, Not):
        return f"!({_select(one.part)})"
    if isinstance(one, Feature):
        if not re.fullmatch(r"[A-Za-z_]\w*", one.name, re.ASCII):
            raise InvalidJobError(
                f"constraint: {one.name!r} must be the name of an LSF resource: letters, digits "
                "and _, a letter first"
            )
        if not re.fullmatch(r"[\w.-]*", one.value, re.ASCII):
            raise InvalidJobError(
                f"constraint: {one.value!r} must be a value of letters, digits and _.-"
            )
        return f"{one.name}=={one.value}" if one.value else one.name
    operator = " && " if isinstance(one, All) else " || "
    return f"({operator.join(map(_select, one.parts))})"


_SECTION = re.compile(r"\b(select|order|rusage|span|same|cu|affinity)\[")


def _add_selection(requirements: str, selection: str) -> str:
    """Return a resource requirement whose hosts also match a selection.

    What comes before the first section is a selection, too (bsub(1), "-R").
    """
    found = _SECTION.search(requirements)
    before, rest = requirements, ""
    if found:
        before, rest = requirements[: found.start()].strip(), requirements[found.start() :]
    inside = re.search(r"select\[([^]]*)\]", rest)
    theirs = [before]
    if inside:
        theirs += [inside[1]]
        rest = f"{rest[: inside.start()]} {rest[inside.end() :]}"
    parts = [*(f"({one.strip()})" for one in theirs if one.strip()), selection]
    return " ".join(f"select[{' && '.join(parts)}] {rest}".split())


def _of_everybody(command: list[str]) -> list[str]:
    """Return a bjobs that reports the jobs of all users, whether it names jobs or not."""
    return command if "-u" in command else [command[0], "-u", "all", *command[1:]]


def _all_users(job_ids: Collection[str] | None) -> list[str]:
    """Return bjobs' option for the jobs of all users; nothing if jobs are named."""
    return ["-u", "all"] if job_ids is None else []


def _meaning_of_errors(lsf: Lsf, reply: Reply) -> Meaning:
    """Return the meaning of bjobs' standard error: jobs' names are on standard output."""
    return lsf.meaning(replace(reply, stdout="") if reply.stderr.strip() else reply)


def _lacks_reason(info: JobInfo) -> bool:
    """Return whether a job waits and it is not known why."""
    return info.native_state == "PEND" and not info.message


def _add_reasons(jobs: dict[str, JobInfo], reasons: dict[str, str]) -> dict[str, JobInfo]:
    return {
        job_id: replace(info, message=reasons.get(job_id, "")) if _lacks_reason(info) else info
        for job_id, info in jobs.items()
    }


def _amount(memory: int, shares: int, unit: str) -> str:
    """Return one share of the memory (bytes) in LSF's unit, rounded up."""
    size = _UNITS.get(unit, _UNITS["MB"]) * shares
    return f"{divide_up(memory, size)}{'MB' if unit == 'explicit' else ''}"


def _minutes(duration: timedelta) -> str:
    """Return ``hours:minutes``, with the minutes rounded up."""
    minutes = divide_up(duration, timedelta(minutes=1))
    return f"{minutes // 60}:{minutes % 60:02d}"


def _job_name(name: str) -> str:
    """Return a name that LSF does not take for an array (``name[1-9]%2``) or a pattern."""
    plain = re.sub(r"[^A-Za-z0-9_.+-]", "_", name)[:128]
    return re.sub(r"^[-.]", "_", plain)


def _unwritable(value: str) -> str:
    """Return why bsub would misread a value in a directive; empty if it reads the value.

    bsub (parseLine and getNextValueQ_ in OpenLava's sources, which came from LSF) reads quotes
    around a value but no escapes. It replaces several blanks by one, stops at a word that begins
    with ``#``, and joins a line that ends with a backslash to the next line.
    """
    reasons: Iterable[tuple[bool, str]] = (
        ("\\" in value, "it contains a backslash"),
        ('"' in value and "'" in value, "it contains both kinds of quotes"),
        (value.startswith(("#", "-")), f"it begins with {value[:1]}"),
        (value != " ".join(value.split()), "it has blanks at an end, or several in a row"),
    )
    return next((reason for is_so, reason in reasons if is_so), "")


def _directive(key: str, value: Attribute | None) -> str:
    return f"#BSUB -{key}" if value is True else f"#BSUB -{key} {_quote(str(value))}"


def _quote(value: str) -> str:
    """Quote a value for bsub; values that can't be quoted are refused by :func:`_unwritable`."""
    if _PLAIN.fullmatch(value):
        return value
    return f"'{value}'" if '"' in value and "'" not in value else f'"{value}"'


SCHEDULER = Lsf
