"""Slurm (written against the manual pages and output of 22.05; later releases only add states)."""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..errors import InvalidJobError
from ..job import Attribute, JobInfo, JobSpec, JobState
from ..reasons import is_never, never_starts
from ..texts import english
from ..units import WHOLE, divide_up, format_duration, whole_seconds
from . import slurm_estimate, slurm_inventory, slurm_usable, slurm_usage
from .base import ALL_FIELDS, Dialogue, Meaning, Reply, Scheduler, ask_optionally, open_log, setting
from .estimate import StartEstimate
from .inventory import Inventory
from .reading import number_waiting, read_local_time, split_rows
from .usable import Usable
from .usage import NO_ACCOUNTING, Accounting, EndedJob

# A user can write none of these fields, unlike names, comments and work directories.
_FIELDS = ("%i", "%u", "%T", "%r", "%B", "%P", "%Q", "%S", "%e")
_HEADING = "JOBID|USER|STATE|REASON|EXEC_HOST|PARTITION|PRIORITY|START_TIME|END_TIME"
"""squeue's heading. It distinguishes a list without a job from a mere notice of the site's."""
# A number, an owner, a state of one word, and six further fields.
_ROW = re.compile(r"[0-9]{1,10}(?:[^0-9|][^|]*)?\|[^|]+\|[^|\s]*(?:\|[^|]*){6}")
_EPOCH = re.compile(r"[0-9]{1,11}")
_NODE_NAME = re.compile(r"\w[\w.-]*", re.ASCII)
_CLUSTER_HEADING = re.compile(r"CLUSTER: (.*)")
"""What squeue and sinfo print before a cluster's rows with -M; 22.05 prints it without -h only."""
_UNKNOWN_CLUSTER = r"No cluster '.*' known by database"
_CLUSTER_OPTIONS = ("clusters", "cluster-constraint")
_OMITTABLE = frozenset(
    (
        *("job-name", "chdir", "open-mode", "propagate", "nodes", "ntasks", "ntasks-per-node"),
        *("cpus-per-task", "gpus-per-task", "gres", "mem", "mem-per-cpu", "exclusive", "time"),
        *("partition", "account", "reservation", "constraint", "qos", "signal"),
    )
)
_SCRIPTS_READ = 50
"""How many scripts of a user's last jobs are read at most, to find a job whose id is not known."""
_GIVEN_UP = {"JobHoldMaxRequeue", "launch failed requeued held"}
"""Reasons with which Slurm holds a job that it has tried to start, until somebody looks at it."""
_HELD_REASONS = {
    "JobHeldAdmin",
    "JobHeldUser",
    "JobHoldMaxRequeue",
    "ReservationDeleted",
    "launch failed requeued held",
}

