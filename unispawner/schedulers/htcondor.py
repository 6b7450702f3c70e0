"""HTCondor (written against 23.9's manual and output).

A job consists of a script and a submit description. Neither takes over the environment of its
owner's session: the description sets the variables of a login, which contain no secret.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ..errors import InvalidJobError, UniSpawnerError
from ..job import Attribute, JobInfo, JobSpec, JobState, is_mark
from ..reasons import EXIT_STATUS, KILLED
from ..texts import english, fill
from ..units import divide_up, whole_seconds
from . import htcondor_usage
from .base import Dialogue, Meaning, Reply, Scheduler, ask_optionally, setting
from .constraints import All, Expression, Feature, Not, parse
from .htcondor_inventory import (
    JOB_COUNTS,
    NODE_FIELDS,
    SLOT_FIELDS,
    as_int,
    count_jobs,
    read_nodes,
    read_rows,
    read_slots,
)
from .inventory import Inventory
from .usable import Entry, Usable, make_usable
from .usage import Accounting, EndedJob

# HTCondor itself writes a job's owner and number. The attributes below can be changed by the job's
# user with condor_qedit, which does harm to this user only.
_WRITABLE = (
    *("JobStatus", "RemoteHost", "HoldReason", "JobCurrentStartDate", "LastRejMatchReason"),
    *("ExitCode", "ExitBySignal", "ExitSignal", "RemoveReason"),
)
_FIELDS = ("ClusterId", "ProcId", "Owner", *_WRITABLE)
_SANE = 4000
"""How many characters the attributes of a job may have together to be listed with all jobs."""
MARK_ATTRIBUTE = "UnispawnerMark"
"""The attribute by which its own user finds a job again."""
_TEXTS = ("ClusterId", "Cmd", "Args", "Arguments", "Env", "Environment", "In", MARK_ATTRIBUTE)
"""Attributes that a submit file sets, in which a site's script may have a mark."""

_WRITTEN_BY_US = frozenset(
    ("queue", "executable", "arguments", "args", "environment", "env", "output", "error")
)
_OURS = frozenset(f"{prefix}{MARK_ATTRIBUTE}".lower() for prefix in ("+", "MY."))

_SPOOLING = frozenset(("spool", "remote"))

_TIME_IS_UP = english("the job reached its time limit")
_WAITS = {
    "": english("waiting for a machine"),
    "no match found": english("no machine has what the job asks for, or none is free"),
}


