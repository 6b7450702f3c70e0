"""TORQUE, with its own scheduler or with Maui or Moab (written against TORQUE 4.2.10)."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

from ..errors import InvalidJobError
from ..job import JobSpec, JobState
from ..units import format_duration
from . import pbs_inventory
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
from .reading import keep_unique

_NOT_XML = re.compile(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SETTINGS = {
    "gpu_cores_per_process": "torque_gpus",
    "reservation_id": "torque_moab",
    "exclusive_node_use": "torque_moab",
}


@dataclass(frozen=True)
class Torque(PbsFamily):
    """qsub, qstat, qdel, qselect and pbsnodes of TORQUE."""

    torque_gpus: bool = setting(
        False,
        """The server knows the nodes' GPUs (`gpus=` in its list of nodes), so that a job can ask
        for them: nodes=1:ppn=4:gpus=2. False (the default): a job that asks for GPUs is refused.
        """,
    )
    torque_moab: bool = setting(
        False,
        """Maui or Moab schedules here: reservations and nodes for one job alone are asked for
        with -W x=. False (the default): TORQUE's own scheduler, which would pass over both, so a
        job that asks for one is refused.""",
    )

    name = "torque"
    title = "TORQUE"
    identity = r"^[Vv]ersion: \d+\.\d+\S*\s*$"
    supports: ClassVar = ALL_FIELDS - frozenset(_SETTINGS)
    reports: ClassVar = frozenset(
        ("exec_host", "message", "queue_position", "start_time", "estimated_end", "exit_code")
    )
    # qstat(1B). C is read with the exit status.
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
        -4: HOST_STARTED_ANEW,
        -5: HOST_STARTED_ANEW,
        -6: HOST_STARTED_ANEW,
        -8: COULD_NOT_START,
        -9: COULD_NOT_START,
        -10: TOO_MUCH_MEMORY,
        -11: TIME_IS_UP,
        -12: TOO_MUCH_PROCESSOR_TIME,
    }
    # qsub puts its own host before it; that nothing is copied there, TORQUE knows (torque#130).
    nowhere = "/dev/null"
    longest_name = 63

    def supported(self) -> frozenset[str]:
        """Return the fields that can be expressed: some need more than TORQUE alone."""
        there = {field for field, name in _SETTINGS.items() if getattr(self, name)}
        return self.supports | there

    def check_supported(self, spec: JobSpec) -> None:
        """Refuse, and name the setting that would change it.

        Raises
        ------
        InvalidJobError
            Naming the field.
        """
        asked = {
            "gpu_cores_per_process": spec.resources.gpu_cores_per_process,
            "reservation_id": spec.reservation_id,
            "exclusive_node_use": spec.resources.exclusive_node_use,
        }
        for field, value in asked.items():
            if value and field not in self.supported():
                raise InvalidJobError(
                    f"{field}: TORQUE by itself can't be asked for this ({value!r}); where it can, "
                    f"set c.UniSpawner.{_SETTINGS[field]} = True"
                )
        if re.search(r"[;:,\s]", spec.reservation_id):  # what is behind would be more extensions
            raise InvalidJobError(
                f"reservation_id: {spec.reservation_id!r} is no reservation's name"
            )
        super().check_supported(spec)

    def resources(self, spec: JobSpec) -> dict[str, str]:
        """Return the nodes, the job's memory and its time.

        ``mem`` is the whole job's, as PSI/J's memory is; pmem and vmem would limit each process.
        """
        asked = spec.resources
        cores = asked.per_node * (asked.cpu_cores_per_process or 1)
        node = [str(asked.nodes), f"ppn={cores}"]
        if asked.gpu_cores_per_process:
            node.append(f"gpus={asked.per_node * asked.gpu_cores_per_process}")
        resources = {}
        if (asked.nodes, cores, len(node)) != (1, 1, 2):
            resources["nodes"] = ":".join(node)
        if asked.memory:
            resources["mem"] = per_node(asked.memory, 1)
        if spec.duration:
            resources["walltime"] = format_duration(spec.duration)
        return resources

    def extensions(self, spec: JobSpec) -> list[str]:
        """Return what is Maui's or Moab's to know."""
        alone = ["NACCESSPOLICY:SINGLEJOB"] if spec.resources.exclusive_node_use else []
        reservation = spec.reservation_id
        return [f"FLAGS:ADVRES:{reservation}", *alone] if reservation else alone

    def status_command(self, job_ids: Collection[str] | None = None) -> list[str]:
        """Return one qstat: it tells of jobs that ended within keep_completed, too."""
        return ["qstat", "-x", *(job_ids or ())]

    def rows(self, reply: Reply) -> dict[str, Row] | None:
        """Read qstat's XML."""
        return read_xml(reply.stdout)

    def other_ids(self, rows: Mapping[str, Row]) -> dict[str, str]:
        """Return each job's id with and without the server's name.

        qstat leaves the name out, or shows another, as the server is configured
        (display_job_server_suffix, job_suffix_alias); what qsub says need not be the same.
        """
        found: list[tuple[str, str]] = []
        for job_id, row in rows.items():
            number, server = job_id.partition(".")[0], row.get("server", "").partition(":")[0]
            found += [(number, job_id), (f"{number}.{server}", job_id)]
        return keep_unique(found)

    def inventory(self) -> Dialogue[Inventory]:
        """Ask qstat for the queues and the server, and pbsnodes for the nodes."""
        queues, server, nodes = yield from pbs_inventory.ask(self, ["pbsnodes", "-a"])
        return Inventory(
            tuple(pbs_inventory.read_queues(queues, server, gpus="gpus")),
            tuple(pbs_inventory.torque_nodes(nodes, queues)),
        )


def read_xml(text: str) -> dict[str, Row] | None:
    """Read ``qstat -x``; None if it isn't that, or not all of it. Of no job it prints nothing.

    With ids it prints a document for each. In a value ``<`` is always escaped; but any control
    character may be there, with which it is no XML, so that each job is read by itself.
    """
    text = text.strip()
    if text and not (text.startswith("<Data>") and text.endswith("</Data>")):
        return None
    pieces = (_NOT_XML.sub("�", piece) for piece in text.split("<Job>")[1:])
    rows = (_read_job(f"<Job>{piece.rpartition('</Job>')[0]}</Job>") for piece in pieces)
    return keep_unique((row["Job_Id"], row) for row in rows if row is not None)


def _read_job(text: str) -> dict[str, str] | None:
    """Return a job's attributes; None if it can't be read, or one comes twice."""
    try:
        # No document type can stand within an element, and no entity is known without one.
        job = ElementTree.fromstring(text)  # noqa: S314
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
