"""The spawner of a profile: its class, and the settings that a choice gives it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from jupyterhub.spawner import Spawner
from traitlets.utils.importstring import import_item

from ..errors import InvalidJobError
from ..servers.spawner import UniSpawner
from .option import DICTIONARIES
from .profile import Profile
from .wrap_spawner import copied


def spawner_class(profile: Profile) -> type[Spawner]:
    """Return the class of a profile's spawner, which may be given by its name.

    Raises
    ------
    InvalidJobError
        If there is none of that name, or it is something else.
    """
    named = profile.spawner or UniSpawner
    if isinstance(named, str):
        try:
            (*_, entry) = [None, *entry_points(group="jupyterhub.spawners", name=named.lower())]
            named = entry.load() if entry else import_item(named)
        except (ImportError, AttributeError) as error:
            raise InvalidJobError(f"profile {profile.slug!r}: {named}: {error}") from None
    if not (isinstance(named, type) and issubclass(named, Spawner)):
        raise InvalidJobError(f"profile {profile.slug!r}: {named!r} is no spawner's class")
    return named


def known(cls: type[Spawner], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a class has; wrapspawner lets others pass."""
    return {name: value for name, value in config.items() if cls.class_traits().get(name)}


def child_config(
    spawner: Spawner, cls: type[Spawner], profile: Profile, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a child's settings: the profile's, and what options set on top of these.

    What is a dictionary, such as ``resources``, adds to the one that is configured.
    """
    config = copied(profile.config)
    merged = {name: fields[name] for name in DICTIONARIES if fields.get(name)}
    if merged:
        configured = cls(config=spawner.config, **known(cls, config))
        for name, items in merged.items():
            config[name] = {**getattr(configured, name, {}), **items}
    return {**config, **{k: v for k, v in fields.items() if k not in DICTIONARIES}}


def idle_child(spawner: Spawner, cls: type[Spawner], profile: Profile) -> Spawner:
    """Return a profile's spawner that starts nothing: to be asked what it would do."""
    config = copied(profile.config)
    child = cls(config=spawner.config, user=spawner.user, **known(cls, config))
    child.wrapper = spawner
    return child


def asked_by_default(child: Spawner, profile: Profile) -> dict[str, Any]:
    """Return the fields of a job that are configured: what it asks for if nothing is chosen."""
    fields = {name: getattr(child, name, None) for name in ("duration", "queue_name")}
    return {**fields, **getattr(child, "resources", {}), **profile.resources}
