"""Runs jobs without a scheduler: a job is a session of processes on the Hub's own host.

It serves to try things out, and for a Hub on one big machine. A job's id consists of the process id
of the session's leader and of its start time in clock ticks since boot, so that a reused process id
is another job. ``python -I -m unispawner.schedulers.local`` lists the jobs, as Slurm's squeue does.
"""

from __future__ import annotations

import os
import pwd
import re
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import ClassVar

from ..errors import InvalidJobError
from ..job import MARK, MARK_VARIABLE, JobInfo, JobSpec, JobState
from ..texts import english
from .base import Dialogue, Meaning, Reply, Scheduler
from .inventory import Inventory, Node

_ROW = re.compile(r"(\d+\.\d+)\|([^|]*)\|(\S)", re.ASCII)


@dataclass(frozen=True)
class Local(Scheduler):
    """Processes on this host; no job has limits, and no job waits."""

    name = "local"
    title = english("The local host")
    commands = ()
    job_id = re.compile(r"\d{1,10}\.\d{1,20}", re.ASCII)
    supports: ClassVar = frozenset()
    reports: ClassVar = frozenset(("exec_host",))
    loopback = True
    # proc(5), /proc/PID/stat, field 3. A zombie (Z) has ended; F is ours: with an error.
    states: ClassVar = {
        "R": JobState.RUNNING,
        "S": JobState.RUNNING,
        "D": JobState.RUNNING,
        "I": JobState.RUNNING,
        "T": JobState.SUSPENDED,
        "t": JobState.SUSPENDED,
        "Z": JobState.COMPLETED,
        "F": JobState.FAILED,
        "X": JobState.COMPLETED,
    }
    errors = ((r"No such process", Meaning.GONE), (r"not permitted", Meaning.DENIED))

    def directives(self, spec: JobSpec) -> list[str]:
        """Return no directives: no scheduler reads them."""
        return []

    def check_supported(self, spec: JobSpec) -> None:
        """Refuse options of a scheduler's command, because no command submits the job.

        Raises
        ------
        InvalidJobError
            If there is such an option, or another field that asks for something.
        """
        for key, _ in spec.attributes_for(self.name):
            raise InvalidJobError(
                f"custom_attributes: local.{key} can't be set, because jobs on the local host have "
                "no options; remove it"
            )
        super().check_supported(spec)

    def status_command(self, job_ids: Collection[str] | None = None) -> list[str]:
        """Return the command that runs this module."""
        return [sys.executable, "-I", "-m", __name__, *(job_ids or ())]

    def read_status(self, reply: Reply) -> dict[str, JobInfo]:
        """Read rows of ``id|owner|state``."""
        self.check_answered(reply)
        rows = [_ROW.fullmatch(line) for line in reply.stdout.splitlines()]
        if None in rows:
            raise self.unreadable_error(reply)
        return {
            row[1]: JobInfo(
                owner=row[2], state=self.state(row[3]), exec_host="localhost", native_state=row[3]
            )
            for row in rows
            if row
        }

    def mark_command(self) -> list[str]:
        """Return the command that lists the marks of the caller's own sessions."""
        return [sys.executable, "-I", "-m", __name__, "--marks"]

    def inventory(self) -> Dialogue[Inventory]:
        """Ask for the number of processors and the size of the memory; what is idle is unknown."""
        reply = yield ["getconf", "-a"]
        self.check_answered(reply)
        numbers = dict(re.findall(r"^(\w+)\s+(\d+)$", reply.stdout, re.MULTILINE))
        try:
            cores = int(numbers["_NPROCESSORS_ONLN"])
            memory = int(numbers["_PHYS_PAGES"]) * int(numbers["PAGESIZE"])
        except KeyError:
            raise self.unreadable_error(reply) from None
        return Inventory(nodes=(Node("localhost", cores=cores, memory=memory),))


SCHEDULER = Local


def start_time(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; empty if it has ended."""
    try:
        return _stat(pid)[19]
    except OSError:
        return ""


def _stat(pid: int | str) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on.

    The second field is the command's name in brackets, which may contain anything, even brackets.
    """
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def sessions() -> Iterator[tuple[str, str, str]]:
    """Yield ``(job id, owner, state)`` of each session's leader on this host."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = _stat(pid)
            owner = pwd.getpwuid(os.stat(f"/proc/{pid}").st_uid).pw_name
        except (OSError, KeyError):
            continue  # the process has just ended, or its uid has no account
        state, session, start = fields[0], fields[3], fields[19]
        if session == pid:
            failed = state == "Z" and _exit_code(fields[49]) > 0
            yield f"{pid}.{start}", owner, "F" if failed else state


def _exit_code(status: str) -> int:
    """Return the exit code in a wait status; 0 for a process that a signal has ended.

    The kernel shows 0 to those who may not look into the process (proc(5), exit_code).
    """
    return int(status) >> 8 if int(status) & 0x7F == 0 else 0


def _read_mark(job_id: str) -> str:
    """Return the mark in a session's environment, which only its own user can read."""
    try:
        with open(f"/proc/{job_id.partition('.')[0]}/environ", "rb") as file:
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    match = re.search(rf"(?:^|\0){MARK_VARIABLE}=({MARK})(?:\0|$)", text)
    return match[1] if match else ""


def main(arguments: list[str]) -> None:
    """Print all sessions, or those with the given ids; with ``--marks``, the caller's marks."""
    for job_id, owner, state in sessions():
        if arguments == ["--marks"]:
            if mark := _read_mark(job_id):
                print(f"{job_id} unispawner:{mark}")
        elif not arguments or job_id in arguments:
            print(f"{job_id}|{owner}|{state}")


if __name__ == "__main__":
    main(sys.argv[1:])
