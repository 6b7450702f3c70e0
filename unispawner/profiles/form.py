"""The form in which users choose: profiles and an earlier choice -> HTML."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from html import escape
from typing import Any

from jinja2 import Environment, PackageLoader

from ..errors import InvalidJobError
from ..schedulers.usable import Entry
from ..texts import join, moment, say
from ..units import as_number
from ..web.availability import Availability
from ..web.languages import PAGE_TEXTS
from ..web.summary import describe_duration
from .by_option import ByOption
from .fields import FIELDS, Value, read
from .mine import Mine
from .option import QUEUE, Option
from .profile import FindMisfit, Known
from .reading import PROFILE, VERSION, Profile, read_form

_FIELD = re.compile(
    r"""<(?:input|select|textarea|button)\b[^>]*?\sname\s*=\s*["']?(?=[^"'\s>])""", re.I
)
"""The tag of a form's field, up to where its name begins."""


@dataclass(frozen=True)
class FormContext:
    """What a form shows of one profile beyond its definition.

    Attributes
    ----------
    own_form
        HTML of the profile's spawner, if that has a form itself.
    availability
        What is free where its servers run.
    fields
        The fields of a job for which nothing is chosen.
    find_misfit
        What finds out that no node can run a choice.
    mine
        What is known of what the user may use.
    used
        What the user's last sessions have used, by field: see :mod:`.usage_hints`.
    """

    own_form: str = ""
    availability: Availability | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    find_misfit: FindMisfit | None = None
    mine: Mine | None = None
    used: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FormChoice:
    """An entry of a menu. ``sets`` has the numbers, times and queue that it overrides."""

    value: str
    label: str
    description: str = ""
    sets: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FormField:
    """An option as a form shows it.

    Attributes
    ----------
    name
        The field's name, ``slug--option``.
    option
        The option.
    widget
        ``select``, ``number`` or ``text``.
    value
        The earlier choice or the default; empty if there is neither.
    choices
        The entries of a select.
    bounds
        ``min``, ``max`` and ``step`` as people read them, where there is such a bound.
    numbers
        The same bounds in bytes and seconds. A ``max`` of ``"queue"`` is the chosen queue's.
    when
        The fields this one depends on: their names, each with the values for which it applies.
    error
        What is wrong with the value that was typed.
    used
        What earlier sessions have used, as a sentence; empty if that is not known.
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
    used: str = ""

    @property
    def may_be_empty(self) -> bool:
        """Whether a menu has an entry that leaves the field as it is configured."""
        return not self.option.mine and (not self.value or self.option.default is None)

    @property
    def by_labels(self) -> list[str]:
        """The labels of the options on which the bounds depend."""
        return list(dict.fromkeys(one["label"] for one in self.numbers.get("by", {}).values()))

    @property
    def hint(self) -> str:
        """The bounds in words."""
        low, high, step = (self.bounds.get(which) for which in ("min", "max", "step"))
        parts = []
        if low is not None and high is not None:
            parts.append(say("{min} to {max}", min=low, max=high))
        elif high is not None:
            parts.append(say("at most {bound}", bound=high))
        elif low is not None:
            parts.append(say("at least {bound}", bound=low))
        if self.option.bounds_by_option:
            parts.append(say("depending on {options}", options=join(", ", self.by_labels)))
        if self.option.max == QUEUE and high is not None:
            parts.append(say("the queue's limit"))
        elif self.option.max == QUEUE:
            parts.append(say("up to the queue's limit"))
        if step is not None:
            parts.append(say("in steps of {step}", step=step))
        return join(", ", parts)


@dataclass(frozen=True)
class FormProfile:
    """A profile as a form shows it.

    Attributes
    ----------
    profile, fields
        The profile and its options.
    selected
        Whether the form opens with this profile.
    own_form
        HTML of the profile's spawner, if that has a form itself.
    availability
        What is free where its servers run.
    queue
        The queue that a job with these values goes to.
    defaults
        The fields of a job for which nothing is chosen, in bytes and seconds.
    """

    profile: Profile
    fields: Sequence[FormField]
    selected: bool
    own_form: str = ""
    availability: Availability | None = None
    queue: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def asks_for_mine(self) -> bool:
        """Whether it offers what the user may use."""
        return any(one.option.mine for one in self.fields)

    @property
    def availability_text(self) -> str:
        """What is free in its queue, as a sentence; empty if that is not known."""
        return self.availability.describe(self.queue) if self.availability else ""


def form_profiles(
    profiles: Sequence[Profile],
    user_options: Mapping[str, Any],
    contexts: Mapping[str, FormContext] | None = None,
    typed: Mapping[str, Any] | None = None,
    last: Mapping[str, Mapping[str, Any]] | None = None,
    wrong: Mapping[str, str] | None = None,
) -> list[FormProfile]:
    """Return what a form shows of each profile.

    Parameters
    ----------
    profiles
        The profiles that the user is offered.
    user_options
        What was chosen the last time for this server.
    contexts
        By slug, what there is to show of a profile beyond its definition.
    typed
        A form as it was sent, if it was refused: the fields keep these values and show what is
        wrong with them.
    last
        By slug, the last choice of each profile for any server, newest first.
    wrong
        What else is wrong with that form, by option.
    """
    contexts, last = contexts or {}, last or {}
    newest = next(iter(last.values()), {})
    earlier = first_values(typed) if typed else user_options
    slugs = [profile.slug for profile in profiles]
    selected = earlier.get(PROFILE, newest.get(PROFILE))
    if selected not in slugs:
        selected = next((one.slug for one in profiles if one.default), slugs[0] if slugs else "")
        typed = None
    try:
        refused = read_form(profiles, typed)[1] if typed else None
    except InvalidJobError:  # not a form of ours: the error page says so
        refused = None
    return [
        _form_profile(
            profile,
            earlier,
            last.get(profile.slug, {}),
            contexts.get(profile.slug, FormContext()),
            refused if profile.slug == selected else None,
            wrong or {},
            selected=profile.slug == selected,
        )
        for profile in profiles
    ]


def _form_profile(
    profile: Profile,
    earlier: Mapping[str, Any],
    last: Mapping[str, Any],
    context: FormContext,
    refused: Mapping[str, Any] | None,
    wrong: Mapping[str, str],
    *,
    selected: bool,
) -> FormProfile:
    available = context.availability
    inventory, default_queue = (available.inventory, available.queue) if available else (None, "")
    values = _earlier_values(profile, earlier, last)
    valid, _ = profile.examine({name: value for name, value in values.items() if value != ""})
    queue = profile.queue(profile.fields(valid), default_queue)
    limits = inventory.limits(queue) if inventory else {}
    errors = {}
    if refused:
        known = Known(inventory, default_queue, context.find_misfit, context.mine)
        errors = {**wrong, **profile.form_errors(refused, known)}
    return FormProfile(
        profile,
        [
            replace(
                _offer_mine(
                    _field(
                        profile,
                        option,
                        values.get(name),
                        limits.get(name),
                        errors.get(name, ""),
                        option.find_choices(inventory, queue),
                    ),
                    context.mine,
                ),
                used=context.used.get(name, ""),
            )
            for name, option in profile.options.items()
        ],
        selected=selected,
        own_form=_prefix_names(context.own_form, profile.slug),
        availability=available,
        queue=queue,
        defaults=_as_numbers(context.fields),
    )


def _prefix_names(own_form: str, slug: str) -> str:
    """Return a spawner's own form with the profile's slug before the name of each field."""
    # A key of wrapspawner's may have any characters, and an attribute need not have quotes.
    prefix = escape(slug).replace(" ", "&#32;")
    return _FIELD.sub(lambda found: f"{found[0]}{prefix}--", own_form)


def _earlier_values(
    profile: Profile, earlier: Mapping[str, Any], last: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the values of a profile's options in a form, or in an earlier choice of this profile.

    What the Hub keeps may not be offered any more. The field shows its default then.
    """
    own = earlier
    if earlier.get(PROFILE) != profile.slug:
        own, _ = profile.examine(
            {name: one for name, one in last.items() if name in profile.options}
        )
    given = {
        name: earlier.get(f"{profile.slug}--{name}", own.get(name)) for name in profile.options
    }
    return {name: value for name, value in given.items() if value is not None}


