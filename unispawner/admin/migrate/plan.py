"""What a configuration becomes: one UniSpawner, a list of profiles, or what it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue

from ...errors import InvalidJobError
from ...servers.spawner import UniSpawner
from .old import Found, Settings, SpawnerClass, legacy
from .translate import translate
from .translation import Remark, Setting, Translation


@dataclass
class Profile:
    """An entry of ``c.ProfilesSpawner.profiles``.

    Attributes
    ----------
    entry
        As the old file has it: display name, key, class, configuration; or unispawner's own form.
    found
        Its configuration.
    translation
        What its spawner's settings become, those for all of its class among them; None if that
        isn't one of batchspawner's.
    """

    entry: tuple[Any, ...] | Mapping[str, Any]
    index: int
    spawner: SpawnerClass
    found: tuple[Found, ...] = ()
    translation: Translation | None = None

    @property
    def key(self) -> str:
        """What the form sends."""
        return str(self.entry["slug"] if isinstance(self.entry, Mapping) else self.entry[1])

    @property
    def is_translated(self) -> bool:
        """True if UniSpawner runs it."""
        return self.translation is not None and not self.translation.stays

    def beyond(self, base: Translation) -> dict[str, Setting]:
        """Return what it sets otherwise than the settings for all."""
        if self.translation is None:
            return {}
        mine = self.translation.settings
        result = {
            name: setting
            for name, setting in mine.items()
            if name not in base.settings or base.settings[name].value != setting.value
        }
        for name in base.settings.keys() - mine.keys():
            result[name] = Setting(_unset(name))
        if "resources" in result and "resources" in base.settings:
            # None, since the two may be joined.
            unset = dict.fromkeys(base.settings["resources"].value)
            own = result["resources"]
            result["resources"] = replace(own, value={**unset, **own.value})
        return result


def _unset(name: str) -> Any:
    trait = UniSpawner.class_traits()[name]
    return trait.default()


@dataclass
class Plan:
    """The new configuration.

    Attributes
    ----------
    spawner
        The old ``c.JupyterHub.spawner_class``.
    base
        What becomes of the settings for all of a class's servers.
    profiles
        None if there are none, or if they can stay as they are.
    unread
        Settings for classes of batchspawner's that nothing here uses.
    """

    spawner: SpawnerClass
    base: Translation = field(default_factory=Translation)
    profiles: list[Profile] | None = None
    unread: list[str] = field(default_factory=list)

    @property
    def legacy_is_used(self) -> bool:
        """True if a class of batchspawner's, or a site's subclass of one, still runs servers."""
        if self.profiles is not None:
            return any(
                not one.is_translated and one.spawner.derives_from("BatchSpawnerBase")
                for one in self.profiles
            )
        return bool(self.base.stays)

    @property
    def is_translated(self) -> bool:
        """True if UniSpawner runs servers."""
        if self.profiles is not None:
            return any(one.is_translated for one in self.profiles)
        return not self.base.stays

    def parts(self) -> Iterator[Part]:
        """Yield what becomes of the settings for all, and then of each profile's own."""
        yield Part("", self.base.settings, self.base.remarks, self.base.stays)
        for profile in self.profiles or ():
            told = profile.translation
            if told is not None:
                settings = {} if told.stays else profile.beyond(self.base)
                remarks = [one for one in told.remarks if one not in self.base.remarks]
                remarks = [] if told.stays else remarks
                yield Part(f'profile "{profile.key}": ', settings, remarks, told.stays)


@dataclass(frozen=True)
class Part:
    """What is said of one part of a configuration, to be read after its label."""

    label: str
    settings: Mapping[str, Setting]
    remarks: Sequence[Remark]
    stays: Mapping[str, str]


def make_plan(config: Config) -> Plan:
    """Plan the new configuration.

    Raises
    ------
    InvalidJobError
        If no class of batchspawner's or wrapspawner's is configured.
    """
    given = config.JupyterHub.get("spawner_class") if "JupyterHub" in config else None
    if given is None:
        raise InvalidJobError(
            "c.JupyterHub.spawner_class is not set here: there is nothing to migrate"
        )
    spawner = SpawnerClass.of(given)
    if spawner.is_legacy and spawner.derives_from("ProfilesSpawner"):
        plan = _profiles(spawner, config)
    elif spawner.scheduler:
        assert spawner.cls is not None
        plan = Plan(spawner, translate(Settings(spawner.cls, config)))
    elif spawner.derives_from("BatchSpawnerBase") or spawner.derives_from("WrapSpawner"):
        plan = Plan(spawner)
        plan.base.stay("c.JupyterHub.spawner_class", _why_it_stays(spawner))
    else:
        raise InvalidJobError(
            f"c.JupyterHub.spawner_class is {spawner.name}, which is no class of batchspawner's or "
            "wrapspawner's that unispawner knows: there is nothing to migrate"
        )
    used = [spawner, *(one.spawner for one in plan.profiles or ())]
    plan.unread = [
        f"c.{section}.{name}"
        for section in config
        if (cls := legacy(section)) is not None
        for name in config[section]
        if not any(one.cls and issubclass(one.cls, cls) for one in used)
    ]
    return plan


def _why_it_stays(spawner: SpawnerClass) -> str:
    if not spawner.is_legacy:
        return f"{spawner.name} is a class of the site's own"
    if spawner.derives_from("WrapSpawner"):
        return "what a WrapSpawner starts may be another class each time"
    return f"{spawner.name} says nothing of a scheduler: all its commands are the site's own"


def _profiles(spawner: SpawnerClass, config: Config) -> Plan:
    entries = config.ProfilesSpawner.get("profiles", []) if "ProfilesSpawner" in config else []
    if isinstance(entries, LazyConfigValue):  # c.ProfilesSpawner.profiles.append(…)
        assert spawner.cls is not None
        entries = entries.get_value(spawner.cls.class_traits()["profiles"].default())  # type: ignore[attr-defined]
    plan = Plan(spawner, profiles=[])
    if callable(entries):
        plan.base.stay("c.ProfilesSpawner.profiles", "it is a function")
        return replace(plan, profiles=None)
    plan.profiles = [_profile(entry, index, config) for index, entry in enumerate(entries)]
    translated = [one for one in plan.profiles if one.is_translated]
    classes = {one.spawner.cls: None for one in translated}
    shared = [translate(Settings(cls, config), has_form=False) for cls in classes if cls]
    for one in shared:
        plan.base.remarks += [remark for remark in one.remarks if remark not in plan.base.remarks]
    for name, setting in shared[0].settings.items() if shared else ():
        if all(
            name in one.settings and one.settings[name].value == setting.value for one in shared
        ):
            plan.base.settings[name] = setting
    return plan


def _profile(entry: Any, index: int, config: Config) -> Profile:
    if isinstance(entry, Mapping):
        return Profile(entry, index, SpawnerClass.of(entry.get("spawner", "unispawner")))
    if not isinstance(entry, tuple | list) or len(entry) != 4 or not isinstance(entry[3], Mapping):
        raise InvalidJobError(
            f"c.ProfilesSpawner.profiles: {entry!r} is no tuple of a display name, a key, a class "
            "and a dictionary"
        )
    found = tuple(
        Found(
            name, value, "", f'profile "{entry[1]}": {name}', f"old_profiles[{index}][3][{name!r}]"
        )
        for name, value in entry[3].items()
    )
    profile = Profile(tuple(entry), index, SpawnerClass.of(entry[2]), found)
    if profile.spawner.scheduler:
        assert profile.spawner.cls is not None
        settings = Settings(profile.spawner.cls, config, found)
        profile.translation = translate(settings, has_form=False)
    return profile
