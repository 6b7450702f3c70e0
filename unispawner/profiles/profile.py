"""A profile: one kind of server that users can choose, with options. Pure, without I/O.

The same definition drives the form, the checks of what comes back from it, from a link, from a REST
body or from the database, and the schema that is published.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, model_validator

from ..errors import InvalidJobError
from ..job import ResourceSpec
from ..schedulers.inventory import Inventory
from .fields import RESOURCES, Value, shorten
from .option import DICTIONARIES, STRICT, Option

PROFILE = "profile"
"""The entry of user_options that names the profile; the others are its options'."""
_MOST_UNKNOWN = 10
"""So many unknown options are told: a body of some megabytes may hold a million."""
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

    def in_words(self) -> str:
        """Return what was said of the options as people read it: "Cores: 4, Memory: 8G"."""
        parts = []
        for name in self.profile.options:
            if name in self.user_options:
                option = self.profile.options[name]
                parts.append(f"{option.label}: {option.describe(self.values[name])}")
        return ", ".join(parts)


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
                try:
                    self.options[other].check(value)
                except InvalidJobError as error:
                    raise InvalidJobError(f"options.{name}.when: {error.message}") from None

    def is_for(self, user: str, groups: Collection[str]) -> bool:
        """Return whether a user is offered this profile."""
        if self.groups is None and self.users is None:
            return True
        return user in (self.users or ()) or not set(groups).isdisjoint(self.groups or ())

    # -- a choice ------------------------------------------------------------------------------

    def check(
        self,
        user_options: Mapping[str, Any],
        inventory: Inventory | None = None,
        queue: str = "",
    ) -> Chosen:
        """Return what was chosen, if all of it is offered.

        Parameters
        ----------
        user_options
            As they came from wherever; the profile's name among them.
        inventory
            What is known of the cluster. A bound that isn't known is left to the scheduler.
        queue
            Where a job goes if the profile doesn't say; empty is the scheduler's default.

        Raises
        ------
        InvalidJobError
            Naming each option that isn't right, its value, and what would be right.
        """
        values, wrong = self.examine(user_options, inventory, queue)
        if wrong:
            raise InvalidJobError("; ".join(wrong.values()))
        said = {
            name: self.options[name].format(values[name])
            for name in user_options
            if name != PROFILE
        }
        return Chosen(self, {PROFILE: self.slug, **said}, values, self.fields(values))

    def examine(
        self,
        user_options: Mapping[str, Any],
        inventory: Inventory | None = None,
        queue: str = "",
    ) -> tuple[dict[str, Value], dict[str, str]]:
        """Return the values of options that apply and are right, and what is wrong with others.

        What would be raised by :meth:`check`, whose parameters these are, is returned by option.
        """
        given = {key: value for key, value in user_options.items() if key != PROFILE}
        there = ", ".join(self.options) or "none"
        unknown = [key for key in given if key not in self.options]
        wrong = {
            key: f"{shorten(key)}: there is no such option of {self.slug!r}; there are: {there}"
            for key in unknown[:_MOST_UNKNOWN]
        }
        values: dict[str, Value] = {}
        for name, option in self.options.items():
            try:
                if not self.applies(option, values):
                    if name in given and not wrong.keys() & option.when.keys():
                        raise InvalidJobError(f"{name}: {_condition(option)}")
                elif name in given:
                    values[name] = option.check(given[name])
                elif option.default is not None:
                    values[name] = option.check(option.default)
            except InvalidJobError as error:
                wrong[name] = error.message
        if inventory is not None:
            limits = inventory.limits(self.queue(self.fields(values), queue))
            for name, value in values.items():
                try:
                    self.options[name].check(value, limits.get(name))
                except InvalidJobError as error:
                    wrong[name] = error.message
        return values, wrong

    def queue(self, fields: Mapping[str, Any], otherwise: str = "") -> str:
        """Return the queue that a job goes to; empty is the scheduler's default."""
        return str(fields.get("queue_name") or self.config.get("queue_name") or otherwise)

    def applies(self, option: Option, values: Mapping[str, Value]) -> bool:
        """Return whether an option applies, given the values of those before it."""
        return all(
            other in values and values[other] in [self.options[other].read(one) for one in wanted]
            for other, wanted in option.when.items()
        )

    def variants(self) -> Iterator[dict[str, Any]]:
        """Yield choices that, if they all make a job, leave few that don't: every bound."""
        yield {PROFILE: self.slug}
        for name, option in self.options.items():
            for value in option.extreme_values():
                yield {PROFILE: self.slug, **self._conditions(option), name: value}

    def _conditions(self, option: Option) -> dict[str, Any]:
        """Return values with which an option is there."""
        result: dict[str, Any] = {}
        for other, values in option.when.items():
            result |= {**self._conditions(self.options[other]), other: values[0]}
        return result

    def fields(self, values: Mapping[str, Value]) -> dict[str, Any]:
        """Return what options set; of two that set the same, the later counts."""
        result: dict[str, Any] = {"resources": dict(self.resources)} if self.resources else {}
        for name, value in values.items():
            for field, one in self.options[name].fields(value).items():
                if field in RESOURCES:
                    field, one = "resources", {field: one}
                result[field] = {**result.get(field, {}), **one} if field in DICTIONARIES else one
        return result

    def check_form(
        self,
        fields: Mapping[str, Any],
        inventory: Inventory | None = None,
        queue: str = "",
    ) -> Chosen:
        """Return what was chosen in a form: :meth:`check` of what counts.

        Without JavaScript a form sends fields that don't apply, and those left empty.

        Parameters
        ----------
        fields
            Lists of one value each, as browsers send them.
        inventory, queue
            As in :meth:`check`.
        """
        return self.check(self._relevant(fields), inventory, queue)

    def form_errors(
        self,
        fields: Mapping[str, Any],
        inventory: Inventory | None = None,
        queue: str = "",
    ) -> dict[str, str]:
        """Return what is wrong in a form, by option: what :meth:`check_form` raises."""
        try:
            said = self._relevant(fields)
        except InvalidJobError:
            return {}  # no form of ours: it is not for a field to say so
        _, wrong = self.examine(said, inventory, queue)
        return {name: words.removeprefix(f"{name}: ") for name, words in wrong.items()}

    def _relevant(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return what counts of a form's fields."""
        said = {name: one_value(fields, name) for name in fields}
        values: dict[str, Value] = {}
        for name, option in self.options.items():
            there = self.applies(option, values)
            if not (there and said.get(name)):
                said.pop(name, None)
            value = said.get(name, option.default) if there else None
            try:
                if value is not None:
                    values[name] = option.read(value)
            except InvalidJobError:
                pass  # is told when all is checked
        return said


def one_value(fields: Mapping[str, Any], name: str) -> str:
    """Return the one value of a form's field."""
    values = fields[name]
    if not isinstance(values, list) or len(values) != 1 or not isinstance(values[0], str):
        raise InvalidJobError(f"{shorten(name)}: must have one value")
    return values[0]


def _condition(option: Option) -> str:
    parts = [
        f"{other} is {' or '.join(str(one) for one in values)}"
        for other, values in option.when.items()
    ]
    return f"can only be set if {' and '.join(parts)}"
