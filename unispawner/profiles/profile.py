"""A profile: one kind of server that users can choose, with options. Pure, without I/O.

The same definition makes the form and the schema of the API, and checks a choice, whether it comes
from the form, a link, a REST body or the database.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, field_validator, model_validator

from ..errors import InvalidJobError
from ..job import ResourceSpec, merge_resources
from ..schedulers.fitting import Unfit, option_of
from ..schedulers.inventory import Inventory
from ..texts import Text, join, of_field, say, without_field
from .by_option import ByOption
from .fields import RESOURCES, Value, shorten
from .from_inventory import INVENTORY
from .group_limits import GroupLimits, limit_options
from .mine import Mine, find_errors
from .option import DICTIONARIES, QUEUE, STRICT, Option, add_texts
from .own_value import OwnValue

PROFILE = "profile"
"""The key in user_options that names the profile; the other keys are its options."""
_MOST_UNKNOWN = 10
"""An error names at most so many unknown options: a body of megabytes may hold a million."""
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.]*(-[A-Za-z0-9_.]+)*", re.ASCII)


@dataclass(frozen=True)
class Chosen:
    """A choice of a user's that was checked.

    Attributes
    ----------
    profile
        The profile.
    user_options
        The options that the user has set, as JSON for the database. Defaults are not among them.
    values
        The value of each option that applies, including defaults.
    fields
        The fields that these set: JobSpec's, with those of ResourceSpec under ``resources``.
    """

    profile: Profile
    user_options: dict[str, Any]
    values: dict[str, Value]
    fields: dict[str, Any]

    def texts(self) -> dict[str, tuple[OwnValue, str]]:
        """Return the texts that the user has typed for choices, with what they must be."""
        options = self.profile.options
        return {
            name: (found, str(value))
            for name, value in self.values.items()
            if (found := options[name].value) is not None
        }

    def in_words(self) -> str:
        """Return the options that the user has set, for people: "Cores: 4, Memory: 8G"."""
        parts = []
        for name in self.profile.options:
            if name in self.user_options:
                option = self.profile.options[name]
                parts.append(join(": ", [option.label, option.describe(self.values[name])]))
        return join(", ", parts)


FindMisfit = Callable[[Mapping[str, Any]], Unfit | None]
"""Returns why no node can run a job with these fields; None if some can, or nobody knows."""


@dataclass(frozen=True)
class Known:
    """What is known of the cluster and the user; a choice is also checked against this.

    Attributes
    ----------
    inventory
        What is known of the cluster. Without it the scheduler checks the limits of queues.
    queue
        The queue of a job if the profile names none; empty is the scheduler's default.
    find_misfit
        What finds out that no node can run the whole choice; None if nobody looks.
    mine
        What is known of what the user may use. Without it the scheduler checks that.
    """

    inventory: Inventory | None = None
    queue: str = ""
    find_misfit: FindMisfit | None = None
    mine: Mine | None = None


NOTHING = Known()
"""Only the profile is known."""


class Profile(BaseModel):
    """One kind of server that users can choose.

    Attributes
    ----------
    display_name, description
        The texts that users read.
    slug
        Its name in forms, links, REST bodies and the database. The default is made from
        ``display_name``.
    default
        Whether the form opens with this profile. If none has it, the form opens with the first.
    groups, users
        The groups whose members, and the users who, are offered it. Without both: everybody.
    config
        Settings of the spawner, as in the configuration: ``{"queue_name": "gpu"}``.
    resources
        The resources of the job, on top of ``c.UniSpawner.resources``.
    options
        The options that users may set.
    spawner
        The class of the spawner, or its name, instead of UniSpawner.
    limits
        By group, the bounds that members have instead of an option's own: see
        :mod:`.group_limits`.
    max_servers, max_servers_per_user
        How many servers of this profile may run or wait at once: in all, and of each user.
    own_options
        Whether the spawner's class decides which options there are, as for wrapspawner's tuples.
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
    limits: GroupLimits = {}
    max_servers: int | None = Field(default=None, ge=0, strict=True)
    max_servers_per_user: int | None = Field(default=None, ge=0, strict=True)
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

    @field_validator("options")
    @classmethod
    def _add_texts(cls, options: dict[str, Option]) -> dict[str, Option]:
        return add_texts(options)

    @model_validator(mode="after")
    def _consistent(self) -> Profile:
        if not (_SLUG.fullmatch(self.slug) or self.own_options):
            raise ValueError(
                f"slug: {self.slug!r} may have only letters, digits, dots, _ and single hyphens"
            )
        try:
            ResourceSpec.from_dict(self.resources)
            for name, option in self.options.items():
                self._check_condition(name, option)
                self._check_bounds(name, option)
            self._check_limits()
        except InvalidJobError as error:
            raise ValueError(str(error)) from None
        return self

    def _check_condition(self, name: str, option: Option) -> None:
        earlier = list(self.options)[: list(self.options).index(name)]
        for other, values in option.when.items():
            if other not in earlier:
                raise InvalidJobError(
                    f"options.{name}.when: {other!r} is not an option before this one; these are: "
                    f"{', '.join(earlier) or 'none'}"
                )
            for value in values:
                try:
                    self.options[other].check(value)
                except InvalidJobError as error:
                    raise InvalidJobError(f"options.{name}.when: {error.message}") from None

    def _check_bounds(self, name: str, option: Option) -> None:
        """Check the bounds that depend on another option: it has a bound for each value."""
        for by in option.bounds_by_option:
            where, other = f"options.{name}.{by.which}.{by.other}", self.options.get(by.other)
            if other is None or other is option:
                names = ", ".join(one for one in self.options if one != name) or "none"
                raise InvalidJobError(f"{where}: it is not another option; these are: {names}")
            for key in by.table:
                try:
                    other.check(key)
                except InvalidJobError as error:
                    raise InvalidJobError(f"{where}: {error.message}") from None
            for choice in other.choices:
                if self._key_of(by, {by.other: other.read(choice)}) is None:
                    raise InvalidJobError(f"{where}: it has no bound for {choice!r}; add it")

    def _check_limits(self) -> None:
        for group, options in self.limits.items():
            for name in options:
                if name not in self.options:
                    raise InvalidJobError(
                        f"limits.{group}: {name!r} is not an option of this profile; these are: "
                        f"{', '.join(self.options) or 'none'}"
                    )
            try:
                found = limit_options(self.options, self.limits, [group])
                for name, option in found.items():
                    self._check_bounds(name, option)
            except InvalidJobError as error:
                raise InvalidJobError(f"limits.{group}: {error.message}") from None

    def for_groups(self, groups: Collection[str]) -> Profile:
        """Return the profile with the bounds of a user who is in these groups."""
        if self.limits.keys().isdisjoint(groups):
            return self
        return self.model_copy(update={"options": limit_options(self.options, self.limits, groups)})

    def _key_of(self, by: ByOption, values: Mapping[str, Value]) -> str | None:
        """Return which entry of a bound's table counts; None if the other option has no value."""
        other = self.options[by.other]
        if by.other not in values:
            return None
        return next((key for key in by.table if other.read(key) == values[by.other]), None)

    def _check_by_option(self, name: str, values: Mapping[str, Value]) -> None:
        """Check a value against the bounds that depend on other options.

        Raises
        ------
        InvalidJobError
            Naming the option, the bound, and the value of the other option.
        """
        option = self.options[name]
        for by in option.bounds_by_option:
            key = self._key_of(by, values)
            bound = by.breaks(values[name], key)
            if bound is not None:
                words = {
                    "value": shorten(option.format(values[name])),
                    "bound": option.format(bound),
                    "option": by.other,
                    "choice": key,
                }
                raise InvalidJobError(of_field(name, _out_of_bounds(by.which, words)))

    def is_for(self, user: str, groups: Collection[str]) -> bool:
        """Return whether a user is offered this profile."""
        if self.groups is None and self.users is None:
            return True
        return user in (self.users or ()) or not set(groups).isdisjoint(self.groups or ())

    # -- a choice ------------------------------------------------------------------------------

    @property
    def needs_inventory(self) -> bool:
        """Whether what is offered depends on what is known of the cluster."""
        return any(
            one.max == QUEUE or one.choices_from == INVENTORY for one in self.options.values()
        )

    def check(self, user_options: Mapping[str, Any], known: Known = NOTHING) -> Chosen:
        """Return a choice, if all of it is offered.

        Parameters
        ----------
        user_options
            The options as they were sent, whoever sent them. They may name the profile.
        known
            What is known of the cluster and the user.

        Raises
        ------
        InvalidJobError
            Naming each option that isn't right, its value and the rule that it breaks.
        """
        values, wrong = self.examine(user_options, known)
        if wrong:
            raise InvalidJobError(join("; ", wrong.values()))
        options = {
            name: self.options[name].format(values[name])
            for name in user_options
            if name != PROFILE
        }
        return Chosen(self, {PROFILE: self.slug, **options}, values, self.fields(values))

    def examine(
        self, user_options: Mapping[str, Any], known: Known = NOTHING
    ) -> tuple[dict[str, Value], dict[str, str]]:
        """Return the values of the options that apply and are right, and the errors of the others.

        The parameters are those of :meth:`check`. The errors, by option, are those it would raise.
        """
        given = {key: value for key, value in user_options.items() if key != PROFILE}
        names = ", ".join(self.options) or "none"
        unknown = [key for key in given if key not in self.options]
        wrong: dict[str, str] = {
            key: of_field(
                shorten(key),
                say(
                    "unknown option of profile {profile}; known options: {options}",
                    profile=repr(self.slug),
                    options=names,
                ),
            )
            for key in unknown[:_MOST_UNKNOWN]
        }
        values: dict[str, Value] = {}
        for name, option in self.options.items():
            try:
                if not self.applies(option, values):
                    if name in given and not wrong.keys() & option.when.keys():
                        raise InvalidJobError(of_field(name, _condition(option)))
                elif name in given:
                    values[name] = option.check(given[name])
                elif option.default is not None and not _lacks_default(option, known.mine):
                    values[name] = option.check(option.default)
                elif option.required and option.value is not None:
                    example = option.value.example
                    empty = say("it is empty; type a text like {example}", example=example)
                    raise InvalidJobError(of_field(name, empty))
            except InvalidJobError as error:
                wrong[name] = error.message
        for name in list(values):
            try:
                self._check_by_option(name, values)
            except InvalidJobError as error:
                wrong.setdefault(name, error.message)
        return values, self._compare(values, wrong, known)

    def _compare(
        self, values: Mapping[str, Value], wrong: Mapping[str, str], known: Known
    ) -> dict[str, str]:
        """Return the errors, with those of values that the cluster, or the user, does not have."""
        fields, result = self.fields(values), dict(wrong)
        if known.inventory is not None:
            where = self.queue(fields, known.queue)
            limits = known.inventory.limits(where)
            for name, value in values.items():
                try:
                    self.options[name].check(value, limits.get(name))
                    self.options[name].check_there(value, known.inventory, where)
                except InvalidJobError as error:
                    result[name] = error.message
        if known.mine is not None:
            applying = [name for name in self.options if self.applies(self.options[name], values)]
            result = {**find_errors(self.options, applying, fields, known.mine), **result}
        if known.find_misfit and not result and (unfit := known.find_misfit(fields)):
            name = option_of(unfit.field, {one: self._sets(one, values[one]) for one in values})
            result[name] = of_field(name, unfit.message)
        return result

    def _sets(self, name: str, value: Value) -> set[str]:
        """Return the fields of a job that the value of an option sets, also those of resources."""
        fields = self.options[name].fields(value)
        return {*fields, *fields.get("resources", {})}

    def queue(self, fields: Mapping[str, Any], otherwise: str = "") -> str:
        """Return the queue of a job with these fields; empty is the scheduler's default."""
        return str(fields.get("queue_name") or self.config.get("queue_name") or otherwise)

    def applies(self, option: Option, values: Mapping[str, Value]) -> bool:
        """Return whether an option applies, given the values of the options before it."""
        return all(
            other in values and values[other] in [self.options[other].read(one) for one in wanted]
            for other, wanted in option.when.items()
        )

    def variants(self) -> Iterator[dict[str, Any]]:
        """Yield the choices that a check tries: the defaults, and each bound of each option."""
        yield {PROFILE: self.slug}
        for name, option in self.options.items():
            for value in option.extreme_values():
                others = {**self._conditions(option), **self._fitting(name, option.read(value))}
                yield self._complete({PROFILE: self.slug, **others, name: value})

    def _fitting(self, name: str, value: Value) -> dict[str, Any]:
        """Return values of other options with which a value is within its bounds."""
        result: dict[str, Any] = {}
        for by in self.options[name].bounds_by_option:
            other = self.options[by.other]
            key = next((key for key in by.table if by.breaks(value, key) is None), "")
            if key and not other.locked:
                result |= {**self._conditions(other), by.other: other.format(other.read(key))}
        return result

    def _complete(self, user_options: dict[str, Any]) -> dict[str, Any]:
        """Return a choice with an example of each text that it needs."""
        _, wrong = self.examine(user_options)
        needed = [name for name in wrong if name in self.options and name not in user_options]
        texts = {name: self.options[name].value for name in needed}
        return {**user_options, **{name: one.example for name, one in texts.items() if one}}

    def _conditions(self, option: Option) -> dict[str, Any]:
        """Return values of other options with which an option applies."""
        result: dict[str, Any] = {}
        for other, values in option.when.items():
            result |= {**self._conditions(self.options[other]), other: values[0]}
        return result

    def fields(self, values: Mapping[str, Value]) -> dict[str, Any]:
        """Return the fields that options set. If two set the same field, the later one counts."""
        result: dict[str, Any] = {"resources": dict(self.resources)} if self.resources else {}
        for name, value in values.items():
            for field, one in self.options[name].fields(value).items():
                if field in RESOURCES:
                    field, one = "resources", {field: one}
                if field == "resources":
                    result[field] = merge_resources(result.get(field, {}), one)
                else:
                    result[field] = (
                        {**result.get(field, {}), **one} if field in DICTIONARIES else one
                    )
        return result

    def check_form(self, fields: Mapping[str, Any], known: Known = NOTHING) -> Chosen:
        """Return the choice in a form, if all of it is offered.

        Fields that are empty or do not apply are left out: without JavaScript a form sends them.

        Parameters
        ----------
        fields
            Lists of one value each, as browsers send them.
        known
            As in :meth:`check`.

        Raises
        ------
        InvalidJobError
            As :meth:`check`, and if a field has no value or several.
        """
        return self.check(self._relevant(fields), known)

    def form_errors(self, fields: Mapping[str, Any], known: Known = NOTHING) -> dict[str, str]:
        """Return the errors in a form, by option: those that :meth:`check_form` raises."""
        try:
            options = self._relevant(fields)
        except InvalidJobError:
            return {}  # not a form of ours: no field can show that
        _, wrong = self.examine(options, known)
        return {name: without_field(name, error) for name, error in wrong.items()}

    def _relevant(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return those fields of a form that are filled in and apply."""
        filled = {name: one_value(fields, name) for name in fields}
        values: dict[str, Value] = {}
        for name, option in self.options.items():
            applies = self.applies(option, values)
            if not (applies and filled.get(name)):
                filled.pop(name, None)
            value = filled.get(name, option.default) if applies else None
            try:
                if value is not None:
                    values[name] = option.read(value)
            except InvalidJobError:
                pass  # the check reports it
        return filled


def _lacks_default(option: Option, mine: Mine | None) -> bool:
    """Return whether an option's default is something that this user may not use."""
    return mine is not None and option.mine and mine.lacks(option.name, option.default)


def one_value(fields: Mapping[str, Any], name: str) -> str:
    """Return the value of a form's field.

    Raises
    ------
    InvalidJobError
        If it has no value or several, or is not text.
    """
    values = fields[name]
    if not isinstance(values, list) or len(values) != 1 or not isinstance(values[0], str):
        raise InvalidJobError(of_field(shorten(name), say("exactly one value is allowed")))
    return values[0]


def _condition(option: Option) -> Text:
    parts = [
        say("{option} is {values}", option=other, values=_or([str(one) for one in values]))
        for other, values in option.when.items()
    ]
    found: Text = parts[0]
    for one in parts[1:]:
        found = say("{first} and {second}", first=found, second=one)
    return say("can only be set if {condition}", condition=found)


def _or(values: Sequence[str]) -> str:
    """Return values with "or" between them."""
    found: str = values[0]
    for one in values[1:]:
        found = say("{first} or {second}", first=found, second=one)
    return found


def _out_of_bounds(which: str, values: Mapping[str, Any]) -> Text:
    """Return that a value breaks a bound which depends on another option."""
    if which == "max" and values["choice"]:
        return say("{value} must be at most {bound} if {option} is {choice}", **values)
    if which == "max":
        return say("{value} must be at most {bound} while {option} is not chosen", **values)
    if values["choice"]:
        return say("{value} must be at least {bound} if {option} is {choice}", **values)
    return say("{value} must be at least {bound} while {option} is not chosen", **values)
