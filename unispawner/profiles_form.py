"""The form in which users choose: profiles and what was said before -> HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader

from .errors import InvalidJobError
from .options import QUEUE, Option
from .profiles import PROFILE, Profile

_NAMED = re.compile(
    r"""(<(?:input|select|textarea|button)\b[^>]*?\sname\s*=\s*)(["']?)([^"'\s>]+)""", re.I
)


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
        Of a select: value, label and description of each.
    min, max, step
        As people read them; None for no such bound.
    when
        What it depends on: names of fields, each with the values with which this one applies.
    """

    name: str
    option: Option
    widget: str
    value: str
    choices: Sequence[tuple[str, str, str]]
    min: Any
    max: Any
    step: Any
    when: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class FormProfile:
    """A profile as a form has it; ``html`` is the form of its spawner's own, if it has one."""

    profile: Profile
    selected: bool
    fields: Sequence[FormField]
    html: str = ""


def form_fields(
    profiles: Sequence[Profile],
    said: Mapping[str, Any],
    own_forms: Mapping[str, str] | None = None,
) -> list[FormProfile]:
    """Return what a form shows.

    Parameters
    ----------
    profiles
        Those that are offered to the user.
    said
        What was typed, or chosen the last time: fields of the form, or user_options.
    own_forms
        HTML of spawners that have forms of their own, by slug.
    """
    forms = own_forms or {}
    slugs = [profile.slug for profile in profiles]
    selected = said.get(PROFILE)
    if selected not in slugs:
        selected = next((one.slug for one in profiles if one.default), slugs[0] if slugs else "")
    return [
        FormProfile(
            profile,
            profile.slug == selected,
            [_field(profile, option, said) for option in profile.options.values()],
            _NAMED.sub(rf"\1\2{re.escape(profile.slug)}--\3", forms.get(profile.slug, "")),
        )
        for profile in profiles
    ]


def _field(profile: Profile, option: Option, said: Mapping[str, Any]) -> FormField:
    name = f"{profile.slug}--{option.name}"
    value = said.get(name, said.get(option.name) if said.get(PROFILE) == profile.slug else None)
    if option.locked or not isinstance(value, str | int):
        value = option.default
    bounds = [option.bound(which) for which in ("min", "max", "step")]
    low, high, step = (None if one is None else option.show(one) for one in bounds)
    kind = option.field.kind
    choices = [(key, one.display_name, one.description) for key, one in option.choices.items()]
    if kind == "flag":
        choices = [("true", "yes", ""), ("false", "no", "")]
    if choices:
        widget = "select"
    else:
        widget = "number" if kind == "count" else "text"
    return FormField(
        name,
        option,
        widget,
        "" if value is None else _text(option, value),
        choices,
        option.field.lowest if kind == "count" and low is None else low,
        "the queue's limit" if option.max == QUEUE else high,
        step,
        {
            f"{profile.slug}--{other}": [_text(profile.options[other], one) for one in values]
            for other, values in option.when.items()
        },
    )


def _text(option: Option, value: Any) -> str:
    """Return a value as the field of a form has it: of a choice, its key."""
    try:
        read = option.read(value)
    except InvalidJobError:
        return str(value)  # what was typed stays, however wrong
    for key in option.choices:
        if option.read(key) == read:
            return key
    return str(option.show(read)).lower() if isinstance(read, bool) else str(option.show(read))


def render_form(profiles: Sequence[FormProfile]) -> str:
    """Return the form's HTML, without the ``<form>`` that JupyterHub puts around it."""
    return _environment().get_template("profiles.html").render(profiles=profiles)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("unispawner", "form"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
