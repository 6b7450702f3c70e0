"""The text of the new file: the old text, changed in places, and new settings at its end."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from traitlets.config import Config

from ...legacy import BatchSpawnerBase
from .literal import WIDTH, Expression, is_plain, literal
from .names import counterpart
from .old_config import SpawnerClass
from .old_file import MARK, OldFile
from .plan import DEFAULT_PROFILES, Plan, Profile
from .translation import AsWritten, NewSetting, Remark

_ORDER = (
    *("scheduler", "torque_moab", "scheduler_path", "queue_name", "account", "reservation_id"),
    *("duration", "resources", "custom_attributes", "job_name", "prologue", "epilogue", "cmd"),
)
_RECOMMENDED = (
    ("cleanup_servers", False, "servers outlive a restart of the Hub"),
    ("init_spawners_timeout", 1, "a restart of the Hub does not wait for queued starts"),
)
_ADDED = ("resources", "custom_attributes")
"""Settings that an entry is added to, when it is only suggested."""
_ENCODING = re.compile(r"#.*?coding[:=][ \t]*[-\w.]+")
"""What must stay in the first two lines of a file (PEP 263)."""
_LIMIT = "Starts that wait in the scheduler's queue count against "


def add_origins(plan: Plan, old_file: OldFile) -> None:
    """Add a note to each new setting whose value the old file computes."""
    translations = [plan.base, *(one.translation for one in plan.profiles or ())]
    for translation in filter(None, translations):
        for setting in translation.settings.values():
            if isinstance(setting.value, AsWritten):
                continue
            for origin in setting.origins:
                _, section, name = [*origin.split("."), "", ""][:3]
                if origin.startswith("c.") and section != "Spawner":
                    why = old_file.explain_origin(section, name)
                    setting.notes += [f"{why}: this is the value that it had here."] if why else []


def write(plan: Plan, old_file: OldFile, config: Config, name: str) -> str:
    """Return the text of the new configuration.

    Parameters
    ----------
    old_file
        The old text; this function makes its changes in it.
    config, name
        What the old file sets, and its name.
    """
    writer = _Writer(plan, old_file, config)
    block = writer.write_block()
    writer.edit_old_text()
    old_file.replace_names()
    lines = old_file.result().rstrip("\n").split("\n")
    at = 1 if lines[0].startswith("#!") else 0
    at += 1 if at < len(lines) and _ENCODING.match(lines[at]) else 0
    header = f"Written by `unispawner migrate` from {name}."
    if any(line.startswith(MARK) for line in lines):
        mark = MARK.strip()
        header += (
            f" Lines that begin with {mark} are settings of that file that no longer count: those "
            f"at the end of this file take their place. `sed -i '/^{mark}/d' FILE` removes them."
        )
    lines[at:at] = [*comment(header), ""]
    return "\n".join([*lines, "", *block]) + "\n"


class _Writer:
    def __init__(self, plan: Plan, old_file: OldFile, config: Config) -> None:
        self.plan = plan
        self.old_file = old_file
        self.config = config
        self.referenced: set[str] = set()
        """Old settings to which the block at the end refers, so that they must stay."""

    # -- the old text --------------------------------------------------------------------------

    def edit_old_text(self) -> None:
        """Comment out what has a successor, unless a class of batchspawner's still reads it."""
        if not self.plan.is_translated or self.plan.legacy_is_used:
            return
        if self.plan.profiles is not None and "old_profiles" not in self.referenced:
            self.old_file.comment_out("ProfilesSpawner", "profiles")
        self.old_file.comment_out("JupyterHub", "spawner_class")
        moved = {
            setting.value.old.origin
            for setting in self.plan.base.settings.values()
            if isinstance(setting.value, AsWritten)
        }
        for section, name in self._batchspawner_settings():
            origin = f"c.{section}.{name}"
            if origin in moved:
                self.old_file.change_section(section, name, "UniSpawner")
            elif origin not in self.referenced:
                self.old_file.comment_out(section, name)

    def _batchspawner_settings(self) -> Iterable[tuple[str, str]]:
        for section, settings in self.config.items():
            cls = counterpart(section)
            if isinstance(cls, type) and issubclass(cls, BatchSpawnerBase):
                for name in settings:
                    if f"c.{section}.{name}" not in self.plan.unused:
                        yield section, name

    # -- the block at the end ------------------------------------------------------------------

    def write_block(self) -> list[str]:
        """Return the lines that take the place of the old settings."""
        plan = self.plan
        lines = [f"# {'-' * 78}", "# UniSpawner", f"# {'-' * 78}"]
        if not plan.is_translated:
            return [*lines, *self._explain_legacy()]
        new = "unispawner" if plan.profiles is None else "unispawner.ProfilesSpawner"
        lines += ["c = get_config()  # noqa: F821", "", f'c.JupyterHub.spawner_class = "{new}"']
        lines += [*self._recommend(), "", *self._write_settings(plan.base.settings)]
        remarks = _write_remarks(plan.base.remarks, "c.UniSpawner.{name} = {value}")
        lines += ["", *remarks] if remarks else []
        if plan.profiles is not None:
            profiles = [line for one in plan.profiles for line in self._write_profile(one)]
            if "old_profiles" in self.referenced:
                lines += ["", "old_profiles = c.ProfilesSpawner.profiles"]
            lines += ["", "c.ProfilesSpawner.profiles = [", *profiles, "]"]
        return lines

    def _recommend(self) -> list[str]:
        hub = self.config.JupyterHub
        lines = []
        if "concurrent_spawn_limit" not in hub:
            lines += [f"# {_LIMIT}this limit; 0 means no limit."]
            lines += ["c.JupyterHub.concurrent_spawn_limit = 0"]
        elif limit := hub["concurrent_spawn_limit"]:
            lines += comment(
                f"{_LIMIT}c.JupyterHub.concurrent_spawn_limit, which is {limit}; 0 means no limit."
            )
        unset = [one for one in _RECOMMENDED if one[0] not in hub]
        lines += ["# Recommended with UniSpawner:"] if unset else []
        return [
            *lines,
            *(f"#   c.JupyterHub.{name} = {value}  # {why}" for name, value, why in unset),
        ]

    def _write_settings(self, settings: Mapping[str, NewSetting]) -> list[str]:
        lines: list[str] = []
        for name in sorted(settings, key=rank):
            setting = settings[name]
            head = f"c.UniSpawner.{name} = "
            sources = [f"From {', '.join(setting.origins)}."] if setting.origins else []
            if isinstance(setting.value, AsWritten):
                old = setting.value.old
                if self._can_move(old.section, old.name):
                    continue
                self.referenced.add(old.origin)
                text = head + old.expression
            else:
                text = head + literal(setting.value, taken=len(head))
            lines += [*comment(" ".join([*sources, *setting.notes])), *text.split("\n")]
        return lines

    def _can_move(self, section: str, name: str) -> bool:
        """Return whether a setting can become UniSpawner's where the old file has it."""
        return not self.plan.legacy_is_used and self.old_file.mentions(section, name)

    def _explain_legacy(self) -> list[str]:
        """Return comments: why the class stays, and what would be without these reasons."""
        plan = self.plan
        name = plan.spawner.name.rpartition(".")[2]
        if not any(part.untranslatable for part in plan.parts()):
            lines = comment("No profile starts a server of batchspawner's.")
            if self.plan.profiles and not self.old_file.mentions("ProfilesSpawner", "profiles"):
                lines += ["c = get_config()  # noqa: F821", *_write_default_profiles()]
            return lines
        lines = comment(f"{name} still runs the servers, because UniSpawner can't replace these:")
        for part in plan.parts():
            for origin, reason in part.untranslatable.items():
                label = "" if origin.startswith(part.label) else part.label
                lines += comment(f"- {label}{origin}: {reason}", hanging="  ")
        if settings := plan.base.settings:
            lines += ["#", "# Without these, UniSpawner would run the servers with:"]
            for setting in sorted(settings, key=rank):
                value = settings[setting].value
                text = value.old.expression if isinstance(value, AsWritten) else literal(value)
                lines += [f"#   {one}" for one in f"c.UniSpawner.{setting} = {text}".split("\n")]
        return lines

    # -- profiles ------------------------------------------------------------------------------

    def _write_profile(self, profile: Profile) -> list[str]:
        """Return a profile in unispawner's own form, below comments on what was chosen."""
        expression = f"old_profiles[{profile.index}]"
        entry: Any
        if isinstance(profile.entry, Mapping):
            renamed = {"spawner": f"unispawner.{profile.spawner.name}"}
            is_old = "spawner" in profile.entry and profile.spawner.is_legacy
            entry = self._value({**profile.entry, **(renamed if is_old else {})}, expression)
        else:
            name, key, cls, _ = profile.entry
            entry = {"display_name": name, "slug": key}
            if profile.is_translated:
                entry |= self._translated(profile)
            else:
                entry["spawner"] = self._class(profile.spawner, cls, f"{expression}[2]")
                config = {one.name: self._value(one.value, one.expression) for one in profile.old}
                entry |= {"config": config} if config else {}
        text = f"{literal(entry, 4, 4)},"
        return [f"    {line}" for line in self._comments_on(profile)] + [f"    {text}"]

    def _translated(self, profile: Profile) -> dict[str, Any]:
        settings = profile.differences(self.plan.base)
        config: dict[str, Any] = {}
        for name in sorted(settings, key=rank):
            value = settings[name].value
            if isinstance(value, AsWritten):
                value = self._value(value.old.value, value.old.expression)
            config[name] = value
        resources = config.pop("resources", None)
        return {
            **({"config": config} if config else {}),
            **({"resources": resources} if resources else {}),
        }

    def _comments_on(self, profile: Profile) -> list[str]:
        if profile.translation is None:
            return comment(f"{profile.why_kept}.") if profile.why_kept else []
        lines = []
        for origin, reason in profile.translation.untranslatable.items():
            lines += comment(f"{origin}: {reason}.")
        if profile.is_translated:
            for name, setting in profile.differences(self.plan.base).items():
                lines += [line for one in setting.notes for line in comment(f"{name}: {one}")]
            remarks = profile.translation.remarks
            own = [one for one in remarks if one not in self.plan.base.remarks]
            lines += _write_remarks(own, '"config": {{"{name}": {value}}}')
        return lines

    def _class(self, spawner: SpawnerClass, given: object, expression: str) -> str:
        """Return the name of a profile's class, or what refers to it in the old text."""
        if spawner.is_legacy:
            return f"unispawner.{spawner.name}"
        if isinstance(given, str) or spawner.cls is None:
            return str(given)
        name = f"{spawner.cls.__module__}.{spawner.cls.__qualname__}"
        if SpawnerClass.from_value(name).cls is spawner.cls:
            return name
        self.referenced.add("old_profiles")
        return Expression(expression)

    def _value(self, value: Any, expression: str) -> Any:
        """Return a value that can be written down, or what refers to it in the old text."""
        if is_plain(value):
            return value
        self.referenced.add("old_profiles" if expression.startswith("old_profiles") else expression)
        return Expression(expression)