@dataclass(frozen=True)
class HTCondor(Scheduler):
    """HTCondor by condor_submit, condor_q, condor_history, condor_rm and condor_status."""

    htcondor_pool: str = setting(
        "",
        """The central manager of the pool whose machines are listed as the cluster's nodes, and in
        which htcondor_schedd is found. Empty (the default): the central manager of the host's
        HTCondor configuration.""",
    )
    htcondor_schedd: str = setting(
        "",
        """The name of the schedd that takes the jobs, where it runs on another host than the Hub:
        "schedd@login1.cluster.example", as `condor_status -schedd` lists it. Jobs are submitted,
        listed and removed there (option -name), and users must be able to authenticate to it. Files
        are not spooled, so that the Hub's host needs the users' homes as well. Empty (the default):
        the schedd of the Hub's host.""",
    )

    name = "htcondor"
    title = "HTCondor"
    commands = ("condor_submit", "condor_q", "condor_history", "condor_rm", "condor_status")
    silent_without_jobs = True
    identify_command = ("condor_version",)
    identity = r"^\$CondorVersion: "
    # The number of an HTCondor cluster: a server is the first and only process in its cluster.
    job_id = re.compile(r"\d{1,10}", re.ASCII)
    supports: ClassVar = frozenset(
        {
            "process_count",
            "processes_per_node",
            "cpu_cores_per_process",
            "gpu_cores_per_process",
            "gpu_type",
            "constraint",
            "memory",
            "duration",
            "account",
        }
    )
    alternatives: ClassVar = {
        "qos": "leave it unset, and use an accounting group (account), or a command of the submit "
        "description in custom_attributes, like htcondor.concurrency_limits",
        "queue_name": "HTCondor has no queues; leave it unset, and select machines with constraint",
    }
    blanks_in_gpu_types = True
    replaces_needs: ClassVar = frozenset(
        ("request_cpus", "request_memory", "request_gpus", "requirements", "require_gpus")
    )
    reports: ClassVar = frozenset(("exec_host", "message", "start_time", "exit_code"))
    causes: ClassVar = {_TIME_IS_UP: "time_limit"}
    # HTCondor would empty the log for a second run.
    script_opens_log = True
    directives_in_script = False
    # Values of the job attribute JobStatus ("Job ClassAd Attributes" in the manual).
    states: ClassVar = {
        "1": JobState.QUEUED,
        "2": JobState.RUNNING,
        "3": JobState.CANCELED,
        "4": JobState.COMPLETED,
        "5": JobState.HELD,
        "6": JobState.RUNNING,
        "7": JobState.SUSPENDED,
    }
    # condor_rm distinguishes an unknown job from another user's only if it gets the number of a
    # process: 12.0, not 12.
    errors = (
        (r"Job \d+\.\d+ (not found|already marked for removal)", Meaning.GONE),
        (
            r"Permission denied to |Received \"DENIED\"|not authorized|Failed to authenticate|"
            r"Authorization fail",
            Meaning.DENIED,
        ),
        (
            r"Failed to (connect|fetch ads|receive)|Can't (find address|connect)|unknown host|"
            r"You probably saw this error|Unable to locate|communication error|timed out|"
            r"Failed to (start|end|commit) transaction|unable to connect|No result found for job|"
            r"(Read|Write) failure",
            Meaning.UNAVAILABLE,
        ),
    )

    @property
    def query_key(self) -> Hashable:
        """The name, and which schedd and which pool it is."""
        return self.name, self.htcondor_pool, self.htcondor_schedd

    def at_schedd(self, command: str, *words: str) -> list[str]:
        """Return a command, with the options that name the schedd if it is elsewhere."""
        if not self.htcondor_schedd:
            return [command, *words]
        pool = ["-pool", self.htcondor_pool] if self.htcondor_pool else []
        return [command, *pool, "-name", self.htcondor_schedd, *words]

    def check_supported(self, spec: JobSpec) -> None:
        """Refuse also more than one node, and commands that unispawner writes itself."""
        for name in ("htcondor_schedd", "htcondor_pool"):
            value = getattr(self, name)
            if value and not re.fullmatch(r"[^\s\x00-\x1f-][^\s\x00-\x1f]*", value):
                raise InvalidJobError(
                    f"{name}: {value!r} must be one word that does not begin with a hyphen"
                )
        super().check_supported(spec)
        for key, _ in spec.attributes_for(self.name):
            if key.lower().lstrip("+-") in _SPOOLING:
                raise InvalidJobError(
                    f"custom_attributes: htcondor.{key} can't be set, because condor_submit would "
                    "copy (spool) the job's files to the schedd's host, where the server's private "
                    "files are not found. Set c.UniSpawner.htcondor_schedd to the name of a schedd "
                    "that shares the users' homes"
                )
            if key.lower() in _WRITTEN_BY_US | _OURS:
                raise InvalidJobError(
                    f"custom_attributes: htcondor.{key} can't be set, because unispawner sets it"
                )
        if spec.resources.nodes > 1:
            raise InvalidJobError(
                f"process_count, processes_per_node: {self.title} runs a job on one node, and this "
                f"job would need {spec.resources.nodes}"
            )

    def directives(self, spec: JobSpec) -> list[str]:
        """Return the lines of a submit description, without the program to run."""
        resources = spec.resources
        memory = resources.memory
        cores = resources.processes * (resources.cpu_cores_per_process or 1)
        gpus = resources.processes * (resources.gpu_cores_per_process or 0)
        own = spec.attributes_for(self.name)
        commands: list[tuple[str, Attribute | None]] = [
            ("universe", "vanilla"),
            ("batch_name", self.value(spec.name, "job_name")),
            ("initialdir", self.value(spec.directory, "directory")),
            ("output", "/dev/null"),
            ("error", "/dev/null"),
            # Home directories are shared, as with every scheduler here, so that nothing is copied.
            ("should_transfer_files", "NO"),
            ("notification", "never"),
            ("request_cpus", cores),
            # A number without a unit would be MiB.
            ("request_memory", f"{divide_up(memory, 1024)}KB" if memory else None),
            ("request_gpus", gpus or None),
            *self._requirements(spec, own),
            ("accounting_group", self.value(spec.account, "account")),
            ("periodic_remove", " || ".join(_removal_rules(spec, own))),
            ("MY.PeriodicRemoveReason", _removal_reason(spec)),
            (f"MY.{MARK_ATTRIBUTE}", f'"{spec.mark}"' if spec.mark else None),
        ]
        commands = self.keep(spec, commands)
        lines = [f"{key} = {value}" for key, value in commands if value not in (None, "")]
        written = {"periodic_remove", *dict(self._requirements(spec, own))}
        for key, values in _by_name(own).items():
            if key.lower() in written:
                continue
            if key.lower().startswith(("+", "my.")):
                literals = [_literal(value) for value in values]
                text = literals[0] if len(literals) == 1 else f"{{{', '.join(literals)}}}"
            else:
                field = f"custom_attributes: htcondor.{key}"
                text = ", ".join(_submit_value(value, field) for value in values)
            lines.append(f"{key} = {text}")
        return lines

    def omittable(self) -> frozenset[str]:
        """Return commands of the submit description."""
        return frozenset(
            (
                *("batch_name", "should_transfer_files", "notification", "request_cpus"),
                *("request_memory", "request_gpus", "accounting_group", "require_gpus"),
                "requirements",
            )
        )

    def _requirements(
        self, spec: JobSpec, own: list[tuple[str, Attribute]]
    ) -> list[tuple[str, Attribute | None]]:
        """Return what the GPUs and the machine must be; the custom attributes add to it."""
        kind, constraint = spec.resources.gpu_type, spec.resources.constraint
        model = f'DeviceName == "{kind}"' if kind else ""
        features = self.write_constraint(constraint) if constraint else ""
        rules = (("require_gpus", model), ("requirements", features))
        return [(command, _and(rule, own, command)) for command, rule in rules if rule]

    def write_constraint(self, constraint: str) -> str:
        """Return an expression of machines' attributes: each is true, or has its value."""
        return _requirement(parse(constraint))

    @staticmethod
    def value(text: str, field: str) -> str:
        """Return text for a submit description, in which no macro is expanded.

        Parameters
        ----------
        field
            The setting that the text comes from, for the error.
        """
        _check_end(text, field)
        return _no_macros(text)

    # -- queries -------------------------------------------------------------------------------

    def status_command(self, job_ids: Collection[str] | None = None) -> list[str]:
        """Return the condor_q of these jobs, or of the jobs of all users."""
        fields = ",".join(_FIELDS)
        command = self.at_schedd("condor_q", "-allusers", "-json", "-attributes", fields)
        if job_ids is None:
            # A user may write megabytes, or endlessly nested lists, into a job, so that the whole
            # answer can't be read. The schedd leaves such a job out.
            sizes = " + ".join(f"size(unparse({name}))" for name in _WRITABLE)
            return [*command, "-constraint", f"({sizes}) / {_SANE} is 0"]
        return [*command, *job_ids]

    def history_command(self, job_ids: Collection[str]) -> list[str]:
        """Return the condor_history of jobs that have left the queue; it stops at the last one."""
        command = self.at_schedd("condor_history", "-json", "-attributes", ",".join(_FIELDS))
        return [*command, "-limit", str(len(job_ids)), *job_ids]

    def read_status(self, reply: Reply) -> dict[str, JobInfo]:
        """Read the JSON of condor_q or condor_history, which print nothing if there is no job."""
        self.check_answered(reply)
        jobs: dict[str, JobInfo] = {}
        gone = "condor_history" in reply.command
        rows = self.read_rows(reply)
        for row in rows:
            try:
                job_id = str(int(row["ClusterId"]))
                info = self._info(row, gone=gone)
            except (KeyError, TypeError, ValueError, OverflowError):
                # A user can write nonsense into a job with condor_qedit.
                reply.passed_over.append(str(row))
                continue
            # unispawner's jobs have one process in each cluster.
            if row.get("ProcId", 0) == 0:
                jobs.setdefault(job_id, info)
        if rows and not any("ClusterId" in row for row in rows):
            raise self.unreadable_error(reply)
        return jobs

    def query(self, job_ids: Collection[str] | None = None) -> Dialogue[dict[str, JobInfo]]:
        """Ask the queue, and then the history for jobs that have left the queue.

        With condor_qedit, users can write any RemoteHost into their jobs, and could so lead their
        route to any host. A host counts only if that machine itself reports the job.
        """
        jobs, _ = yield from self.ask_status(job_ids)
        if job_ids is None:
            jobs = yield from self._check_hosts(jobs)
        missing = [job_id for job_id in job_ids or () if job_id not in jobs]
        if missing:
            # condor_history reads files, which may be large, or on another host, or private.
            try:
                jobs.update(self.read_status((yield self.history_command(missing))))
            except UniSpawnerError:
                pass
        return jobs

    def query_few(self, job_ids: Collection[str]) -> Dialogue[dict[str, JobInfo]]:
        """Ask the queue for these jobs, and the machines whether they have them."""
        jobs, _ = yield from self.ask_status(job_ids)
        return (yield from self._check_hosts(jobs))

    def _check_hosts(self, jobs: dict[str, JobInfo]) -> Dialogue[dict[str, JobInfo]]:
        """Return the jobs, with those hosts only that themselves report the job."""
        if not any(info.exec_host for info in jobs.values()):
            return jobs
        try:
            reply = yield self._collector_command(
                SLOT_FIELDS, "-constraint", "JobId isnt undefined"
            )
            self.check_answered(reply)
            slots = read_slots(self.read_rows(reply))
        except UniSpawnerError:
            slots = set()  # the hosts of jobs are not known just now; all else is
        return {
            job_id: info
            if (job_id, info.owner, info.exec_host) in slots
            else replace(info, exec_host="")
            for job_id, info in jobs.items()
        }

    def check_no_jobs(self, job_ids: Collection[str] | None) -> Dialogue[bool]:
        """Ask condor_q for its totals: of no job it prints nothing in JSON."""
        return (yield from self.check_no_own_jobs(self.status_command(job_ids)))

    def check_no_own_jobs(self, command: list[str]) -> Dialogue[bool]:
        """Ask for the totals of the jobs that a condor_q is about."""
        at = command.index("-json")
        reply = yield [*command[:at], "-totals", *command[at + 3 :]]  # without -attributes
        total = re.search(r"^Total for query: 0 jobs\b", reply.stdout, re.MULTILINE)
        return not reply.exit_status and total is not None

    def mark_command(self) -> list[str]:
        """Return the condor_q of the caller's own jobs with their marks."""
        return self.at_schedd("condor_q", "-json", "-attributes", f"ClusterId,{MARK_ATTRIBUTE}")

    def find_marks(self, owner: str) -> Dialogue[dict[str, str]]:
        """Ask for the caller's own marks, even where CONDOR_Q_ONLY_MY_JOBS is off."""
        return (yield from self.ask_marks([*self.mark_command(), *_of_owner(owner)]))

    def read_marks(self, reply: Reply) -> dict[str, str]:
        """Read the marks from the JSON of condor_q."""
        self.check_answered(reply)
        return {
            row[MARK_ATTRIBUTE]: str(row["ClusterId"])
            for row in self.read_rows(reply)
            if is_mark(row.get(MARK_ATTRIBUTE)) and self.job_id.fullmatch(str(row.get("ClusterId")))
        }

    def find_jobs(self, mark: str, owner: str) -> Dialogue[list[str]]:
        """Ask for the commands and environments of the caller's own jobs."""
        command = self.at_schedd("condor_q", "-json", "-attributes", ",".join(_TEXTS))
        command = [*command, *_of_owner(owner)]
        reply = yield command
        self.check_answered(reply)
        if not (reply.stdout.strip() or (yield from self.check_no_own_jobs(command))):
            raise self.unreadable_error(reply)
        return [
            str(row["ClusterId"])
            for row in self.read_rows(reply)
            if self.job_id.fullmatch(str(row.get("ClusterId")))
            and any(mark in str(row.get(name, "")) for name in _TEXTS)
        ]

    def usable(self, owner: str, groups: Sequence[str]) -> Dialogue[Usable]:
        """Ask for the accounting groups (GROUP_NAMES), which every user may name."""
        answer = yield from ask_optionally(["condor_config_val", "GROUP_NAMES"])
        names = re.split(r"[\s,]+", (answer or "").strip())
        return make_usable({"account": [Entry(name) for name in names]} if any(names) else {})

    def usage(self, job: EndedJob) -> Dialogue[Accounting]:
        """Ask condor_history, which reads a file of the schedd's, from its end."""
        fields = ",".join((*htcondor_usage.FIELDS, MARK_ATTRIBUTE))
        command = self.at_schedd("condor_history", "-json", "-attributes", fields)
        reply = yield [*command, "-limit", "1", job.job_id]
        self.check_answered(reply)
        rows = self.read_rows(reply)
        return htcondor_usage.read_usage(rows, job, MARK_ATTRIBUTE, _TIME_IS_UP)

    def inventory(self) -> Dialogue[Inventory]:
        """Ask the collector for all slots and for the numbers of jobs; HTCondor has no queues.

        A schedd reports its numbers to the collector every five minutes (SCHEDD_INTERVAL), and
        soon after a submission.
        """
        reply = yield self._collector_command(NODE_FIELDS)
        self.check_answered(reply)
        nodes = read_nodes(self.read_rows(reply))
        jobs = yield from ask_optionally(self._collector_command(JOB_COUNTS, "-schedd"))
        return Inventory((), nodes, *count_jobs(jobs))

    def _collector_command(self, attributes: Iterable[str], *which: str) -> list[str]:
        pool = ["-pool", self.htcondor_pool] if self.htcondor_pool else []
        return ["condor_status", *pool, *which, "-json", "-attributes", ",".join(attributes)]

    def read_rows(self, reply: Reply) -> list[dict[str, Any]]:
        """Return the ClassAds in a command's JSON.

        Raises
        ------
        SchedulerUnavailable
            If the output is something else.
        """
        reply.passed_over.clear()
        rows = read_rows(reply.stdout, reply.passed_over)
        if rows is None:
            raise self.unreadable_error(reply)
        return rows

    def _info(self, row: Mapping[str, Any], *, gone: bool) -> JobInfo:
        word = str(row["JobStatus"])
        state, message = self.state(word), ""
        exit_code = as_int(row.get("ExitCode"))
        if state is JobState.COMPLETED and (exit_code or row.get("ExitBySignal")):
            signal = as_int(row.get("ExitSignal"))
            state = JobState.FAILED
            message = (
                fill(KILLED, {"number": signal})
                if row.get("ExitBySignal")
                else fill(EXIT_STATUS, {"number": exit_code})
            )
        elif state is JobState.CANCELED:
            message = str(row.get("RemoveReason") or "")
            # The job stays in the queue, and has a host, until its processes have ended.
            state = JobState.RUNNING if row.get("RemoteHost") and not gone else state
        elif state is JobState.HELD:
            message = str(row.get("HoldReason") or english("HTCondor gives no reason"))
        elif state is JobState.QUEUED:
            reason = str(row.get("LastRejMatchReason") or "").strip()
            message = _WAITS.get(reason, reason)
        runs = state in (JobState.RUNNING, JobState.SUSPENDED)
        start = row.get("JobCurrentStartDate")
        return JobInfo(
            owner=str(row["Owner"]),
            state=state,
            message=message,
            exit_code=exit_code,
            # "slot1_1@node1"; for a pilot's job there is another name between the two
            exec_host=str(row.get("RemoteHost") or "").rpartition("@")[2] if runs else "",
            start_time=float(start) if runs and isinstance(start, int) else None,
            native_state=_WORDS.get(word, word),
            ending=word == "6" or (word == "3" and runs),
            stuck=state is JobState.HELD,
        )


