"""Decides what a configuration becomes: one UniSpawner, a list of profiles, or what it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue

from ...errors import InvalidJobError
from ...legacy import BatchSpawnerBase
from ...profiles.spawner import ProfilesSpawner
from ...profiles.wrap_spawner import WrapSpawner
from ...servers.spawner import UniSpawner
from .literal import literal
from .names import NAMES, counterpart
from .old_config import OldSetting, SpawnerClass, SpawnerSettings
from .translate import translate
from .translation import NewSetting, Remark, Translation

DEFAULT_PROFILES: list[tuple[Any, ...]] = [
    (
        *("Local Notebook Server", "local", "jupyterhub.spawner.LocalProcessSpawner"),
        {"start_timeout": 15, "http_timeout": 10},
    )
]
"""What wrapspawner 1.0 offers if no profiles are set."""


@dataclass
class Profile:
    """An entry of ``c.ProfilesSpawner.profiles``.

    Attributes
    ----------
    entry
        As the old file has it: display name, key, class, configuration; or unispawner's own form.
    index
        Its place in the old list.
    old
        The settings of its configuration.
    translation
        What becomes of its spawner's settings, those for all of its class among them; None if
        that is not a class of batchspawner's.
    why_kept
        Why its class stays, if it may be one that needs batchspawner: a class of the site's own.
    """

    entry: tuple[Any, ...] | Mapping[str, Any]
    index: int
    spawner: SpawnerClass
    old: tuple[OldSetting, ...] = ()
    translation: Translation | None = None
    why_kept: str = ""

    @property
    def key(self) -> str:
        """What the form sends."""
        if isinstance(self.entry, Mapping):
            return str(self.entry.get("slug") or self.entry.get("display_name"))
        return str(self.entry[1])

    @property
    def label(self) -> str:
        """What names the profile before one of its settings."""
        return f'profile "{self.key}": '

    @property
    def is_translated(self) -> bool:
        """True if UniSpawner runs its servers."""
        return self.translation is not None and not self.translation.untranslatable

    def differences(self, base: Translation) -> dict[str, NewSetting]:
        """Return the settings that differ from those for all profiles."""
        if self.translation is None:
            return {}
        own = self.translation.settings
        result = {
            name: setting
            for name, setting in own.items()
            if name not in base.settings or base.settings[name].value != setting.value
        }
        for name in base.settings.keys() - own.keys():
            result[name] = NewSetting(UniSpawner.class_traits()[name].default())
        if "resources" in result and "resources" in base.settings:
            # A profile's resources are added to those for all: None takes one away.
            unset = dict.fromkeys(base.settings["resources"].value)
            changed = result["resources"]
            result["resources"] = replace(changed, value={**unset, **changed.value})
        return result


@dataclass
class Plan:
    """The new configuration.

    Attributes
    ----------
    spawner
        The class of the old ``c.JupyterHub.spawner_class``.
    base
        What becomes of the settings for all servers.
    profiles
        None if there are none, or if they can stay as they are.
    unused
        Settings for batchspawner's classes that no spawner of this configuration reads.
    """

    spawner: SpawnerClass
    base: Translation = field(default_factory=Translation)
    profiles: list[Profile] | None = None
    unused: list[str] = field(default_factory=list)

    @property
    def legacy_is_used(self) -> bool:
        """True if a class of batchspawner's, or a site's subclass of it, still runs servers."""
        if self.profiles is not None:
            return any(
                not one.is_translated and one.spawner.derives_from(BatchSpawnerBase)
                for one in self.profiles
            )
        return bool(self.base.untranslatable)

    @property
    def is_translated(self) -> bool:
        """True if UniSpawner runs servers."""
        if self.profiles is not None:
            return any(one.is_translated for one in self.profiles)
        return not self.base.untranslatable

    def parts(self) -> Iterator[Part]:
        """Yield what becomes of the settings for all servers, and then of each profile's own."""
        base = self.base
        yield Part("", base.settings, base.remarks, base.untranslatable)
        for profile in self.profiles or ():
            if profile.translation is None:
                if profile.why_kept:
                    yield Part(profile.label, {}, [], {f"{profile.label}class": profile.why_kept})
                continue
            settings, remarks = {}, []
            if profile.is_translated:
                settings = profile.differences(base)
                remarks = [one for one in profile.translation.remarks if one not in base.remarks]
            yield Part(profile.label, settings, remarks, profile.translation.untranslatable)


