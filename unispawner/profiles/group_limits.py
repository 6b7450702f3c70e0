"""Bounds that depend on the user's groups: the key ``limits`` of a profile. Pure.

For example ``"limits": {"students": {"duration": {"max": "04:00:00"}}}``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

from .option import QUEUE, Option

KEYS = ("min", "max", "default")
"""What a group may have of its own for an option."""
Limits = Mapping[str, Mapping[str, Mapping[str, Any]]]


def check_limits(limits: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return the limits if they have no other keys.

    Raises
    ------
    ValueError
        Naming the group, the option and the key that is wrong.
    """
    for group, options in limits.items():
        for name, own in options.items():
            for key in own:
                if key not in KEYS:
                    raise ValueError(
                        f"{group}.{name}: unknown key {key!r}; known keys: {', '.join(KEYS)}"
                    )
    return limits


GroupLimits = Annotated[dict[str, dict[str, dict[str, Any]]], AfterValidator(check_limits)]


def limit_options(
    options: Mapping[str, Option], limits: Limits, groups: Collection[str]
) -> dict[str, Option]:
    """Return the options with the bounds of a user who is in these groups.

    Of several groups the most generous counts for each bound. A group without an entry for an
    option has the option's own bounds; groups that ``limits`` does not name count for nothing.

    Raises
    ------
    InvalidJobError
        If the bounds of an option can't be right.
    """
    mine = [limits[group] for group in limits if group in groups]
    return {
        name: _limit(option, [one.get(name, {}) for one in mine])
        if any(name in one for one in mine)
        else option
        for name, option in options.items()
    }


def _limit(option: Option, limits: Iterable[Mapping[str, Any]]) -> Option:
    each = [option.with_bounds(**one) for one in limits]
    widest = max(each, key=_rank_of_max)
    lowest = min(each, key=_rank_of_min)
    return option.with_bounds(min=lowest.min, max=widest.max, default=widest.default)


def _rank_of_max(option: Option) -> tuple[bool, Any]:
    """Return a sort key: no bound at all, or the queue's, is the most generous."""
    bound = option.bound("max")
    free = bound is None or option.max == QUEUE
    return (True, 0) if free else (False, _number(bound))


def _rank_of_min(option: Option) -> Any:
    bound = option.bound("min")
    return -1 if bound is None else _number(bound)


def _number(bound: Any) -> float:
    return float(bound.total_seconds() if hasattr(bound, "total_seconds") else bound)
