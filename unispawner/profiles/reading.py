"""Reads profiles as an administrator has written them, and finds the one of a choice. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ..errors import InvalidJobError
from ..texts import of_field, say
from .fields import shorten
from .file_places import REQUIRED
from .option import Choice, Option
from .own_value import OwnValue
from .profile import PROFILE, Chosen, Profile, one_value

VERSION = "profiles-version"
"""The field of a form that has the version of the file of profiles which the form was made of."""

_MUST_BE = {
    "dict_type": "a dictionary",
    "model_type": "a dictionary",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "text",
    "bool_type": "True or False",
    "bool_parsing": "True or False",
}
"""What a value must be, by the type of pydantic's error."""


def read_profiles(data: Iterable[Any]) -> list[Profile]:
    """Return profiles as an administrator has written them.

    Raises
    ------
    InvalidJobError
        Naming the profile, and the part of it that can't be right.
    """
    profiles: list[Profile] = []
    for number, one in enumerate(data):
        where = f"profiles[{number}]"
        if isinstance(one, list | tuple):
            one = _read_tuple(one, where)
        elif isinstance(one, Mapping):
            where += f" ({one.get('slug') or one.get('display_name')})"
            if "own_options" in one:
                raise InvalidJobError(f"{where}: {_unknown_key(['own_options'])}")
        try:
            profile = one if isinstance(one, Profile) else Profile.model_validate(one)
        except ValidationError as error:
            raise InvalidJobError(f"{where}: {_first(error)}") from None
        if profile.slug in [other.slug for other in profiles]:
            raise InvalidJobError(f"{where}: slug: another profile has {profile.slug!r}, too")
        profiles.append(profile)
    return profiles


def _read_tuple(one: Sequence[Any], where: str) -> dict[str, Any]:
    """Return a profile from wrapspawner's form: display name, key, class, settings."""
    if len(one) != 4:
        raise InvalidJobError(
            f"{where}: a tuple must have four items: display name, key, class, settings"
        )
    names = ("display_name", "slug", "spawner", "config")
    return {**dict(zip(names, one, strict=True)), "own_options": True}


def _first(error: ValidationError) -> str:
    """Return the first of pydantic's errors, with its place, in an administrator's words.

    A misspelt key is both missing and unknown; the unknown one is what stands in the file.
    """
    errors = error.errors(include_url=False)
    found = errors[0]
    if found["type"] == "missing":
        where = found["loc"][:-1]
        unknown = (one for one in errors if one["type"] == "extra_forbidden")
        found = next((one for one in unknown if one["loc"][:-1] == where), found)
    loc = [str(part) for part in found["loc"]]
    kind = found["type"]
    if kind == "extra_forbidden":
        return _unknown_key(loc)
    if kind == "missing":
        words = REQUIRED
    elif kind in _MUST_BE:
        words = f"must be {_MUST_BE[kind]}, not {shorten(found['input'])}"
    else:
        words = found["msg"].removeprefix("Value error, ")
        words = words.removeprefix(f"{loc[-1]}: ") if loc else words
    return f"{'.'.join(loc)}: {words}" if loc else words


def _unknown_key(loc: Sequence[str]) -> str:
    """Return the error for a key that is not known at its place."""
    if len(loc) == 1:
        known = set(Profile.model_fields) - {"own_options"}
    elif len(loc) == 3:  # options, its name, the key
        known = set(Option.model_fields) - {"name", "choices_from"}
    elif loc[-2] == "value":
        known = set(OwnValue.model_fields)
    else:
        known = set(Choice.model_fields)
    message = f"unknown key {loc[-1]!r}; known keys: {', '.join(sorted(known))}"
    return ": ".join(filter(None, (".".join(loc[:-1]), message)))


def find_profile(profiles: Iterable[Profile], user_options: Mapping[str, Any]) -> Profile:
    """Return the profile that a user has chosen.

    Raises
    ------
    InvalidJobError
        If user_options name none, or one that isn't offered.
    """
    offered = {profile.slug: profile for profile in profiles}
    names = ", ".join(offered) or "none"
    if PROFILE not in user_options:
        problem = say("no profile is named; offered profiles: {names}", names=names)
        raise InvalidJobError(of_field("profile", problem))
    slug = user_options[PROFILE]
    if not isinstance(slug, str) or slug not in offered:
        problem = say(
            "{profile} is not offered; offered profiles: {names}",
            profile=shorten(slug),
            names=names,
        )
        raise InvalidJobError(of_field("profile", problem))
    return offered[slug]


def read_form(
    profiles: Iterable[Profile], fields: Mapping[str, Any]
) -> tuple[Profile, dict[str, Any]]:
    """Return the profile that was chosen in a form, and the fields for it, by option.

    A field is named ``slug--option``, since a form has those of all profiles, or ``option``. Fields
    of other profiles are left out.

    Raises
    ------
    InvalidJobError
        If the form names no profile, or one that isn't offered.
    """
    offered = list(profiles)
    profile = find_profile(
        offered, {PROFILE: one_value(fields, PROFILE)} if PROFILE in fields else {}
    )
    prefixes = tuple(f"{one.slug}--" for one in offered)
    own = f"{profile.slug}--"
    return profile, {
        name.removeprefix(own): value
        for name, value in fields.items()
        if name not in (PROFILE, VERSION, "_xsrf")
        and (name.startswith(own) or not name.startswith(prefixes))
    }


__all__ = ["PROFILE", "VERSION", "Chosen", "Profile", "find_profile", "read_form", "read_profiles"]
