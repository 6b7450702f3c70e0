"""The spawners of a configuration that run servers: the Hub's own, or those of its profiles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

from jupyterhub.spawner import Spawner
from traitlets import TraitError
from traitlets.config import Config, Configurable

from ...errors import InvalidJobError
from ...legacy import BatchSpawnerBase
from ...legacy.checks import COMMANDS
from ...profiles.children import ChildFactory
from ...profiles.reading import PROFILE, Profile, read_profiles
from ...profiles.spawner import ProfilesSpawner
from ...profiles.wrap_spawner import WrapSpawner
from ...servers.spawner import UniSpawner
from ...settings.scheduler import SchedulerSettings
from ...settings.way import WaySettings
from ..configured_spawner import UnknownChild, wrapped_spawner


def listed_profiles(spawner: Any) -> list[Profile]:
    """Return the profiles that a configuration lists; none if a function returns them."""
    if not isinstance(spawner, ProfilesSpawner):
        return []
    try:
        given = spawner.refresh_profiles()
        return read_profiles(given) if isinstance(given, list) else []
    except Exception:  # code of the site may need a user; the check of the profiles reports it
        return []


def guess_sections(config: Config) -> dict[str, str]:
    """Return the sections that are named almost like a spawner, each with that spawner's name.

    Other sections without a class are left out: their class may not be loaded.
    """
    loaded = {cls.__name__ for cls in _subclasses(Configurable)} | {"JupyterHub"}
    known = sorted({cls.__name__ for cls in _subclasses(Spawner)} | {"JupyterHub", "Spawner"})
    guesses = {
        name: get_close_matches(name, known, 1, cutoff=0.8) for name in sorted(set(config) - loaded)
    }
    return {name: guess[0] for name, guess in guesses.items() if guess}


def _subclasses(cls: type[Any]) -> Iterator[type[Any]]:
    for one in cls.__subclasses__():
        yield one
        yield from _subclasses(one)


def find_spawners(spawner: Any) -> list[Any]:
    """Return the spawners that run servers; of those that are checked alike, only the first.

    Raises
    ------
    InvalidJobError
        If a wrapper's ``child_config`` can't be right, or it can't make a child.
    """
    if not isinstance(spawner, WrapSpawner):
        return [spawner]
    if not isinstance(spawner, ProfilesSpawner):
        try:
            return [wrapped_spawner(spawner)]
        except UnknownChild:
            return []  # the check of the child reports it
    found: dict[object, Spawner] = {}
    for profile in listed_profiles(spawner):
        try:
            child = ChildFactory(profile, spawner).make_spawner({PROFILE: profile.slug})
        except InvalidJobError:
            continue  # the check of the profile reports it
        found.setdefault(_what_is_checked(child), child)
    if found:
        return list(found.values())
    try:
        return [UniSpawner(config=spawner.config)]
    except TraitError:
        return []  # this is why there are none: the check of the profiles reports it


def _what_is_checked(spawner: Spawner) -> object:
    """Return those values of a spawner that the checks depend on."""
    names: Iterable[str] = ()
    if isinstance(spawner, UniSpawner):
        of_cluster = SchedulerSettings.class_own_traits(config=True)
        of_way = WaySettings.class_own_traits(config=True)
        names = (*of_cluster, *of_way, "host_map", "hub_connect_url")
    elif isinstance(spawner, BatchSpawnerBase):
        names = (*COMMANDS, "agent_python", "batch_script", "public_environment")
    return type(spawner), *(repr(getattr(spawner, name)) for name in names)


def find_jobs(spawner: Any) -> Iterator[tuple[str, UniSpawner]]:
    """Yield a UniSpawner for each job at a bound of what users can choose.

    Before it comes the prefix for a message about it, which names its profile.
    """
    if isinstance(spawner, UniSpawner):
        yield "", spawner
    for profile in listed_profiles(spawner):
        factory = ChildFactory(profile, spawner)
        for user_options in profile.variants():
            try:
                child = factory.make_spawner(user_options)
            except InvalidJobError:
                continue  # the check of the profile reports it
            if isinstance(child, UniSpawner):
                yield f"profile {profile.slug}: ", child
