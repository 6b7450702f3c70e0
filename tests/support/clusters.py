"""The real schedulers of ci/, queried as root with their own commands to compare with."""

from __future__ import annotations

import abc
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import xml.etree.ElementTree as ElementTree
from typing import Any, ClassVar

import pytest

from support import CHECKOUT
from support.guarantee import Job
from unispawner.job import MARK

VARIABLES = (
    *("SLURM_CONF", "CONDOR_CONFIG"),
    *("SGE_ROOT", "SGE_CELL", "SGE_QMASTER_PORT", "SGE_EXECD_PORT"),
)
"""The variables that schedulers' commands need; ci/*/up prints them."""


def run(*command: str, user: str = "", check: bool = True, stdin: str = "") -> str:
    """Run a command and return what it prints; with ``user``, run it in a clean login of that user.

    With `check`, a failure fails the test; without, error output is returned, too.
    """
    if user:
        found = shutil.which(command[0])
        line = shlex.join([found or command[0], *command[1:]])
        command = ("su", "-w", ",".join(VARIABLES), "-", user, "-c", line)
    done = subprocess.run(
        command,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if check else subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=60,
    )
    assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stderr}"
    return done.stdout.strip()


class Cluster(abc.ABC):
    """A real scheduler.

    Attributes
    ----------
    job_variable
        The variable of a job's environment with the job's id; empty if there is none.
    refused
        By the name of a server: settings that the scheduler refuses, and its words.
    too_much
        Settings of a job that is accepted and can never start, and what its user reads.
    held
        Settings of a job that waits until somebody releases it, and what its user reads.
    cancelled, died
        What the user reads about a job that was cancelled, and one that ended with status 3.
    stuck
        Settings of a job that the scheduler gives up but keeps, and what its user reads; None if
        the scheduler has no such jobs.
    accounts
        Whether it has an accounting that says what a job has used.
    """

    name: ClassVar[str]
    job_variable: ClassVar[str] = ""
    accounts: ClassVar[bool] = False
    refused: ClassVar[dict[str, tuple[dict[str, Any], str]]]
    too_much: ClassVar[tuple[dict[str, Any], str]]
    held: ClassVar[tuple[dict[str, Any], str]]
    cancelled: ClassVar[str]
    died: ClassVar[str]
    stuck: ClassVar[tuple[dict[str, Any], str] | None] = None

    @classmethod
    @abc.abstractmethod
    def why_not(cls) -> str:
        """Return why the scheduler can't be used here; empty if it can."""

    @property
    @abc.abstractmethod
    def hub_ip(self) -> str:
        """The address by which nodes reach this host."""

    @property
    def environment(self) -> dict[str, str]:
        """The variables that its commands need: for c.UniSpawner.scheduler_environment."""
        return {}

    @property
    def path(self) -> str:
        """The folder of its commands if it is not on PATH: for c.UniSpawner.scheduler_path."""
        return ""

    @abc.abstractmethod
    def active(self, *, user: str = "", name: str = "") -> set[str]:
        """Return the ids of jobs that wait or run, without those that are being ended."""

    def jobs(self, name: str) -> list[Job]:
        """Return the jobs of this name that wait or run, with their marks, as root sees them.

        A job of a legacy class has an empty mark.
        """
        raise NotImplementedError(f"{self.name}: nobody has needed this yet")

    @abc.abstractmethod
    def cancel(self, job_id: str, user: str) -> None:
        """Cancel a job as its user does at the command line."""

    @abc.abstractmethod
    def cancel_named(self, name: str) -> None:
        """Cancel all users' jobs of this name."""

    @property
    def folder(self) -> str:
        """The folder in which ci/*/up keeps the daemons' files, with the nodes' spool folders."""
        return os.environ.get(
            f"UNISPAWNER_{self.name.upper()}_DIR",
            f"/var/tmp/unispawner-{self.name}",
        )

    @abc.abstractmethod
    def listings(self, job_id: str) -> list[list[str]]:
        """Return all commands that show jobs, with the options that show most; they may fail."""

    @abc.abstractmethod
    def owner_and_host(self, job_id: str) -> tuple[str, str]:
        """Return the account of a running job, and the short name of its (first) host."""


