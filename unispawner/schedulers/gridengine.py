"""Grid Engine and its descendants (written against Son of Grid Engine 8.1.9).

Jobs are submitted through DRMAA or with qsub. In both cases the script stays in its owner's private
directory and is started as a command, because a script that qsub copies can be read by everybody on
the node.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ..errors import InvalidJobError, UniSpawnerError
from ..job import JobInfo, JobSpec, JobState
from ..units import divide_up, whole_seconds
from . import (
    gridengine_host,
    gridengine_inventory,
    gridengine_jobs,
    gridengine_usable,
    gridengine_usage,
)
from .base import ALL_FIELDS, Dialogue, Meaning, Reply, Scheduler, ask_optionally, setting
from .constraints import Feature, read_plain_list
from .inventory import Inventory
from .usable import Usable
from .usage import NO_ACCOUNTING, NOT_YET, Accounting, EndedJob

_PER = ("slot", "job")


@dataclass(frozen=True)
class GridEngine(Scheduler):
    """Grid Engine by DRMAA or qsub, qstat, qdel, qacct, qhost and qconf."""

    use_drmaa: bool = setting(
        True,
        """Whether jobs are submitted and cancelled through DRMAA, the scheduler's own library. True
        (the default): through DRMAA. False: with the commands qsub and qdel.""",
    )
    drmaa_library_path: str = setting(
        "",
        """The path of the DRMAA library, libdrmaa.so. Empty (the default): it is searched below
        sge_root and in the usual folders of Debian and Fedora.""",
    )
    sge_root: str = setting(
        "",
        """Grid Engine's directory, SGE_ROOT. Empty (the default): SGE_ROOT of the Hub's own
        environment, or else the first of the usual directories that exists.""",
    )
    sge_cell: str = setting("", """The cell, SGE_CELL. Empty (the default): "default".""")
    sge_qmaster_port: int = setting(
        0, """The qmaster's port, SGE_QMASTER_PORT. 0 (the default): the port in /etc/services."""
    )
    sge_execd_port: int = setting(
        0,
        """The port of the execution hosts, SGE_EXECD_PORT. 0 (the default): the port in
        /etc/services.""",
    )
    sge_parallel_environment: str = setting(
        "smp",
        """The parallel environment of servers with more than one core. It must put all slots on one
        host (allocation_rule $pe_slots). Its name differs from site to site: "smp" (the default),
        "shm", "threaded", "openmp". `qconf -spl` lists the names.""",
    )
    sge_memory_resource: str = setting(
        "h_vmem",
        """The resource through which a job requests its memory: "h_vmem" (the default, which also
        limits the job), "mem_free", or several with commas between them, as in
        "mem_free,h_vmem".""",
    )
    sge_memory_per: str = setting(
        "slot",
        """Whether the resource of sge_memory_resource counts for each "slot" of a job (the default;
        the job's memory is then divided by its slots) or for the whole "job".""",
        _PER,
    )
    sge_gpu_resource: str = setting(
        "gpu",
        """The site's name of the resource that counts GPUs; `qconf -sc` lists the names. Default:
        gpu.""",
    )
    sge_gpu_type_resource: str = setting(
        "gpu_type",
        """The site's name of the resource (of type RESTRING or CSTRING) whose value is the type of
        a host's GPUs; `qconf -sc` lists the names. Default: gpu_type.""",
    )
    sge_gpus_per: str = setting(
        "job",
        """Whether a request for GPUs counts for the whole "job" (the default) or for each "slot" of
        the job. The column "consumable" of `qconf -sc` has JOB in the first case and YES in the
        second.""",
        _PER,
    )
    sge_exclusive_resource: str = setting(
        "exclusive",
        """The site's name of the resource that keeps a whole host for one job; it has the relation
        EXCL in `qconf -sc`. Default: exclusive.""",
    )

    name = "gridengine"
    title = "Grid Engine"
    commands = ("qsub", "qstat", "qdel", "qacct", "qhost", "qconf")
    identify_command = ("qstat", "-help")
    identity = (
        r"^(SGE|GE|UGE|AGE|OGS/GE|OGE|N1GE|(Univa|Altair|Open|Sun|Son of) Grid( Engine)?) ?\S*\d"
    )
    job_id = re.compile(r"\d{1,10}", re.ASCII)
    supports: ClassVar = ALL_FIELDS - {"node_count", "processes_per_node", "qos"}
    alternatives: ClassVar = {
        "qos": "leave it unset, and request a queue, or a resource with the custom attribute "
        "gridengine.l",
    }
    announces = True
    causes = gridengine_jobs.CAUSES
    reports: ClassVar = frozenset(
        ("exec_host", "message", "queue_position", "start_time", "exit_code")
    )
    refused: ClassVar = frozenset(
        ("t", "tc", "sync", "V", "v", "b", "terse", "I", "shell", "o", "e", "j", "c", "sh", "@")
    )
    directives_in_script = False
    node_memory_counts = False  # h_vmem may be more than a host has
    replaces_needs: ClassVar = frozenset(("l", "q", "pe", "ar", "soft"))
    replaces_duration: ClassVar = frozenset(("h_rt",))
    states = gridengine_jobs.STATES
    errors = (
        (
            r"do(es)? not exist|InvalidJobException|unknown job|invalid job (id|number)|"
            r"has registered the job .* for deletion|already in deletion",
            Meaning.GONE,
        ),
        (r"necessary privileges|AuthorizationException|not authorized", Meaning.DENIED),
        (
            r"unable to (contact|send message to|connect to) qmaster|commlib error|got no |"
            r"can't (connect|find connection)|DrmCommunicationException|TryLaterException|"
            r"unable to receive|timeout|timed out|failed receiving gdi request|"
            r"DefaultContactStringException|(cell|SGE_ROOT) directory",
            Meaning.UNAVAILABLE,
        ),
    )

    @classmethod
    def complete_settings(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings, with this host's root, cell and ports where none are set."""
        return gridengine_host.complete_settings(settings)

    @property
    def query_key(self) -> Hashable:
        """The name, and the resources that the inventory counts."""
        gpus = (self.sge_gpu_resource, self.sge_gpu_type_resource, self.sge_gpus_per)
        return (self.name, self.sge_memory_resource, *gpus)

    def environment(self) -> dict[str, str]:
        """Return SGE_ROOT and the like, where they are set."""
        variables = {
            "SGE_ROOT": self.sge_root,
            "SGE_CELL": self.sge_cell,
            "SGE_QMASTER_PORT": str(self.sge_qmaster_port or ""),
            "SGE_EXECD_PORT": str(self.sge_execd_port or ""),
        }
        return {name: value for name, value in variables.items() if value}

    # -- a job ---------------------------------------------------------------------------------

    def check_supported(self, spec: JobSpec) -> None:
        """Refuse also what can't be expressed in slots."""
        super().check_supported(spec)
        slots, gpus = _slots(spec), _gpus(spec)
        if gpus % slots and self.sge_gpus_per == "slot":
            raise InvalidJobError(
                f"gpu_cores_per_process: {gpus} GPUs can't be divided among {slots} slots. Ask for "
                f'a multiple of {slots}, or set c.UniSpawner.sge_gpus_per = "job" if the cluster '
                "counts GPUs for each job"
            )

    def check_needs(self, spec: JobSpec) -> None:
        """Refuse also a constraint that would replace what another field requests."""
        super().check_needs(spec)
        if not spec.resources.constraint:
            return
        taken = {"h_rt", *_resources(self.sge_memory_resource), self.sge_gpu_resource}
        taken |= {self.sge_gpu_type_resource, self.sge_exclusive_resource}
        for one in _features(spec.resources.constraint):
            if one.name in taken:
                raise InvalidJobError(
                    f"constraint: {one.text!r}: the resource {one.name} is what another field of "
                    "the job requests; remove it"
                )

    def write_constraint(self, constraint: str) -> str:
        """Return the features as Grid Engine's resources: each is true, or has its value."""
        features = _features(constraint)
        return ",".join(f"{one.name}={one.value or 'true'}" for one in features)

    def directives(self, spec: JobSpec) -> list[str]:
        """Return qsub's options, each with its value on one line, quoted as for a shell."""
        slots, memory, gpus = _slots(spec), spec.resources.memory, _gpus(spec)
        own, constraint = spec.attributes_for(self.name), spec.resources.constraint
        resources: dict[str, str] = {}
        if spec.duration:
            resources["h_rt"] = str(whole_seconds(spec.duration))
        if memory:  # "K" is 1024 bytes (sge_types(1)), and rounded up
            share = memory if self.sge_memory_per == "job" else divide_up(memory, slots)
            for resource in _resources(self.sge_memory_resource):
                resources[resource] = f"{divide_up(share, 1024)}K"
        if gpus:
            per_slot = self.sge_gpus_per == "slot"
            resources[self.sge_gpu_resource] = str(gpus // slots if per_slot else gpus)
            if spec.resources.gpu_type:
                resources[self.sge_gpu_type_resource] = spec.resources.gpu_type
        if spec.resources.exclusive_node_use:
            resources[self.sge_exclusive_resource] = "true"
        options: list[tuple[str, object]] = [
            ("N", _job_name(spec.name)),
            ("wd", spec.directory),
            # With no host before the colon, the path is one on the job's own host. Grid Engine
            # appends to the file.
            ("o", f":{spec.stdout_path}" if spec.stdout_path else ""),
            ("j", "y"),
            ("pe", f"{self.sge_parallel_environment} {slots}" if slots > 1 else ""),
            *(("l", f"{name}={value}") for name, value in self.keep(spec, resources.items())),
            ("l", self.write_constraint(constraint) if constraint else ""),
            ("q", spec.queue_name),
            ("P", spec.account),
            ("ar", spec.reservation_id),
            ("notify", self.announcement(spec) is not None or ""),
            ("ac", f"unispawner={spec.mark}" if spec.mark else ""),
            # qsub then refuses a job that no host could ever run; DRMAA always does.
            ("w", "" if any(key == "w" for key, _ in own) else "e"),
        ]
        options = [*self.keep(spec, options), *own]
        return [_option(key, value) for key, value in options if value != ""]

    def announcement(self, spec: JobSpec) -> tuple[str, int] | None:
        """Return SIGUSR2, which -notify sends before SIGKILL (qsub(1)).

        How long before is the queue's ``notify`` (queue_conf(5)); the job's number is only what the
        user is told. It comes when h_rt is over, and when somebody deletes the job.
        """
        own = {key for key, _ in spec.attributes_for(self.name)} | spec.left_out(self.name)
        if not spec.signal_before_end or "notify" in own:
            return None
        return "USR2", spec.signal_before_end

    def omittable(self) -> frozenset[str]:
        """Return options of qsub, and the resources of its ``-l`` by their own names."""
        own = (self.sge_gpu_resource, self.sge_gpu_type_resource, self.sge_exclusive_resource)
        memory = _resources(self.sge_memory_resource)
        return frozenset(("N", "l", "pe", "q", "P", "ar", "w", "h_rt", "notify", *memory, *own))

    def state(self, word: str) -> JobState:
        """Return the state that a word means: each of its letters has a meaning."""
        return gridengine_jobs.read_state(word)

    # -- queries -------------------------------------------------------------------------------

    def status_command(self, job_ids: Collection[str] | None = None) -> list[str]:
        """Return the qstat of all users' jobs; with ids, the long one: the list takes no ids."""
        return (
            ["qstat", "-xml", "-u", "*"] if job_ids is None else ["qstat", "-j", ",".join(job_ids)]
        )

    def read_status(self, reply: Reply) -> dict[str, JobInfo]:
        """Read the list of all jobs."""
        self.check_answered(reply)
        jobs = gridengine_jobs.read_jobs(reply.stdout, reply.passed_over)
        if jobs is None:
            raise self.unreadable_error(reply)
        return jobs

    def query(self, job_ids: Collection[str] | None = None) -> Dialogue[dict[str, JobInfo]]:
        """Ask for the list of jobs; with ids, also why they are stuck and how they ended.

        A job that has ended leaves the list at once. Some seconds later the accounting reports how
        it ended, unless the site has no accounting or keeps it on another host.
        """
        if job_ids is None:
            return self.read_status((yield self.status_command()))
        # qstat(1): "$user" means the caller. All users together may have very many jobs.
        jobs = self.read_status((yield ["qstat", "-xml", "-u", "$user"]))
        result = {job_id: jobs[job_id] for job_id in job_ids if job_id in jobs}
        if stuck := [job_id for job_id in result if result[job_id].stuck]:
            reply = yield self.status_command(stuck)
            for job_id, reason in gridengine_jobs.read_errors(reply.stdout).items():
                if job_id in result:
                    result[job_id] = replace(result[job_id], message=reason)
        # A separate question: qstat does not mention an unknown job if it knows another one.
        missing = [job_id for job_id in job_ids if job_id not in jobs]
        while missing:
            reply = yield self.status_command(missing)
            if self.meaning(reply) is not Meaning.GONE:
                self.check_answered(reply)
            if gridengine_jobs.read_unknown(reply.text).issuperset(missing):
                result.update((yield from self._accounted(missing)))
                break
            # After a qmaster has lost its state, another user's job may have the id.
            others = yield from self._list_of_owners(reply, missing)
            if not others:
                raise self.unreadable_error(reply)  # a job came or went between two commands
            result.update(others)
            missing = [job_id for job_id in missing if job_id not in others]
        return result

    def query_few(self, job_ids: Collection[str]) -> Dialogue[dict[str, JobInfo]]:
        """Ask whose jobs these are, and then for the list of these users' jobs.

        The list takes no ids, and the long form about some ids has no states.
        """
        reply = yield self.status_command(job_ids)
        if self.meaning(reply) is not Meaning.GONE:
            self.check_answered(reply)
        return (yield from self._list_of_owners(reply, job_ids))

    def _list_of_owners(
        self, reply: Reply, job_ids: Collection[str]
    ) -> Dialogue[dict[str, JobInfo]]:
        """Ask for the list of the users whose jobs a long answer has; return the jobs asked for."""
        owners = sorted(filter(_is_plain_name, gridengine_jobs.read_owners(reply.stdout)))
        if not owners:
            return {}
        jobs = self.read_status((yield ["qstat", "-xml", "-u", ",".join(owners)]))
        return {job_id: jobs[job_id] for job_id in job_ids if job_id in jobs}

    def _accounted(self, job_ids: Collection[str]) -> Dialogue[dict[str, JobInfo]]:
        """Ask the accounting how jobs have ended; those that it does not know are left out."""
        ended: dict[str, JobInfo] = {}
        for job_id in job_ids:
            try:
                reply = yield ["qacct", "-j", job_id]
            except UniSpawnerError:
                break  # the accounting file is large, and the next job would take as long
            info = gridengine_jobs.read_accounting(reply.stdout) if reply.exit_status == 0 else None
            if info is not None:
                ended[job_id] = info
        return ended

    def mark_command(self) -> list[str]:
        """Return the long qstat of all jobs, which shows the context with the mark."""
        return ["qstat", "-j", "*"]

    def find_marks(self, owner: str) -> Dialogue[dict[str, str]]:
        """Ask for the caller's jobs, and then for these in full: others may have very many."""
        jobs = self.read_status((yield ["qstat", "-xml", "-u", owner]))
        if not jobs:
            return {}
        return self.read_marks((yield self.status_command(jobs)))

    def read_marks(self, reply: Reply) -> dict[str, str]:
        """Read the marks from the jobs' contexts."""
        if not (reply.exit_status and self.meaning(reply) is Meaning.GONE):
            self.check_answered(reply)
        return gridengine_jobs.read_contexts(reply.stdout)

    def find_jobs(self, mark: str, owner: str) -> Dialogue[list[str]]:
        """Ask for the caller's jobs in full: the environment that qsub passes on is in it."""
        jobs = self.read_status((yield ["qstat", "-xml", "-u", owner]))
        if not jobs:
            return []
        reply = yield self.status_command(jobs)
        if not (reply.exit_status and self.meaning(reply) is Meaning.GONE):
            self.check_answered(reply)
        return gridengine_jobs.find_sections(reply.stdout, mark)

    def usable(self, owner: str, groups: Sequence[str]) -> Dialogue[Usable]:
        """Ask for queues, projects and advance reservations, and for the lists of their users."""
        return (yield from gridengine_usable.ask(self, owner, groups))

    def usage(self, job: EndedJob) -> Dialogue[Accounting]:
        """Ask qacct, which reads the accounting file: the last record may come after seconds."""
        reply = yield ["qacct", "-o", job.owner, "-j", job.job_id]
        if reply.exit_status and gridengine_usage.UNREADABLE.search(reply.text):
            return NO_ACCOUNTING
        if reply.exit_status and self.meaning(reply) is not Meaning.UNAVAILABLE:
            return NOT_YET  # "job id 7 not found"
        self.check_answered(reply)
        return gridengine_usage.read_usage(reply.stdout, job)

    def inventory(self) -> Dialogue[Inventory]:
        """Ask for hosts (qhost), the queues' limits (qconf) and jobs (qstat).

        qhost reports what is free of a resource and not how much the host has: what the running
        jobs have is added. Waiting jobs are counted for the whole cluster, because a waiting job is
        in no queue.
        """
        memory = _resources(self.sge_memory_resource)
        wanted = ",".join([self.sge_gpu_resource, *memory, self.sge_gpu_type_resource])
        hosts = yield ["qhost", "-xml", "-q", "-F", wanted]
        self.check_answered(hosts)
        queues = yield ["qconf", "-sq", "*"]
        self.check_answered(queues)
        jobs = yield ["qstat", "-xml", "-r", "-s", "rs", "-u", "*"]
        self.check_answered(jobs)
        inventory = gridengine_inventory.read_inventory(
            hosts.stdout,
            queues.stdout,
            jobs.stdout,
            self.sge_gpu_resource,
            self.sge_gpus_per == "slot",
            memory,
            self.sge_gpu_type_resource,
        )
        if inventory is None:
            raise self.unreadable_error(hosts)
        hosts.passed_over.extend(gridengine_jobs.cut_xml(hosts.stdout, "qhost")[1])
        jobs.passed_over.extend(gridengine_jobs.cut_xml(jobs.stdout, "job_info")[1])
        pending = yield from ask_optionally(["qstat", "-xml", "-s", "p", "-u", "*"])
        return replace(inventory, waiting=gridengine_inventory.count_waiting(pending or ""))


def _is_plain_name(owner: str) -> bool:
    """Return whether a name means one account in a list of users: no pattern, no ``$user``."""
    return re.fullmatch(r"[A-Za-z0-9_.][A-Za-z0-9_.+-]*", owner) is not None


def _resources(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _features(constraint: str) -> list[Feature]:
    instead = 'use the custom attribute gridengine.l, as in "arch=lx-amd64|lx-arm64"'
    return read_plain_list(constraint, GridEngine.title, instead)


def _slots(spec: JobSpec) -> int:
    return spec.resources.processes * (spec.resources.cpu_cores_per_process or 1)


def _gpus(spec: JobSpec) -> int:
    return spec.resources.processes * (spec.resources.gpu_cores_per_process or 0)


def _job_name(name: str) -> str:
    """Return a name that Grid Engine accepts (sge_types(1), object_name).

    The qmaster also refuses blanks, characters beyond ASCII, a digit at the beginning, and three
    words of its own.
    """
    legal = re.sub(r"[^!-~]|[/:@\\*?]", "_", name)[:500]
    return f"j{legal}" if re.match(r"\d|(template|all|none)$", legal, re.IGNORECASE) else legal


def _option(key: str, value: object) -> str:
    words = [f"-{key}"]
    if key == "pe":
        words += str(value).split(" ")
    elif value is not True:
        words += [str(value)]
    return shlex.join(words)


def make_job_template(options: list[str]) -> Mapping[str, object]:
    """Return the attributes of a DRMAA job template for the options of qsub.

    An option that has an attribute becomes that attribute. The others become the native
    specification, in which only double quotes can quote a word.

    Raises
    ------
    InvalidJobError
        If the native specification can't express an option.
    """
    attributes: dict[str, object] = {"joinFiles": True}
    native: list[str] = []
    for option in options:
        words = shlex.split(option)
        if words[0] in _ATTRIBUTES and len(words) == 2:
            attributes[_ATTRIBUTES[words[0]]] = words[1]
        elif option != "-j y":
            native += [_native(word) for word in words]
    attributes["nativeSpecification"] = " ".join(native)
    return attributes


_ATTRIBUTES = {"-N": "jobName", "-wd": "workingDirectory", "-o": "outputPath"}


def _native(word: str) -> str:
    if re.fullmatch(r"[^\s\"'\\]+", word):
        return word
    if '"' in word or "\\" in word or "'" in word:
        raise InvalidJobError(
            f"custom_attributes: DRMAA can't take {word!r}, because it has a quote or a backslash; "
            "set c.UniSpawner.use_drmaa = False"
        )
    return f'"{word}"'


SCHEDULER = GridEngine
