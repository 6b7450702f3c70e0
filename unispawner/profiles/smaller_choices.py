"""Smaller variants of a choice, with which a server may start sooner. Pure, without I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ..errors import InvalidJobError
from ..job import PER_CORE
from ..texts import say
from ..units import as_number, count_cores, count_gpus, count_nodes
from ..web.summary import describe_duration, describe_memory
from .fields import FIELDS, MEASURED, Value, read
from .option import Option
from .profile import Chosen

GPUS = "gpu_cores_per_process"
_COUNTED = {
    "cpu_cores_per_process": count_cores,
    GPUS: count_gpus,
    "node_count": count_nodes,
}
_IN_ORDER = (GPUS, "node_count", "cpu_cores_per_process", "memory", PER_CORE, "duration")
"""The fields that are made smaller, the scarcest first."""


@dataclass(frozen=True)
class Variant:
    """A smaller choice.

    Attributes
    ----------
    chosen
        The choice, checked.
    words
        What is smaller in it, for people: "4 cores and 8 GiB".
    """

    chosen: Chosen
    words: str


def smaller_variants(chosen: Chosen, configured: Mapping[str, Any]) -> Iterator[Variant]:
    """Yield variants of a choice that ask for less of one thing, and of cores and memory at once.

    All of them are offered by the choice's profile.

    Parameters
    ----------
    configured
        The fields of a job for which nothing is chosen, where an option has no default.
    """
    options = chosen.profile.options
    less: dict[str, tuple[int | bool | str, str]] = {}
    for name in (*_IN_ORDER, *(one for one in options if one not in FIELDS)):
        option = options.get(name)
        if option is None or option.locked:
            continue
        if name in FIELDS:
            found = _reduce(option, chosen.values.get(name), configured.get(name))
        else:
            found = _reduce_menu(chosen, option)
        if found is None:
            continue
        less[name] = found
        yield from _variant(chosen, {name: found[0]}, found[1])
    memory = "memory" if "memory" in less else PER_CORE
    if "cpu_cores_per_process" in less and memory in less:
        both = {name: less[name][0] for name in ("cpu_cores_per_process", memory)}
        words = f"{less['cpu_cores_per_process'][1]} and {less[memory][1]}"
        yield from _variant(chosen, both, words)


def _variant(chosen: Chosen, change: Mapping[str, Any], words: str) -> Iterator[Variant]:
    """Yield the choice with these changes, if it is offered."""
    profile = chosen.profile
    try:
        found = profile.check({**chosen.user_options, **change})
    except InvalidJobError:
        return
    yield Variant(found, words)


def _reduce(
    option: Option, value: Value | None, configured: Any
) -> tuple[int | bool | str, str] | None:
    """Return about half of an option's value as a form has it, and in words; None if there is none.

    Of GPUs and nodes it is one less, and at least one is left.
    """
    if value is None and configured not in (None, ""):
        try:
            value = read(option.field.kind, configured, option.name)
        except InvalidJobError:
            return None
    if option.field.kind not in MEASURED or not value:
        return None
    smaller = _largest_choice(option, value) if option.choices else _half(option, value)
    if smaller is None:
        return None
    return option.format(smaller), _describe(option, smaller)


def _half(option: Option, value: Any) -> Any:
    low: Any = option.bound("min")
    step: Any = option.bound("step")
    zero = value - value
    if option.name in (GPUS, "node_count"):
        wanted = value - 1
    elif isinstance(value, timedelta):
        wanted = timedelta(minutes=value // timedelta(minutes=2))
    elif option.field.kind == "memory":
        wanted = value // 2 // 2**20 * 2**20
    else:
        wanted = value // 2
    if step:
        begin = zero if low is None else low
        wanted = begin + (wanted - begin) // step * step
    if low is not None:
        wanted = max(wanted, low)
    return wanted if zero < wanted < value else None


def _largest_choice(option: Option, value: Any) -> Any:
    """Return the choice nearest below a value; nearest below its half if there is one."""
    below = [one for key in option.choices if (one := option.read(key)) and one < value]
    if option.name in (GPUS, "node_count"):
        return max(below, default=None)
    halves = [one for one in below if one <= value / 2]
    return max(halves or below, default=None)


def _reduce_menu(chosen: Chosen, option: Option) -> tuple[str, str] | None:
    """Return the largest of those choices of a menu that differ only by asking for less."""
    if not option.choices or option.name not in chosen.values:
        return None
    current = _measures(chosen.fields)
    found: list[tuple[dict[str, Any], str, str]] = []
    for key, choice in option.choices.items():
        fields = chosen.profile.fields({**chosen.values, option.name: key})
        if _others(fields) == _others(chosen.fields) and _is_smaller(_measures(fields), current):
            found.append((_measures(fields), key, choice.display_name))
    if not found:
        return None
    best = found[0]
    for one in found[1:]:
        if _is_smaller(best[0], one[0]):
            best = one
    return best[1], best[2]


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {**fields, **fields.get("resources", {})}


def _measures(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that have an amount, in numbers."""
    return {
        name: as_number(read(FIELDS[name].kind, value, name, whole=True))
        for name, value in _flat(fields).items()
        if name in FIELDS and FIELDS[name].kind in MEASURED and value is not None
    }


def _others(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in _flat(fields).items()
        if name != "resources" and (name not in FIELDS or FIELDS[name].kind not in MEASURED)
    }


def _is_smaller(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether the first asks for the same things, for none of them more, and for less."""
    if set(one) != set(other) or one == other or 0 in (one.get("memory"), other.get("memory")):
        return False  # memory of 0 means all of it
    return all(one[name] <= other[name] for name in one)


def _describe(option: Option, value: Any) -> str:
    """Return an amount with what it counts."""
    if option.choices and option.name not in FIELDS:
        return option.describe(value)
    if option.name in _COUNTED:
        return _COUNTED[option.name](value)
    if option.name == PER_CORE:
        return say("{memory} for each core", memory=describe_memory(value))
    if isinstance(value, timedelta):
        return describe_duration(value)
    return describe_memory(value) if option.field.kind == "memory" else str(value)
