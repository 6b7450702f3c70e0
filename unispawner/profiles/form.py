"""The form in which users choose: profiles and what was said before -> HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from typing import Any

from jinja2 import Environment, PackageLoader

from ..errors import InvalidJobError
from ..units import as_number
from ..web.availability import Availability
from ..web.summary import clock
from .fields import FIELDS, Value, read
from .option import QUEUE, Option
from .reading import PROFILE, Profile, read_form

_NAMED = re.compile(
    r"""<(?:input|select|textarea|button)\b[^>]*?\sname\s*=\s*["']?(?=[^"'\s>])""", re.I
)
"""A field of a form, up to where its name begins."""


@dataclass(frozen=True)
class Surroundings:
    """What a form needs to know of one profile beyond its definition.

    Attributes
    ----------
    own_form
        HTML of a spawner that has a form of its own.
    availability
        What is known of the cluster.
    fields
        What a job asks for if nothing is chosen: those of the configuration and the profile.
    """

    own_form: str = ""
    availability: Availability | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FormChoice:
    """An entry of a menu; ``sets`` are the numbers, times and queue that it sets."""

    value: str
    label: str
    description: str = ""
    sets: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FormField:
    """An option as a form has it.

    Attributes
    ----------
    name
        Of the field: ``slug--option``.
    option
        What it is about.
    widget
        ``select``, ``number`` or ``text``.
    value
        What it shows: what was said before, or the default; empty for neither.
    choices
        Of a select.
    bounds
        ``min``, ``max`` and ``step`` as people read them, where there is such a bound.
    numbers
        The same as numbers: bytes, seconds. A ``max`` of ``"queue"`` is the chosen queue's.
    when
        What it depends on: names of fields, each with the values with which this one applies.
    error
        What is wrong with what was typed.
    """

    name: str
    option: Option
    widget: str
    value: str
    choices: Sequence[FormChoice]
    bounds: Mapping[str, Any]
    numbers: Mapping[str, Any]
    when: Mapping[str, Sequence[str]]
    error: str = ""

    @property
    def hint(self) -> str:
        """Return the bounds in words."""
        low, high, step = (self.bounds.get(which) for which in ("min", "max", "step"))
        parts = []
        if low is not None and high is not None:
            parts.append(f"{low} to {high}")
        elif high is not None:
            parts.append(f"at most {high}")
        elif low is not None:
            parts.append(f"at least {low}")
        if self.option.max == QUEUE:
            parts.append("the queue's limit" if high is not None else "up to the queue's limit")
        if step is not None:
            parts.append(f"in steps of {step}")
        return ", ".join(parts)


@dataclass(frozen=True)
class FormProfile:
    """A profile as a form has it."""

    profile: Profile
    selected: bool
    fields: Sequence[FormField]
    html: str = ""
    availability: Availability | None = None
    queue: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict)
    said: bool = False
    """Its fields show what was said before, and not its defaults."""

    @property
    def words(self) -> str:
        """What is free for it."""
        return self.availability.words(self.queue) if self.availability else ""


def form_profiles(
    profiles: Sequence[Profile],
    user_options: Mapping[str, Any],
    surroundings: Mapping[str, Surroundings] | None = None,
    typed: Mapping[str, Any] | None = None,
) -> list[FormProfile]:
    """Return what a form shows.

    Parameters
    ----------
    profiles
        Those that are offered to the user.
    user_options
        What was chosen the last time.
    surroundings
        Of each profile, by slug.
    typed
        A form as it was sent, if something is wrong with it: the fields show that, and say what.
    """
    around = surroundings or {}
    said = first_values(typed) if typed else user_options
    slugs = [profile.slug for profile in profiles]
    selected = said.get(PROFILE)
    if selected not in slugs:
        selected = next((one.slug for one in profiles if one.default), slugs[0] if slugs else "")
        typed = None
    try:
        own = read_form(profiles, typed)[1] if typed else None
    except InvalidJobError:  # no form of ours: it is told above
        own = None
    return [
        _form_profile(
            profile,
            said,
            around.get(profile.slug, Surroundings()),
            own if profile.slug == selected else None,
            selected=profile.slug == selected,
        )
        for profile in profiles
    ]