_NEVER_STARTS = {
    "AccountNotAllowed": english("the partition does not take jobs of this account"),
    "AssocMaxBBPerJob": english(
        "the job asks for a larger burst buffer than your account may have"
    ),
    "AssocMaxCpuMinutesPerJobLimit": english(
        "the job asks for more core minutes than your account may use in one job"
    ),
    "AssocMaxCpuPerJobLimit": english(
        "the job asks for more cores than your account may use in one job"
    ),
    "AssocMaxGRESPerJob": english(
        "the job asks for more GPUs, or the like, than your account may use in one job"
    ),
    "AssocMaxMemPerJob": english(
        "the job asks for more memory than your account may use in one job"
    ),
    "AssocMaxNodePerJobLimit": english(
        "the job asks for more nodes than your account may use in one job"
    ),
    "AssocMaxWallDurationPerJobLimit": english(
        "the job asks for more time than your account may use in one job"
    ),
    "BadConstraints": english("no node has what the job asks for"),
    "MaxMemPerLimit": english("the job asks for more memory than the partition allows"),
    "PartitionConfig": english("the job asks for more than the partition allows"),
    "PartitionNodeLimit": english("the job asks for more nodes than the partition allows"),
    "PartitionTimeLimit": english("the job asks for more time than the partition allows"),
    "QOSMaxCpuMinutesPerJobLimit": english(
        "the job asks for more core minutes than the quality of service allows"
    ),
    "QOSMaxCpuPerJobLimit": english(
        "the job asks for more cores than the quality of service allows"
    ),
    "QOSMaxCpuPerNode": english(
        "the job asks for more cores of a node than the quality of service allows"
    ),
    "QOSMaxGRESPerJob": english(
        "the job asks for more GPUs, or the like, than the quality of service allows"
    ),
    "QOSMaxGRESPerNode": english(
        "the job asks for more GPUs, or the like, of a node than the quality of service allows"
    ),
    "QOSMaxMemoryPerJob": english(
        "the job asks for more memory than the quality of service allows"
    ),
    "QOSMaxMemoryPerNode": english(
        "the job asks for more memory of a node than the quality of service allows"
    ),
    "QOSMaxNodePerJobLimit": english(
        "the job asks for more nodes than the quality of service allows"
    ),
    "QOSMaxWallDurationPerJobLimit": english(
        "the job asks for more time than the quality of service allows"
    ),
    "QOSMinCpuNotSatisfied": english(
        "the job asks for fewer cores than the quality of service requires"
    ),
    "QOSMinGRES": english(
        "the job asks for fewer GPUs, or the like, than the quality of service requires"
    ),
    "QOSMinMemory": english("the job asks for less memory than the quality of service requires"),
    "QOSMinNode": english("the job asks for fewer nodes than the quality of service requires"),
    "QOSNotAllowed": english("the partition does not take jobs of this quality of service"),
    "QOSTimeLimit": english("the job asks for more time than the quality of service allows"),
}
"""Reasons that only another request takes away: what the job asks for is never possible."""
REASONS = {
    **{reason: never_starts(words) for reason, words in _NEVER_STARTS.items()},
    "None": "",
    "AssocGrpCpuLimit": english("your account has reached its limit of cores"),
    "AssocMaxJobsLimit": english("your account has reached its limit of running jobs"),
    "AssociationJobLimit": english("your account has reached its limit of running jobs"),
    "BeginTime": english("the job's earliest start time has not come"),
    "Dependency": english("the job waits for another job"),
    "InvalidAccount": english("the account is not valid"),
    "InvalidQOS": english("the quality of service is not valid"),
    "JobArrayTaskLimit": english("the array has reached its limit of running tasks"),
    "JobHeldAdmin": english("an administrator holds the job"),
    "JobHeldUser": english("you hold the job (`scontrol release` releases it)"),
    "JobHoldMaxRequeue": english("the job was restarted too often and is held"),
    "Licenses": english("the job waits for a licence"),
    "MaxCpuPerAccount": english("your account has reached its limit of cores"),
    "NodeDown": english("a node the job needs is down"),
    "PartitionDown": english("the partition is down"),
    "PartitionInactive": english("the partition does not accept jobs now"),
    "Priority": english("other jobs come before this one in the queue"),
    "Prolog": english("the node is being prepared"),
    "QOSMaxJobsPerUserLimit": english("you have reached your limit of running jobs"),
    "QOSJobLimit": english("the quality of service has reached its limit of running jobs"),
    "ReqNodeNotAvail": english(
        "a node the job needs is not available, or is reserved for maintenance"
    ),
    "Reservation": english("the job waits for its reservation"),
    "ReservationDeleted": english("the reservation no longer exists, and the job is held"),
    "Resources": english("waiting for resources to become free"),
    "WaitingForScheduling": english("the scheduler has not looked at the job yet"),
    "JobLaunchFailure": english("the job could not be launched"),
    "launch failed requeued held": english("the job could not be launched and is held"),
    "NonZeroExitCode": english("the job ended with an error"),
    "OutOfMemory": english("the job used more memory than it asked for"),
    "RaisedSignal": english("the job was killed by a signal"),
    "SystemFailure": english("the cluster failed"),
    "TimeLimit": english("the job reached its time limit"),
}
"""Reasons in plain words (squeue(1), JOB REASON CODES); others are shown in Slurm's words."""


