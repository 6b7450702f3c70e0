"""Grid Engine and its descendants (written against Son of Grid Engine 8.1.9).

Jobs are submitted through DRMAA, or with qsub. Either way the script stays in its owner's private
directory and is started as a command: what qsub copies lies open to everybody on the node.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ..errors import InvalidJobError, UniSpawnerError
from ..job import JobInfo, JobSpec, JobState
from ..units import divide_up, whole_seconds
from . import gridengine_host, gridengine_inventory, gridengine_jobs
from .base import ALL_FIELDS, Dialogue, Meaning, Reply, Scheduler, ask_optionally, setting
from .inventory import Inventory

_PER = ("slot", "job")


@dataclass(frozen=True)
class GridEngine(Scheduler):
    """DRMAA or qsub, qstat, qdel, qacct, qhost and qconf."""

    use_drmaa: bool = setting(
        True,
        """Submit and cancel through DRMAA, the scheduler's own library; False does it with qsub and
        qdel.""",
    )
    drmaa_library_path: str = setting(
        "",
        """The file of the DRMAA library, libdrmaa.so. Empty (the default): looked for below
        sge_root and where distributions put it.""",
    )
    sge_root: str = setting(
        "",
        """The scheduler's directory, SGE_ROOT. Empty (the default): the Hub's own SGE_ROOT, or
        the first of the usual places that is there.""",
    )
    sge_cell: str = setting("", """The cell, SGE_CELL. Empty (the default) is "default".""")
    sge_qmaster_port: int = setting(
        0, """The qmaster's port, SGE_QMASTER_PORT. 0 (the default): as in /etc/services."""
    )
    sge_execd_port: int = setting(
        0, """The execution hosts' port, SGE_EXECD_PORT. 0 (the default): as in /etc/services."""
    )
    sge_parallel_environment: str = setting(
        "smp",
        """The parallel environment for servers with more than one core: one whose slots are all on
        one host (allocation_rule $pe_slots). Sites call it "smp" (the default), "shm", "threaded",
        "openmp"; `qconf -spl` lists them.""",
    )
    sge_memory_resource: str = setting(
        "h_vmem",
        """The resource that `memory` asks for: "h_vmem" (the default; a limit, too), "mem_free",
        or several separated by commas, such as "mem_free,h_vmem".""",
    )
    sge_memory_per: str = setting(
        "slot",
        """Whether the scheduler counts that resource for each slot ("slot", the default: the job's
        memory is divided by its slots) or once for the job ("job").""",
        _PER,
    )
    sge_gpu_resource: str = setting(
        "gpu",
        """The resource that counts GPUs, as the site calls it (`qconf -sc`). Default: gpu.""",
    )
    sge_gpus_per: str = setting(
        "job",
        """Whether the scheduler counts GPUs for each slot ("slot") or once for the job ("job", the
        default): YES or JOB in the column "consumable" of `qconf -sc`.""",
        _PER,
    )
    sge_exclusive_resource: str = setting(
        "exclusive",
        """The resource that keeps a host for one job, as the site calls it (relation EXCL in
        `qconf -sc`). Default: exclusive.""",
    )

    name = "gridengine"
    title = "Grid Engine"
    commands = ("qsub", "qstat", "qdel", "qacct", "qhost", "qconf")
    identify_command = ("qstat", "-help")
    identity = (
        r"^(SGE|GE|UGE|AGE|OGS/GE|OGE|N1GE|(Univa|Altair|Open|Sun|Son of) Grid( Engine)?) ?\S*\d"
    )
    job_id = re.compile(r"\d{1,10}", re.ASCII)
    supports: ClassVar = ALL_FIELDS - {"node_count", "processes_per_node"}
    reports: ClassVar = frozenset(
        ("exec_host", "message", "queue_position", "start_time", "exit_code")
    )
    refused: ClassVar = frozenset(
        ("t", "tc", "sync", "V", "v", "b", "terse", "I", "shell", "o", "e", "j", "c", "sh", "@")
    )
    directives_in_script = False
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
        """Return the settings; root, cell and ports of this host where none are set."""
        return gridengine_host.complete_settings(settings)

    @property
    def query_key(self) -> Hashable:
        """The resources that the inventory counts, too."""
        return self.name, self.sge_memory_resource, self.sge_gpu_resource, self.sge_gpus_per

    def environment(self) -> dict[str, str]:
        """Return SGE_ROOT and the like, as far as they are known."""
        variables = {
            "SGE_ROOT": self.sge_root,
            "SGE_CELL": self.sge_cell,
            "SGE_QMASTER_PORT": str(self.sge_qmaster_port or ""),
            "SGE_EXECD_PORT": str(self.sge_execd_port or ""),
        }
        return {name: value for name, value in variables.items() if value}

    # -- a job ---------------------------------------------------------------------------------

    def check_supported(self, spec: JobSpec) -> None:
        """Refuse, too, what can't be counted in slots."""
        super().check_supported(spec)
        slots, gpus = _slots(spec), _gpus(spec)
        if gpus % slots and self.sge_gpus_per == "slot":
            raise InvalidJobError(
                f"gpu_cores_per_process: {gpus} GPUs can't be shared out among {slots} slots, and "
                'c.UniSpawner.sge_gpus_per = "slot"'
            )

    def directives(self, spec: JobSpec) -> list[str]:
        """Return qsub's options, one with its value a line, quoted as for a shell."""
        slots, memory, gpus = _slots(spec), spec.resources.memory, _gpus(spec)
        own = spec.attributes_for(self.name)
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
        if spec.resources.exclusive_node_use:
            resources[self.sge_exclusive_resource] = "true"
        options: list[tuple[str, object]] = [
            ("N", _job_name(spec.name)),
            ("wd", spec.directory),
            # Nothing before the colon: on the host where the job runs. Output is added to a file.
            ("o", f":{spec.stdout_path}" if spec.stdout_path else ""),
            ("j", "y"),
            ("pe", f"{self.sge_parallel_environment} {slots}" if slots > 1 else ""),
            *(("l", f"{name}={value}") for name, value in resources.items()),
            ("q", spec.queue_name),
            ("P", spec.account),
            ("ar", spec.reservation_id),
            ("ac", f"unispawner={spec.mark}" if spec.mark else ""),
            # Refuse what no host could ever run; DRMAA does so by itself.
            ("w", "" if any(key == "w" for key, _ in own) else "e"),
            *own,
        ]
        return [_option(key, value) for key, value in options if value != ""]

    def state(self, word: str) -> JobState:
        """Return the state that a word stands for: each of its letters says something."""
        return gridengine_jobs.read_state(word)

    # -- queries -------------------------------------------------------------------------------

    def status_command(self, job_ids: Collection[str] | None = None) -> list[str]:
        """Return a qstat of every user's jobs; it can't be asked for some of them."""
        return (
            ["qstat", "-xml", "-u", "*"] if job_ids is None else ["qstat", "-j", ",".join(job_ids)]
        )

    def read_status(self, reply: Reply) -> dict[str, JobInfo]:
        """Read the list of all jobs."""
        self.check_answered(reply)
        jobs = gridengine_jobs.read_jobs(reply.stdout)
        if jobs is None:
            raise self.unreadable_error(reply)
        return jobs

    def query(self, job_ids: Collection[str] | None = None) -> Dialogue[dict[str, JobInfo]]:
        """Ask for all jobs; then, of some, why they are stuck, and how they ended.

        A job that has ended is gone from the list at once. What is known of its end is in the
        accounting, some seconds later, unless the site has none or keeps it elsewhere.
        """
        if job_ids is None:
            return self.read_status((yield self.status_command()))
        # qstat(1): "$user" is whoever calls it. All users' jobs may be very many.
        jobs = self.read_status((yield ["qstat", "-xml", "-u", "$user"]))
        result = {job_id: jobs[job_id] for job_id in job_ids if job_id in jobs}
        if stuck := [job_id for job_id in result if result[job_id].stuck]:
            reply = yield self.status_command(stuck)
            for job_id, reason in gridengine_jobs.read_errors(reply.stdout).items():
                if job_id in result:
                    result[job_id] = replace(result[job_id], message=reason)
        # Asked for apart: qstat is silent on a job it doesn't know if it knows another.
        if missing := [job_id for job_id in job_ids if job_id not in jobs]:
            reply = yield self.status_command(missing)
            if self.meaning(reply) is not Meaning.GONE:
                self.check_answered(reply)
            if not gridengine_jobs.read_unknown(reply.text).issuperset(missing):
                raise self.unreadable_error(reply)  # one has come, or gone, between two commands
            result.update((yield from self._accounted(missing)))
        return result

    def _accounted(self, job_ids: Collection[str]) -> Dialogue[dict[str, JobInfo]]:
        """Ask the accounting how jobs have ended, as far as it knows, and if there is one."""
        ended: dict[str, JobInfo] = {}
        for job_id in job_ids:
            try:
                reply = yield ["qacct", "-j", job_id]
            except UniSpawnerError:
                break  # it is large, and the next would take as long
            info = gridengine_jobs.read_accounting(reply.stdout) if reply.exit_status == 0 else None
            if info is not None:
                ended[job_id] = info
        return ended

    def mark_command(self) -> list[str]:
        """Return a qstat of all jobs in full, the context that we set among it."""
        return ["qstat", "-j", "*"]

    def find_marks(self, owner: str) -> Dialogue[dict[str, str]]:
        """Ask for the caller's jobs, and then for these in full: all users' might be very many."""
        jobs = self.read_status((yield ["qstat", "-xml", "-u", owner]))
        if not jobs:
            return {}
        return self.read_marks((yield self.status_command(jobs)))

    def read_marks(self, reply: Reply) -> dict[str, str]:
        """Read the marks of the contexts."""
        if not (reply.exit_status and self.meaning(reply) is Meaning.GONE):
            self.check_answered(reply)
        return gridengine_jobs.read_contexts(reply.stdout)

    def inventory(self) -> Dialogue[Inventory]:
        """Ask qhost for the hosts and what is left on them, qconf for the queues' limits, and qstat
        for what jobs have, since qhost does not tell what there is in all, and for those that wait.

        These are the cluster's: one that waits is in no queue.
        """
        memory = _resources(self.sge_memory_resource)
        wanted = ",".join([self.sge_gpu_resource, *memory])
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
        )
        if inventory is None:
            raise self.unreadable_error(hosts)
        pending = yield from ask_optionally(["qstat", "-xml", "-s", "p", "-u", "*"])
        return replace(inventory, waiting=gridengine_inventory.count_waiting(pending or ""))


