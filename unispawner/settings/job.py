"""The settings of a job, as traits, and how they become a JobSpec."""

from __future__ import annotations

import math
import re
from collections.abc import Callable as CallableType
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from jupyterhub.spawner import Spawner
from jupyterhub.traitlets import Callable
from traitlets import (
    Bool,
    Dict,
    Float,
    Instance,
    Integer,
    List,
    TraitError,
    Unicode,
    Union,
    default,
    validate,
)
from traitlets.config import Config

from ..errors import InvalidJobError
from ..job import HUB_ID, LONGEST_SIGNAL, PER_CORE, JobSpec, ResourceSpec
from ..schedulers import NAMES
from ..script.rendering import render_script
from ..units import parse_duration, parse_memory
from . import detect
from .host_map import check_host_map
from .mail import read_settings
from .names import NameSettings

# With the names of PSI/J's executors: one configuration may serve PSI/J programs as well.
_ATTRIBUTE_PREFIXES = {*NAMES, "pbs_classic", "cobalt", "flux", "rp"}
_WILDCARDS = ("", "0.0.0.0", "::", "*")  # noqa: S104 (only compared with)


class JobSettings(NameSettings):
    """The traits of UniSpawner that describe a job, its account and its server."""

    resources = Dict(
        help="""The resources that each job requests. Keys: node_count, process_count,
        processes_per_node, cpu_cores_per_process, gpu_cores_per_process (whole numbers), memory
        (of the whole job: "4G", "512M", "4GiB" or a number of bytes; a K is always 1024 bytes;
        "all" with exclusive_node_use: all memory of the nodes, on Slurm), memory_per_core (instead
        of memory: for each core),
        exclusive_node_use (True or False), gpu_type (the scheduler's name of the GPUs' type, such
        as "a100"; on Slurm also a MIG profile, "a100_3g.20gb", "shard" or "shard:a100") and
        constraint (features that the nodes must have: "avx512", "avx512&ib"). Where memory or
        cpu_cores_per_process is missing, JupyterHub's mem_limit or cpu_limit is used, or else the
        guarantee of that name. For every other missing key the scheduler's default applies.
        Example:
        {"cpu_cores_per_process": 2, "memory": "4G"}""",
    ).tag(config=True)

    duration = Union(
        [Unicode(), Integer(), Instance(timedelta)],
        default_value=None,
        allow_none=True,
        help="""The time limit of each job: "08:00:00" (HH:MM:SS), "1-12:00:00" (days first), a
        number of minutes, or a timedelta. None (the default): the scheduler's own limit
        applies.""",
    ).tag(config=True)

    queue_name = Unicode(
        allow_none=True,
        help="""The queue that jobs are submitted to; Slurm calls it a partition. Empty (the
        default): the scheduler's default queue.""",
    ).tag(config=True)

    account = Unicode(
        allow_none=True,
        help="""The account or project that is charged for the job. Empty (the default): the
        user's default account.""",
    ).tag(config=True)

    reservation_id = Unicode(
        allow_none=True,
        help="""The advance reservation in which jobs run. Empty (the default): none.""",
    ).tag(config=True)

    qos = Unicode(
        allow_none=True,
        help="""The quality of service of each job, on Slurm, and on TORQUE with Maui or Moab (see
        torque_moab). Other schedulers have none, and refuse it when the Hub starts. The custom
        attribute "slurm.qos" replaces it. Example: "interactive". Empty (the default): the user's
        default.""",
    ).tag(config=True)

    custom_attributes = Dict(
        help="""Further options of the scheduler's submit command, each as
        "SCHEDULER.OPTION": {"slurm.qos": "high", "slurm.requeue": True,
        "slurm.mail-type": ["BEGIN", "END"]}. True writes the option without a value, False leaves
        it out, and a list repeats it. Options of other schedulers are ignored.""",
    ).tag(config=True)

    omit_directives = List(
        Unicode(),
        help="""Options of the submit command that unispawner leaves out of every job, because the
        site forbids or replaces them, by the scheduler's own names: ["mem", "propagate"] on Slurm,
        ["h_vmem"] on Grid Engine, ["walltime"] on PBS. What the custom_attributes add stays. Names
        that can't be left out are refused when the Hub starts. Default: [].""",
    ).tag(config=True)

    prologue = Unicode(
        help="""Shell commands that the job runs before the server starts, such as
        "module load python". They run in job_shell, with the server's environment variables. Put
        no secrets here: with some schedulers every user can read them.""",
    ).tag(config=True)

    epilogue = Unicode(
        help="""Shell commands that the job runs after the server has ended. Put no secrets
        here: with some schedulers every user can read them.""",
    ).tag(config=True)

    job_shell = Unicode(
        "/bin/bash -l",
        help="""The shell that runs the job's script: an absolute path and at most one
        argument. The script is in sh's language, so csh, tcsh and fish are refused; a user's own
        login shell does not matter. The default is a login shell (-l): it reads /etc/profile,
        which usually defines the command "module".""",
    ).tag(config=True)

    account_name: CallableType[[Spawner], str] | None = Callable(
        default_value=None,
        allow_none=True,
        help="""A function that takes the spawner and returns the name of the system account
        that the server runs under. None (the default): the name of the Hub user.""",
    ).tag(config=True)

    hub_id = Unicode(
        help="""The id of this Hub, the first part of each job's mark, by which `unispawner reap`
        knows the jobs of this Hub: 1 to 15 lower-case letters and digits, such as "teaching2". Two
        Hubs of a cluster must not have the same. It is for the whole Hub, and must not be set for
        a single profile. Empty (the default): the Hub makes an id when it first starts, and keeps
        it in the file "unispawner_hub_id" beside the file of c.JupyterHub.cookie_secret_file.""",
    ).tag(config=True)

    status_interval = Float(
        15.0,
        min=1.0,
        help="""How often (seconds) the Hub asks the scheduler for the states of all jobs
        while no server starts or stops. For a while after a submission, and while a server stops,
        it asks more often: at first after a second, then at intervals that double. The servers
        themselves report when they begin, are ready and end. A slow scheduler is asked less often,
        so that queries take a tenth of the time at most. Default: 15.""",
    ).tag(config=True)

    min_query_interval = Float(
        2.0,
        min=0.0,
        help="""The shortest time (seconds) between two questions to the scheduler for all jobs,
        whatever happens. Any larger value is right, too: the Hub then notices some things later,
        such as a job that fails in the queue. Beside these questions there is at most one question
        a second for a single job, when its server has reported something. Spawners with the same
        scheduler share its questions, and the largest of their values counts. Values below 1 count
        as 1. Example: 30 at a site whose scheduler limits the requests of each user. Default:
        2.""",
    ).tag(config=True)

    mine_interval = Float(
        4 * 3600.0,
        min=0.0,
        help="""How long (seconds) the Hub reuses what the scheduler said about one user: accounts,
        queues, qualities of service and reservations, for options with "choices": "mine". Default:
        14400 (4 hours). When the scheduler refuses a job, or a user sends a name that is not in the
        list, the Hub asks again at once. Nobody is asked about who opens no form with such an
        option.""",
    ).tag(config=True)

    inventory_interval = Float(
        60.0,
        min=1.0,
        help="""How long (seconds) the list of nodes, queues and free resources is reused. The Hub
        asks the scheduler for a new one, once for all users, when somebody opens a form after that
        time; no page waits for the answer. Default: 60.""",
    ).tag(config=True)

    estimate_start = Bool(
        True,
        help="""Whether the form says when a server with the present choice would start. On Slurm
        the Hub asks `sbatch --test-only` as the user, which submits nothing: two questions at a
        time at most for all users, each followed by a pause of four times its length. With other
        schedulers it is an estimate from the list of free resources, and nobody is asked. False:
        the form says nothing about the start, and the scheduler gets no such questions. Default:
        True.""",
    ).tag(config=True)

    check_nodes = Bool(
        True,
        help="""Whether a start is refused if the cluster can never run its job: what it asks for
        is compared with the limits of its queue, and its cores, memory, GPUs and features together
        with the nodes that the scheduler lists, up or down. The message names what to change. True
        (the default): it is. What is not known of the queues and nodes does not count against a
        job. False: jobs are submitted all the same; for a cluster whose scheduler lists cloud nodes
        only while they run, or whose users may go beyond a queue's limits.""",
    ).tag(config=True)

    end_warning = Float(
        900.0,
        min=0.0,
        help="""How long (seconds) before the end of a job's time limit its user is warned: on the
        Hub's home page, in its API, and by a notice. A job that is shorter than twice that time
        is warned of at the half of its time. 0: never. Default: 900.""",
    ).tag(config=True)

    history_days = Float(
        30.0,
        min=0.0,
        help="""For how many days the Hub's database keeps what became of each start: the choice,
        how long it waited and ran, and why it ended. Users see their own on the page
        /hub/unispawner/history, and may delete it. 0: nothing is kept. Default: 30.""",
    ).tag(config=True)

    ask_accounting = Bool(
        True,
        help="""Whether the Hub asks the scheduler's accounting what each job has used, after its
        end: memory, cores, time and GPUs, for the page of earlier sessions and for the hints beside
        the fields of profiles. It is asked as the job's user, a few times within four minutes; a
        site without an accounting is asked again after four hours. With history_days = 0 it is
        never asked. Default: True.""",
    ).tag(config=True)

    signal_before_end = Integer(
        None,
        min=0,
        max=LONGEST_SIGNAL,
        allow_none=True,
        help="""How long (seconds) before the end of a job's time limit the scheduler announces it
        with a signal, so that unispawner-lab warns the user in JupyterLab. The server itself does
        not get the signal. 0: never. Slurm sends it up to a minute earlier, and in the second half
        of a short job. Grid Engine sends it (-notify) when the time limit is over or somebody
        deletes the job, and ends the job only after the time that its queue has as "notify": write
        that number here, usually 60, and expect each stop of a server to take as long. LSF (-wa,
        -wt) counts in whole minutes; OpenLava has no such options. Other schedulers refuse any
        number but 0. None (the default): 300 on Slurm, and no signal elsewhere. A signal of the
        site's own in the custom_attributes, such as "slurm.signal", comes instead of this one.""",
    ).tag(config=True)

    mail = Dict(
        help="""How the Hub sends mail to users who ask for it: when a server is ready that had to
        wait, when a start failed or a server ended without its user's doing, and end_warning before
        its end. Keys: host and port (25) of the SMTP server; from, the Hub's address; to, a user's
        address, as a text with {username} or as a function of the spawner that returns an address
        or nothing; tls ("starttls", the default; "ssl" or "none"); user and password_file, if the
        server wants a login. Empty, the default: no mail. Set it as c.UniSpawner.mail, not in a
        profile. Example:
        {"host": "smtp.example.org", "from": "hub@example.org", "to": "{username}@example.org"}""",
    ).tag(config=True)

    languages = List(
        Unicode(),
        help="""The languages of this Hub's pages and mail, as ["en", "de"]. Each reader gets the
        first of them that their browser asks for, or else English, which is always offered. Empty,
        the default: all that have a catalogue (English, German, French, and those of catalogues).
        JupyterHub's own texts stay as they are. Set it as c.UniSpawner.languages, not in a
        profile.""",
    ).tag(config=True)

    catalogues = Unicode(
        "",
        help="""A folder with the site's own catalogues: LANGUAGE/LC_MESSAGES/unispawner.po. They
        add languages, and replace single texts, in English (en), too. The Hub reads them when it
        starts. Empty, the default: only those of unispawner. Set it as c.UniSpawner.catalogues,
        not in a profile. Example: "/srv/jupyterhub/locale".""",
    ).tag(config=True)

    launcher_python = Unicode(
        "python3",
        help="""The Python (3.6 or later) that runs the launcher on the nodes; it needs no
        packages. A name without a slash is searched on the job's PATH, after the prologue.""",
    ).tag(config=True)

    agent_timeout = Float(
        60.0,
        min=1.0,
        help="""How long (seconds) one request to the agent may take, such as a submission or a
        cancellation. After that it fails. Default: 60.""",
    ).tag(config=True)

    host_map = Union(
        [Dict(), Callable()],
        help="""The name or address at which the Hub reaches a node, by the scheduler's name of the
        node. Needed where the Hub's host can't resolve that name, or resolves it to another address
        than servers report. A dictionary has names, {"node17": "node17.ib.cluster.example"}, or
        patterns, {r"n(\\d+)": r"n\\1-ib.cluster.example"}: Python's regular expressions, which must
        match a whole name. Every key with another character than a letter, a digit, "_", "-", "."
        or ":" is a pattern. An exact name comes first, and then the first pattern that matches.
        Instead of the dictionary there may be a function that takes the name and returns the name
        or address; None leaves the name as it is. The name that a server reports is looked up, too,
        and a user may make it up: in a pattern, put no repetition into a repetition, as in
        ([a-z]+-?)+, because Python may need hours for it. Default: {}, all names stay as they
        are.""",
    ).tag(config=True)

    report_host = Unicode(
        "fqdn",
        help="""Which name or address of its node a server reports to the Hub: "fqdn" (the
        default; the full host name), "short" (the host name without its domain), "route" (the
        address from which the node reaches the Hub), "interface:NAME" (the address of that network
        interface, as in "interface:ib0") or "network:RANGE" (the address within that network, as in
        "network:10.1.0.0/16").""",
    ).tag(config=True)

    report_timeout = Float(
        None,
        min=1.0,
        allow_none=True,
        help="""How long (seconds) a job may run until its server reports that it listens, counted
        from the moment when the scheduler says that the job runs. After that the start fails.
        Example: 900. None (the default): 120 if the job's log does not grow, and 600 as long as it
        grows; if start_timeout or http_timeout is set to a larger number, that number counts
        instead.""",
    ).tag(config=True)

    port_range = Unicode(
        help="""The ports that servers on the nodes may use, as "20000-29999"; for example those
        that a firewall leaves open to the Hub. Empty (the default): any free port.""",
    ).tag(config=True)

    # These defaults are longer than JupyterHub's, because jobs wait in a queue.
    start_timeout = Integer(
        24 * 3600,
        help="""How long (seconds) a start may take, including the time that the job waits in the
        queue. After that the start fails and the job is cancelled. Default: 86400 (one day).""",
    ).tag(config=True)

    http_timeout = Integer(
        120,
        help="""How long (seconds) a server may take to answer over HTTP after it has reported.
        After that the start fails. Default: 120.""",
    ).tag(config=True)

    env_keep = List(
        ["JUPYTERHUB_SINGLEUSER_APP"],
        help="""The variables of the Hub's own environment that servers get. Unlike the default
        of JupyterHub 5, this one does not contain PATH or LANG: a job has those of a login on its
        node.""",
    ).tag(config=True)

    own_paths = List(
        Dict(),
        help="""The paths that the user has typed for the choices of a profile, which are looked at
        as the user before the job is submitted. ProfilesSpawner sets them.""",
    )

    @validate("host_map")
    def _check_host_map(self, proposal: Mapping[str, Any]) -> Any:
        try:
            check_host_map(proposal["value"])
        except InvalidJobError as error:
            raise TraitError(str(error)) from None
        return proposal["value"]

    @validate("mail")
    def _check_mail(self, proposal: Mapping[str, Any]) -> Any:
        try:
            read_settings(proposal["value"])
        except InvalidJobError as error:
            raise TraitError(str(error)) from None
        return proposal["value"]

    @validate("hub_id")
    def _check_hub_id(self, proposal: Mapping[str, Any]) -> Any:
        if proposal["value"] and not re.fullmatch(HUB_ID, proposal["value"]):
            raise TraitError(
                f"hub_id: {proposal['value']!r} must have 1 to 15 lower-case letters and digits"
            )
        return proposal["value"]

    @default("ip")
    def _default_ip(self) -> str:
        return "0.0.0.0"  # noqa: S104 (the Hub is on another host)

    @classmethod
    async def check_config(cls, config: Config) -> None:
        """Check that a configuration can make a job; the Hub does this when it starts.

        Raises
        ------
        InvalidJobError
            If a setting is wrong, or requests what the scheduler can't express.
        SchedulerUnavailable
            If the scheduler's commands are missing or do not answer.
        """
        try:
            spawner = cls(config=config)
        except TraitError as error:
            raise InvalidJobError(str(error)) from None
        spawner.check_names()
        await spawner.find_way()
        await spawner.find_scheduler()
        spec = spawner.job_spec("0" * 16, environment={})
        render_script(spec, spawner.get_scheduler(), shell=spawner.job_shell)
        await spawner.check_way()
        await detect.check(
            spawner.get_scheduler(), spawner.get_host(), spawner.command_environment()
        )

    def job_spec(
        self, mark: str, environment: Mapping[str, object], account: str = "USER"
    ) -> JobSpec:
        """Return the job that a start of this account would submit now, with this environment.

        Raises
        ------
        InvalidJobError
            For the first setting that is wrong; the message names it and its value.
        """
        spec = JobSpec(
            name=self.fill_job_name(),
            directory=self.folder_of("directory", account),
            executable=self.launcher_python,
            environment={name: str(value) for name, value in environment.items()},
            resources=self._resource_spec(),
            duration=None if self.duration is None else parse_duration(self.duration),
            queue_name=self.queue_name or "",
            account=self.account or "",
            reservation_id=self.reservation_id or "",
            qos=self.qos or "",
            custom_attributes=self._checked_attributes(),
            prologue=self.prologue,
            epilogue=self.epilogue,
            mark=mark,
            signal_before_end=self._seconds_of_signal(),
        )
        scheduler = self.get_scheduler()
        spec = replace(spec, arguments=self._launcher_arguments(scheduler.announcement(spec)))
        scheduler.check_environment(self.scheduler_environment)
        scheduler.check_supported(spec)
        return spec

    def _seconds_of_signal(self) -> int:
        """Return how many seconds before its end the job is announced that end; 0 means never."""
        default = self.get_scheduler().signal_before_end
        return default if self.signal_before_end is None else int(self.signal_before_end)

    def _checked_attributes(self) -> dict[str, Any]:
        """Return the custom attributes, with those that leave our own directives out."""
        for key in self.custom_attributes:
            prefix = str(key).partition(".")[0].lower()
            if "." in str(key) and prefix not in _ATTRIBUTE_PREFIXES:
                raise InvalidJobError(
                    f"custom_attributes: {key!r}: unknown scheduler {prefix!r}; known "
                    f"schedulers: {', '.join(NAMES)}"
                )
        scheduler = self.get_scheduler()
        scheduler.check_omitted(self.omit_directives)
        omitted = {f"{scheduler.name}.{name}": False for name in self.omit_directives}
        return {**omitted, **self.custom_attributes}

    def _launcher_arguments(self, announcement: tuple[str, int] | None) -> tuple[str, ...]:
        host = self.report_host
        if not re.fullmatch(r"fqdn|short|route|interface:\S+|network:\S+", host):
            raise InvalidJobError(
                f"report_host: {host!r} must be fqdn, short, route, interface:NAME or network:RANGE"
            )
        if self.get_scheduler().loopback:
            host = f"literal:{'127.0.0.1' if self.ip in _WILDCARDS else self.ip}"
        ports = ["--ports", self._checked_port_range()] if self.port_range else []
        ending = ["--ending", "{}@{}".format(*announcement)] if announcement else []
        return ("-I", "-", "--host", host, *ports, *ending, "--", *self.cmd, *self.get_args())

    def _checked_port_range(self) -> str:
        match = re.fullmatch(r"(\d{4,5})-(\d{4,5})", self.port_range, re.ASCII)
        if not match or not 1024 <= int(match[1]) <= int(match[2]) <= 65535:
            raise InvalidJobError(
                f"port_range: {self.port_range!r} must be two ports from 1024 to 65535, the lower "
                "one first, as in 20000-29999"
            )
        return str(self.port_range)

    def _resource_spec(self) -> ResourceSpec:
        """Return the resources; JupyterHub's own limits fill in those that are not set.

        Both hold for the whole server. Schedulers know one number only, so a guarantee counts where
        there is no limit.
        """
        values: dict[str, Any] = dict(self.resources)
        name = "mem_limit" if self.mem_limit else "mem_guarantee"
        memory = getattr(self, name)
        if memory and values.get("memory") is None and values.get(PER_CORE) is None:
            values["memory"] = parse_memory(int(memory), name)
        cores = self.cpu_limit or self.cpu_guarantee
        if cores and values.get("cpu_cores_per_process") is None:
            values["cpu_cores_per_process"] = math.ceil(cores)
        if self.get_scheduler().loopback and (memory or cores):
            raise InvalidJobError(
                "mem_limit, mem_guarantee, cpu_limit, cpu_guarantee: the scheduler 'local' can't "
                "limit a server; leave them unset"
            )
        return ResourceSpec.from_dict(values)
