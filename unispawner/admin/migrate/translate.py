"""The settings of one of batchspawner's classes -> UniSpawner's settings.

The script and the command have modules of their own; everything else is here.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping

from jupyterhub.spawner import Spawner

from ...run_as.command_prefix import split_prefix
from . import command
from .batch_script import OF_THE_USER
from .hooks import find_batchspawner_use
from .old_config import OldSetting, SpawnerSettings
from .refused import mark_refused
from .script_settings import COMMANDS, is_of_script, translate_script
from .translation import AsWritten, Translation

_FORMS = ("options_form", "options_from_form", "apply_user_options")
_LIMITS = ("mem_limit", "mem_guarantee", "cpu_limit", "cpu_guarantee")
_CLUSTER = re.compile(r"(?:-M|--clusters?=?)(.*)")
"""The option of Slurm's commands that names a cluster, with the name or in front of it."""
_SAME = ("agent_python", "launcher_python", "min_uid", "state_dir")
"""Traits that unispawner's counterparts of batchspawner's classes share with UniSpawner."""

_WHY_NOT: Mapping[str, str] = {
    "exec_prefix": "UniSpawner becomes the user in another way (c.UniSpawner.run_as)",
    "public_environment": "UniSpawner passes no such variables to the scheduler's commands",
    **dict.fromkeys(
        ("user_option_keys", "trusted_option_keys"),
        "UniSpawner offers options in c.ProfilesSpawner.profiles",
    ),
    **dict.fromkeys(
        (
            *("state_pending_re", "state_running_re", "state_unknown_re", "state_notfound_re"),
            "state_exechost_re",
        ),
        "UniSpawner reads the scheduler's answers without patterns",
    ),
}


def translate(old: SpawnerSettings, *, has_form: bool = True) -> Translation:
    """Translate all settings that a spawner of one of batchspawner's own classes reads.

    Parameters
    ----------
    has_form
        False under a ProfilesSpawner, whose form is the only one.
    """
    out = Translation()
    out.set("scheduler", old.scheduler)
    if old.cls.__name__ == "MoabSpawner":
        note = "TORQUE's qsub submits jobs in place of Moab's msub; Moab still schedules them."
        out.set("torque_moab", True, note=note)
    translate_script(old, out)
    command.translate_command(old, out)
    _OtherSettings(old, has_form, out).translate()
    _set_limits(old, out)
    mark_refused(out)
    _add_notes(old, out)
    return out


