"""Profiles: what users may choose, and how a choice becomes fields of a job. Pure, without I/O.

The same definition drives the form, the checks of what comes back from it, from a link, from a REST
body or from the database, and the schema that is published.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, ValidationError, model_validator

from .errors import InvalidJobError
from .job import ResourceSpec
from .limits import queue_limit
from .option_fields import RESOURCES, Value, shown
from .options import DICTIONARIES, STRICT, Option
from .schedulers.inventory import Inventory

PROFILE = "profile"
"""The entry of user_options that names the profile; the others are its options'."""
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.]*(-[A-Za-z0-9_.]+)*", re.ASCII)


@dataclass(frozen=True)
class Chosen:
    """What a user has chosen, checked.

    Attributes
    ----------
    profile
        The profile.
    user_options
        What was said, and no more, as JSON: worth saving, to be chosen again.
    values
        Of each option that is there, defaults included.
    fields
        What they set: fields of JobSpec, those of ResourceSpec under ``resources``.
    """

    profile: Profile
    user_options: dict[str, Any]
    values: dict[str, Value]
    fields: dict[str, Any]


class Profile(BaseModel):
    """One kind of server that users can choose.

    Attributes
    ----------
    display_name, description
        What is shown.
    slug
        What names it in forms, links, REST bodies and the database; made of ``display_name`` if not
        given.
    default
        What the form begins with; else that is the first.
    groups, users
        Who is offered it: the members of these groups, and these users. Nothing said: everybody.
    config
        Settings of the spawner, as in the configuration: ``{"queue_name": "gpu"}``.
    resources
        What the job asks for, on top of ``c.UniSpawner.resources``.
    options
        What users may set.
    spawner
        A spawner's class, or the name of one, in place of UniSpawner.
    own_options
        The spawner's class decides what else may be said: wrapspawner's form of a profile.
    """

    model_config = STRICT

    display_name: str = Field(min_length=1)
    slug: str = ""
    description: str = ""
    default: bool = False
    groups: tuple[str, ...] | None = None
    users: tuple[str, ...] | None = None
    config: dict[str, Any] = {}
    resources: dict[str, Any] = {}
    options: dict[str, Option] = {}
    spawner: Any = None
    own_options: bool = Field(default=False, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _name_parts(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        result = dict(data)
        if isinstance(options := result.get("options"), Mapping):
            result["options"] = {
                key: {**one, "name": key} if isinstance(one, Mapping) else one
                for key, one in options.items()
            }
        if not result.get("slug"):
            words = re.findall("[a-z0-9]+", str(result.get("display_name")).lower())
            result["slug"] = "-".join(words)
        return result

    @model_validator(mode="after")
    def _consistent(self) -> Profile:
        if not (_SLUG.fullmatch(self.slug) or self.own_options):
            raise ValueError(f"slug: {self.slug!r} must be letters, digits, and single hyphens")
        try:
            ResourceSpec.from_dict(self.resources)
            for name, option in self.options.items():
                self._check_condition(name, option)
        except InvalidJobError as error:
            raise ValueError(str(error)) from None
        return self

    def _check_condition(self, name: str, option: Option) -> None:
        earlier = list(self.options)[: list(self.options).index(name)]
        for other, values in option.when.items():
            if other not in earlier:
                raise InvalidJobError(
                    f"options.{name}.when: {other!r} is no option before it "
                    f"({', '.join(earlier) or 'there is none'})"
                )
            for value in values:
                self.options[other].check(value)

    def is_for(self, user: str, groups: Collection[str]) -> bool:
        """Return whether a user is offered this profile."""
        if self.groups is None and self.users is None:
            return True
        return user in (self.users or ()) or not set(groups).isdisjoint(self.groups or ())

    # -- a choice ------------------------------------------------------------------------------

    def check(self, user_options: Mapping[str, Any], inventory: Inventory | None = None) -> Chosen:
        """Return what was chosen, if all of it is offered.

        Parameters
        ----------
        user_options
            As they came from wherever; the profile's name among them.
        inventory
            What is known of the cluster. A bound that isn't known is left to the scheduler.

        Raises
        ------
        InvalidJobError
            Naming the option, the value, and what would be right.
        """
        given = {key: value for key, value in user_options.items() if key != PROFILE}
        for key in given:
            if key not in self.options:
                there = ", ".join(self.options) or "none"
                raise InvalidJobError(
                    f"{shown(key)}: there is no such option of {self.slug!r}; there are: {there}"
                )
        values: dict[str, Value] = {}
        for name, option in self.options.items():
            if not self._is_there(option, values):
                if name in given:
                    raise InvalidJobError(f"{name}: {_condition(option)}")
            elif name in given:
                values[name] = option.check(given[name])
            elif option.default is not None:
                values[name] = option.check(option.default)
        fields = self._fields(values)
        if inventory is not None:
            queue = str(fields.get("queue_name") or self.config.get("queue_name") or "")
            for name in values:
                limit = queue_limit(inventory, queue, name)
                self.options[name].check(self.options[name].show(values[name]), limit)
        said = {name: self.options[name].show(values[name]) for name in given}
        return Chosen(self, {PROFILE: self.slug, **said}, values, fields)

    def _is_there(self, option: Option, values: Mapping[str, Value]) -> bool:
        """Return whether an option is shown, given the values of those before it."""
        return all(
            other in values and values[other] in [self.options[other].read(one) for one in wanted]
            for other, wanted in option.when.items()
        )

    def variants(self) -> Iterator[dict[str, Any]]:
        """Yield choices that, if they all make a job, leave few that don't: every bound."""
        yield {PROFILE: self.slug}
        for name, option in self.options.items():
            for value in option.extremes():
                yield {PROFILE: self.slug, **self._conditions(option), name: value}

    def _conditions(self, option: Option) -> dict[str, Any]:
        """Return values with which an option is there."""
        result: dict[str, Any] = {}
        for other, values in option.when.items():
            result |= {**self._conditions(self.options[other]), other: values[0]}
        return result

    def _fields(self, values: Mapping[str, Value]) -> dict[str, Any]:
        """Return what options set; of two that set the same, the later counts."""
        result: dict[str, Any] = {"resources": dict(self.resources)}
        for name, value in values.items():
            for field, one in self.options[name].fields(value).items():
                if field in RESOURCES:
                    result["resources"][field] = one
                elif field in DICTIONARIES:
                    result[field] = {**result.get(field, {}), **one}
                else:
                    result[field] = one
        return result if result["resources"] else {k: v for k, v in result.items() if v != {}}

    def check_form(self, fields: Mapping[str, Any], inventory: Inventory | None = None) -> Chosen:
        """Return what was chosen in a form: :meth:`check` of what counts.

        Without JavaScript a form sends fields that don't apply, and those left empty.

        Parameters
        ----------
        fields
            Lists of one value each, as browsers send them.
        inventory
            As in :meth:`check`.
        """
        said = {name: _single(fields, name) for name in fields}
        values: dict[str, Value] = {}
        for name, option in self.options.items():
            if not said.get(name):
                said.pop(name, None)
            if not self._is_there(option, values):
                said.pop(name, None)
                continue
            value = said.get(name, option.default)
            try:
                if value is not None:
                    values[name] = option.read(value)
            except InvalidJobError:
                pass  # is told when all is checked
        return self.check(said, inventory)


def _condition(option: Option) -> str:
    parts = [
        f"{other} is {' or '.join(str(one) for one in values)}"
        for other, values in option.when.items()
    ]
    return f"can only be set if {' and '.join(parts)}"


# -- all of them -------------------------------------------------------------------------------


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
    profile = find_profile(
        offered, {PROFILE: _single(fields, PROFILE)} if PROFILE in fields else {}
    )
    prefixes = tuple(f"{one.slug}--" for one in offered)
    mine = f"{profile.slug}--"
    return profile, {
        name.removeprefix(mine): value
        for name, value in fields.items()
        if name not in (PROFILE, "_xsrf")
        and (name.startswith(mine) or not name.startswith(prefixes))
    }


def _single(fields: Mapping[str, Any], name: str) -> str:
    values = fields[name]
    if not isinstance(values, list) or len(values) != 1 or not isinstance(values[0], str):
        raise InvalidJobError(f"{shown(name)}: must have one value")
    return values[0]
