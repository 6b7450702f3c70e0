"""TORQUE, with its own scheduler or with Maui or Moab (written against TORQUE 4.2.10)."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..errors import InvalidJobError, SchedulerUnavailable
from ..job import JobInfo, JobSpec, JobState
from ..units import format_duration
from . import pbs_inventory, pbs_usable
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
from .reading import NOT_XML, cut_document, keep_unique
from .usable import Usable

_SETTINGS = {
    "gpu_cores_per_process": "torque_gpus",
    "reservation_id": "torque_moab",
    "exclusive_node_use": "torque_moab",
    "qos": "torque_moab",
    "gpu_type": "torque_gpus",
}


@dataclass(frozen=True)
class Torque(PbsFamily):
    """TORQUE by qsub, qstat, qdel, qselect and pbsnodes."""

    torque_gpus: bool = setting(
        False,
        """Whether TORQUE's server knows the nodes' GPUs (`gpus=` in its list of nodes). True: jobs
        request GPUs, as in nodes=1:ppn=4:gpus=2. False (the default): a job that requests GPUs is
        refused.""",
    )
    torque_moab: bool = setting(
        False,
        """Whether Maui or Moab schedules the jobs. True: reservations, whole nodes and the quality
        of service (qos) are requested with -W x=. False (the default): TORQUE's own scheduler,
        which ignores these, so that a job that requests one of them is refused.""",
    )

    name = "torque"
    title = "TORQUE"
    identity = r"^[Vv]ersion: \d+\.\d+\S*\s*$"
    supports: ClassVar = ALL_FIELDS - frozenset(_SETTINGS)
    reports: ClassVar = frozenset(
        ("exec_host", "message", "queue_position", "start_time", "estimated_end", "exit_code")
    )
    # qstat(1B). What C means depends on the exit status, too.
    states: ClassVar = {
        "Q": JobState.QUEUED,
        "W": JobState.QUEUED,
        "T": JobState.QUEUED,
        "H": JobState.HELD,
        "R": JobState.RUNNING,
        "E": JobState.RUNNING,
        "S": JobState.SUSPENDED,
        "C": JobState.COMPLETED,
    }
    # TORQUE Administrator Guide, "Job exit status".
    exit_codes: ClassVar = {
        -1: COULD_NOT_START,
        -2: COULD_NOT_START,
        -3: COULD_NOT_START,
        -4: HOST_RESTARTED,
        -5: HOST_RESTARTED,
        -6: HOST_RESTARTED,
        -8: COULD_NOT_START,
        -9: COULD_NOT_START,
        -10: TOO_MUCH_MEMORY,
        -11: TIME_IS_UP,
        -12: TOO_MUCH_PROCESSOR_TIME,
    }
    # qsub writes its own host before the path; TORQUE copies nothing to /dev/null (torque#130).
    node_memory_counts = False  # the list has the physical memory, which some schedulers ignore
    replaces_needs: ClassVar = frozenset(("l", "q", "W"))
    replaces_duration: ClassVar = frozenset(("walltime", "qos"))
    nowhere = "/dev/null"
    longest_name = 63

    def supported(self) -> frozenset[str]:
        """Return the fields that a job can ask for: some need more than TORQUE itself."""
        there = {field for field, name in _SETTINGS.items() if getattr(self, name)}
        return self.supports | there

    def check_supported(self, spec: JobSpec) -> None:
        """Refuse also what needs a setting; the message names the setting.

        Raises
        ------
        InvalidJobError
            If there is such a field; the message names it.
        """
        asked = {
            "gpu_cores_per_process": spec.resources.gpu_cores_per_process,
            "reservation_id": spec.reservation_id,
            "exclusive_node_use": spec.resources.exclusive_node_use,
            "qos": spec.qos,
        }
        for field, value in asked.items():
            if value and field not in self.supported():
                raise InvalidJobError(
                    f"{field}: TORQUE by itself does not support this ({value!r}); if the cluster "
                    f"does, set c.UniSpawner.{_SETTINGS[field]} = True"
                )
        # What follows one of these characters would be another extension.
        for field in ("reservation_id", "qos"):
            if re.search(r"[;:,\s]", value := getattr(spec, field)):
                raise InvalidJobError(
                    f"{field}: {value!r} must not contain blanks, commas, colons or semicolons"
                )
        super().check_supported(spec)

    def resources(self, spec: JobSpec) -> dict[str, str]:
        """Return the nodes, the memory and the time limit.

        ``mem`` counts for the whole job, as PSI/J's memory does; pmem and vmem would limit each
        process.
        """
        asked = spec.resources
        cores = asked.per_node * (asked.cpu_cores_per_process or 1)
        node = [str(asked.nodes), f"ppn={cores}"]
        if asked.gpu_cores_per_process:
            node.append(f"gpus={asked.per_node * asked.gpu_cores_per_process}")
            node += [asked.gpu_type] if asked.gpu_type else []
        node += [self.write_constraint(asked.constraint)] if asked.constraint else []
        resources = {}
        if (asked.nodes, cores, len(node)) != (1, 1, 2):
            resources["nodes"] = ":".join(node)
        if asked.memory:
            resources["mem"] = per_node(asked.memory, 1)
        if spec.duration:
            resources["walltime"] = format_duration(spec.duration)
        return resources

    def write_feature(self, feature: Feature) -> str:
        """Return a property of a node, which has no value in TORQUE."""
        return _check_property("constraint", feature.text)

    def check_needs(self, spec: JobSpec) -> None:
        """Refuse also a type of GPU that can't be a property of a node, or is a GPU's mode."""
        super().check_needs(spec)
        if kind := spec.resources.gpu_type:
            _check_property("gpu_type", kind)
            if kind in self.reserved_features():
                raise InvalidJobError(f"gpu_type: {kind!r} has another meaning in TORQUE")

    def reserved_features(self) -> frozenset[str]:
        """Return also the modes of a GPU, which stand where properties do."""
        modes = ("shared", "exclusive", "exclusive_thread", "exclusive_process", "default")
        return super().reserved_features() | {"ppn", "gpus", "reseterr", "mics", *modes}

    def resource_names(self) -> tuple[str, ...]:
        """Return the resources, and W, which only Maui or Moab reads."""
        return "nodes", "mem", "walltime", "W"

    def extensions(self, spec: JobSpec) -> list[str]:
        """Return what only Maui or Moab reads."""
        alone = ["NACCESSPOLICY:SINGLEJOB"] if spec.resources.exclusive_node_use else []
        reservation = [f"FLAGS:ADVRES:{spec.reservation_id}"] if spec.reservation_id else []
        return [*reservation, *alone, *([f"QOS:{spec.qos}"] if spec.qos else [])]

    def status_command(self, job_ids: Collection[str] | None = None) -> list[str]:
        """Return the qstat; it reports also jobs that ended within keep_completed."""
        return ["qstat", "-x", *(job_ids or ())]

    def rows(self, reply: Reply) -> dict[str, Row] | None:
        """Read qstat's XML."""
        reply.passed_over.clear()
        return read_xml(reply.stdout, reply.passed_over)

    def query_tracked(self, job_ids: Collection[str]) -> Dialogue[dict[str, JobInfo]]:
        """Ask for the jobs of all users. If a part can't be read, ask for each of these alone.

        qstat does not escape everything that a user writes, so that a user can forge rows. As far
        as is known, that leaves a part which can't be read, and then no part is believed.
        """
        jobs, reply = yield from self.ask_status()
        if not self.is_doubtful(reply):
            return jobs
        jobs = {}
        for job_id in job_ids:
            try:
                jobs.update((yield from self.query([job_id])))
            except SchedulerUnavailable:
                continue  # the job is asked for once more, as its user
        return jobs

    def is_doubtful(self, reply: Reply) -> bool:
        """Return whether a job in an answer can't be read: see :meth:`query_tracked`."""
        return any("<Job>" in text for text in reply.passed_over)

    def is_forgeable(self, reply: Reply) -> bool:
        """Every list is: qstat does not escape the names of resources, which users write."""
        return True

    def check_no_jobs(self, job_ids: Collection[str] | None) -> Dialogue[bool]:
        """Ask the server how many jobs it has: qstat prints nothing if there is none."""
        if job_ids is not None:
            return False
        reply = yield ["qstat", "-B", "-f"]
        servers = pbs_inventory.read_blocks(reply.stdout, "Server: ")
        totals = [row.get("total_jobs") for row in servers.values()]
        return not reply.exit_status and totals == ["0"]

    def other_ids(self, rows: Mapping[str, Row]) -> dict[str, str]:
        """Return each job's id with and without the server's name.

        Depending on the server's configuration (display_job_server_suffix, job_suffix_alias), qstat
        leaves out the server's name or shows another one, and qsub may print something else again.
        """
        found: list[tuple[str, str]] = []
        for job_id, row in rows.items():
            number, server = job_id.partition(".")[0], row.get("server", "").partition(":")[0]
            found += [(number, job_id), (f"{number}.{server}", job_id)]
        return keep_unique(found)

    def usable(self, owner: str, groups: Sequence[str]) -> Dialogue[Usable]:
        """Ask for the queues that admit the user. TORQUE itself knows no reservations."""
        return (yield from pbs_usable.ask(self, owner, groups, reservations=False))

    def inventory(self) -> Dialogue[Inventory]:
        """Ask qstat for the queues and the server, and pbsnodes for the nodes."""
        queues, server, nodes = yield from pbs_inventory.ask(self, ["pbsnodes", "-a"])
        return Inventory(
            tuple(pbs_inventory.read_queues(queues, server, gpus="gpus")),
            tuple(pbs_inventory.read_torque_nodes(nodes, queues)),
        )