def _write_default_profiles() -> list[str]:
    """Return the lines that set what wrapspawner offers if no profiles are set."""
    text = literal(DEFAULT_PROFILES, taken=len("c.ProfilesSpawner.profiles = "))
    return [
        *comment(
            "wrapspawner offers a server on the Hub's own host if no profiles are set; unispawner "
            "does so only if the list says it."
        ),
        *f"c.ProfilesSpawner.profiles = {text}".split("\n"),
    ]


def _write_remarks(remarks: Iterable[Remark], form: str) -> list[str]:
    """Return remarks as comments, and suggested settings in the given form."""
    lines: list[str] = []
    for remark in remarks:
        if remark.is_choice:
            about = f"{', '.join(remark.origins)}: " if remark.origins else ""
            lines += comment(about + remark.text)
        if remark.suggestion:
            name, value = remark.suggestion
            if isinstance(value, dict) and name in _ADDED and form.startswith("c."):
                text = f"c.UniSpawner.{name}.update({literal(value)})"
            else:
                text = form.format(name=name, value=literal(value))
            lines += [f"#   {line}" for line in text.split("\n")]
    return lines


def comment(text: str, hanging: str = "") -> list[str]:
    """Return text as lines of a comment."""
    if not text:
        return []
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent="# ",
        subsequent_indent=f"# {hanging}",
        break_long_words=False,
        break_on_hyphens=False,
    )


def rank(name: str) -> tuple[int, str]:
    """Return the sort key of a setting's name: what a reader looks for first comes first."""
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)