class _OtherSettings:
    """Translates what is neither of the script nor of the command."""

    def __init__(self, old: SpawnerSettings, has_form: bool, out: Translation) -> None:
        self.old = old
        self.has_form = has_form
        self.out = out
        self.traits_of_spawner = Spawner.class_traits(config=True)

    def translate(self) -> None:
        for name, setting in self.old.recognized.items():
            if is_of_script(name) or name in command.TRAITS or self._says_nothing(name, setting):
                continue
            self._translate(name, setting)
        for name, setting in self.old.general.items():
            if name not in self.old.recognized and name in self.traits_of_spawner:
                self._check_general(name, setting)

    def _says_nothing(self, name: str, setting: OldSetting) -> bool:
        """Return whether a setting is empty as the default is, and overrides nothing."""
        if name in self.old.general or name in {loser.name for loser, _ in self.old.overridden}:
            return False
        return setting.is_empty and not self.old.cls.class_traits()[name].default()

    def _translate(self, name: str, setting: OldSetting) -> None:
        if name in self.traits_of_spawner or name in _SAME:
            if self._check_general(name, setting):
                self.out.set(name, AsWritten(setting), setting.origin)
        elif name == "req_keepvars_extra":
            self._variables(setting)
        elif name in COMMANDS:
            self._scheduler_command(name, setting)
        elif self._is_default(name, setting):
            self.out.add_note("It is batchspawner's default.", setting.origin)
        elif name == "exec_prefix" and self._becomes_user(setting):
            self.out.add_note("UniSpawner becomes the user itself (run_as).", setting.origin)
        elif name == "state_exechost_exp":
            self._host_names(setting)
        elif name == "daemon_resolver":
            self.out.set("host_map", dict(setting.value), setting.origin)
        elif name == "startup_poll_interval":
            self.out.add_note("UniSpawner asks for the states of all jobs at once.", setting.origin)
        elif name.removeprefix("req_") in OF_THE_USER:
            reason = "UniSpawner takes it from the user's own account"
            self.out.mark_untranslatable(setting.origin, reason)
        else:
            reason = _WHY_NOT.get(name, "UniSpawner has no counterpart")
            self.out.mark_untranslatable(setting.origin, reason)

    def _check_general(self, name: str, setting: OldSetting) -> bool:
        """Return whether UniSpawner can take a trait that every spawner has."""
        if name in _FORMS and self.has_form:
            reason = "it is a form of the site's own, whose fields fill batchspawner's script"
        else:
            reason = find_batchspawner_use(setting.value)
        if reason:
            self.out.mark_untranslatable(setting.origin, reason)
        elif name == "start_timeout":
            self.out.add_remark(
                f"A start is given up after {setting.value} seconds, the time in the queue "
                "included. UniSpawner's own default is one day: delete the line if you want that. "
                "As long as it is there, report_timeout follows it.",
                setting.origin,
            )
        return not reason

    def _is_default(self, name: str, setting: OldSetting) -> bool:
        default = self.old.default(name)
        if name == "exec_prefix":
            return _split(setting.value) == _split(default)
        return bool(setting.value == default)

    def _becomes_user(self, setting: OldSetting) -> bool:
        """Return whether the prefix, or the submit command where it is empty, only becomes the
        user."""
        submit = self.old.recognized.get("batch_submit_cmd")
        if setting.is_empty:
            return submit is not None and _without_sudo(submit.value) is not None
        return _without_sudo(f"{setting.value} true") == ["true"]

    def _scheduler_command(self, name: str, setting: OldSetting) -> None:
        """Take a command that differs from batchspawner's by its directory only, or by a sudo that
        becomes the user."""
        words, usual = _split(setting.value), _split(self.old.default(name))
        words = _without_sudo(setting.value) or words
        words, cluster = self._split_cluster(words)
        directory = os.path.dirname(words[0]) if words else ""
        elsewhere = directory.startswith("/") and [os.path.basename(words[0]), *words[1:]] == usual
        if words == usual:
            self.out.add_note("It is batchspawner's default.", setting.origin)
        elif elsewhere and self.old.cls.__name__ == "MoabSpawner":
            self.out.add_note("UniSpawner runs TORQUE's own commands.", setting.origin)
        elif elsewhere:
            before = self.out.settings.get("scheduler_path")
            path = before.value.split(":") if before else []
            path += [directory] if directory not in path else []
            self.out.set("scheduler_path", ":".join(path), setting.origin)
        else:
            reason = "it is not the command that batchspawner runs by default"
            self.out.mark_untranslatable(setting.origin, reason)
            return
        if cluster:
            self._set_cluster(cluster, setting)

    def _split_cluster(self, words: list[str]) -> tuple[list[str], str]:
        """Return a command of Slurm's without the cluster that it names, and the cluster's name."""
        if self.old.scheduler != "slurm":
            return words, ""
        for index, word in enumerate(words):
            if found := _CLUSTER.fullmatch(word):
                after = index + (1 if found[1] else 2)
                return [*words[:index], *words[after:]], found[1] or "".join(
                    words[after - 1 : after]
                )
        return words, ""

    def _set_cluster(self, cluster: str, setting: OldSetting) -> None:
        """Set the cluster that a command names, if all name the same one."""
        origins, field = [setting.origin], self.old.recognized.get("req_cluster")
        if cluster == "{cluster}":
            cluster = str(field.value if field else self.old.default("req_cluster"))
            origins += [field.origin] if field else []
        before = self.out.settings.get("slurm_cluster")
        if before and before.value != cluster:
            reason = f"it names the cluster {cluster!r}, and other settings name {before.value!r}"
            self.out.mark_untranslatable(setting.origin, reason)
            return
        note = "All of Slurm's commands ask this cluster."
        self.out.set("slurm_cluster", cluster, *origins, note=note)

    def _variables(self, setting: OldSetting) -> None:
        """Split ``NAME,NAME=VALUE,ALL``: names of the Hub's own variables, and values."""
        words = [word.strip() for word in str(setting.value).split(",") if word.strip()]
        values = dict(word.split("=", 1) for word in words if "=" in word)
        names = [word for word in words if "=" not in word and word not in ("ALL", "NONE")]
        if names:
            general = self.old.find("env_keep")
            before = list(general.value) if general else ["JUPYTERHUB_SINGLEUSER_APP"]
            self.out.set(
                "env_keep",
                [*before, *(name for name in names if name not in before)],
                setting.origin,
                note="These variables have the values of the Hub's own environment.",
            )
        if values:
            lines = [f"export {key}={shlex.quote(value)}" for key, value in values.items()]
            prologue = self.out.settings.get("prologue")
            text = "\n".join([*lines, *([prologue.value] if prologue else [])])
            self.out.set("prologue", text, setting.origin)
        if len(names) + len(values) < len(words):
            self.out.add_remark(
                "UniSpawner ignores ALL and NONE: a job has the environment of a login.",
                setting.origin,
            )

    def _host_names(self, setting: OldSetting) -> None:
        """Make a pattern of host_map of the expansion of ``state_exechost_re``'s only group."""
        text = str(setting.value)
        example = re.sub(r"\\1|\\g<1>", "node1", text)
        pattern = self.old.recognized.get("state_exechost_re")
        if pattern and not self._is_default(pattern.name, pattern):
            reason = "it expands a pattern of the site's own, state_exechost_re"
            self.out.mark_untranslatable(setting.origin, reason)
            return
        if "\\" in example:
            reason = "it uses more than the host's name, the first group of state_exechost_re"
            self.out.mark_untranslatable(setting.origin, reason)
            return
        if example == "node1":
            self.out.add_note("It leaves the name as it is.", setting.origin)
            return
        note = (
            f"It makes {example} of {self.old.title}'s node name node1. If the Hub reaches the "
            "nodes under the scheduler's own names, you can delete it."
        )
        if re.search(r"(\\1|\\g<1>).", text, re.DOTALL):  # so the names have no domain
            self.out.set("host_map", {r"([^.]+)": text}, setting.origin, note=note)
        else:
            self.out.set("host_map", {r"(.+)": text}, setting.origin, note=note)
            self.out.set("report_host", "short", setting.origin)


