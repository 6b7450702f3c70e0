"""Slurm (written against 22.05's manual pages and output; later releases add states only)."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from ..errors import SchedulerUnavailable
from ..job import Attribute, JobInfo, JobSpec, JobState
from ..units import divide_up, format_duration
from . import slurm_inventory
from .base import ALL_FIELDS, Dialogue, Meaning, Reply, Scheduler, ask_optionally
from .inventory import Inventory
from .reading import number_waiting

# None of these can be written by a user: no name, no comment, no work directory.
_FIELDS = ("%i", "%u", "%T", "%r", "%B", "%P", "%Q", "%S", "%e")
_GIVEN_UP = {"JobHoldMaxRequeue", "launch failed requeued held"}
"""Slurm has tried, and holds the job for somebody to look at."""
_HELD_REASONS = {
    "JobHeldAdmin",
    "JobHeldUser",
    "JobHoldMaxRequeue",
    "ReservationDeleted",
    "launch failed requeued held",
}

REASONS = {
    "None": "",
    "AssocGrpCpuLimit": "your account's share of cores is in use",
    "AssocMaxJobsLimit": "your account runs as many jobs as it may",
    "AssociationJobLimit": "your account runs as many jobs as it may",
    "BadConstraints": "no node can ever meet what the job asks for",
    "BeginTime": "the job's earliest start time has not come",
    "Dependency": "the job waits for another job",
    "InvalidAccount": "the account is not valid",
    "InvalidQOS": "the quality of service is not valid",
    "JobArrayTaskLimit": "as many tasks of the array run as may",
    "JobHeldAdmin": "an administrator holds the job",
    "JobHeldUser": "you hold the job (scontrol release lets it go on)",
    "JobHoldMaxRequeue": "the job was run again too often and is held",
    "Licenses": "the job waits for a licence",
    "MaxCpuPerAccount": "your account's share of cores is in use",
    "NodeDown": "a node the job needs is down",
    "PartitionConfig": "the job asks for more than the partition allows",
    "PartitionDown": "the partition is down",
    "PartitionInactive": "the partition takes no jobs now",
    "PartitionNodeLimit": "the job asks for more nodes than the partition allows",
    "PartitionTimeLimit": "the job asks for more time than the partition allows; "
    "it won't start: cancel it and ask for less",
    "Priority": "other jobs are before this one in the queue",
    "Prolog": "the node is being prepared",
    "QOSMaxJobsPerUserLimit": "you run as many jobs as you may",
    "QOSJobLimit": "as many jobs run as the quality of service allows",
    "QOSTimeLimit": "the job asks for more time than the quality of service allows",
    "ReqNodeNotAvail": "a node the job needs is not available, or is reserved for maintenance",
    "Reservation": "the job waits for its reservation",
    "ReservationDeleted": "the reservation is gone, and the job is held",
    "Resources": "waiting for resources to become free",
    "WaitingForScheduling": "the scheduler has not looked at the job yet",
    "JobLaunchFailure": "the job could not be launched",
    "launch failed requeued held": "the job could not be launched and is held",
    "NonZeroExitCode": "the job ended with an error",
    "OutOfMemory": "the job used more memory than it asked for",
    "RaisedSignal": "the job was killed by a signal",
    "SystemFailure": "the cluster failed",
    "TimeLimit": "the job reached its time limit",
}
"""Reasons in plain words (squeue(1), JOB REASON CODES); others are shown as they are."""


@dataclass(frozen=True)
class Slurm(Scheduler):
    """sbatch, squeue and scancel."""

    name = "slurm"
    title = "Slurm"
    commands = ("sbatch", "squeue", "scancel")
    identify_command = ("squeue", "--version")
    may_hide_jobs = True
    refused: ClassVar = frozenset(
        ("array", "a", "wrap", "parsable", "test-only", "wait", "W", "output", "o", "error", "e")
    )
    identity = r"^slurm(-wlm)? \d"
    job_id = re.compile(r"\d{1,10}", re.ASCII)
    supports = ALL_FIELDS
    reports: ClassVar = frozenset(
        ("exec_host", "message", "queue_position", "estimated_start", "start_time", "estimated_end")
    )
    # squeue(1), JOB STATE CODES. COMPLETING is not final: a requeued job passes through it.
    states: ClassVar = {
        "PENDING": JobState.QUEUED,
        "CONFIGURING": JobState.QUEUED,
        "REQUEUED": JobState.QUEUED,
        "REQUEUE_FED": JobState.QUEUED,
        "POWER_UP_NODE": JobState.QUEUED,
        "REQUEUE_HOLD": JobState.HELD,
        "RESV_DEL_HOLD": JobState.HELD,
        "SPECIAL_EXIT": JobState.HELD,
        "RUNNING": JobState.RUNNING,
        "COMPLETING": JobState.RUNNING,
        "RESIZING": JobState.RUNNING,
        "SIGNALING": JobState.RUNNING,
        "STAGE_OUT": JobState.RUNNING,
        "SUSPENDED": JobState.SUSPENDED,
        "STOPPED": JobState.SUSPENDED,
        "COMPLETED": JobState.COMPLETED,
        "CANCELLED": JobState.CANCELED,
        "REVOKED": JobState.CANCELED,
        "BOOT_FAIL": JobState.FAILED,
        "DEADLINE": JobState.FAILED,
        "FAILED": JobState.FAILED,
        "LAUNCH_FAILED": JobState.FAILED,
        "NODE_FAIL": JobState.FAILED,
        "OUT_OF_MEMORY": JobState.FAILED,
        "PREEMPTED": JobState.FAILED,
        "TIMEOUT": JobState.FAILED,
    }
    errors = (
        (r"Invalid job id|already complet", Meaning.GONE),
        (r"permission denied|Access denied", Meaning.DENIED),
        (
            r"Unable to contact slurm|Connection refused|timed out|Zero Bytes|"
            r"temporarily un|not currently|Communication|communications|try again|"
            r"Resource temporarily unavailable|in standby|configuration source|"
            r"Protocol authentication error",
            Meaning.UNAVAILABLE,
        ),
    )

    def directives(self, spec: JobSpec) -> list[str]:
        """Return ``#SBATCH`` lines; the site's defaults hold for all that ``spec`` leaves out."""
        resources = spec.resources
        memory = resources.memory
        options: list[tuple[str, Attribute | None]] = [
            ("job-name", spec.name),
            ("chdir", spec.directory),
            ("output", _pattern(spec.stdout_path)),
            # A requeued job adds to its log: its first life is what one wants to read about.
            ("open-mode", "append"),
            # The Hub's own limits are none of the job's business; sbatch would pass them on. But
            # slurmd has raised that of core files for itself: the agent's is a login's, 0.
            ("propagate", "CORE"),
            ("nodes", resources.nodes),
            ("ntasks", resources.processes),
            ("ntasks-per-node", resources.processes_per_node),
            ("cpus-per-task", resources.cpu_cores_per_process),
            ("gpus-per-task", resources.gpu_cores_per_process or None),
            # sbatch counts memory by node, PSI/J by job; K is 1024 bytes, and rounded up.
            ("mem", f"{divide_up(memory, 1024 * resources.nodes)}K" if memory else None),
            ("exclusive", resources.exclusive_node_use or None),
            ("time", format_duration(spec.duration) if spec.duration else None),
            ("partition", spec.queue_name),
            ("account", spec.account),
            ("reservation", spec.reservation_id),
        ]
        own = spec.attributes_for(self.name)
        comments = [str(value) for key, value in own if key == "comment"]
        comments += [f"unispawner:{spec.mark}"] if spec.mark else []
        options += [(key, value) for key, value in own if key != "comment"]
        options += [("comment", " ".join(comments))]
        return [_directive(key, value) for key, value in options if value not in (None, "")]

    def status_command(self, job_ids: Collection[str] | None = None) -> list[str]:
        """Return one squeue: ``-t all`` tells of jobs that ended within MinJobAge, too."""
        command = ["squeue", "-h", "-a", "-t", "all", "-o", "|".join(_FIELDS)]
        return command if job_ids is None else [*command, "-j", ",".join(job_ids)]

    def read_status(self, reply: Reply) -> dict[str, JobInfo]:
        """Read squeue's rows; an id that Slurm does not know is simply not among them."""
        if reply.exit_status and self.meaning(reply) is Meaning.GONE:
            return {}
        self.check_answered(reply)
        rows = [line.split("|") for line in reply.stdout.splitlines() if line.strip()]
        if any(len(row) != len(_FIELDS) for row in rows):
            raise SchedulerUnavailable(
                "squeue's answer could not be read.", command=reply.command, output=reply.text
            )
        jobs = {row[0]: self._info(row) for row in rows}
        order = {row[0]: (row[5], _rank(row)) for row in rows}
        return number_waiting(jobs, order.__getitem__)

    def inventory(self) -> Dialogue[Inventory]:
        """Ask sinfo for every node in every partition, the hidden, too, and squeue for the jobs."""
        reply = yield list(slurm_inventory.NODES_COMMAND)
        self.check_answered(reply)
        inventory = slurm_inventory.read_inventory(reply.stdout)
        if inventory is None:
            raise self.unreadable_error(reply)
        jobs = yield from ask_optionally(list(slurm_inventory.JOBS_COMMAND))
        return inventory if jobs is None else slurm_inventory.count_jobs(inventory, jobs)

    def mark_command(self) -> list[str]:
        """Return a squeue of the caller's own jobs: here, and only here, comments are asked for."""
        return ["squeue", "-h", "-a", "-t", "all", "--me", "-o", "%i %k"]

    def _info(self, row: Sequence[str]) -> JobInfo:
        _, owner, word, reason, host, _, _, start, end = row
        state = self.state(word)
        if state is JobState.QUEUED and reason in _HELD_REASONS:
            state = JobState.HELD
        waits = state in (JobState.QUEUED, JobState.HELD)
        return JobInfo(
            owner=owner,
            state=state,
            message="" if state is JobState.CANCELED else _words(reason),
            exec_host="" if waits or host == "n/a" else host,
            estimated_start=_time(start) if waits else None,
            start_time=None if waits or state.final else _time(start),
            estimated_end=None if waits or state.final else _time(end),
            native_state=word,
            ending=word == "COMPLETING",
            stuck=state is JobState.HELD and reason in _GIVEN_UP,
        )