def _form_profile(
    profile: Profile,
    said: Mapping[str, Any],
    around: Surroundings,
    typed: Mapping[str, Any] | None,
    *,
    selected: bool,
) -> FormProfile:
    known = around.availability
    inventory, otherwise = (known.inventory, known.queue) if known else (None, "")
    mine = _said_of(profile, said)
    right, _ = profile.examine({name: value for name, value in mine.items() if value != ""})
    queue = profile.queue(profile.fields(right), otherwise)
    limits = inventory.limits(queue) if inventory else {}
    errors = profile.complaints(typed, inventory, otherwise) if typed else {}
    return FormProfile(
        profile,
        selected,
        [
            _field(profile, option, mine.get(name), limits.get(name), errors.get(name, ""))
            for name, option in profile.options.items()
        ],
        _with_names_of(profile.slug, around.own_form),
        known,
        queue,
        measures(around.fields),
        said.get(PROFILE) == profile.slug,
    )


def _with_names_of(slug: str, own_form: str) -> str:
    """Return a spawner's own form with the profile's slug before the name of each field."""
    # A key of wrapspawner's may have any characters, and an attribute need not have quotes.
    prefix = escape(slug).replace(" ", "&#32;")
    return _NAMED.sub(lambda found: f"{found[0]}{prefix}--", own_form)


def _said_of(profile: Profile, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was said of a profile's options, by a form or by user_options of this profile."""
    mine = said if said.get(PROFILE) == profile.slug else {}
    given = {name: said.get(f"{profile.slug}--{name}", mine.get(name)) for name in profile.options}
    return {name: value for name, value in given.items() if value is not None}


def _field(
    profile: Profile, option: Option, value: Any, limit: Value | None, error: str
) -> FormField:
    if option.locked or not isinstance(value, str | int):
        value = option.default
    kind = option.field.kind
    choices = _choices(option)
    bounds = {which: option.bound(which, limit) for which in ("min", "max", "step")}
    if kind == "count" and bounds["min"] is None:
        bounds["min"] = option.field.lowest
    known = {which: bound for which, bound in bounds.items() if bound is not None}
    numbers: dict[str, Any] = {which: as_number(bound) for which, bound in known.items()}
    if option.max == QUEUE:
        numbers["max"] = QUEUE
    return FormField(
        f"{profile.slug}--{option.name}",
        option,
        "select" if choices else "number" if kind == "count" else "text",
        "" if value is None else _text(option, value),
        choices,
        {} if choices else {which: option.show(bound) for which, bound in known.items()},
        {} if choices else numbers,
        {
            f"{profile.slug}--{other}": [_text(profile.options[other], one) for one in values]
            for other, values in option.when.items()
        },
        error,
    )


def _choices(option: Option) -> list[FormChoice]:
    if option.field.kind == "flag" and not option.choices:
        on = FormChoice("true", option.words(True), sets=_sets(option.override))
        return [on, FormChoice("false", option.words(False))]
    return [
        FormChoice(key, one.display_name, one.description, _sets(one.override))
        for key, one in option.choices.items()
    ]


def _sets(override: Mapping[str, Any]) -> dict[str, Any]:
    return measures({**override, **override.get("resources", {})})


def measures(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a job's fields that a form sums up, in bytes and seconds."""
    result = {}
    for name, value in fields.items():
        if name in FIELDS and value not in (None, ""):
            result[name] = as_number(read(FIELDS[name].kind, value, name))
    return result


def _text(option: Option, value: Any) -> str:
    """Return a value as the field of a form has it: of a choice, its key."""
    try:
        given = option.read(value)
    except InvalidJobError:
        return str(value)  # what was typed stays, however wrong
    for key in option.choices:
        if option.read(key) == given:
            return key
    return _as_field(option.show(given))


def as_fields(user_options: Mapping[str, Any]) -> dict[str, str]:
    """Return user_options as the fields of a form have them."""
    return {name: _as_field(value) for name, value in user_options.items()}


def first_values(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a form, which browsers send as lists, by the first value of each."""
    return {
        name: value[0] if isinstance(value, list) and value else value
        for name, value in fields.items()
    }


def _as_field(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def render_form(profiles: Sequence[FormProfile], *, base_url: str, user: str) -> str:
    """Return the form's HTML, without the ``<form>`` that JupyterHub puts around it.

    Parameters
    ----------
    profiles
        What it shows.
    base_url
        The Hub's, with a slash at its end.
    user
        Whose form it is: browsers remember what each has chosen.
    """
    template = _environment().get_template("profiles.html")
    return template.render(profiles=profiles, base_url=base_url, user=user)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("unispawner.web", "form"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clock"] = clock  # with JavaScript it is as the browser has it
    return environment