_WORDS = {
    "1": "idle",
    "2": "running",
    "3": "removed",
    "4": "completed",
    "5": "held",
    "6": "transferring output",
    "7": "suspended",
}


def _by_name(own: list[tuple[str, Attribute]]) -> dict[str, list[Attribute]]:
    """Return the values by attribute: of two lines for one attribute only the last would count."""
    result: dict[str, list[Attribute]] = {}
    for key, value in own:
        result.setdefault(key, []).append(value)
    return result


def _and(expression: str, own: list[tuple[str, Attribute]], command: str) -> str:
    """Return an expression, and with it those that the custom attributes have for a command."""
    theirs = [
        f"({_submit_value(value, f'custom_attributes: htcondor.{key}')})"
        for key, value in own
        if key.lower() == command
    ]
    return " && ".join([*theirs, expression])


def _requirement(one: Expression) -> str:
    """Return an expression that is true for the machines with these features."""
    if isinstance(one, Not):
        return f"({_requirement(one.part)} =!= true)"  # true also where it is undefined
    if isinstance(one, Feature):
        if not re.fullmatch(r"[A-Za-z_]\w*", one.name, re.ASCII):
            raise InvalidJobError(
                f"constraint: {one.name!r} must be the name of a machine's attribute: letters, "
                "digits and _, a letter first"
            )
        plain = re.fullmatch(r"\d+(\.\d+)?|true|false", one.value or "true", re.IGNORECASE)
        value = (one.value or "true") if plain else f'"{one.value}"'
        return f"(TARGET.{one.name} == {value})"
    operator = " && " if isinstance(one, All) else " || "
    return f"({operator.join(map(_requirement, one.parts))})"


