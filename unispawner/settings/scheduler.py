"""Which scheduler there is, and the settings that only one of them has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field
from typing import TYPE_CHECKING, Any

from traitlets import Bool, Dict, Enum, Integer, TraitError, TraitType, Unicode

from ..schedulers import NAMES, Scheduler, get_scheduler, scheduler_class
from ..submit_host.host import HOST
from . import detect

if TYPE_CHECKING:
    from jupyterhub.spawner import Spawner as _Base
else:  # JupyterHub refuses a subclass of Spawner that can't start, stop and poll
    from traitlets.config import LoggingConfigurable as _Base


def _trait(setting: Field[Any], names: list[str]) -> TraitType[Any, Any]:
    words = f"{setting.metadata['help']} (scheduler: {', '.join(names)})"
    if setting.metadata["choices"]:
        trait: TraitType[Any, Any] = Enum(
            setting.metadata["choices"], default_value=setting.default, help=words
        )
    else:
        kind = {bool: Bool, int: Integer, str: Unicode}[type(setting.default)]
        trait = kind(setting.default, help=words)
    return trait.tag(config=True)


def _traits() -> dict[str, TraitType[Any, Any]]:
    """Return a trait for each setting of each scheduler; several may share one."""
    settings: dict[str, tuple[Field[Any], list[str]]] = {}
    for name in NAMES:
        for setting in scheduler_class(name).settings():
            settings.setdefault(setting.name, (setting, []))[1].append(name)
    return {name: _trait(*found) for name, found in settings.items()}


class SchedulerSettings(_Base):
    """The traits that say where jobs go."""

    scheduler = Enum(
        ("auto", *NAMES),
        default_value="auto",
        help="""The scheduler that runs the servers: "gridengine", "htcondor", "lsf", "pbs",
        "slurm", "torque", "local" for processes on the Hub's own host, or "template" for what a
        set of templates describes (see template). "auto" (the default) is the one whose commands
        this host has, and which answers.""",
    ).tag(config=True)

    cluster = Unicode(
        "",
        help="""A name for the cluster, kept with each server's state. Only of use where one Hub has
        several.""",
    ).tag(config=True)

    scheduler_path = Unicode(
        help="""Directories of the scheduler's commands, separated by colons, if they are not in
        /usr/local/bin, /usr/bin or /bin: "/opt/slurm/bin". For the Hub's queries and for the
        users' submissions alike.""",
    ).tag(config=True)

    scheduler_environment = Dict(
        value_trait=Unicode(),
        key_trait=Unicode(),
        help="""Environment variables that the scheduler's commands need, for the Hub's queries
        and for the users' submissions alike: {"SLURM_CONF": "/opt/slurm/etc/slurm.conf"}. Jobs
        see them, too: no secrets.""",
    ).tag(config=True)

    # Declared where the scheduler is described. A class body's namespace is a dictionary like any.
    vars().update(_traits())

    def get_scheduler(self) -> Scheduler:
        """Return what is known of the scheduler.

        Raises
        ------
        InvalidJobError
            If a setting can't be right, or "auto" was not looked up yet.
        """
        name = self.scheduler
        if name == "auto":
            name = detect.known(self.base_environment())
        return self.scheduler_named(name)

    def scheduler_named(self, name: str) -> Scheduler:
        """Return a scheduler with the settings as they are."""
        cls = scheduler_class(name)
        options = {setting.name: getattr(self, setting.name) for setting in cls.settings()}
        return get_scheduler(name, cls.complete_settings(options))

    async def find_scheduler(self) -> None:
        """Look up which scheduler "auto" is, unless that is known.

        Raises
        ------
        InvalidJobError
            If there is none, or several; the message lists what was found.
        SchedulerUnavailable
            If there is one and it does not answer.
        """
        if self.scheduler == "auto":
            await detect.find(HOST, self.base_environment(), self.scheduler_named)

    def take_options(self, options: Mapping[str, Any]) -> None:
        """Set a scheduler's own settings as they were when a server was started.

        One that another release had, or that doesn't fit any more, is as it is configured now.
        """
        for name, value in options.items():
            try:
                self.set_trait(name, value)
            except TraitError as error:
                self.log.warning("%s is as it is configured now: %s", name, error)

    def base_environment(self) -> dict[str, str]:
        """Return the environment of commands, whatever the scheduler: nothing is the Hub's own."""
        path = ":".join(filter(None, (self.scheduler_path, "/usr/local/bin:/usr/bin:/bin")))
        return {"PATH": path, "LANG": "C.UTF-8", **self.scheduler_environment}

    def command_environment(self) -> dict[str, str]:
        """Return the environment of the Hub's own queries."""
        return {**self.get_scheduler().environment(), **self.base_environment()}