def _field(
    profile: Profile,
    option: Option,
    value: Any,
    limit: Value | None,
    error: str,
    there: Mapping[str, str],
) -> FormField:
    if option.locked or not isinstance(value, str | int):
        value = option.default
    kind = option.field.kind
    choices = _choices(option) or [FormChoice(name, text) for name, text in there.items()]
    if there and value and value not in there:  # not in the cluster at the moment
        choices.insert(0, FormChoice(str(value), str(value)))
    all_bounds = {which: option.bound(which, limit) for which in ("min", "max", "step")}
    if kind == "count" and all_bounds["min"] is None:
        all_bounds["min"] = option.field.lowest
    bounds = {which: bound for which, bound in all_bounds.items() if bound is not None}
    numbers: dict[str, Any] = {which: as_number(bound) for which, bound in bounds.items()}
    if option.max == QUEUE:
        numbers["max"] = QUEUE
    if option.bounds_by_option:
        numbers["by"] = {by.which: _by_option(profile, by) for by in option.bounds_by_option}
    return FormField(
        f"{profile.slug}--{option.name}",
        option,
        "select" if choices else "number" if kind == "count" else "text",
        "" if value is None else _writable(_field_value(option, value)),
        choices,
        {} if choices else {which: option.format(bound) for which, bound in bounds.items()},
        {} if choices else numbers,
        {
            f"{profile.slug}--{other}": [
                _field_value(profile.options[other], one) for one in values
            ]
            for other, values in option.when.items()
        },
        error,
    )


def _by_option(profile: Profile, by: ByOption) -> dict[str, Any]:
    """Return what form.js needs to know of a bound that depends on another option."""
    other = profile.options[by.other]
    return {
        "field": f"{profile.slug}--{by.other}",
        "label": other.label,
        "table": {_field_value(other, key): as_number(bound) for key, bound in by.table.items()},
        "narrowest": as_number(by.narrowest),
    }