def why_no_answer(*command: str, up: str) -> str:
    """Return why a command does not answer; empty if it does."""
    if shutil.which(command[0]) is None:
        return f"there is no {command[0]} on PATH (sudo {up} brings it up)"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except subprocess.TimeoutExpired:
        return f"{command[0]} does not answer"
    if done.returncode:
        return f"{command[0]}: {done.stderr.strip().splitlines()[-1:]}"
    return "" if os.geteuid() == 0 else "its tests need root: they become several users"


class Slurm(Cluster):
    """The Slurm of ci/slurm."""

    name = "slurm"
    job_variable = "SLURM_JOB_ID"
    refused: ClassVar = {
        "nowhere": ({"queue_name": "nowhere"}, "Invalid partition name specified"),
        "too-large": (
            {"resources": {"memory": "900G"}},
            "Memory specification can not be satisfied",
        ),
    }
    too_much: ClassVar = ({"duration": "3:00:00"}, "more time than the partition allows")
    held: ClassVar = (
        {"custom_attributes": {"slurm.begin": "now+1hour"}},
        "earliest start time has not come",
    )
    cancelled = "Slurm says CANCELLED"
    died = "Slurm says FAILED"

    @classmethod
    def why_not(cls) -> str:
        return why_no_answer("sinfo", "-h", up="ci/slurm/up")

    @property
    def hub_ip(self) -> str:
        """The address of slurmctld's host."""
        return self.config("SlurmctldHost[0]").rpartition("(")[2].rstrip(")")

    @property
    def environment(self) -> dict[str, str]:
        conf = os.environ.get("SLURM_CONF")
        return {"SLURM_CONF": conf} if conf else {}

    def run(self, *command: str, user: str = "", check: bool = True) -> str:
        """Run one of this Slurm's commands: see the function `run`."""
        return run(*command, user=user, check=check)

    def config(self, name: str) -> str:
        """Return a setting of `scontrol show config`."""
        match = re.search(rf"^{re.escape(name)}\s*=\s*(.*)$", self._show("config"), re.MULTILINE)
        assert match, f"there is no {name} in scontrol show config"
        return match[1].strip()

    def job(self, job_id: str) -> dict[str, str]:
        """Return the fields of `scontrol show job`."""
        return _fields(self._show("-o", "job", job_id))

    def node(self, name: str) -> dict[str, str]:
        """Return the fields of `scontrol show node`."""
        return _fields(self._show("-o", "node", name))

    def _show(self, *what: str) -> str:
        return self.run("scontrol", "show", *what)

    def active(self, *, user: str = "", name: str = "") -> set[str]:
        chosen = [f"--user={user}"] if user else []
        chosen += [f"--name={name}"] if name else []
        return set(self.run("squeue", "-h", self.ACTIVE, "-o", "%i", *chosen).split())

    ACTIVE = "--states=PENDING,CONFIGURING,RUNNING,SUSPENDED,REQUEUED,SPECIAL_EXIT"

    def jobs(self, name: str) -> list[Job]:
        rows = self.run("squeue", "-h", self.ACTIVE, "-o", "%i|%u|%T|%k", f"--name={name}")
        jobs = []
        for row in rows.splitlines():
            job_id, owner, state, comment = row.split("|", 3)
            mark = re.search(rf"unispawner:({MARK})", comment)
            waits = state in ("PENDING", "CONFIGURING", "REQUEUED", "SPECIAL_EXIT")
            jobs.append(Job(job_id, owner, mark[1] if mark else "", waits))
        return jobs

    def cancel(self, job_id: str, user: str) -> None:
        self.run("scancel", job_id, user=user)

    def cancel_named(self, name: str) -> None:
        self.run("scancel", f"--name={name}", check=False)

    def listings(self, job_id: str) -> list[list[str]]:
        return [
            ["scontrol", "show", "job", "-dd", job_id],
            ["scontrol", "show", "step", job_id],
            ["scontrol", "write", "batch_script", job_id, "-"],
            ["scontrol", "listpids", job_id],
            ["squeue", "--json"],
            ["squeue", "-o", "%all"],
            ["squeue", "-s", "-o", "%all"],
            ["sstat", "-a", "-j", job_id],
            ["sacct", "-a", "-l", "-P"],
            ["sacct", "-j", job_id, "--batch-script"],
            ["sacct", "-j", job_id, "--env-vars"],
            ["sinfo", "-o", "%all"],
        ]

    def owner_and_host(self, job_id: str) -> tuple[str, str]:
        job = self.job(job_id)
        return job["UserId"].partition("(")[0], self.node(job["BatchHost"])["NodeHostName"]


