"""HTCondor (written against 23.9's manual and output).

A job is a script and a submit description beside it. Its owner's session goes with neither: the
environment of a login is set in the description, and holds nothing that is secret.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ..errors import InvalidJobError, UniSpawnerError
from ..job import Attribute, JobInfo, JobSpec, JobState, is_mark
from ..units import divide_up, whole_seconds
from .base import Dialogue, Meaning, Reply, Scheduler, ask_optionally, setting
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

# Who has the job, and its number, HTCondor itself writes; the rest its user can change with
# condor_qedit, to nobody's harm but their own.
_WRITABLE = (
    *("JobStatus", "RemoteHost", "HoldReason", "JobCurrentStartDate", "LastRejMatchReason"),
    *("ExitCode", "ExitBySignal", "ExitSignal", "RemoveReason"),
)
_FIELDS = ("ClusterId", "ProcId", "Owner", *_WRITABLE)
_SANE = 4000
"""Characters that a job's attributes have at most, together, to be among all users' jobs."""
MARK_ATTRIBUTE = "UnispawnerMark"
"""The attribute of a job by which its own user finds it again."""

_WRITTEN_BY_US = frozenset(
    ("queue", "executable", "arguments", "args", "environment", "env", "output", "error")
)
_OURS = frozenset(f"{prefix}{MARK_ATTRIBUTE}".lower() for prefix in ("+", "MY."))

_WAITS = {
    "": "waiting for a machine",
    "no match found": "no machine has what the job asks for, or none is free",
}


@dataclass(frozen=True)
class HTCondor(Scheduler):
    """condor_submit, condor_q, condor_history and condor_rm."""

    htcondor_pool: str = setting(
        "",
        """The central manager whose pool the inventory is of. Empty (the default): the
        configured one.""",
    )

    name = "htcondor"
    title = "HTCondor"
    commands = ("condor_submit", "condor_q", "condor_history", "condor_rm", "condor_status")
    identify_command = ("condor_version",)
    identity = r"^\$CondorVersion: "
    # A cluster's number: a server is the first and only process of its cluster.
    job_id = re.compile(r"\d{1,10}", re.ASCII)
    supports: ClassVar = frozenset(
        {
            "process_count",
            "processes_per_node",
            "cpu_cores_per_process",
            "gpu_cores_per_process",
            "memory",
            "duration",
            "account",
        }
    )
    reports: ClassVar = frozenset(("exec_host", "message", "start_time", "exit_code"))
    directives_in_script = False
    # The job attribute JobStatus ("Job ClassAd Attributes" in the manual).
    states: ClassVar = {
        "1": JobState.QUEUED,
        "2": JobState.RUNNING,
        "3": JobState.CANCELED,
        "4": JobState.COMPLETED,
        "5": JobState.HELD,
        "6": JobState.RUNNING,
        "7": JobState.SUSPENDED,
    }
    # condor_rm tells the unknown from another's only if it is given a process: 12.0, not 12.
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
        """Return the pool, too: the inventory is its."""
        return self.name, self.htcondor_pool

    def check_supported(self, spec: JobSpec) -> None:
        """Refuse more than one node, however it is said, and commands that are ours to write."""
        super().check_supported(spec)
        for key, _ in spec.attributes_for(self.name):
            if key.lower() in _WRITTEN_BY_US | _OURS:
                raise InvalidJobError(f"custom_attributes: htcondor.{key} can't be set: it is ours")
        if spec.resources.nodes > 1:
            raise InvalidJobError(
                f"process_count, processes_per_node: {self.title} runs a job on one node, "
                f"not on {spec.resources.nodes}"
            )

    def directives(self, spec: JobSpec) -> list[str]:
        """Return the lines of a submit description, but for what to run and where it writes."""
        resources = spec.resources
        memory = resources.memory
        cores = resources.processes * (resources.cpu_cores_per_process or 1)
        gpus = resources.processes * (resources.gpu_cores_per_process or 0)
        own = spec.attributes_for(self.name)
        commands: list[tuple[str, Attribute | None]] = [
            ("universe", "vanilla"),
            ("batch_name", self.value(spec.name)),
            ("initialdir", self.value(spec.directory)),
            # The job writes its log itself: HTCondor would empty it for a second run.
            ("output", "/dev/null"),
            ("error", "/dev/null"),
            # Homes are shared, as for every scheduler here: nothing is copied.
            ("should_transfer_files", "NO"),
            ("notification", "never"),
            ("request_cpus", cores),
            # Without a unit it would be MiB; rounded up.
            ("request_memory", f"{divide_up(memory, 1024)}KB" if memory else None),
            ("request_gpus", gpus or None),
            ("accounting_group", self.value(spec.account)),
            ("periodic_remove", " || ".join(_removed_when(spec, own))),
            ("MY.PeriodicRemoveReason", _why_removed(spec)),
            (f"MY.{MARK_ATTRIBUTE}", f'"{spec.mark}"' if spec.mark else None),
        ]
        lines = [f"{key} = {value}" for key, value in commands if value not in (None, "")]
        for key, values in _by_name(own).items():
            if key.lower() == "periodic_remove":
                continue
            if key.lower().startswith(("+", "my.")):
                literals = [_literal(value) for value in values]
                text = literals[0] if len(literals) == 1 else f"{{{', '.join(literals)}}}"
            else:
                text = ", ".join(_submit_value(value) for value in values)
            lines.append(f"{key} = {text}")
        return lines

    def preamble(self, spec: JobSpec) -> list[str]:
        """Return the line that opens the log: a job that is run again adds to it."""
        return [f"exec >>{shlex.quote(spec.stdout_path)} 2>&1"] if spec.stdout_path else []

    @staticmethod
    def value(text: str) -> str:
        """Return text as a submit description carries it: no macro in it is expanded."""
        _check_end(text)
        return _no_macros(text)

    # -- queries -------------------------------------------------------------------------------

    def status_command(self, job_ids: Collection[str] | None = None) -> list[str]:
        """Return a condor_q of every user's jobs, or of these."""
        command = ["condor_q", "-allusers", "-json", "-attributes", ",".join(_FIELDS)]
        if job_ids is None:
            # The schedd itself leaves out a job into which its user has written megabytes, or
            # nested lists without end: nobody else's would be told otherwise.
            sizes = " + ".join(f"size(unparse({name}))" for name in _WRITABLE)
            return [*command, "-constraint", f"({sizes}) / {_SANE} is 0"]
        return [*command, *job_ids]

    def history_command(self, job_ids: Collection[str]) -> list[str]:
        """Return a condor_history of jobs that have left the queue; it ends with the last found."""
        command = ["condor_history", "-json", "-attributes", ",".join(_FIELDS)]
        return [*command, "-limit", str(len(job_ids)), *job_ids]

    def read_status(self, reply: Reply) -> dict[str, JobInfo]:
        """Read the JSON of condor_q or condor_history; no job is no text at all."""
        self.check_answered(reply)
        jobs: dict[str, JobInfo] = {}
        gone = "condor_history" in reply.command
        rows = self.read_rows(reply)
        for row in rows:
            try:
                job_id = str(int(row["ClusterId"]))
                info = self._info(row, gone=gone)
            except (KeyError, TypeError, ValueError):
                continue  # condor_qedit lets a user write nonsense: no other user's loss
            # Several processes of one cluster are no job of ours.
            if row.get("ProcId", 0) == 0:
                jobs.setdefault(job_id, info)
        if rows and not any("ClusterId" in row for row in rows):
            raise self.unreadable_error(reply)
        return jobs

    def query(self, job_ids: Collection[str] | None = None) -> Dialogue[dict[str, JobInfo]]:
        """Ask the queue; then the history for jobs that it does not hold any more.

        A user can write any RemoteHost into a job of theirs (condor_qedit), and would have their
        route lead there: so it counts only if that machine itself says that it has the job.
        """
        jobs = self.read_status((yield self.status_command(job_ids)))
        if job_ids is None and any(info.exec_host for info in jobs.values()):
            try:
                reply = yield self._collector_command(
                    SLOT_FIELDS, "-constraint", "JobId isnt undefined"
                )
                self.check_answered(reply)
                slots = read_slots(self.read_rows(reply))
            except UniSpawnerError:
                slots = set()  # where jobs run isn't known just now; the rest is
            for job_id, info in jobs.items():
                if info.exec_host and (job_id, info.owner, info.exec_host) not in slots:
                    jobs[job_id] = replace(info, exec_host="")
        missing = [job_id for job_id in job_ids or () if job_id not in jobs]
        if missing:
            try:  # it reads files, which may be large, elsewhere, or nobody else's business
                jobs.update(self.read_status((yield self.history_command(missing))))
            except UniSpawnerError:
                pass
        return jobs

    def mark_command(self) -> list[str]:
        """Return a condor_q of the caller's own jobs that have a mark."""
        return ["condor_q", "-json", "-attributes", f"ClusterId,{MARK_ATTRIBUTE}"]

    def find_marks(self, owner: str) -> Dialogue[dict[str, str]]:
        """Ask for the caller's own marks, also where CONDOR_Q_ONLY_MY_JOBS is off."""
        mine = ["-constraint", f'Owner == "{owner}"']
        return self.read_marks((yield [*self.mark_command(), *mine]))

    def read_marks(self, reply: Reply) -> dict[str, str]:
        """Read the marks in the JSON of condor_q."""
        self.check_answered(reply)
        return {
            row[MARK_ATTRIBUTE]: str(row["ClusterId"])
            for row in self.read_rows(reply)
            if is_mark(row.get(MARK_ATTRIBUTE)) and self.job_id.fullmatch(str(row.get("ClusterId")))
        }

    def inventory(self) -> Dialogue[Inventory]:
        """Ask the collector for every slot, and for the jobs of all schedds; there are no queues.

        A schedd tells it every five minutes (SCHEDD_INTERVAL), and soon after a submission.
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
        """Return the ClassAds of a command's JSON.

        Raises
        ------
        SchedulerUnavailable
            If it is something else.
        """
        rows = read_rows(reply.stdout)
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
                f"it was killed by signal {signal}"
                if row.get("ExitBySignal")
                else f"its exit status was {exit_code}"
            )
        elif state is JobState.CANCELED:
            message = str(row.get("RemoveReason") or "")
            # Until its processes have ended it is in the queue and has its host.
            state = JobState.RUNNING if row.get("RemoteHost") and not gone else state
        elif state is JobState.HELD:
            message = str(row.get("HoldReason") or "it gives no reason")
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
            # slot1_1@node1; a pilot's job has another name in between
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
    """Return the values of each attribute: of two lines of one name the last would count."""
    result: dict[str, list[Attribute]] = {}
    for key, value in own:
        result.setdefault(key, []).append(value)
    return result


def _removed_when(spec: JobSpec, own: list[tuple[str, Attribute]]) -> list[str]:
    """Return when a job is to be removed: when the site's own rule says so, or after its time."""
    rules = [f"({_submit_value(value)})" for key, value in own if key.lower() == "periodic_remove"]
    return [*rules, f"({_time_is_up(spec)})"] if spec.duration else rules


def _why_removed(spec: JobSpec) -> str:
    """Return what its user is told then; where it is undefined, HTCondor says which rule it was."""
    if not spec.duration:
        return ""
    return f'ifThenElse({_time_is_up(spec)}, "it has run for as long as it may", undefined)'


def _time_is_up(spec: JobSpec) -> str:
    assert spec.duration
    seconds = whole_seconds(spec.duration)
    return f"JobStatus == 2 && time() - JobCurrentStartDate > {seconds}"


def _submit_value(value: Attribute) -> str:
    """Return the value of a command of the submit language, which is its own and taken as it is."""
    text = "true" if value is True else str(value)
    _check_end(text)
    return text


def _check_end(text: str) -> None:
    if text.rstrip().endswith("\\"):
        raise InvalidJobError(
            f"{text!r}: a submit description can't carry a backslash at the end of a line"
        )


def _no_macros(text: str) -> str:
    return text.replace("$", "$(DOLLAR)")


def _literal(value: Attribute) -> str:
    """Return the value of a ``+Attribute``: text becomes a string, unless it is a literal.

    A submit description has the old syntax of ClassAds: nothing but a quote is escaped.
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


SCHEDULER = HTCondor
