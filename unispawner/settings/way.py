"""The settings of how and where the Hub acts as its users."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

from traitlets import Bool, Dict, Enum, Integer, List, Unicode, Union, default

from ..errors import AgentError, InvalidJobError
from ..run_as import WAYS, RunAs, decision, get_run_as
from ..run_as.base import ENVIRONMENT
from ..run_as.broker import GROUP, Broker, BrokerCommand, explain_start
from ..run_as.decision import Way
from ..schedulers import scheduler_class
from ..submit_host import ssh
from ..submit_host.brokered import BrokeredHost, get_brokered_host
from ..submit_host.entries import has_group
from ..submit_host.host import HOST, SubmitHost
from .scheduler import SchedulerSettings

FAR_PYTHON = "/opt/unispawner/bin/python3"
"""The default of ``agent_python`` on another host: the Hub's own says nothing about that one."""


class WaySettings(SchedulerSettings):
    """The traits that say how the Hub becomes a user, and on which host."""

    run_as = Enum(
        ("auto", *WAYS),
        default_value="auto",
        help="""How the Hub acts as a user. "broker": one process, which runs as root and becomes
        each user; a Hub that is not root starts it through sudo. "sudo": sudo runs one fixed
        command for each action, and PAM makes a session for it: for sites that need that (limits,
        AFS tokens). `unispawner doctor --sudoers` prints the line that sudoers needs for either.
        "same_user": the Hub does not change the account, so jobs run under the Hub's own account
        only. "auto" (the default): "broker" if the Hub is root, or if sudo permits it to start the
        broker; otherwise "sudo". This is decided once, when the Hub starts, and logged.""",
    ).tag(config=True)

    allow_shared_account = Bool(
        False,
        help="""With run_as = "same_user": run the servers of all Hub users under the Hub's own
        account. Every user can then read and change the files and servers of all the others, and
        the Hub's database. Use it for demonstrations, or among people who trust each other fully.
        False (the default): a start under any other account than the Hub's is refused.""",
    ).tag(config=True)

    broker_group = Unicode(
        None,
        allow_none=True,
        help="""The group whose members may have servers, where the broker is used; it refuses all
        other accounts. A primary group counts, too. The line in sudoers must name the same group.
        None (the default): "jupyterhub-users"; if the broker is started by root itself, every
        account with a uid of min_uid or more.""",
    ).tag(config=True)

    submit_host = Unicode(
        "",
        help="""The host on which jobs are submitted, if it is not the Hub's own: "login1" or
        "hubsvc@login1". A Hub that runs as root must name the account. The Hub starts the broker
        there with ssh, and all that it does with the scheduler, the accounts and the users' homes
        crosses this connection; the Hub's host needs none of them. The broker's host needs a Python
        with the Hub's version of unispawner (see agent_python). Empty (the default): the Hub's own
        host.""",
    ).tag(config=True)

    ssh_options = Union(
        [List(Unicode()), Dict()],
        help="""With submit_host: options for ssh, as words, ["-i", "/etc/jupyterhub/key", "-p",
        "2222"], or as names of ssh_config(5), {"IdentityFile": "/etc/jupyterhub/key", "Port":
        2222}. Options that run a command, that forward something or that weaken the check of the
        host's key are refused. Default: [].""",
    ).tag(config=True)

    min_uid = Integer(
        1000,
        min=1,
        help="""The lowest uid that may run servers; system accounts have lower ones. The Hub and
        the agent both refuse an account below it. Uid 0 (root) is always refused. Default:
        1000.""",
    ).tag(config=True)

    agent_python = Unicode(
        help="""The Python on the submit host that runs the agent, the part of unispawner that
        works as the user, and the broker. unispawner must be installed in it, and users must be
        able to read it, so it can't be below /root. For the broker, it and all its folders must
        belong to root, and nobody else may change them. Default: the Python that runs the Hub; with
        submit_host: "/opt/unispawner/bin/python3".""",
    ).tag(config=True)

    _configured: BrokerCommand | None = None
    """The broker's command of today's settings, if those of a saved server replace them."""
    _command: BrokerCommand | None = None
    """The broker's command that is used; None means that of the settings."""

    @default("agent_python")
    def _default_agent_python(self) -> str:
        return FAR_PYTHON if self.submit_host else sys.executable

    @property
    def broker_is_roots(self) -> bool:
        """True if root itself starts the broker: no sudo stands between."""
        return os.getuid() == 0 and not self.submit_host

    def keep_broker(self) -> None:
        """Keep today's command of the broker: the settings of a saved server come in its place."""
        self._command, self._configured = None, self.broker_command()

    def broker_command(self) -> BrokerCommand:
        """Return the command that starts the broker where it runs."""
        if self._command is not None:
            return self._command
        python = self.agent_python
        return BrokerCommand(
            python if self.submit_host else str(Path(python).absolute()),
            group=self.broker_group or ("" if self.broker_is_roots else GROUP),
            min_uid=self.min_uid,
            path=self.scheduler_path,
            environment=dict(self.scheduler_environment),
        )

    def brokered_host(self) -> BrokeredHost:
        """Return the host of the broker; one for all spawners that need the same broker.

        Raises
        ------
        InvalidJobError
            If ``submit_host`` or ``ssh_options`` is wrong.
        """
        return self._host_of(self.broker_command())

    def _host_of(self, broker: BrokerCommand) -> BrokeredHost:
        command = broker.words if self.broker_is_roots else broker.with_sudo
        if not self.submit_host:
            return get_brokered_host(command, ENVIRONMENT, explain=explain_start)
        destination = ssh.parse_destination(self.submit_host, by_root=os.getuid() == 0)
        return get_brokered_host(
            ssh.ssh_command(destination, self.ssh_options, command),
            ENVIRONMENT,
            destination.host,
            partial(ssh.explain_failure, destination),
        )

    async def find_way(self) -> Way:
        """Find out how the Hub acts as its users; this is cheap once it is decided.

        Raises
        ------
        InvalidJobError
            If the settings contradict each other, or sudo does not permit the way that is set.
        """
        if self.submit_host:
            self._check_far_settings()
        if self._configured is not None and self.run_as in ("auto", "broker"):
            await self._choose_command(self._configured)
        return await decision.decide(
            self.run_as, self.submit_host, self.broker_command(), self.brokered_host()
        )

    async def _choose_command(self, today: BrokerCommand) -> None:
        """Choose between the broker's command of a saved server and that of today's settings."""
        if self.broker_is_roots:
            return  # no sudo has to permit it
        chosen = await decision.choose_command(
            self.run_as, self.submit_host, self.broker_command(), today, self._host_of
        )
        self._command = today if chosen == today else None

    def _check_far_settings(self) -> None:
        """Check that no setting is only possible on the Hub's own host."""
        where = f"submit_host = {self.submit_host!r}"
        if self.run_as not in ("auto", "broker"):
            raise InvalidJobError(
                f"run_as: {self.run_as!r} is not possible with {where}: only the broker works on "
                "another host. Leave run_as unset"
            )
        if self.scheduler != "auto" and scheduler_class(self.scheduler).loopback:
            raise InvalidJobError(
                f"scheduler: {self.scheduler!r} is not possible with {where}: it runs servers as "
                "processes of the Hub's own host. Set scheduler to the one of that host, or leave "
                "submit_host empty"
            )
        if not self.agent_python.startswith("/"):
            raise InvalidJobError(
                f"agent_python: {self.agent_python!r} must be an absolute path on {where}"
            )

    async def check_way(self) -> Way:
        """Return the way, after the broker has greeted if it is the broker's.

        Raises
        ------
        InvalidJobError
            See :meth:`find_way`.
        AgentError
            See :func:`check_group`.
        SchedulerUnavailable
            If the broker can't be started now; the message says what to do.
        """
        way = await self.find_way()
        if way.name == "broker":
            await self.brokered_host().connection.greet(decision.GREETING_TIMEOUT)
            if not self.submit_host:
                await check_group(self.broker_command().group)
        return way

    def way(self) -> Way:
        """Return the way that was decided; until then what works without the broker."""
        decided = decision.decide_now(self.run_as, self.submit_host, self.broker_command())
        return decided or Way(
            "broker" if self.run_as == "broker" else "sudo", "it is not decided yet"
        )

    def get_host(self) -> SubmitHost:
        """Return the host that asks the scheduler, submits jobs and has the users' accounts."""
        return self.brokered_host() if self.way().name == "broker" else HOST

    @property
    def submits_here(self) -> bool:
        """True if jobs are submitted on the Hub's own host."""
        return not self.submit_host

    def search_host(self) -> SubmitHost:
        """Return the host on which a scheduler is looked for; here, this needs no broker."""
        return self.brokered_host() if self.submit_host else HOST

    def get_run_as(self) -> RunAs:
        """Return the way of becoming the user."""
        name = self.way().name
        if name == "broker":
            return Broker(self.agent_python, remote=bool(self.submit_host))
        return get_run_as(
            name,
            agent_python=self.agent_python,
            allow_shared_account=self.allow_shared_account,
        )


async def check_group(group: str) -> None:
    """Check that this host has the group whose members may have servers; root may name none.

    Raises
    ------
    AgentError
        If it does not have it: the broker would refuse every account.
    """
    if group and not await has_group(group):
        raise AgentError(
            f"broker_group: this host has no group {group!r}, so nobody can run servers; create "
            "the group, or set c.UniSpawner.broker_group to another one, and print the line for "
            "sudo again"
        )