class OneHostSlurm(Slurm):
    """The Slurm of ``ci/slurm/up --one-host``: the Hub's own host is its only node.

    Its commands need its SLURM_CONF: see the fixture ``one_host``.
    """

    @classmethod
    def conf(cls) -> str:
        """Return the path of its configuration."""
        default = "/var/tmp/unispawner-slurm_one_host"
        folder = os.environ.get("UNISPAWNER_SLURM_ONE_HOST_DIR", default)
        return f"{folder}/etc/slurm.conf"

    @classmethod
    def why_not(cls) -> str:
        if not os.path.exists(cls.conf()):
            return f"there is no {cls.conf()} (sudo ci/slurm/up --one-host brings it up)"
        return why_no_answer(
            "env", f"SLURM_CONF={cls.conf()}", "sinfo", "-h", up="ci/slurm/up --one-host"
        )

    @property
    def hub_ip(self) -> str:
        """JupyterHub's own default, which no other host reaches."""
        return "127.0.0.1"


class OneOfTwoSlurms(Slurm):
    """One of the two Slurms of ``ci/slurm/up --two``, "alpha" or "beta".

    Their nodes have the same names, their jobs the same ids, and one slurmdbd knows both. Each is
    asked with its own SLURM_CONF.
    """

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster

    @property
    def folder(self) -> str:
        default = f"/var/tmp/unispawner-slurm_{self.cluster}"
        return os.environ.get(f"UNISPAWNER_SLURM_{self.cluster.upper()}_DIR", default)

    @property
    def environment(self) -> dict[str, str]:
        return {"SLURM_CONF": f"{self.folder}/etc/slurm.conf"}

    def why_not_here(self) -> str:
        """Return why this cluster can't be used here; empty if it can."""
        conf = self.environment["SLURM_CONF"]
        if not os.path.exists(conf):
            return f"there is no {conf} (sudo ci/slurm/up --two brings it up)"
        return why_no_answer("env", f"SLURM_CONF={conf}", "sinfo", "-h", up="ci/slurm/up --two")

    def run(self, *command: str, user: str = "", check: bool = True) -> str:
        """Run a command with this cluster's SLURM_CONF."""
        return run(
            "env", f"SLURM_CONF={self.environment['SLURM_CONF']}", *command, user=user, check=check
        )

    def submit_held(self, user: str) -> int:
        """Submit a job that is held, and cancel it; return its id."""
        job_id = self.run("sbatch", "-H", "-o/dev/null", "--parsable", "--wrap=true", user=user)
        self.cancel(job_id, user)
        return int(job_id.partition(";")[0])

    def kill_controller(self) -> None:
        """Kill slurmctld, and nothing else."""
        with open(f"{self.folder}/pids/slurmctld") as file:
            os.kill(int(file.read()), signal.SIGKILL)

    def bring_up(self) -> None:
        """Start what has died; jobs stay."""
        run(str(CHECKOUT / "ci/slurm/up"), f"--of-two={self.cluster}")


def _fields(line: str) -> dict[str, str]:
    """Read `Name=value Name=value`: a value ends where the next name begins."""
    pairs = re.findall(r"(?:^| )([A-Za-z][\w:/-]*)=(.*?)(?=(?: [A-Za-z][\w:/-]*=)|$)", line)
    return {name: value.strip() for name, value in reversed(pairs)}