@dataclass(frozen=True)
class Slurm(Scheduler):
    """Slurm by sbatch, squeue, sinfo and scancel."""

    slurm_memory_as: str = setting(
        "mem",
        """How a job requests memory: "mem" (the default; --mem, for each node) or "mem-per-cpu"
        (--mem-per-cpu, for each core), where the site accounts or limits memory by the core.""",
        ("mem", "mem-per-cpu"),
    )
    slurm_gpus_as: str = setting(
        "gpus",
        """How a job requests GPUs: "gpus" (the default; --gpus-per-task=TYPE:N) or "gres"
        (--gres=gpu:TYPE:N, for each node), for a Slurm that does not know --gpus-per-task
        (select/cons_res). Shards are always requested with --gres.""",
        ("gpus", "gres"),
    )
    slurm_cluster: str = setting(
        "",
        """The cluster that jobs are submitted to, where one slurmdbd knows several: a name that
        `sacctmgr list cluster` prints, such as "beta". All commands name it (sbatch -M, squeue -M
        and so on). It must be one name, neither "all" nor a list. Empty (the default): the cluster
        of the host's slurm.conf.""",
    )

    name = "slurm"
    title = "Slurm"
    whole_memory = True
    commands = ("sbatch", "squeue", "scancel")
    identify_command = ("squeue", "--version")
    may_hide_jobs = True
    silent_without_jobs = True
    estimates_start = True
    replaces_needs: ClassVar = frozenset(
        (
            *("partition", "p", "nodes", "N", "ntasks", "n", "ntasks-per-node", "cpus-per-task"),
            *("c", "mem", "mem-per-cpu", "mem-per-gpu", "gres", "gpus", "G", "gpus-per-task"),
            *("gpus-per-node", "constraint", "C", "prefer", "reservation", "clusters"),
        )
    )
    replaces_duration: ClassVar = frozenset(("time", "t", "time-min", "qos", "q"))
    refused: ClassVar = frozenset(
        ("array", "a", "wrap", "parsable", "test-only", "wait", "W", "output", "o", "error", "e")
    )
    identity = r"^slurm(-wlm)? \d"
    job_id = re.compile(r"\d{1,10}", re.ASCII)
    supports = ALL_FIELDS
    announces = True
    signal_before_end = 300
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
    causes = slurm_usage.CAUSES
    errors = (
        (_UNKNOWN_CLUSTER, Meaning.REFUSED),
        (r"Invalid job id|already complet", Meaning.GONE),
        (r"permission denied|Access denied", Meaning.DENIED),
        (
            r"Unable to contact slurm|Connection refused|timed out|Zero Bytes|"
            r"temporarily un|not currently|Communication|communications|try again|"
            r"Resource temporarily unavailable|in standby|configuration source|"
            # slurmctld has had too many requests of this user (SlurmctldParameters=rl_enable).
            r"Rate limit exceeded|please retry|rate limited|"
            r"Protocol authentication error|can't be reached now|Problem talking to database",
            Meaning.UNAVAILABLE,
        ),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.slurm_cluster:
            return
        if not is_one_cluster(self.slurm_cluster):
            raise InvalidJobError(
                f"slurm_cluster: {self.slurm_cluster!r} must be the name of one cluster, because "
                "the Hub must know which cluster has a server. To offer several clusters, give "
                "each profile of c.ProfilesSpawner.profiles its own slurm_cluster"
            )
        self.show_cluster(self.slurm_cluster)

    @property
    def query_key(self) -> Hashable:
        """The name, and which cluster it is: the jobs of two clusters have the same ids."""
        return self.name, self.cluster_name

    @property
    def cluster_name(self) -> str:
        """The cluster that is configured, in lower case as in Slurm's own lists."""
        return self.slurm_cluster.lower()

    def at_cluster(self, command: str, *words: str) -> list[str]:
        """Return a command, with the option that names the cluster if one is configured."""
        return [command, *(["-M", self.slurm_cluster] if self.slurm_cluster else []), *words]

    def check_supported(self, spec: JobSpec) -> None:
        """Refuse also the options that choose a cluster: the other commands would ask another."""
        for key, _ in spec.attributes_for(self.name):
            # sbatch takes the beginning of an option's name for the option.
            if key == "M" or (len(key) > 1 and any(o.startswith(key) for o in _CLUSTER_OPTIONS)):
                raise InvalidJobError(
                    f"custom_attributes: slurm.{key} can't be set, because it would choose the "
                    "cluster for the submission only. Set c.UniSpawner.slurm_cluster to the name "
                    "of the cluster"
                )
        super().check_supported(spec)

    def check_environment(self, environment: Mapping[str, str]) -> None:
        """Refuse variables with which commands would ask other clusters than the one of the jobs.

        All commands read SLURM_CLUSTERS, so that one name is right there.
        """
        for name in ("SLURM_CLUSTERS", "SBATCH_CLUSTERS"):
            value = environment.get(name, "")
            for_all = name == "SLURM_CLUSTERS" and not self.slurm_cluster
            if value in ("", self.slurm_cluster) or (for_all and is_one_cluster(value)):
                continue
            raise InvalidJobError(
                f"scheduler_environment: {name} can't be {value!r}, because the Hub must know "
                "which cluster has a server. Remove it, and set c.UniSpawner.slurm_cluster to the "
                "name of one cluster"
            )

    def check_answered(self, reply: Reply) -> None:
        """Raise also InvalidJobError for a cluster that Slurm's database does not know."""
        if reply.exit_status and self.slurm_cluster and re.search(_UNKNOWN_CLUSTER, reply.text):
            raise InvalidJobError(
                f"slurm_cluster: Slurm's database knows no cluster {self.slurm_cluster!r}. "
                "`sacctmgr list cluster` prints the names that it knows",
                command=reply.command,
                exit_status=reply.exit_status,
                output=reply.text,
            )
        super().check_answered(reply)

    def _without_heading(self, reply: Reply) -> str:
        """Return an answer without the line that names its cluster.

        Raises
        ------
        SchedulerUnavailable
            If the answer is another cluster's: its jobs have the same ids as ours.
        """
        if not self.slurm_cluster or "CLUSTER: " not in reply.stdout:
            return reply.stdout
        lines = reply.stdout.split("\n")
        headings = [found[1] for found in map(_CLUSTER_HEADING.fullmatch, lines) if found]
        if any(name.strip().lower() != self.cluster_name for name in headings):
            raise self.unreadable_error(reply)
        return "\n".join(line for line in lines if not _CLUSTER_HEADING.fullmatch(line))

    def directives(self, spec: JobSpec) -> list[str]:
        """Return ``#SBATCH`` lines; the site's defaults apply to what ``spec`` leaves out."""
        resources = spec.resources
        log = spec.stdout_path
        options: list[tuple[str, Attribute | None]] = [
            ("job-name", spec.name),
            ("chdir", spec.directory),
            ("output", "/dev/null" if "\\" in log else _escape_pattern(log)),
            # A requeued job appends to its log, so that the log of its first run remains.
            ("open-mode", "append"),
            # sbatch would pass the Hub's own limits on to the job. Only the limit of core files is
            # passed on: the agent has set it to that of a login (0), and slurmd's own is higher.
            ("propagate", "CORE"),
            ("nodes", resources.nodes),
            ("ntasks", resources.processes),
            ("ntasks-per-node", resources.processes_per_node),
            ("cpus-per-task", resources.cpu_cores_per_process),
            self._gpus(spec),
            *self._memory(spec),
            ("exclusive", resources.exclusive_node_use or None),
            ("time", format_duration(spec.duration) if spec.duration else None),
            ("partition", spec.queue_name),
            ("account", spec.account),
            ("reservation", spec.reservation_id),
            ("constraint", resources.constraint),
            ("qos", spec.qos),
            ("signal", self._signal(spec)),
        ]
        own = spec.attributes_for(self.name)
        comments = [str(value) for key, value in own if key == "comment"]
        comments += [f"unispawner:{spec.mark}"] if spec.mark else []
        options = self.keep(spec, options)
        options += [(key, value) for key, value in own if key != "comment"]
        options += [("comment", " ".join(comments))]
        return [_directive(key, value) for key, value in options if value not in (None, "")]

    def announcement(self, spec: JobSpec) -> tuple[str, int] | None:
        """Return SIGUSR1; Slurm may send it up to 60 seconds earlier (sbatch(1), --signal).

        A signal that the custom attributes ask for is the site's own, and so is what it means.
        """
        own = any(key == "signal" for key, _ in spec.attributes_for(self.name))
        if not spec.signal_before_end or own or "signal" in spec.left_out(self.name):
            return None
        if spec.duration is None:
            return "USR1", spec.signal_before_end
        # A short job is announced in its second half, and not at its beginning.
        return "USR1", min(spec.signal_before_end, whole_seconds(spec.duration) // 2)

    def _signal(self, spec: JobSpec) -> str:
        """Return the option for a signal to the job's script, and not to its steps (B:)."""
        announced = self.announcement(spec)
        return "" if announced is None else f"B:{announced[0]}@{announced[1]}"

    def omittable(self) -> frozenset[str]:
        """Return all options but the log's, and the comment, by which a lost job is found."""
        return _OMITTABLE

    def _memory(self, spec: JobSpec) -> list[tuple[str, str]]:
        """Return the option for memory. PSI/J counts it for the whole job. K means 1024 bytes."""
        resources = spec.resources
        if resources.memory is None:
            return []
        if resources.memory == WHOLE:
            return [("mem", "0")]
        per_core = self.slurm_memory_as == "mem-per-cpu"
        shares = resources.cores if per_core else resources.nodes
        return [(self.slurm_memory_as, f"{divide_up(resources.memory, 1024 * shares)}K")]

    def _gpus(self, spec: JobSpec) -> tuple[str, Attribute | None]:
        """Return the option for GPUs: a generic resource counts for each node.

        Shards, which are parts of a GPU, are another generic resource (slurm.conf(5), GresTypes).
        """
        gpus, kind = spec.resources.gpu_cores_per_process, spec.resources.gpu_type
        name, _, rest = kind.partition(":")
        shards = name == "shard"
        if not gpus or (self.slurm_gpus_as == "gpus" and not shards):
            return "gpus-per-task", f"{kind}:{gpus}" if gpus and kind else gpus or None
        words = ["shard", rest] if shards else ["gpu", kind]
        return "gres", ":".join([*filter(None, words), str(gpus * spec.resources.per_node)])

    def check_needs(self, spec: JobSpec) -> None:
        """Accept any constraint: its language is Slurm's own. Refuse blanks in a type."""
        kind = spec.resources.gpu_type
        if " " in kind:
            raise InvalidJobError(
                f"gpu_type: {kind!r} must not contain blanks; `sinfo -o %G` prints the names"
            )

    def preamble(self, spec: JobSpec) -> list[str]:
        """Return the line that opens a log whose path sbatch can't take: it drops backslashes."""
        return open_log(spec) if "\\" in spec.stdout_path else super().preamble(spec)

    def status_command(self, job_ids: Collection[str] | None = None) -> list[str]:
        """Return the squeue; ``-t all`` lists also jobs that ended within MinJobAge."""
        command = self.at_cluster("squeue", "-h", "-a", "-t", "all", "-o", "|".join(_FIELDS))
        return command if job_ids is None else [*command, "-j", ",".join(job_ids)]

    def hides_jobs(self) -> Dialogue[bool]:
        """Ask for PrivateData in the configuration (slurm.conf(5))."""
        reply = yield self.at_cluster("scontrol", "show", "config")
        self.check_answered(reply)
        private = re.search(r"^PrivateData\s*=\s*(\S*)", reply.stdout, re.MULTILINE)
        if private is None:
            raise self.unreadable_error(reply)
        return bool({"jobs", "all"} & set(private[1].lower().split(",")))

    def read_status(self, reply: Reply) -> dict[str, JobInfo]:
        """Read squeue's rows; there is no row for an id that Slurm does not know."""
        if reply.exit_status and self.meaning(reply) is Meaning.GONE:
            return {}
        self.check_answered(reply)
        lines, others = split_rows(self._without_heading(reply), _is_row)
        if others and (not lines or any(map(slurm_inventory.ERROR.match, others))):
            raise self.unreadable_error(reply)
        reply.passed_over.extend(others)
        rows = [line.split("|") for line in lines]
        jobs = {row[0]: self._info(row) for row in rows}
        order = {row[0]: (row[5], _rank(row)) for row in rows}
        return number_waiting(jobs, order.__getitem__)

    def check_no_jobs(self, job_ids: Collection[str] | None) -> Dialogue[bool]:
        """Ask for the list with its heading, which a list without a job has as well."""
        reply = yield [word for word in self.status_command(job_ids) if word != "-h"]
        lines = [line.strip() for line in self._without_heading(reply).splitlines()]
        return not reply.exit_status and _HEADING in lines and not any(map(_is_row, lines))

    def inventory(self) -> Dialogue[Inventory]:
        """Ask sinfo for every node in every partition, and squeue for the number of jobs."""
        reply = yield self.at_cluster(*slurm_inventory.NODES_COMMAND)
        self.check_answered(reply)
        text = self._without_heading(reply)
        inventory = slurm_inventory.read_inventory(text, reply.passed_over)
        if inventory is None:
            raise self.unreadable_error(reply)
        jobs = yield from ask_optionally(self.at_cluster(*slurm_inventory.JOBS_COMMAND))
        return inventory if jobs is None else slurm_inventory.count_jobs(inventory, jobs)

    def estimate_command(self, spec: JobSpec) -> list[str]:
        """Return the sbatch that submits nothing."""
        command = self.at_cluster("sbatch", "--test-only")
        return command if slurm_estimate.can_estimate(spec) else []

    def read_estimate(self, reply: Reply) -> StartEstimate:
        """Read what ``sbatch --test-only`` prints: see :mod:`.slurm_estimate`."""
        if reply.exit_status and self.meaning(reply) is Meaning.UNAVAILABLE:
            self.check_answered(reply)
        return slurm_estimate.read_estimate(reply, read_time)

    def smaller_may_start(self, info: JobInfo) -> bool:
        """Return whether the job waits for resources, and not for a date or a limit of the user's.

        A job beyond a limit of one job does not start at all, and a smaller one does.
        """
        waits = ("", REASONS["Resources"], REASONS["Priority"])
        return info.message in waits or is_never(info.message)

    def usable(self, owner: str, groups: Sequence[str]) -> Dialogue[Usable]:
        """Ask for the user's associations, and which partitions and reservations are open to it."""
        return (yield from slurm_usable.ask(self, self.at_cluster, owner, groups))

    def usage(self, job: EndedJob) -> Dialogue[Accounting]:
        """Ask sacct, which other users may see as well: the owner counts."""
        command = self.at_cluster(*slurm_usage.COMMAND, "-j", job.job_id)
        reply = yield [*command, "-o", ",".join(slurm_usage.FIELDS)]
        if reply.exit_status and slurm_usage.NO_ACCOUNTING.search(reply.text):
            return NO_ACCOUNTING
        self.check_answered(reply)
        return slurm_usage.read_usage(reply, job)

    def find_address(self, host: str) -> Dialogue[str]:
        """Ask for NodeAddr, which Slurm itself uses; it is the node's name if none is configured.

        It is not a part of the inventory, which may be a minute old: a node in a cloud has another
        address each time that it is started.
        """
        if not _NODE_NAME.fullmatch(host):
            return ""
        command = self.at_cluster("scontrol", "show", "node", "-o", host)
        answer = yield from ask_optionally(command)
        found = re.search(r"(?:^| )NodeAddr=(\S+)", answer or "")
        return found[1] if found else ""

    def mark_command(self) -> list[str]:
        """Return the squeue of the caller's own jobs; only this command asks for comments."""
        return self.at_cluster("squeue", "-h", "-a", "-t", "all", "--me", "-o", "%i %k")

    def check_no_own_jobs(self, command: list[str]) -> Dialogue[bool]:
        """Ask for the list with its heading, which a list without a job has as well."""
        reply = yield [word for word in command if word != "-h"]
        lines = [line.split() for line in self._without_heading(reply).splitlines()]
        return not reply.exit_status and any(line[:1] == ["JOBID"] for line in lines)

    def find_jobs(self, mark: str, owner: str) -> Dialogue[list[str]]:
        """Ask for the scripts of the caller's last jobs: Slurm gives a script to its owner only."""
        reply = yield (command := self.at_cluster("squeue", "-h", "-a", "--me", "-o", "%i"))
        self.check_answered(reply)
        if not (reply.stdout.strip() or (yield from self.check_no_own_jobs(command))):
            raise self.unreadable_error(reply)
        words = self._without_heading(reply).split()
        own = [word for word in words if self.job_id.fullmatch(word)]
        found = []
        for job_id in sorted(own, key=int)[-_SCRIPTS_READ:]:
            command = self.at_cluster("scontrol", "write", "batch_script", job_id, "-")
            script = yield from ask_optionally(command)
            if script and mark in script:
                found.append(job_id)
        return found

    def _info(self, row: Sequence[str]) -> JobInfo:
        _, owner, word, reason, host, _, _, start, end = row
        state = self.state(word)
        if state is JobState.QUEUED and reason in _HELD_REASONS:
            state = JobState.HELD
        waits = state in (JobState.QUEUED, JobState.HELD)
        return JobInfo(
            owner=owner,
            state=state,
            # A cancelled job keeps the reason for which it waited.
            message="" if state is JobState.CANCELED else _explain(reason),
            exec_host="" if waits or host == "n/a" else host,
            estimated_start=read_time(start) if waits else None,
            start_time=None if waits or state.final else read_time(start),
            estimated_end=None if waits or state.final else read_time(end),
            native_state=word,
            ending=word == "COMPLETING",
            stuck=state is JobState.HELD and reason in _GIVEN_UP,
        )


def read_time(text: str) -> float | None:
    """Return a moment in seconds since the epoch, as squeue prints it here; None if it has none.

    A site's own squeue may run the real one where our variables don't reach it, through ssh for
    example. It then prints a local time, and the zone is most likely the Hub's own.
    """
    return float(text) if _EPOCH.fullmatch(text) else read_local_time(text)


def is_one_cluster(name: str) -> bool:
    """Return whether a value of ``-M`` names one cluster."""
    return name.lower() != "all" and re.fullmatch(r"\w[\w.-]*", name, re.ASCII) is not None


def _is_row(line: str) -> bool:
    """Return whether a line is a job's row. An array's task has an id like ``12_3``."""
    return _ROW.fullmatch(line) is not None


def _explain(reason: str) -> str:
    """Return a reason in plain words."""
    # A comma may separate details: "ReqNodeNotAvail, UnavailableNodes:node[1-2]".
    return REASONS.get(reason, REASONS.get(reason.split(",")[0], reason))


def _rank(row: Sequence[str]) -> tuple[float, ...]:
    """Return a job's sort key: by priority, and then by the order of submission."""
    number = re.match(r"\d+", row[0])
    return (-float(row[6]) if row[6].isdecimal() else 0.0, float(number[0]) if number else 0.0)


def _escape_pattern(path: str) -> str:
    """Return a path in which sbatch replaces no ``%u`` and the like (sbatch(1))."""
    return path.replace("%", "%%")


def _directive(key: str, value: Attribute | None) -> str:
    option = f"-{key}" if len(key) == 1 else f"--{key}"
    if value is True:
        return f"#SBATCH {option}"
    return f"#SBATCH {option}{' ' if len(key) == 1 else '='}{_quote(str(value))}"


def _quote(value: str) -> str:
    """Quote a value for sbatch, which reads quotes and backslashes in directives."""
    if re.fullmatch(r"[\w.,:/=+@%^*\[\]|&!()-]+", value, re.ASCII):
        return value
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


SCHEDULER = Slurm