@dataclass(frozen=True)
class Part:
    """A part of a configuration; the label is empty for the settings for all servers."""

    label: str
    settings: Mapping[str, NewSetting]
    remarks: Sequence[Remark]
    untranslatable: Mapping[str, str]


def make_plan(config: Config, patched: Sequence[str] = ()) -> Plan:
    """Plan the new configuration.

    Parameters
    ----------
    patched
        Attributes of batchspawner's own classes that the old file changes.

    Raises
    ------
    InvalidJobError
        If no class of batchspawner's or wrapspawner's is configured, or a setting has a value that
        its class refuses.
    """
    given = config.JupyterHub.get("spawner_class") if "JupyterHub" in config else None
    if given is None:
        raise InvalidJobError("c.JupyterHub.spawner_class is not set: there is nothing to migrate")
    spawner = SpawnerClass.from_value(given)
    _check_values(spawner, config, {}, f"c.{spawner.name}")
    if patched:
        plan = Plan(spawner)
        plan.base.mark_untranslatable("c.JupyterHub.spawner_class", _why_patched(patched))
    elif spawner.is_legacy and spawner.derives_from(ProfilesSpawner):
        plan = _plan_profiles(spawner, config)
    elif spawner.scheduler:
        plan = Plan(spawner, translate(SpawnerSettings(spawner.cls, config)))
    elif spawner.derives_from(BatchSpawnerBase) or spawner.derives_from(WrapSpawner):
        plan = Plan(spawner)
        plan.base.mark_untranslatable("c.JupyterHub.spawner_class", _why_untranslatable(spawner))
    elif spawner.why:
        raise InvalidJobError(f"c.JupyterHub.spawner_class: {_explain_missing(spawner)}")
    else:
        raise InvalidJobError(
            f"c.JupyterHub.spawner_class is {spawner.name}, which is not one of batchspawner's or "
            "wrapspawner's classes: there is nothing to migrate"
        )
    plan.unused = _find_unused(plan, config)
    return plan


def _check_values(
    spawner: SpawnerClass, config: Config, values: Mapping[str, Any], label: str
) -> None:
    """Refuse what batchspawner would refuse when somebody starts a server."""
    if not spawner.is_legacy:
        return
    cls: Any = spawner.cls
    known = {name: values[name] for name in values if name in cls.class_traits()}
    try:
        cls(config=config, **known)
    except Exception as error:  # a trait's validation may raise anything
        raise InvalidJobError(
            f"{label}: {error} With this value no server can start: correct the old file first."
        ) from None


def _explain_missing(spawner: SpawnerClass) -> str:
    if "no counterpart" in spawner.why:
        guess = get_close_matches(spawner.name, NAMES, 1)
        hint = f" (did you mean {guess[0]}?)" if guess else ""
        return f"{spawner.why}{hint}: keep the old package for it"
    return f"{spawner.why}. If the Hub can import it, run this command with the Hub's Python"


def _why_patched(patched: Sequence[str]) -> str:
    return (
        f"the file changes batchspawner's own classes ({', '.join(patched)}), and UniSpawner has "
        "nothing of them"
    )


def _why_untranslatable(spawner: SpawnerClass) -> str:
    if not spawner.is_legacy:
        return f"{spawner.name} is a class of the site's own"
    if spawner.derives_from(WrapSpawner):
        return f"{spawner.name} may start a server of another class each time"
    return f"{spawner.name} names no scheduler: all its commands are the site's own"