def _words(reason: str) -> str:
    """Say a reason plainly. A cancelled job keeps the one for which it waited: not told then."""
    # One may go on after a comma: "ReqNodeNotAvail, UnavailableNodes:node[1-2]".
    return REASONS.get(reason, REASONS.get(reason.split(",")[0], reason))


def _rank(row: Sequence[str]) -> tuple[float, ...]:
    """Slurm starts the highest priority first, and among equals the one submitted first."""
    number = re.match(r"\d+", row[0])
    return (-float(row[6]) if row[6].isdigit() else 0.0, float(number[0]) if number else 0.0)


def _time(text: str) -> float | None:
    """Read squeue's local time; ``N/A`` and ``Unknown`` are None."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _pattern(path: str) -> str:
    """Keep sbatch from replacing ``%u`` and the like in a file's name (sbatch(1))."""
    return path.replace("%", "%%")


def _directive(key: str, value: Attribute | None) -> str:
    option = f"-{key}" if len(key) == 1 else f"--{key}"
    if value is True:
        return f"#SBATCH {option}"
    return f"#SBATCH {option}{' ' if len(key) == 1 else '='}{_quote(str(value))}"


def _quote(value: str) -> str:
    """Quote for sbatch's own reader of directives, which knows quotes and backslashes."""
    if re.fullmatch(r"[\w.,:/=+@%^*\[\]|&!()-]+", value, re.ASCII):
        return value
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


SCHEDULER = Slurm
