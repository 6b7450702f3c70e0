"""Profiles that can't work are told when the Hub starts, each bound of theirs tried."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from jupyterhub.spawner import Spawner
from traitlets import TraitError
from traitlets.config import Config

from ..errors import InvalidJobError, SchedulerUnavailable
from ..servers.spawner import UniSpawner
from .children import known
from .reading import PROFILE, Profile, read_profiles

if TYPE_CHECKING:
    from .spawner import ProfilesSpawner


def near(unknown: Iterable[str], there: Iterable[str]) -> str:
    """Return names that there aren't, and what comes near to them."""
    known = sorted(there)
    guesses = {name: get_close_matches(name, known, 1) for name in unknown}
    return ", ".join(
        f"{name} (did you mean {guess[0]}?)" if guess else name for name, guess in guesses.items()
    )


async def check_config(cls: type[ProfilesSpawner], config: Config) -> None:
    """Make sure that every profile makes a server, with its defaults and at each of its bounds.

    What a function gives depends on the user, and is checked then.

    Raises
    ------
    InvalidJobError
        Naming the profile and what can't be right.
    SchedulerUnavailable
        If a scheduler does not answer, and all else is right.
    """
    try:
        spawner = cls(config=config)
    except TraitError as error:
        raise InvalidJobError(str(error)) from None
    if not isinstance(spawner.profiles, list):
        return
    unheard: SchedulerUnavailable | None = None
    for profile in listed(spawner):
        try:
            await check_profile(spawner, profile)
        except InvalidJobError as error:
            raise InvalidJobError(f"{_whose(profile)}{error.message}") from None
        except SchedulerUnavailable as error:
            unheard = error
    if unheard is not None:
        raise unheard


def listed(spawner: ProfilesSpawner) -> list[Profile]:
    """Return the profiles of a configuration that lists them.

    Raises
    ------
    InvalidJobError
        If they can't be right, or there is none.
    """
    if not spawner.profiles:
        raise InvalidJobError("c.ProfilesSpawner.profiles is empty: there must be one at least")
    return read_profiles(spawner.profiles)


async def check_profile(spawner: ProfilesSpawner, profile: Profile) -> None:
    """Make sure that one profile makes a server.

    Raises as :func:`check_config` does, but the caller says which profile it is about.
    """
    try:
        await _check_profile(spawner, profile)
    except InvalidJobError as error:  # what a user's start would say names the profile
        raise InvalidJobError(error.message.removeprefix(_whose(profile))) from None


def _whose(profile: Profile) -> str:
    return f"profile {profile.slug!r}: "


async def _check_profile(spawner: ProfilesSpawner, profile: Profile) -> None:
    cls = spawner.class_of(profile)
    unknown = sorted(set(profile.config) - set(cls.class_trait_names()))
    if unknown and not profile.own_options:  # wrapspawner takes what is of no use
        raise InvalidJobError(
            f"config: {cls.__name__} has no {near(unknown, cls.class_trait_names())}"
        )
    if (profile.options or profile.resources) and not issubclass(cls, UniSpawner):
        raise InvalidJobError(f"options, resources: {cls.__name__} is no UniSpawner")
    child = make_child(spawner, profile, {PROFILE: profile.slug})
    if (check := getattr(cls, "check_config", None)) is not None:
        by_default = settings(spawner, profile, {PROFILE: profile.slug})
        await check(merged(spawner.config, cls, by_default))
    if isinstance(child, UniSpawner):
        await child.find_scheduler()
        for user_options in profile.variants():
            make_child(spawner, profile, user_options).job_spec("0" * 16, environment={})


def settings(
    spawner: ProfilesSpawner, profile: Profile, user_options: dict[str, Any]
) -> dict[str, Any]:
    """Return the settings of a profile's spawner for a choice, without those it doesn't have."""
    found = spawner.config_of(profile, profile.check(user_options).fields)
    return known(spawner.class_of(profile), found)


def make_child(spawner: ProfilesSpawner, profile: Profile, user_options: dict[str, Any]) -> Spawner:
    """Return a profile's spawner as a choice would make it, that belongs to nobody."""
    try:
        return spawner.class_of(profile)(
            config=spawner.config, **settings(spawner, profile, user_options)
        )
    except TraitError as error:
        raise InvalidJobError(f"config: {error}") from None


def merged(config: Config, cls: type[Spawner], more: dict[str, Any]) -> Config:
    """Return a configuration in which a class has more settings."""
    result = Config(config.copy())
    result[cls.__name__] = Config({**config.get(cls.__name__, {}), **more})
    return result