def _offer_mine(field: FormField, mine: Mine | None) -> FormField:
    """Return a field with what the user may use as its choices, if that is known."""
    option = field.option
    found = mine.entries(option.name, option.whole_pattern) if mine and option.mine else None
    if mine is None or found is None:
        return field
    names, value = [one.name for one in found], field.value
    standard = mine.configured.get(option.name) or mine.usable.default(option.name)
    if value not in names and not field.error:
        value = ""  # a default, or an earlier choice, that the user may not use any more
    choices = [FormChoice("", label_none(option.name, standard))]
    choices += [FormChoice(one.name, label_entry(one, time.time())) for one in found]
    if value not in ("", *names):
        choices.append(FormChoice(value, value))  # the user corrects what was typed
    return replace(field, widget="select", value=value, choices=choices)


def label_none(name: str, default: str) -> str:
    """Return the text of the entry that leaves a field to the scheduler; mine.js has the same."""
    if name == "reservation_id":
        return say("No reservation")
    return say("Your default: {name}", name=default) if default else say("The scheduler's default")


def label_entry(entry: Entry, now: float) -> str:
    """Return the text of an account, queue and so on; mine.js has the same.

    A reservation has its begin, or how much time is left.
    """
    if entry.ends is None:
        return entry.name
    until = moment(entry.ends)
    if entry.begins is not None and entry.begins > now:
        return say(
            "{name} (from {begin} until {end})",
            name=entry.name,
            begin=moment(entry.begins),
            end=until,
        )
    left = describe_duration(timedelta(seconds=max(0.0, entry.ends - now)))
    return say("{name} ({left} left, until {end})", name=entry.name, left=left, end=until)


def _choices(option: Option) -> list[FormChoice]:
    if option.field.kind == "flag" and not option.choices:
        on = FormChoice("true", option.describe(True), sets=_numbers_of(option.override))
        return [on, FormChoice("false", option.describe(False))]
    return [
        FormChoice(key, one.display_name, one.description, _numbers_of(one.override))
        for key, one in option.choices.items()
    ]


def _numbers_of(override: Mapping[str, Any]) -> dict[str, Any]:
    return _as_numbers({**override, **override.get("resources", {})})


def _as_numbers(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return those fields of a job that a form sums up, in bytes and seconds."""
    result = {}
    for name, value in fields.items():
        if name in FIELDS and value not in (None, ""):
            result[name] = as_number(read(FIELDS[name].kind, value, name, whole=True))
    return result


def _field_value(option: Option, value: Any) -> str:
    """Return a value as the field of a form has it. The value of a choice is its key."""
    try:
        given = option.read(value)
    except InvalidJobError:
        return str(value)  # the user corrects what was typed
    for key in option.choices:
        if option.read(key) == given:
            return key
    return _as_text(option.format(given))


def as_fields(user_options: Mapping[str, Any]) -> dict[str, str]:
    """Return user_options as the fields of a form have them."""
    return {name: _as_text(value) for name, value in user_options.items()}


def first_values(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first value of each field of a form: browsers send lists."""
    return {
        name: value[0] if isinstance(value, list) and value else value
        for name, value in fields.items()
    }


def _writable(text: str) -> str:
    """Return a text that a page can hold. A choice sent as JSON may have half a surrogate pair.

    The Hub keeps it as the last choice even when it has refused it, and the form shows it.
    """
    return text.encode("utf-8", "replace").decode()


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def render_form(
    profiles: Sequence[FormProfile],
    *,
    base_url: str,
    user: str,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    version: str = "",
) -> str:
    """Return the form's HTML, without the ``<form>`` that JupyterHub puts around it.

    Parameters
    ----------
    profiles
        The profiles, as :func:`form_profiles` returns them.
    base_url
        The Hub's base URL, with a slash at its end.
    user
        The user's name.
    presets
        The ``user_options`` of the user's presets, by their names.
    version
        Of which version of the file of profiles it is made; empty without a file.
    """
    template = _environment().get_template("profiles.html")
    as_text = {name: as_fields(options) for name, options in (presets or {}).items()}
    return template.render(
        profiles=profiles,
        base_url=base_url,
        user=user,
        presets=as_text,
        version=version,
        version_field=VERSION,
    )


def render_wrapspawner_form(
    profiles: Sequence[FormProfile], form: str, entry: str, selected: str
) -> str:
    """Return the HTML of wrapspawner's form, made of an administrator's own templates.

    Parameters
    ----------
    profiles
        The profiles, as :func:`form_profiles` returns them.
    form, entry, selected
        ``form_template``, ``input_template`` and ``first_template`` of ProfilesSpawner.
    """
    entries = ""
    for one in profiles:
        entries += entry.format(
            display=escape(one.profile.display_name),
            key=escape(one.profile.slug),
            type=escape(str(one.profile.spawner)),
            first=selected if one.selected else "",
        )
    return form.format(input_template=entries)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("unispawner.web", "form"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(PAGE_TEXTS)
    return environment