class GridEngine(Cluster):
    """The Grid Engine of ci/gridengine."""

    name = "gridengine"
    job_variable = "JOB_ID"
    accounts = True
    refused: ClassVar = {
        "nowhere": ({"queue_name": "nowhere"}, '"nowhere"'),
        "no-such-project": ({"account": "nobody-pays"}, '"nobody-pays" does not exist'),
        "too-many-cores": ({"resources": {"cpu_cores_per_process": 64}}, "no suitable queues"),
    }
    too_much: ClassVar = (
        {
            "duration": "3:00:00",
            "queue_name": "short.q",
            "custom_attributes": {"gridengine.w": "n"},
        },
        "is queued",
    )
    held: ClassVar = ({"custom_attributes": {"gridengine.h": True}}, "the job is held")
    cancelled = "Grid Engine does not know the job any more"  # the accounting has no waiting jobs
    died = "the job ended with exit status 3"
    stuck: ClassVar = (
        # With DRMAA a job whose start fails is deleted, and the accounting has the reason.
        {"use_drmaa": False, "custom_attributes": {"gridengine.wd": "/nowhere/at/all"}},
        "can't chdir to /nowhere/at/all",
    )

    @classmethod
    def why_not(cls) -> str:
        return why_no_answer("qhost", up="ci/gridengine/up")

    @property
    def hub_ip(self) -> str:
        return os.environ["UNISPAWNER_GRIDENGINE_HUB_IP"]

    @property
    def environment(self) -> dict[str, str]:
        return {name: os.environ[name] for name in VARIABLES if name in os.environ}

    def _jobs(self) -> list[dict[str, str]]:
        root = ElementTree.fromstring(run("qstat", "-xml", "-u", "*"))
        return [
            {one.tag: (one.text or "").strip() for one in entry} for entry in root.iter("job_list")
        ]

    def active(self, *, user: str = "", name: str = "") -> set[str]:
        return {
            job["JB_job_number"]
            for job in self._jobs()
            if user in ("", job["JB_owner"])
            and name in ("", job["JB_name"])
            and "d" not in job["state"]
        }

    def jobs(self, name: str) -> list[Job]:
        marks, job_id = {}, ""
        for line in run("qstat", "-j", "*", check=False).splitlines():
            field, _, value = line.partition(":")
            if field == "job_number":
                job_id = value.strip()
            elif field == "context" and (mark := re.search(f"unispawner=({MARK})", value)):
                marks[job_id] = mark[1]
        return [
            Job(
                job["JB_job_number"],
                job["JB_owner"],
                marks.get(job["JB_job_number"], ""),
                "q" in job["state"],
            )
            for job in self._jobs()
            if job["JB_name"] == name and "d" not in job["state"]
        ]

    def cancel(self, job_id: str, user: str) -> None:
        run("qdel", job_id, user=user)

    def cancel_named(self, name: str) -> None:
        if jobs := self.active(name=name):
            run("qdel", *jobs, check=False)

    def listings(self, job_id: str) -> list[list[str]]:
        return [
            ["qstat", "-j", job_id],
            ["qstat", "-xml", "-j", job_id],
            ["qstat", "-j", "*"],
            ["qstat", "-ext", "-r", "-urg", "-pri", "-u", "*"],
            ["qstat", "-xml", "-ext", "-r", "-u", "*"],
            ["qstat", "-f", "-F", "-u", "*"],
            ["qstat", "-g", "t", "-u", "*"],
            ["qhost", "-j", "-F"],
            ["qhost", "-xml", "-j"],
            ["qacct", "-j", job_id],
            ["qalter", "-verify", job_id],
            ["qrdel", job_id],
        ]

    def owner_and_host(self, job_id: str) -> tuple[str, str]:
        (job,) = [job for job in self._jobs() if job["JB_job_number"] == job_id]
        return job["JB_owner"], job["queue_name"].partition("@")[2].partition(".")[0]


