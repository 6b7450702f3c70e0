"""The new configuration's text: the old one's, changed in places, and a block at its end."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from traitlets.config import Config

from .literal import WIDTH, Expression, is_plain, literal
from .old import SpawnerClass, legacy
from .plan import Plan, Profile
from .source import MARK, Source
from .translation import Moved, Remark, Setting

_ORDER = (
    *("scheduler", "torque_moab", "scheduler_path", "queue_name", "account", "reservation_id"),
    *("duration", "resources", "custom_attributes", "job_name", "prologue", "epilogue", "cmd"),
)
_RECOMMENDED = (
    ("cleanup_servers", False, "servers outlive a restart of the Hub"),
    ("init_spawners_timeout", 1, "don't hold a restart up for queued starts"),
)


def annotate(plan: Plan, source: Source) -> None:
    """Say of each setting what of the old file its value was computed from."""
    translations = [plan.base, *(one.translation for one in plan.profiles or ())]
    for translation in filter(None, translations):
        for setting in translation.settings.values():
            parts = [origin.split(".") for origin in setting.origins if origin.startswith("c.")]
            for _, section, name in parts if not isinstance(setting.value, Moved) else ():
                why = source.obstacle(section, name) if section != "Spawner" else ""
                if why:
                    setting.remarks.append(f"{why}: this is what came of it here.")


def write(plan: Plan, source: Source, config: Config, name: str) -> str:
    """Return the text of the new configuration.

    Parameters
    ----------
    source, config, name
        The old one's text, which is changed, what it sets, and its name.
    """
    writer = _Writer(plan, source, config)
    block = writer.block()
    writer.edit()
    source.change_words()
    lines = source.result().rstrip("\n").split("\n")
    at = 0
    while at < min(2, len(lines)) and lines[at].startswith("#!" if at == 0 else "#"):
        at += 1  # "#!/usr/bin/python", "# -*- coding: … -*-"
    header = f"Written by `unispawner migrate` from {name}."
    if any(line.startswith(MARK) for line in lines):
        mark = MARK.strip()
        header += (
            f" Lines that begin with {mark} are that file's and not read any more: what has taken "
            f"their place is at the end. sed -i '/^{mark}/d' removes them."
        )
    lines[at:at] = [*comment(header), ""]
    return "\n".join([*lines, "", *block]) + "\n"


class _Writer:
    def __init__(self, plan: Plan, source: Source, config: Config) -> None:
        self.plan = plan
        self.source = source
        self.config = config
        self.kept: set[str] = set()
        """Old settings to which the block refers."""

    # -- the old text --------------------------------------------------------------------------

    def edit(self) -> None:
        """Make comments of what has a successor, unless a legacy class still reads it."""
        if not self.plan.is_translated or self.plan.legacy_is_used:
            return
        if self.plan.profiles is not None and "old_profiles" not in self.kept:
            self.source.retire("ProfilesSpawner", "profiles")
        self.source.retire("JupyterHub", "spawner_class")
        moved = {
            setting.value.found.origin
            for setting in self.plan.base.settings.values()
            if isinstance(setting.value, Moved)
        }
        for section, name in self._batch_settings():
            origin = f"c.{section}.{name}"
            if origin in moved:
                self.source.move(section, name, "UniSpawner")
            elif origin not in self.kept:
                self.source.retire(section, name)

    def _batch_settings(self) -> Iterable[tuple[str, str]]:
        base = legacy("BatchSpawnerBase")
        for section, settings in self.config.items():
            cls = legacy(section)
            if isinstance(cls, type) and issubclass(cls, base):
                for name in settings:
                    if f"c.{section}.{name}" not in self.plan.unread:
                        yield section, name

    # -- the block at the end ------------------------------------------------------------------

    def block(self) -> list[str]:
        """Return what takes the place of the old settings."""
        plan = self.plan
        lines = [f"# {'-' * 78}", "# UniSpawner", f"# {'-' * 78}"]
        if not plan.is_translated:
            return [*lines, *self._all_stays()]
        new = "unispawner" if plan.profiles is None else "unispawner.ProfilesSpawner"
        lines += ["c = get_config()  # noqa: F821", "", f'c.JupyterHub.spawner_class = "{new}"']
        lines += [*self._recommended(), "", *self._settings(plan.base.settings)]
        remarks = self._remarks(plan.base.remarks, "c.UniSpawner.{name} = {value}")
        lines += ["", *remarks] if remarks else []
        if plan.profiles is not None:
            profiles = [line for one in plan.profiles for line in self._profile(one)]
            if "old_profiles" in self.kept:
                lines += ["", "old_profiles = c.ProfilesSpawner.profiles"]
            lines += ["", "c.ProfilesSpawner.profiles = [", *profiles, "]"]
        return lines

    def _recommended(self) -> list[str]:
        hub = self.config.JupyterHub
        lines = []
        if "concurrent_spawn_limit" not in hub:
            lines += ["# Starts that wait in the queue count against it; 0 is no limit."]
            lines += ["c.JupyterHub.concurrent_spawn_limit = 0"]
        elif limit := hub["concurrent_spawn_limit"]:
            lines += comment(
                "Starts that wait in the queue count against c.JupyterHub.concurrent_spawn_limit, "
                f"which is {limit}; 0 is no limit."
            )
        unset = [one for one in _RECOMMENDED if one[0] not in hub]
        lines += ["# Recommended with UniSpawner:"] if unset else []
        return [
            *lines,
            *(f"#   c.JupyterHub.{name} = {value}  # {why}" for name, value, why in unset),
        ]

    def _settings(self, settings: Mapping[str, Setting]) -> list[str]:
        lines: list[str] = []
        for name in sorted(settings, key=_rank):
            setting = settings[name]
            head = f"c.UniSpawner.{name} = "
            said = [f"From {', '.join(setting.origins)}."] if setting.origins else []
            if isinstance(setting.value, Moved):
                found = setting.value.found
                if self._moves(found.section, found.name):
                    continue
                self.kept.add(found.origin)
                text = head + found.expression
            else:
                text = head + literal(setting.value, taken=len(head))
            lines += [*comment(" ".join([*said, *setting.remarks])), *text.split("\n")]
        return lines

    def _moves(self, section: str, name: str) -> bool:
        """Return whether a setting can be set for UniSpawner where it was."""
        return not self.plan.legacy_is_used and self.source.names(section, name)

    def _remarks(self, remarks: Iterable[Remark], form: str) -> list[str]:
        lines: list[str] = []
        for remark in remarks:
            if remark.is_choice:
                about = f"{', '.join(remark.origins)}: " if remark.origins else ""
                lines += comment(about + remark.text)
            if remark.suggestion:
                name, value = remark.suggestion
                lines.append(f"#   {form.format(name=name, value=literal(value))}")
        return lines

    def _all_stays(self) -> list[str]:
        """Return comments: the class stays, and what would be without what it stays for."""
        plan = self.plan
        name = plan.spawner.name.rpartition(".")[2]
        lines = comment(f"{name} goes on running the servers, for:")
        for part in plan.parts():
            for origin, reason in part.stays.items():
                label = "" if origin.startswith(part.label) else part.label
                lines += comment(f"- {label}{origin}: {reason}", hanging="  ")
        if settings := plan.base.settings:
            lines += ["#", "# Without that, UniSpawner would run them with:"]
            for setting in sorted(settings, key=_rank):
                value = settings[setting].value
                text = value.found.expression if isinstance(value, Moved) else literal(value)
                lines += [f"#   {one}" for one in f"c.UniSpawner.{setting} = {text}".split("\n")]
        return lines

    # -- profiles ------------------------------------------------------------------------------

    def _profile(self, profile: Profile) -> list[str]:
        """Return a profile in unispawner's own form, with what was chosen above it."""
        expression = f"old_profiles[{profile.index}]"
        entry: Any
        if isinstance(profile.entry, Mapping):
            entry = self._value(profile.entry, expression)
        else:
            entry = {"display_name": profile.entry[0], "slug": profile.entry[1]}
            if profile.is_translated:
                entry |= self._translated(profile)
            else:
                entry["spawner"] = self._spawner(profile, f"{expression}[2]")
                config = {one.name: self._value(one.value, one.expression) for one in profile.found}
                entry |= {"config": config} if config else {}
        text = f"{literal(entry, 4, 4)},"
        return [f"    {line}" for line in self._said(profile)] + [f"    {text}"]

    def _translated(self, profile: Profile) -> dict[str, Any]:
        settings = profile.beyond(self.plan.base)
        config: dict[str, Any] = {}
        for name in sorted(settings, key=_rank):
            value = settings[name].value
            if isinstance(value, Moved):
                value = self._value(value.found.value, value.found.expression)
            config[name] = value
        resources = config.pop("resources", None)
        return {
            **({"config": config} if config else {}),
            **({"resources": resources} if resources else {}),
        }

    def _said(self, profile: Profile) -> list[str]:
        if profile.translation is None:
            return []
        lines = []
        for origin, reason in profile.translation.stays.items():
            lines += comment(f"{origin}: {reason}.")
        if profile.is_translated:
            for name, setting in profile.beyond(self.plan.base).items():
                lines += [line for one in setting.remarks for line in comment(f"{name}: {one}")]
            remarks = profile.translation.remarks
            own = [one for one in remarks if one not in self.plan.base.remarks]
            lines += self._remarks(own, '"config": {{"{name}": {value}}}')
        return lines

    def _spawner(self, profile: Profile, expression: str) -> str:
        entry, cls = profile.entry, profile.spawner.cls
        given = entry.get("spawner") if isinstance(entry, Mapping) else entry[2]
        if profile.spawner.is_legacy:
            return f"unispawner.{profile.spawner.name}"
        if isinstance(given, str) or cls is None:
            return str(given)
        name = f"{cls.__module__}.{cls.__qualname__}"
        if SpawnerClass.of(name).cls is cls:
            return name
        self.kept.add("old_profiles")
        return Expression(expression)

    def _value(self, value: Any, expression: str) -> Any:
        """Return what can be written down, or what refers to it in the old text."""
        if is_plain(value):
            return value
        self.kept.add("old_profiles" if expression.startswith("old_profiles") else expression)
        return Expression(expression)


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


def _rank(name: str) -> tuple[int, str]:
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)
