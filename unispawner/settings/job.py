"""What an administrator can set, and how it becomes a job: traits -> JobSpec."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable as CallableType
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from jupyterhub.spawner import Spawner
from jupyterhub.traitlets import Callable
from traitlets import (
    Bool,
    Dict,
    Enum,
    Float,
    Instance,
    Integer,
    List,
    TraitError,
    Unicode,
    Union,
    default,
)
from traitlets.config import Config

from ..errors import InvalidJobError
from ..job import JobSpec, ResourceSpec
from ..run_as import WAYS
from ..schedulers import NAMES
from ..script.rendering import render_script
from ..submit_host.host import HOST
from ..units import parse_duration
from . import detect
from .scheduler import SchedulerSettings

# PSI/J's own names, too: a configuration may serve both.
_ATTRIBUTE_PREFIXES = {*NAMES, "pbs_classic", "cobalt", "flux", "rp"}
_WILDCARDS = ("", "0.0.0.0", "::", "*")  # noqa: S104 (compared with, not bound to)


class JobSettings(SchedulerSettings):
    """The traits of UniSpawner."""

    resources = Dict(
        help="""What each job asks for: any of node_count, process_count, processes_per_node,
        cpu_cores_per_process, gpu_cores_per_process (whole numbers), memory (of the whole job:
        "4G", "512M", "4GiB" or bytes; all units binary) and exclusive_node_use (True or False).
        What is left out is the scheduler's default. Example:
        {"cpu_cores_per_process": 2, "memory": "4G"}""",
    ).tag(config=True)

    duration = Union(
        [Unicode(), Integer(), Instance(timedelta)],
        default_value=None,
        allow_none=True,
        help="""How long a job may run: "08:00:00" (HH:MM:SS), "1-12:00:00" (days first), a number
        of minutes, or a timedelta. None (the default) leaves it to the scheduler.""",
    ).tag(config=True)

    queue_name = Unicode(
        allow_none=True,
        help="""The queue (Slurm: partition) to submit to; empty (the default) is the scheduler's
        default.""",
    ).tag(config=True)

    account = Unicode(
        allow_none=True,
        help="""The account or project that pays for the job; empty is the user's default.""",
    ).tag(config=True)

    reservation_id = Unicode(
        allow_none=True,
        help="""The advance reservation to run in; empty (the default) is none.""",
    ).tag(config=True)

    custom_attributes = Dict(
        help="""Further options of the scheduler, each named "<scheduler>.<option>" as on its
        submit command: {"slurm.qos": "high", "slurm.requeue": True,
        "slurm.mail-type": ["BEGIN", "END"]}. True is an option without a value, a list repeats
        the option; those of other schedulers are ignored.""",
    ).tag(config=True)

    job_name = Unicode(
        "jupyter",
        help="""The job's name in the scheduler's listings, which every user may see.""",
    ).tag(config=True)

    prologue = Unicode(
        help="""Shell text that the job runs before the server, such as "module load python". It
        runs in job_shell, with the server's environment set. Every user can read it on some
        schedulers: no secrets.""",
    ).tag(config=True)

    epilogue = Unicode(
        help="""Shell text that the job runs after the server has ended. Every user can read it on
        some schedulers: no secrets.""",
    ).tag(config=True)

    job_shell = Unicode(
        "/bin/bash -l",
        help="""The shell of the job's script: an absolute path and at most one argument. A login
        shell (-l, the default) reads /etc/profile, where "module" usually comes from.""",
    ).tag(config=True)

    run_as = Enum(
        tuple(WAYS),
        default_value="sudo",
        help="""How the Hub acts as a user: "sudo" (the default) runs one fixed command, for which
        `unispawner doctor --sudoers` prints the line; "same_user" runs jobs as the Hub's own
        account only.""",
    ).tag(config=True)

    allow_shared_account = Bool(
        False,
        help="""With run_as = "same_user": run the servers of all Hub users under the Hub's own
        account. They can then read and change each other's files and servers, and the Hub's
        database. For demonstrations and for people who trust each other fully.""",
    ).tag(config=True)

    account_name: CallableType[[Spawner], str] | None = Callable(
        default_value=None,
        allow_none=True,
        help="""A function of the spawner that returns the name of the system account a server
        runs under. None (the default): the Hub user's name.""",
    ).tag(config=True)

    min_uid = Integer(
        1000,
        min=1,
        help="""The lowest uid that may run servers; system accounts have lower ones. Checked on
        both sides of the user boundary. Uid 0 is never allowed. Default: 1000.""",
    ).tag(config=True)

    status_interval = Float(
        15.0,
        min=1.0,
        help="""Seconds between queries for the state of all jobs, when none starts or stops (then
        it is every second, or less often if the scheduler is slow). Default: 15.""",
    ).tag(config=True)

    inventory_interval = Float(
        60.0,
        min=1.0,
        help="""Seconds for which it is believed what the cluster has, and what of it is free: asked
        for once for all users, when somebody looks at a form, and never while a page waits for it.
        Default: 60.""",
    ).tag(config=True)

    end_warning = Float(
        900.0,
        min=0.0,
        help="""Seconds before a job's time is up from which its user is warned, on the Hub's home
        page and by its API. 0 is never. Default: 900.""",
    ).tag(config=True)

    state_dir = Unicode(
        "~/.unispawner",
        help="""Where each user's private files go: the environment of running servers (mode 0600)
        and the logs of the last 20 jobs. Must be visible on the Hub's host and on the nodes under
        the same path. "~" is the user's home, "{username}" the account's name.""",
    ).tag(config=True)

    launcher_python = Unicode(
        "python3",
        help="""The Python (3.6 or later) on the nodes that runs the launcher; it needs no
        packages. Looked for on the job's PATH after the prologue, unless it is a path.""",
    ).tag(config=True)

    agent_python = Unicode(
        help="""The Python on the Hub's host that runs the user's side. It must have unispawner
        installed and be readable by users, so not below /root. Default: the Hub's own.""",
    ).tag(config=True)

    agent_timeout = Float(
        60.0,
        min=1.0,
        help="""Seconds that a submission, a cancellation or a question as the user may take.
        Default: 60.""",
    ).tag(config=True)

    host_map = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        help="""Where the scheduler's name of a node is no name that the Hub's host can resolve,
        or not to the address that servers report: {"node17": "node17.ib.cluster.example"}.""",
    ).tag(config=True)

    report_host = Unicode(
        "fqdn",
        help="""Which of a node's names or addresses the Hub shall use: "fqdn" (the default),
        "short", "route" (the address from which the node reaches the Hub), "interface:ib0", or
        "network:10.1.0.0/16".""",
    ).tag(config=True)

    report_timeout = Float(
        120.0,
        min=1.0,
        help="""Seconds that a running job may take until its server listens, counted from the
        moment the scheduler says that it runs. Default: 120.""",
    ).tag(config=True)

    port_range = Unicode(
        help="""Ports for the servers on the nodes, as "20000-29999", for instance where a firewall
        lets the Hub reach only these. Empty (the default): any free port.""",
    ).tag(config=True)

    # Defaults that differ from JupyterHub's, because jobs queue.
    start_timeout = Integer(
        24 * 3600,
        help="""Seconds until a start that has not succeeded is given up, waiting in the queue
        included. Default: one day.""",
    ).tag(config=True)

    http_timeout = Integer(
        120,
        help="""Seconds that a server which has reported may take to answer. Default: 120.""",
    ).tag(config=True)

    env_keep = List(
        ["JUPYTERHUB_SINGLEUSER_APP"],
        help="""Variables of the Hub's own environment that servers get. Unlike other spawners',
        the default holds no PATH or LANG: a job has those of a login on its node.""",
    ).tag(config=True)

    @default("ip")
    def _default_ip(self) -> str:
        return "0.0.0.0"  # noqa: S104 (the Hub is on another host)

    @default("agent_python")
    def _default_agent_python(self) -> str:
        return sys.executable

    @classmethod
    async def check_config(cls, config: Config) -> None:
        """Make sure that a configuration makes a job, before there is anybody to start one.

        Raises
        ------
        InvalidJobError
            If a setting can't be right, or asks for what the scheduler can't express.
        SchedulerUnavailable
            If the scheduler is to be found by itself and does not answer.
        """
        try:
            spawner = cls(config=config)
        except TraitError as error:
            raise InvalidJobError(str(error)) from None
        await spawner.find_scheduler()
        spec = spawner.job_spec("0" * 16, environment={})
        render_script(spec, spawner.get_scheduler(), shell=spawner.job_shell)
        if re.search(r"[{}]", spawner.state_dir.replace("{username}", "")):
            raise InvalidJobError(
                f"state_dir: {spawner.state_dir!r}: only {{username}} is known in braces"
            )
        await detect.check(spawner.get_scheduler(), HOST, spawner.command_environment())

    def job_spec(self, mark: str, environment: Mapping[str, object]) -> JobSpec:
        """Return the job that a start would submit now, with this environment.

        Raises
        ------
        InvalidJobError
            For the first setting that can't be right, naming it and its value.
        """
        for key in self.custom_attributes:
            scheduler = str(key).partition(".")[0].lower()
            if "." in str(key) and scheduler not in _ATTRIBUTE_PREFIXES:
                raise InvalidJobError(
                    f"custom_attributes: {key!r}: there is no scheduler {scheduler!r}; there are "
                    f"{', '.join(NAMES)}"
                )
        spec = JobSpec(
            name=self.job_name,
            executable=self.launcher_python,
            arguments=tuple(self._launcher_arguments()),
            environment={name: str(value) for name, value in environment.items()},
            resources=self._resource_spec(),
            duration=None if self.duration is None else parse_duration(self.duration),
            queue_name=self.queue_name or "",
            account=self.account or "",
            reservation_id=self.reservation_id or "",
            custom_attributes=self.custom_attributes,
            prologue=self.prologue,
            epilogue=self.epilogue,
            mark=mark,
        )
        self.get_scheduler().check_supported(spec)
        return spec

    def _launcher_arguments(self) -> list[str]:
        how = self.report_host
        if not re.fullmatch(r"fqdn|short|route|interface:\S+|network:\S+", how):
            raise InvalidJobError(
                f"report_host: {how!r} must be fqdn, short, route, interface:NAME or network:RANGE"
            )
        if self.port_range and not re.fullmatch(r"\d{4,5}-\d{4,5}", self.port_range):
            raise InvalidJobError(f"port_range: {self.port_range!r} must be like 20000-29999")
        if self.get_scheduler().loopback:
            how = f"literal:{'127.0.0.1' if self.ip in _WILDCARDS else self.ip}"
        ports = ["--ports", self.port_range] if self.port_range else []
        return ["-I", "-", "--host", how, *ports, "--", *self.cmd, *self.get_args()]

    def _resource_spec(self) -> ResourceSpec:
        """Return the resources, JupyterHub's own limits filled in where ours are unset.

        They are those of the whole server; a guarantee and a limit are one thing to a scheduler.
        """
        values: dict[str, Any] = dict(self.resources)
        memory = self.mem_limit or self.mem_guarantee
        if memory and values.get("memory") is None:
            values["memory"] = int(memory)
        cores = self.cpu_limit or self.cpu_guarantee
        if cores and values.get("cpu_cores_per_process") is None:
            values["cpu_cores_per_process"] = math.ceil(cores)
        if self.get_scheduler().loopback and (memory or cores):
            raise InvalidJobError(
                "mem_limit, mem_guarantee, cpu_limit, cpu_guarantee: the local host limits "
                "nothing; leave them unset"
            )
        return ResourceSpec.from_dict(values)
