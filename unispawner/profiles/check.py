"""The check of profiles when the Hub starts: each must make a job at every bound of its options."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from jupyterhub.spawner import Spawner
from traitlets.config import Config

from ..errors import InvalidJobError, SchedulerUnavailable
from ..servers.spawner import UniSpawner
from .applications import FORMATTED, PLACEHOLDERS, check_placeholders
from .children import ChildFactory
from .reading import PROFILE, Profile, read_profiles


async def check_profiles(profiles: Iterable[Any], wrapper: Spawner) -> None:
    """Check that every profile makes a server, with its defaults and at each of its bounds.

    Parameters
    ----------
    profiles
        As the administrator has written them.
    wrapper
        A spawner that belongs to nobody, for the rest of the configuration.

    Raises
    ------
    InvalidJobError
        Naming the profile, and the part of it that can't be right.
    SchedulerUnavailable
        If schedulers do not answer, and everything else is right; the message names the profiles
        whose servers can't start for that reason, unless that is all of them.
    """
    unavailable: dict[str, list[Profile]] = {}
    read = read_some_profiles(profiles)
    for profile in read:
        try:
            await check_profile(profile, wrapper)
        except InvalidJobError as error:
            raise InvalidJobError(f"{_prefix(profile)}{error.message}") from None
        except SchedulerUnavailable as error:
            unavailable.setdefault(str(error), []).append(profile)
    if unavailable:
        raise SchedulerUnavailable(
            "\n".join(_name(those, read) + why for why, those in unavailable.items())
        )


def _name(those: list[Profile], all_profiles: list[Profile]) -> str:
    """Return the beginning of a message about some profiles; empty if it is about all."""
    if len(those) == len(all_profiles):
        return ""
    if len(those) == 1:
        return _prefix(those[0])
    return f"profiles {', '.join(repr(one.slug) for one in those)}: "


def read_some_profiles(given: Iterable[Any]) -> list[Profile]:
    """Return the profiles of a configuration that lists them.

    Raises
    ------
    InvalidJobError
        If they can't be right, or there are none.
    """
    profiles = read_profiles(given)
    if not profiles:
        raise InvalidJobError("c.ProfilesSpawner.profiles: the list is empty; add a profile")
    return profiles


async def check_profile(profile: Profile, wrapper: Spawner, *, ask: bool = True) -> None:
    """Check that one profile makes a server.

    Parameters
    ----------
    ask
        Whether to look for a UniSpawner's scheduler on this host; False checks its settings only.

    Raises
    ------
    InvalidJobError
        Naming the part that can't be right, but not the profile.
    SchedulerUnavailable
        If its scheduler does not answer, and everything else is right.
    """
    try:
        await _check_profile(ChildFactory(profile, wrapper), ask)
    except InvalidJobError as error:  # the message for a user names the profile
        raise InvalidJobError(error.message.removeprefix(_prefix(profile))) from None


def _prefix(profile: Profile) -> str:
    return f"profile {profile.slug!r}: "


async def _check_profile(factory: ChildFactory, ask: bool) -> None:
    profile, cls = factory.profile, factory.spawner_class
    unknown = sorted(set(profile.config) - set(cls.class_trait_names()))
    if unknown and not profile.own_options:  # wrapspawner ignores settings that a class lacks
        names = suggest_names(unknown, cls.class_trait_names())
        raise InvalidJobError(f"config: {cls.__name__} has no setting {names}")
    if (profile.options or profile.resources) and not issubclass(cls, UniSpawner):
        raise InvalidJobError(
            f"options, resources: only a UniSpawner can have these, and {cls.__name__} is not one"
        )
    child = factory.make_spawner({PROFILE: profile.slug})
    check = getattr(cls, "check_config", None)
    if check is not None and (ask or not issubclass(cls, UniSpawner)):
        fields = profile.check({PROFILE: profile.slug}).fields
        settings = factory.keep_known(factory.make_settings(fields))
        await check(_with_settings(factory.wrapper.config, cls, settings))
    if isinstance(child, UniSpawner):
        await child.find_scheduler()
        _check_support(profile, child)
        await _check_variants(factory)
        for group in profile.limits:
            await _check_variants(ChildFactory(profile.for_groups([group]), factory.wrapper))


async def _check_variants(factory: ChildFactory) -> None:
    for user_options in factory.profile.variants():
        await asyncio.sleep(0)  # a Hub that reads a file anew answers its users meanwhile
        variant = factory.make_spawner(user_options)
        variant.job_spec("0" * 16, environment={})
        _check_placeholders(variant)


def _check_placeholders(spawner: Spawner) -> None:
    """Check the settings in which JupyterHub fills in placeholders at the start."""
    if type(spawner).template_namespace is not Spawner.template_namespace:
        return  # a site's class has placeholders of its own
    for name in FORMATTED:
        try:
            check_placeholders(name, getattr(spawner, name), PLACEHOLDERS)
        except ValueError as error:
            raise InvalidJobError(str(error)) from None


def _check_support(profile: Profile, child: UniSpawner) -> None:
    """Check that jobs can have what options offer of what is the user's."""
    scheduler = child.get_scheduler()
    for name, option in profile.options.items():
        if option.mine and name not in scheduler.supported():
            raise InvalidJobError(
                f"options.{name}: {scheduler.title} does not have this; leave the option out"
            )


def suggest_names(unknown: Iterable[str], known: Iterable[str]) -> str:
    """Return unknown names, each with the known name that is most like it, if there is one."""
    names = sorted(known)
    guesses = {name: get_close_matches(name, names, 1) for name in unknown}
    return ", ".join(
        f"{name} (did you mean {guess[0]}?)" if guess else name for name, guess in guesses.items()
    )


def _with_settings(config: Config, cls: type[Spawner], settings: dict[str, Any]) -> Config:
    """Return a configuration in which a class has these settings, too."""
    result = Config(config.copy())
    result[cls.__name__] = Config({**config.get(cls.__name__, {}), **settings})
    return result
