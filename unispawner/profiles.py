"""Profiles: what an administrator has written, and which of them a user has chosen. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from .errors import InvalidJobError
from .option_fields import shown
from .profile import PROFILE, Chosen, Profile, single


def read_profiles(data: Iterable[Any]) -> list[Profile]:
    """Return profiles as an administrator has written them.

    Raises
    ------
    InvalidJobError
        Naming the profile and the part of it that can't be right.
    """
    profiles: list[Profile] = []
    for number, one in enumerate(data):
        where = f"profiles[{number}]"
        if isinstance(one, list | tuple):
            one = _read_tuple(one, where)
        elif isinstance(one, Mapping):
            where += f" ({one.get('slug') or one.get('display_name')})"
            if "own_options" in one:
                raise InvalidJobError(f"{where}: own_options: is nothing to set")
        try:
            profile = one if isinstance(one, Profile) else Profile.model_validate(one)
        except ValidationError as error:
            raise InvalidJobError(f"{where}: {_first(error)}") from None
        if profile.slug in [other.slug for other in profiles]:
            raise InvalidJobError(f"{where}: there is another profile {profile.slug!r}")
        profiles.append(profile)
    return profiles


def _read_tuple(one: Sequence[Any], where: str) -> dict[str, Any]:
    """Return a profile of wrapspawner's: display name, key, class, configuration."""
    if len(one) != 4:
        raise InvalidJobError(f"{where}: must be (display name, key, class, configuration)")
    names = ("display_name", "slug", "spawner", "config")
    return {**dict(zip(names, one, strict=True)), "own_options": True}


def _first(error: ValidationError) -> str:
    """Return where and what the first of pydantic's complaints is."""
    found = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in found["loc"])
    words = found["msg"].removeprefix("Value error, ")
    return f"{place}: {words}" if place else words


def find_profile(profiles: Iterable[Profile], user_options: Mapping[str, Any]) -> Profile:
    """Return the profile that a user names, of those that are offered to this user.

    Raises
    ------
    InvalidJobError
        If none is named, or one that isn't offered.
    """
    offered = {profile.slug: profile for profile in profiles}
    there = ", ".join(offered) or "none for you"
    if PROFILE not in user_options:
        raise InvalidJobError(f"profile: must be given; there are: {there}")
    slug = user_options[PROFILE]
    if not isinstance(slug, str) or slug not in offered:
        raise InvalidJobError(f"profile: {shown(slug)} is not offered; there are: {there}")
    return offered[slug]


def read_form(
    profiles: Iterable[Profile], fields: Mapping[str, Any]
) -> tuple[Profile, dict[str, Any]]:
    """Return the profile that was chosen in a form, and what was said to it.

    A field is named ``option`` or, since a form has those of all profiles, ``slug--option``; those
    of another profile do not count.

    Raises
    ------
    InvalidJobError
        For a profile that isn't offered.
    """
    offered = list(profiles)
    profile = find_profile(offered, {PROFILE: single(fields, PROFILE)} if PROFILE in fields else {})
    prefixes = tuple(f"{one.slug}--" for one in offered)
    mine = f"{profile.slug}--"
    return profile, {
        name.removeprefix(mine): value
        for name, value in fields.items()
        if name not in (PROFILE, "_xsrf")
        and (name.startswith(mine) or not name.startswith(prefixes))
    }


__all__ = ["PROFILE", "Chosen", "Profile", "find_profile", "read_form", "read_profiles"]
