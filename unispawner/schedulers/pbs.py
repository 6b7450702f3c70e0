"""OpenPBS and PBS Professional, 14 and later (written against OpenPBS 23.06.06)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..job import JobSpec, JobState
from ..texts import english
from ..units import format_duration
from . import pbs_inventory, pbs_output, pbs_usable
from .base import ALL_FIELDS, Dialogue, Reply, setting
from .constraints import Feature
from .inventory import Inventory
from .pbs_family import PbsFamily, per_node
from .pbs_job import (
    COULD_NOT_START,
    HOST_RESTARTED,
    TIME_IS_UP,
    TOO_MUCH_MEMORY,
    TOO_MUCH_PROCESSOR_TIME,
    Row,
)
from .usable import Usable
from .usage import NO_ACCOUNTING, Accounting, EndedJob

_FORMAT = ["-F", "json"]
_NO_HISTORY = "job_history_enable is set to false"
_RESERVATION = re.compile(r"([RSM]\d+)\..*")


@dataclass(frozen=True)
class Pbs(PbsFamily):
    """PBS by qsub, qstat, qdel, qselect and pbsnodes."""

    pbs_job_history: bool = setting(
        True,
        """Whether the Hub asks PBS how jobs have ended (qstat -x). True (the default): it does; a
        server without a history (job_history_enable is false) is then asked a second time without
        that. False: it does not, which saves that second question.""",
    )
    pbs_gpu_resource: str = setting(
        "ngpus",
        """The site's name of the resource that counts GPUs; `pbsnodes -a` lists the names.
        Default: ngpus.""",
    )

    pbs_gpu_type_resource: str = setting(
        "gpu_model",
        """The site's name of the resource (a text for each host) whose value is the type of its
        GPUs; `pbsnodes -a` lists the names. Default: gpu_model.""",
    )

    name = "pbs"
    title = "PBS"
    identity = r"^pbs_version = \S"
    supports: ClassVar = ALL_FIELDS - {"qos"}
    alternatives: ClassVar = {
        "qos": "leave it unset, and use a queue, or a priority with the custom attribute pbs.p",
    }
    reports: ClassVar = frozenset(
        (
            "exec_host",
            "message",
            "queue_position",
            "estimated_start",
            "start_time",
            "estimated_end",
            "exit_code",
        )
    )
    # PBS Reference Guide, "Job States". What F and X mean depends on the exit status, too.
    states: ClassVar = {
        "Q": JobState.QUEUED,
        "W": JobState.QUEUED,
        "T": JobState.QUEUED,
        "M": JobState.QUEUED,
        "H": JobState.HELD,
        "R": JobState.RUNNING,
        "B": JobState.RUNNING,
        "E": JobState.RUNNING,
        "S": JobState.SUSPENDED,
        "U": JobState.SUSPENDED,
        "F": JobState.COMPLETED,
        "X": JobState.COMPLETED,
    }
    # PBS Reference Guide, "Job Exit Status Codes".
    exit_codes: ClassVar = {
        -1: COULD_NOT_START,
        -2: COULD_NOT_START,
        -3: COULD_NOT_START,
        -4: HOST_RESTARTED,
        -5: HOST_RESTARTED,
        -6: HOST_RESTARTED,
        -10: english("the job's account does not exist on its host"),
        -13: english("the job's password is wrong"),
        -14: english("a host of the job failed"),
        -20: english("the job's first host failed"),
        -21: english("the job's account is not allowed on its host"),
        -24: english("the job used more processors than it asked for"),
        -25: english("the job used more processors than it asked for"),
        -26: english("the job used more virtual memory than it asked for"),
        -27: TOO_MUCH_MEMORY,
        -28: TOO_MUCH_PROCESSOR_TIME,
        -29: TIME_IS_UP,
    }
    # The job's host takes "localhost" for itself, so that it copies nothing (stage_func.c).
    replaces_needs: ClassVar = frozenset(("l", "q"))
    replaces_duration: ClassVar = frozenset(("walltime", "min_walltime", "max_walltime"))
    nowhere = "localhost:/dev/null"
    longest_name = 230

    @property
    def query_key(self) -> Hashable:
        """The name, and the resources that count GPUs and name their type."""
        return (self.name, self.pbs_gpu_resource, self.pbs_gpu_type_resource)

    def queue(self, spec: JobSpec) -> str:
        """Return the queue; a reservation has one, named by its id without the server."""
        reservation = spec.reservation_id
        return _RESERVATION.sub(r"\1", reservation) if reservation else spec.queue_name

    def resources(self, spec: JobSpec) -> dict[str, str]:
        """Return a chunk for each node, the placement of chunks, and the time limit.

        ``mem`` and ``ngpus`` count for each chunk, but PSI/J's memory counts for the whole job.
        """
        asked = spec.resources
        nodes, processes = asked.nodes, asked.per_node
        parts: list[tuple[str, object]] = []
        if asked.cpu_cores_per_process or processes > 1:
            parts.append(("ncpus", processes * (asked.cpu_cores_per_process or 1)))
        parts += [("mpiprocs", processes)] if processes > 1 else []
        parts += [("mem", per_node(asked.memory, nodes))] if asked.memory else []
        if asked.gpu_cores_per_process:
            parts.append((self.pbs_gpu_resource, processes * asked.gpu_cores_per_process))
            parts += [(self.pbs_gpu_type_resource, asked.gpu_type)] if asked.gpu_type else []
        chunk = [f"{name}={value}" for name, value in self.keep(spec, parts)]
        chunk += [self.write_constraint(asked.constraint)] if asked.constraint else []
        # Without "scatter" PBS may put several chunks on one host. "excl" would reserve a vnode.
        place = ["scatter"] if nodes > 1 else []
        place += ["exclhost"] if asked.exclusive_node_use else []
        resources = {}
        if nodes > 1 or chunk or place:  # "place" needs "select"
            resources["select"] = ":".join([str(nodes), *chunk])
        if place:
            resources["place"] = ":".join(place)
        if spec.duration:
            resources["walltime"] = format_duration(spec.duration)
        return resources

    def write_feature(self, feature: Feature) -> str:
        """Return a resource of a chunk: it is true, or has the value."""
        return f"{feature.name}={feature.value or 'True'}"

    def resource_names(self) -> tuple[str, ...]:
        """Return the resources, and the parts of a chunk."""
        names = ("select", "place", "walltime", "ncpus", "mpiprocs", "mem")
        return (*names, self.pbs_gpu_resource, self.pbs_gpu_type_resource)

    def status_command(self, job_ids: Collection[str] | None = None) -> list[str]:
        """Return the qstat; with ids, it reports also jobs that have ended."""
        command = ["qstat", "-f", *_FORMAT]
        if job_ids is None:
            return command
        return [*command, *(["-x"] if self.pbs_job_history else []), *job_ids]

    def ask(self, command: list[str]) -> Dialogue[Reply]:
        """Ask once more without history if there is none, or line by line if JSON can be forged."""
        reply = yield command
        # qstat exits with 0 all the same, as if there were no such job.
        if "-x" in command and _NO_HISTORY in reply.stderr:
            command = [word for word in command if word != "-x"]
            reply = yield command
        if pbs_output.is_handmade(pbs_output.cut_answer(reply.stdout)[0]):
            at = command.index("json")
            reply = yield [*command[:at], "dsv", "-D", secrets.token_hex(16), *command[at + 1 :]]
        return reply

    def rows(self, reply: Reply) -> dict[str, Row] | None:
        """Read JSON, or the lines of the format "dsv"."""
        reply.passed_over.clear()
        if "dsv" in reply.command:
            delimiter = reply.command[reply.command.index("-D") + 1]
            return pbs_output.read_dsv(reply.stdout, delimiter, reply.passed_over)
        text, reply.passed_over[:] = pbs_output.cut_answer(reply.stdout)
        return None if pbs_output.is_handmade(text) else pbs_output.read_json(text)

    def usable(self, owner: str, groups: Sequence[str]) -> Dialogue[Usable]:
        """Ask for the queues and the reservations that admit the user."""
        return (yield from pbs_usable.ask(self, owner, groups, reservations=True))

    def usage(self, job: EndedJob) -> Dialogue[Accounting]:
        """Ask for the job, if the server keeps jobs that have ended (job_history_enable)."""
        if not self.pbs_job_history:
            return NO_ACCOUNTING
        reply = yield self.status_command([job.job_id])
        if _NO_HISTORY in reply.stderr:
            return NO_ACCOUNTING
        return (yield from super().usage(job))

    def inventory(self) -> Dialogue[Inventory]:
        """Ask qstat for the queues and the server, and pbsnodes for the nodes' vnodes.

        Without ``-v``, most values of a host with several vnodes would be ``<various>``.
        """
        queues, server, nodes = yield from pbs_inventory.ask(self, ["pbsnodes", "-a", "-v"])
        gpus = self.pbs_gpu_resource
        return Inventory(
            tuple(pbs_inventory.read_queues(queues, server, gpus=gpus)),
            tuple(pbs_inventory.read_pbs_nodes(nodes, queues, gpus, self.pbs_gpu_type_resource)),
        )


SCHEDULER = Pbs