class HTCondor(Cluster):
    """The HTCondor of ci/htcondor."""

    name = "htcondor"
    accounts = True
    refused: ClassVar = {
        "no-such-command": (
            {"custom_attributes": {"htcondor.requirements": "((("}},
            "Parse error in expression",
        ),
    }
    too_much: ClassVar = (
        {"resources": {"memory": "900G"}},
        "no machine has what the job asks for",
    )
    held: ClassVar = ({"resources": {"cpu_cores_per_process": 900}}, "no machine has")
    cancelled = "via condor_rm (by user alice)"
    died = "the job ended with exit status 3"
    stuck: ClassVar = (
        {"custom_attributes": {"htcondor.periodic_hold": "JobStatus == 2"}},
        "The job attribute PeriodicHold expression",
    )

    @classmethod
    def why_not(cls) -> str:
        return why_no_answer("condor_q", "-allusers", up="ci/htcondor/up")

    @property
    def hub_ip(self) -> str:
        return os.environ["UNISPAWNER_HTCONDOR_HUB_IP"]

    @property
    def environment(self) -> dict[str, str]:
        return {"CONDOR_CONFIG": os.environ["CONDOR_CONFIG"]}

    @property
    def path(self) -> str:
        found = shutil.which("condor_q")
        assert found
        return os.path.dirname(found)

    def _jobs(self) -> list[dict[str, Any]]:
        fields = "ClusterId,Owner,JobStatus,JobBatchName,RemoteHost,UnispawnerMark"
        answer = run("condor_q", "-allusers", "-json", "-attributes", fields)
        return list(json.loads(answer)) if answer else []

    def active(self, *, user: str = "", name: str = "") -> set[str]:
        return {
            str(job["ClusterId"])
            for job in self._jobs()
            if user in ("", job["Owner"])
            and name in ("", job.get("JobBatchName"))
            and job["JobStatus"] not in (3, 4)
        }

    def jobs(self, name: str) -> list[Job]:
        waiting = (1, 5)  # idle, held
        return [
            Job(
                str(job["ClusterId"]),
                job["Owner"],
                job.get("UnispawnerMark", ""),
                job["JobStatus"] in waiting,
            )
            for job in self._jobs()
            if job.get("JobBatchName") == name and job["JobStatus"] not in (3, 4)
        ]

    def cancel(self, job_id: str, user: str) -> None:
        run("condor_rm", job_id, user=user)

    def cancel_named(self, name: str) -> None:
        for job in self._jobs():
            if job.get("JobBatchName") == name:
                run("condor_rm", str(job["ClusterId"]), user=job["Owner"], check=False)

    def listings(self, job_id: str) -> list[list[str]]:
        return [
            ["condor_q", "-l", job_id],
            ["condor_q", "-allusers", "-l"],
            ["condor_q", "-allusers", "-json"],
            ["condor_q", "-allusers", "-run", "-nobatch"],
            ["condor_q", "-better-analyze", job_id],
            ["condor_history", "-l", "-limit", "5"],
            ["condor_status", "-l"],
            ["condor_status", "-schedd", "-l"],
            ["condor_status", "-submitters", "-l"],
            ["condor_ssh_to_job", job_id, "env"],
            ["condor_tail", job_id],
        ]

    def owner_and_host(self, job_id: str) -> tuple[str, str]:
        (job,) = [job for job in self._jobs() if str(job["ClusterId"]) == job_id]
        return job["Owner"], job["RemoteHost"].rpartition("@")[2].partition(".")[0]


CLUSTERS: dict[str, type[Cluster]] = {one.name: one for one in (GridEngine, HTCondor, Slurm)}


_reasons: dict[str, str] = {}


def why_not(name: str) -> str:
    """Return why a scheduler can't be used here; empty if it can. It is checked once."""
    if name not in _reasons:
        _reasons[name] = CLUSTERS[name].why_not()
    return _reasons[name]


def cluster_of(name: str) -> Cluster:
    """Return a real scheduler; skip the test if it is not here."""
    if reason := why_not(name):
        pytest.skip(f"no {name}: {reason}")
    return CLUSTERS[name]()