def _find_unused(plan: Plan, config: Config) -> list[str]:
    used = [plan.spawner, *(one.spawner for one in plan.profiles or ())]
    return [
        f"c.{section}.{name}"
        for section in config
        if isinstance(cls := counterpart(section), type)
        for name in config[section]
        if not any(one.derives_from(cls) for one in used)
    ]


def _plan_profiles(spawner: SpawnerClass, config: Config) -> Plan:
    section = config.ProfilesSpawner if "ProfilesSpawner" in config else {}
    entries = section.get("profiles", DEFAULT_PROFILES)
    if isinstance(entries, LazyConfigValue):  # c.ProfilesSpawner.profiles.append(…)
        entries = entries.get_value(DEFAULT_PROFILES)
    plan = Plan(spawner)
    if isinstance(entries, list) and entries[:1] == DEFAULT_PROFILES:
        plan.base.add_remark(
            "wrapspawner offers a server on the Hub's own host if no profiles are set. unispawner "
            "does so only if the list says it, so the new file does. If you keep the old file, put "
            f"{DEFAULT_PROFILES[0]!r} first in the list.",
            "c.ProfilesSpawner.profiles",
        )
    if callable(entries):
        reason = "it is a function: what it returns is not known before somebody starts a server"
        plan.base.mark_untranslatable("c.ProfilesSpawner.profiles", reason)
        return plan
    plan.profiles = [_read_profile(entry, index, config) for index, entry in enumerate(entries)]
    classes = {one.spawner.cls: None for one in plan.profiles if one.is_translated}
    shared = [translate(SpawnerSettings(cls, config), has_form=False) for cls in classes]
    remarks = plan.base.remarks
    plan.base = _find_common(shared)
    plan.base.remarks = [*remarks, *plan.base.remarks]
    return plan


def _find_common(translations: Sequence[Translation]) -> Translation:
    """Return what holds for all classes: the settings that are the same, and every remark."""
    common = Translation()
    for one in translations:
        common.remarks += [remark for remark in one.remarks if remark not in common.remarks]
    for name, setting in translations[0].settings.items() if translations else ():
        if all(
            name in one.settings and one.settings[name].value == setting.value
            for one in translations
        ):
            common.settings[name] = setting
    return common


def _why_kept(spawner: SpawnerClass) -> str:
    """Return why a profile keeps its class, where that may be a class that needs batchspawner."""
    if spawner.cls is None:
        return spawner.why
    ours = spawner.derives_from(BatchSpawnerBase) or spawner.derives_from(WrapSpawner)
    return _why_untranslatable(spawner) if ours and not spawner.scheduler else ""


def _read_profile(entry: Any, index: int, config: Config) -> Profile:
    if isinstance(entry, Mapping):
        return Profile(entry, index, SpawnerClass.from_value(entry.get("spawner", "unispawner")))
    if not isinstance(entry, tuple | list) or len(entry) != 4 or not isinstance(entry[3], Mapping):
        raise InvalidJobError(
            f"c.ProfilesSpawner.profiles: {entry!r} must be a tuple of a display name, a key, a "
            "class and a dictionary"
        )
    profile = Profile(tuple(entry), index, SpawnerClass.from_value(entry[2]))
    profile.old = tuple(
        OldSetting(
            name, value, "", f"{profile.label}{name}", f"old_profiles[{index}][3][{literal(name)}]"
        )
        for name, value in entry[3].items()
    )
    profile.why_kept = _why_kept(profile.spawner)
    values = {setting.name: setting.value for setting in profile.old}
    _check_values(profile.spawner, config, values, profile.label.removesuffix(": "))
    if profile.spawner.scheduler:
        settings = SpawnerSettings(profile.spawner.cls, config, profile.old)
        profile.translation = translate(settings, has_form=False)
    return profile
