"""The JSON schema of user_options: profiles -> schema. Pure, without I/O.

What it allows, :meth:`unispawner.profiles.profile.Profile.check` allows too, except for some rules
that JSON schema can't express: bounds of memory and times, which are text; limits of a queue;
steps without an upper bound that begin at a number which is not a multiple of the step; and whether
a path that a user types exists and is the user's to use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..slow_patterns import LONGEST
from .mine import Mine
from .option import MINE, QUEUE, Option
from .profile import PROFILE, Profile

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# A number without a unit is of bytes, and a low one is refused.
_MEMORY = r"^([1-9][0-9]{7,14}|[0-9]{1,15}(\.[0-9]{1,3})?[KMGTP](i?B)?)$"
_DURATION = r"^([0-9]{1,4}-)?[0-9]{1,6}:[0-9]{1,2}:[0-9]{1,2}$"


def options_schema(
    profiles: Iterable[Profile],
    has_own_options: Callable[[Profile], bool] = lambda profile: profile.own_options,
    find_mine: Callable[[Profile], Mine | None] = lambda profile: None,
) -> dict[str, Any]:
    """Return the schema of the user_options that a REST body may have.

    Parameters
    ----------
    profiles
        The profiles that the user is offered.
    has_own_options
        Returns whether a profile's spawner decides which options there are: any are valid then.
    find_mine
        Returns what is known of what the user may use with a profile.
    """
    return {
        "$schema": DIALECT,
        "title": "user_options",
        "description": "A profile, and the options that differ from its defaults.",
        "oneOf": [
            _profile(profile, find_mine(profile), open_to_more=has_own_options(profile))
            for profile in profiles
        ],
    }


def _profile(profile: Profile, mine: Mine | None, *, open_to_more: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "title": profile.display_name,
        "description": profile.description,
        "properties": {PROFILE: {"const": profile.slug}},
        "required": [PROFILE],
    }
    if open_to_more:
        return schema
    for name, option in profile.options.items():
        schema["properties"][name] = _option(option, mine)
    schema["additionalProperties"] = False
    rules = [_condition(profile, one) for one in profile.options.values() if one.when]
    rules += [_requirement(profile, one) for one in profile.options.values() if one.required]
    rules += [rule for one in profile.options.values() for rule in _bounds_by_option(profile, one)]
    if rules:
        schema["allOf"] = rules
    return schema


def _option(option: Option, mine: Mine | None = None) -> dict[str, Any]:
    words = option.description or option.field.help
    result: dict[str, Any] = {"title": option.label, **({"description": words} if words else {})}
    if option.default is not None:
        result["default"] = option.format(option.read(option.default))
    if option.field.unit:
        result["x-unit"] = option.field.unit
    if option.max == QUEUE:
        result["x-maximum"] = "the queue's"
    if option.locked:
        return {**result, "const": result["default"]}
    if option.choices:
        values = [option.format(option.read(key)) for key in option.choices]
        return {**result, "enum": values, "x-labels": _labels(option)}
    if option.mine:
        return {**result, **_of_mine(option, mine), "x-choices": MINE}
    return {**result, **_values(option)}


def _of_mine(option: Option, mine: Mine | None) -> dict[str, Any]:
    """Return the names that the user may use, or any name if these are not known.

    A default that the user may not use does not count, and the schema has it all the same: it is a
    note for people.
    """
    entries = mine.entries(option.name, option.whole_pattern) if mine else None
    return {"enum": [one.name for one in entries]} if entries else _values(option)


def _labels(option: Option) -> dict[str, str]:
    return {key: one.display_name for key, one in option.choices.items()}


def _values(option: Option) -> dict[str, Any]:
    if (value := option.value) is not None:
        # Braces and control characters are refused whatever the pattern is, and ".." in paths.
        more = {"x-kind": value.kind, "examples": [value.example]}
        pattern = rf"^(?=[^{{}}\x00-\x1f]+$)(?:{value.full_pattern})$"
        return {"type": "string", "pattern": pattern, "maxLength": LONGEST, **more}
    kind = option.field.kind
    if kind == "flag":
        return {"type": "boolean"}
    if kind == "count":
        return {"type": "integer", **_bounds(option)}
    if kind in ("memory", "duration"):
        bounds = {
            f"x-{which}imum": option.format(bound)
            for which in ("min", "max")
            if (bound := option.bound(which)) is not None
        }
        return {"type": "string", "pattern": _MEMORY if kind == "memory" else _DURATION, **bounds}
    source = {"x-choices": f"the {option.choices_from}'s"} if option.choices_from else {}
    return {"type": "string", "pattern": f"^(?:{option.whole_pattern})$", **source}


def _bounds(option: Option) -> dict[str, Any]:
    """Return the bounds of a number. Steps begin at the lowest value."""
    bounds: list[Any] = [option.bound(which) for which in ("min", "max", "step")]
    low, high, step = bounds
    lowest = option.field.lowest if low is None else max(low, option.field.lowest)
    result = {"minimum": lowest, "maximum": high if high is not None else 10**15 - 1}
    if step is not None and step > 1:
        if (low or 0) % step == 0:
            result["multipleOf"] = step
        elif high is not None and high - lowest < 10_000:
            return {"enum": list(range(lowest, high + 1, step))}
    return result


def _condition(profile: Profile, option: Option) -> dict[str, Any]:
    """Return the rule that an option may be set only if those it depends on have their values."""
    rules = [
        _holds(profile, other, wanted) for other, wanted in _dependencies(profile, option).items()
    ]
    return {"if": {"required": [option.name]}, "then": {"allOf": rules}}


def _requirement(profile: Profile, option: Option) -> dict[str, Any]:
    """Return the rule that the text of a choice must be there if the choice is."""
    menus = {name: profile.options[name] for name in option.when}
    chosen = {
        name: {"enum": [menu.format(menu.read(one)) for one in option.when[name]]}
        for name, menu in menus.items()
    }
    return {
        "if": {"properties": chosen, "required": list(chosen)},
        "then": {"required": [option.name]},
    }


def _bounds_by_option(profile: Profile, option: Option) -> Iterator[dict[str, Any]]:
    """Yield a rule for each bound that depends on another option, if the bound is of a number."""
    for by in option.bounds_by_option if option.field.kind == "count" else ():
        keyword = "minimum" if by.which == "min" else "maximum"
        for key, bound in by.table.items():
            yield {
                "if": _holds(profile, by.other, [key]),
                "then": {"properties": {option.name: {keyword: bound}}},
            }
        if profile.options[by.other].default is None:
            yield {
                "if": {"not": {"required": [by.other]}},
                "then": {"properties": {option.name: {keyword: by.narrowest}}},
            }


def _dependencies(profile: Profile, option: Option) -> Mapping[str, list[Any]]:
    """Return the options that an option depends on, directly or not, with the values they need."""
    result: dict[str, list[Any]] = {}
    for other, wanted in option.when.items():
        result |= {**_dependencies(profile, profile.options[other]), other: wanted}
    return result


def _holds(profile: Profile, name: str, wanted: list[Any]) -> dict[str, Any]:
    option = profile.options[name]
    values = [option.format(option.read(one)) for one in wanted]
    by_default = option.default is not None and option.format(option.read(option.default)) in values
    rule: dict[str, Any] = {"properties": {name: {"enum": values}}}
    return rule if by_default else {**rule, "required": [name]}
