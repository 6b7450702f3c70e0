"""OpenPBS and PBS Professional, 14 and later (written against OpenPBS 23.06.06)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import ClassVar

from ..job import JobSpec, JobState
from ..units import format_duration
from . import pbs_inventory, pbs_output
from .base import ALL_FIELDS, Dialogue, Reply, setting
from .inventory import Inventory
from .pbs_family import PbsFamily, per_node
from .pbs_job import (
    COULD_NOT_START,
    HOST_STARTED_ANEW,
    TIME_IS_UP,
    TOO_MUCH_MEMORY,
    TOO_MUCH_PROCESSOR_TIME,
    Row,
)

_FORMAT = ["-F", "json"]
_NO_HISTORY = "job_history_enable is set to false"
_RESERVATION = re.compile(r"([RSM]\d+)\..*")


@dataclass(frozen=True)
class Pbs(PbsFamily):
    """qsub, qstat, qdel, qselect and pbsnodes of PBS."""

    pbs_job_history: bool = setting(
        True,
        """Ask PBS how a job has ended (qstat -x). A server that keeps no history
        (job_history_enable) says so and is asked again without; False spares the first question.
        """,
    )
    pbs_gpu_resource: str = setting(
        "ngpus",
        """The resource that counts GPUs, as the site calls it (`pbsnodes -a`). Default: ngpus.""",
    )

    name = "pbs"
    title = "PBS"
    identity = r"^pbs_version = \S"
    supports = ALL_FIELDS
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
    # PBS Reference Guide, "Job States". F and X are read with the exit status.
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
        -4: HOST_STARTED_ANEW,
        -5: HOST_STARTED_ANEW,
        -6: HOST_STARTED_ANEW,
        -10: "the job's account is not known on its host",
        -13: "the job's password is not right",
        -14: "a host of the job failed",
        -20: "the job's first host failed",
        -21: "the job's account is not allowed on its host",
        -24: "the job used more processors than it asked for",
        -25: "the job used more processors than it asked for",
        -26: "the job used more virtual memory than it asked for",
        -27: TOO_MUCH_MEMORY,
        -28: TOO_MUCH_PROCESSOR_TIME,
        -29: TIME_IS_UP,
    }
    # The host where the job runs takes that for its own and copies nothing (stage_func.c).
    nowhere = "localhost:/dev/null"
    longest_name = 230

    @property
    def query_key(self) -> Hashable:
        """What a query depends on: the resource that counts GPUs."""
        return (self.name, self.pbs_gpu_resource)

    def queue(self, spec: JobSpec) -> str:
        """Return the queue; a reservation is one, called as the id without the server."""
        reservation = spec.reservation_id
        return _RESERVATION.sub(r"\1", reservation) if reservation else spec.queue_name

    def resources(self, spec: JobSpec) -> dict[str, str]:
        """Return a chunk for each node, where it goes, and how long.

        ``mem`` and ``ngpus`` are a chunk's own, PSI/J's memory is the job's.
        """
        asked = spec.resources
        nodes, processes = asked.nodes, asked.per_node
        chunk = []
        if asked.cpu_cores_per_process or processes > 1:
            chunk.append(f"ncpus={processes * (asked.cpu_cores_per_process or 1)}")
        chunk += [f"mpiprocs={processes}"] if processes > 1 else []
        chunk += [f"mem={per_node(asked.memory, nodes)}"] if asked.memory else []
        if asked.gpu_cores_per_process:
            chunk.append(f"{self.pbs_gpu_resource}={processes * asked.gpu_cores_per_process}")
        # Without scatter PBS may put several chunks on a host; excl alone means one vnode.
        place = ["scatter"] if nodes > 1 else []
        place += ["exclhost"] if asked.exclusive_node_use else []
        resources = {}
        if nodes > 1 or chunk or place:  # no place without select
            resources["select"] = ":".join([str(nodes), *chunk])
        if place:
            resources["place"] = ":".join(place)
        if spec.duration:
            resources["walltime"] = format_duration(spec.duration)
        return resources

    def status_command(self, job_ids: Collection[str] | None = None) -> list[str]:
        """Return one qstat; with ids, of jobs that have ended, too."""
        command = ["qstat", "-f", *_FORMAT]
        if job_ids is None:
            return command
        return [*command, *(["-x"] if self.pbs_job_history else []), *job_ids]

    def ask(self, command: list[str]) -> Dialogue[Reply]:
        """Ask; without history where there is none, and line by line where JSON can be forged."""
        reply = yield command
        # It exits with 0 all the same, as if there were no such jobs.
        if "-x" in command and _NO_HISTORY in reply.stderr:
            command = [word for word in command if word != "-x"]
            reply = yield command
        if pbs_output.is_handmade(reply.stdout):
            at = command.index("json")
            reply = yield [*command[:at], "dsv", "-D", secrets.token_hex(16), *command[at + 1 :]]
        return reply

    def rows(self, reply: Reply) -> dict[str, Row] | None:
        """Read JSON, or lines."""
        if "dsv" in reply.command:
            return pbs_output.read_dsv(reply.stdout, reply.command[reply.command.index("-D") + 1])
        return None if pbs_output.is_handmade(reply.stdout) else pbs_output.read_json(reply.stdout)

    def inventory(self) -> Dialogue[Inventory]:
        """Ask qstat for the queues and the server, and pbsnodes for the nodes' vnodes.

        Of a host with several vnodes ``-a`` alone says little but ``<various>``.
        """
        queues, server, nodes = yield from pbs_inventory.ask(self, ["pbsnodes", "-a", "-v"])
        gpus = self.pbs_gpu_resource
        return Inventory(
            tuple(pbs_inventory.read_queues(queues, server, gpus=gpus)),
            tuple(pbs_inventory.pbs_nodes(nodes, queues, gpus)),
        )


SCHEDULER = Pbs