def _check_property(field: str, name: str) -> str:
    # What begins with a digit would be a number of nodes, or a host.
    if not re.fullmatch(r"[A-Za-z_][\w.-]*", name, re.ASCII):
        raise InvalidJobError(
            f"{field}: {name!r} must be a property of TORQUE's nodes: a name of letters, digits "
            "and _.-, a letter first, without a value"
        )
    return name


def read_xml(text: str, passed_over: list[str] | None = None) -> dict[str, Row] | None:
    """Read ``qstat -x``; return None if the text is something else, or cut off.

    qstat prints nothing if there is no job, and with ids a document for each job. In values, ``<``
    is always escaped, but they may contain control characters, which XML does not allow. So each
    job is read separately.

    Parameters
    ----------
    passed_over
        A list that gets what does not count: the lines around the documents, jobs that can't be
        read, and jobs whose id comes twice.
    """
    text, around = cut_document(text.strip(), r"<Data>", r"</Data>")
    if text and not (text.startswith("<Data>") and text.endswith("</Data>")):
        return None
    pieces = [f"<Job>{piece.rpartition('</Job>')[0]}</Job>" for piece in text.split("<Job>")[1:]]
    read = [_read_job(NOT_XML.sub("�", piece)) for piece in pieces]
    rows: dict[str, Row] = keep_unique((row["Job_Id"], row) for row in read if row is not None)
    odd = [
        piece
        for piece, row in zip(pieces, read, strict=True)
        if row is None or row["Job_Id"] not in rows
    ]
    if passed_over is not None:
        passed_over += [*around, *odd]
    return rows


def _read_job(text: str) -> dict[str, str] | None:
    """Return a job's attributes; None if they can't be read, or if one comes twice."""
    try:
        # An element can't contain a document type, without which no entity can be defined.
        job = ElementTree.fromstring(text)  # noqa: S314 (no entities: see above)
    except ElementTree.ParseError:
        return None
    row: dict[str, str] = {}
    for child in job:
        for one in child if len(child) else (child,):
            name = child.tag if one is child else f"{child.tag}.{one.tag}"
            if name in row:
                return None
            row[name] = (one.text or "").strip()
    return row if row.get("Job_Id") else None


SCHEDULER = Torque