def _resources(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _slots(spec: JobSpec) -> int:
    return spec.resources.processes * (spec.resources.cpu_cores_per_process or 1)


def _gpus(spec: JobSpec) -> int:
    return spec.resources.processes * (spec.resources.gpu_cores_per_process or 0)


def _job_name(name: str) -> str:
    """Return a name that Grid Engine takes (sge_types(1), object_name): the qmaster has no blanks
    and nothing but ASCII either, no digit to begin with, and three words are its own."""
    legal = re.sub(r"[^!-~]|[/:@\\*?]", "_", name)[:500]
    return f"j{legal}" if re.match(r"\d|(template|all|none)$", legal, re.IGNORECASE) else legal


def _option(key: str, value: object) -> str:
    words = [f"-{key}"]
    if key == "pe":
        words += str(value).split(" ")
    elif value is not True:
        words += [str(value)]
    return shlex.join(words)


def template(options: list[str]) -> Mapping[str, object]:
    """Return a DRMAA job template's attributes for options as of :meth:`GridEngine.directives`.

    What has an attribute of its own goes there: the rest becomes the native specification, whose
    reader knows double quotes only.

    Raises
    ------
    InvalidJobError
        For a value that can't be carried.
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
            f"custom_attributes: DRMAA can't carry {word!r}; c.UniSpawner.use_drmaa = False can"
        )
    return f'"{word}"'


SCHEDULER = GridEngine
