"""Profiles: what an administrator has written, and which of them a user has chosen. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ..errors import InvalidJobError
from .fields import shorten
from .option import Choice, Option
from .profile import PROFILE, Chosen, Profile, one_value

_MUST_BE = {
    "dict_type": "a dictionary",
    "model_type": "a dictionary",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "text",
    "bool_type": "True or False",
    "bool_parsing": "True or False",
}
"""What pydantic's complaints of these types mean."""


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
    """Return where the first of pydantic's complaints is and what, in an administrator's words."""
    found = error.errors(include_url=False)[0]
    loc = [str(part) for part in found["loc"]]
    kind = found["type"]
    if kind == "extra_forbidden":
        words = f"is nothing to set; there are {', '.join(_settable(loc))}"
    elif kind == "missing":
        words = "must be given"
    elif kind in _MUST_BE:
        words = f"must be {_MUST_BE[kind]}, not {shorten(found['input'])}"
    else:
        words = found["msg"].removeprefix("Value error, ")
        words = words.removeprefix(f"{loc[-1]}: ") if loc else words
    return f"{'.'.join(loc)}: {words}" if loc else words


def _settable(loc: Sequence[str]) -> list[str]:
    """Return what can be set where something is that can't."""
    if len(loc) == 1:
        return sorted(set(Profile.model_fields) - {"own_options"})
    if len(loc) == 3:  # options, its name, what is wrong
        return sorted(set(Option.model_fields) - {"name"})
    return sorted(Choice.model_fields)


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
        raise InvalidJobError(f"profile: {shorten(slug)} is not offered; there are: {there}")
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
    profile = find_profile(
        offered, {PROFILE: one_value(fields, PROFILE)} if PROFILE in fields else {}
    )
    prefixes = tuple(f"{one.slug}--" for one in offered)
    mine = f"{profile.slug}--"
    return profile, {
        name.removeprefix(mine): value
        for name, value in fields.items()
        if name not in (PROFILE, "_xsrf")
        and (name.startswith(mine) or not name.startswith(prefixes))
    }


__all__ = ["PROFILE", "Chosen", "Profile", "find_profile", "read_form", "read_profiles"]