def _removal_rules(spec: JobSpec, own: list[tuple[str, Attribute]]) -> list[str]:
    """Return the expressions that remove a job: the site's own, and that of its time limit."""
    rules = [
        f"({_submit_value(value, f'custom_attributes: htcondor.{key}')})"
        for key, value in own
        if key.lower() == "periodic_remove"
    ]
    return [*rules, f"({_time_limit_rule(spec)})"] if spec.duration else rules


def _removal_reason(spec: JobSpec) -> str:
    """Return the reason for the user; where it is undefined, HTCondor names the expression."""
    if not spec.duration:
        return ""
    return f'ifThenElse({_time_limit_rule(spec)}, "{_TIME_IS_UP}", undefined)'


def _time_limit_rule(spec: JobSpec) -> str:
    assert spec.duration
    seconds = whole_seconds(spec.duration)
    return f"JobStatus == 2 && time() - JobCurrentStartDate > {seconds}"


def _submit_value(value: Attribute, field: str) -> str:
    """Return the value of a command in the submit language, as the administrator wrote it."""
    text = "true" if value is True else str(value)
    _check_end(text, field)
    return text


def _check_end(text: str, field: str) -> None:
    if text.rstrip().endswith("\\"):
        raise InvalidJobError(
            f"{field}: {text!r} ends with a backslash, which would join it to the next line of the "
            "submit description; remove the backslash"
        )


def _no_macros(text: str) -> str:
    return text.replace("$", "$(DOLLAR)")


def _literal(value: Attribute) -> str:
    """Return the value of a ``+Attribute``: a literal as it is, other text as a string.

    A submit description uses the old syntax of ClassAds, in which only a quote is escaped.
    """
    if value is True:
        return "true"
    text = str(value)
    if not isinstance(value, str) or re.fullmatch(
        r'"([^"\\]|\\.)*"|-?\d+(\.\d+)?|true|false|undefined', text, re.IGNORECASE
    ):
        return text
    escaped = _no_macros(text).replace('"', '\\"')
    return f'"{escaped}"'


def _of_owner(owner: str) -> list[str]:
    """Return the options for the jobs of one account; its name may be ``DOM\\alice``.

    A backslash stands for itself in a constraint. Without -allusers, condor_q adds a condition of
    its own that matches no such account (HTCondor 23.9).
    """
    return ["-allusers", "-constraint", f'Owner == "{owner}"']


SCHEDULER = HTCondor
