"""The settings that name the scheduler, and those that only one scheduler has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field
from typing import TYPE_CHECKING, Any

from traitlets import Bool, Dict, Enum, Integer, TraitError, TraitType, Unicode

from ..schedulers import NAMES, Scheduler, get_scheduler, scheduler_class
from ..submit_host.host import HOST, SubmitHost
from . import detect

if TYPE_CHECKING:
    from jupyterhub.spawner import Spawner as _Base
else:  # JupyterHub refuses a subclass of Spawner that can't start, stop and poll
    from traitlets.config import LoggingConfigurable as _Base


def _make_trait(setting: Field[Any], names: list[str]) -> TraitType[Any, Any]:
    """Return the trait of a setting; its help text names the schedulers that have the setting."""
    words = f"{setting.metadata['help']} (scheduler: {', '.join(names)})"
    if setting.metadata["choices"]:
        trait: TraitType[Any, Any] = Enum(
            setting.metadata["choices"], default_value=setting.default, help=words
        )
    else:
        kind = {bool: Bool, int: Integer, str: Unicode}[type(setting.default)]
        trait = kind(setting.default, help=words)
    return trait.tag(config=True)


def _make_traits() -> dict[str, TraitType[Any, Any]]:
    """Return a trait for each setting of each scheduler; schedulers can share a setting."""
    settings: dict[str, tuple[Field[Any], list[str]]] = {}
    for name in NAMES:
        for setting in scheduler_class(name).settings():
            settings.setdefault(setting.name, (setting, []))[1].append(name)
    return {name: _make_trait(*found) for name, found in settings.items()}


def _named() -> str:
    """Return the names of all real schedulers, for a help text."""
    names = [f'"{name}"' for name in NAMES if name not in ("local", "template")]
    return f"{', '.join(names[:-1])} or {names[-1]}"


class SchedulerSettings(_Base):
    """The traits that name the scheduler, its commands and its own settings."""

    scheduler = Enum(
        ("auto", *NAMES),
        default_value="auto",
        help=f"""The scheduler that runs the servers: {_named()}; "local" runs them as processes on
        the Hub's own host; "template" uses a set of templates (see template). "flux" was not tried
        with a real Flux. "auto" (the default): the one scheduler whose commands this host has and
        which answers. The Hub does not start if there is none, or more than one.""",
    ).tag(config=True)

    cluster = Unicode(
        "",
        help="""The cluster's name for people, in the Hub's pages, API and log. It chooses nothing,
        and is useful where one Hub has several clusters. Empty (the default): slurm_cluster if that
        is set.""",
    ).tag(config=True)

    scheduler_path = Unicode(
        help="""The folders of the scheduler's commands, separated by colons: "/opt/slurm/bin".
        They are searched before /usr/local/bin, /usr/bin and /bin, for the Hub's queries and for
        users' submissions. Empty (the default): only these three are searched.""",
    ).tag(config=True)

    scheduler_environment = Dict(
        value_trait=Unicode(),
        key_trait=Unicode(),
        help="""Environment variables that the scheduler's commands need, for the Hub's queries
        and for users' submissions: {"SLURM_CONF": "/opt/slurm/etc/slurm.conf"}. Put no secrets
        here: jobs see these variables.""",
    ).tag(config=True)

    # Each scheduler declares its settings in its own module; here each one becomes a trait.
    vars().update(_make_traits())

    def get_scheduler(self) -> Scheduler:
        """Return the scheduler that is configured, with its settings.

        Raises
        ------
        InvalidJobError
            If a setting is wrong, or "auto" has not been looked up yet (:meth:`find_scheduler`).
        """
        name = self.scheduler
        if name == "auto":
            name = detect.recall(self.search_host(), self.base_environment())
        return self.scheduler_named(name)

    def scheduler_named(self, name: str) -> Scheduler:
        """Return the scheduler of that name, with its settings as configured here.

        What they leave to the submit host is looked up there, if it is another host.
        """
        cls = scheduler_class(name)
        options = {setting.name: getattr(self, setting.name) for setting in cls.settings()}
        if self.submits_here:
            options = cls.complete_settings(options)
        scheduler = get_scheduler(name, options)
        if self.cluster:
            scheduler.show_cluster(self.cluster)
        return scheduler

    async def find_scheduler(self) -> None:
        """Find out which scheduler "auto" means; do nothing if that is known already.

        Raises
        ------
        InvalidJobError
            If this host has no scheduler, or several that answer; the message lists them.
        SchedulerUnavailable
            If it has at least one and none answers.
        """
        if self.scheduler == "auto":
            await detect.find(self.search_host(), self.base_environment(), self.scheduler_named)

    @property
    def submits_here(self) -> bool:
        """True if jobs are submitted on the Hub's own host."""
        return True

    def search_host(self) -> SubmitHost:
        """Return the host on which a scheduler is looked for."""
        return HOST

    def take_options(self, options: Mapping[str, Any]) -> None:
        """Set the scheduler's own settings to the values with which a server was started.

        A setting that was not saved is one that a later release has added. It gets its default,
        which means what the older release did: the configured one may name another cluster. A
        setting that this release does not have, or whose saved value it refuses, keeps its
        configured value.
        """
        known = {one.name: one.default for one in scheduler_class(self.scheduler).settings()}
        for name, value in {**known, **options}.items():
            try:
                self.set_trait(name, value)
            except TraitError as error:
                self.log.warning(
                    "%s: the saved value %r can't be used, so the configured one is: %s",
                    name,
                    value,
                    error,
                )

    def cluster_title(self) -> str:
        """Return the cluster's name for people; empty if it has none."""
        return self.cluster or self.get_scheduler().cluster_name

    def base_environment(self) -> dict[str, str]:
        """Return the part of the commands' environment that every scheduler shares.

        No variable of the Hub's own environment is in it.
        """
        path = ":".join(filter(None, (self.scheduler_path, "/usr/local/bin:/usr/bin:/bin")))
        return {"PATH": path, "LANG": "C.UTF-8", **self.scheduler_environment}

    def command_environment(self) -> dict[str, str]:
        """Return the environment in which the Hub runs the scheduler's commands."""
        return {**self.get_scheduler().environment(), **self.base_environment()}