def _set_limits(old: SpawnerSettings, out: Translation) -> None:
    """Keep limits that batchspawner did not pass to the scheduler from becoming requests."""
    resources = out.settings.get("resources")
    asked = resources.value if resources else {}
    for name in _LIMITS:
        setting = old.find(name)
        field = "memory" if name.startswith("mem") else "cpu_cores_per_process"
        if setting and setting.value and field not in asked:
            out.settings.pop(name, None)
            out.set(
                name,
                None,
                setting.origin,
                note=f"batchspawner did not pass {name} to the scheduler; UniSpawner does unless "
                "it is None. Delete this line if the scheduler shall get it.",
            )


def _add_notes(old: SpawnerSettings, out: Translation) -> None:
    """Add a note on each setting of which nothing has been said yet."""
    for loser, winner in old.overridden:
        if winner.section:  # that a profile overrides what holds for all is its purpose
            out.add_note(f"{winner.origin} overrides it.", loser.origin)
    for name, setting in old.own.items():
        if name not in old.recognized:
            out.add_note("batchspawner has no such setting and ignores it.", setting.origin)
        elif not (setting.is_empty or out.mentions(setting.origin)):
            out.add_note("UniSpawner does the same without a setting.", setting.origin)


def _without_sudo(command: object) -> list[str] | None:
    """Return the words of what a command runs as the server's user; None if it does not."""
    parts = split_prefix(str(command))
    return parts[1] if parts and any("{username}" in word for word in parts[0]) else None


def _split(command: object) -> list[str]:
    try:
        return shlex.split(str(command))
    except ValueError:
        return [str(command)]
