"""Options with ``"choices": "mine"``: what this user may use, by the scheduler's own word. Pure.

What the scheduler does not say is never refused here: then the option's pattern decides, and in the
end the scheduler.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..schedulers.usable import FIELDS, Entry, Usable
from ..texts import Text, join, of_field, say
from .option import Option

_MOST_NAMED = 30
"""How many names a message lists at most."""


@dataclass(frozen=True)
class Mine:
    """What the user may use, and what the profile itself sets.

    Attributes
    ----------
    usable
        What the scheduler says.
    configured
        The account, queue and so on of a job for which nothing is chosen, by field.
    """

    usable: Usable
    configured: Mapping[str, str] = field(default_factory=dict)

    def entries(self, name: str, pattern: str) -> list[Entry] | None:
        """Return what a menu offers for a field; None if that is not known.

        Names that the pattern does not allow are left out.
        """
        found = self.usable.entries.get(name)
        if found is None:
            return None
        return [one for one in found if re.fullmatch(pattern, one.name, re.ASCII)]

    def lacks(self, name: str, value: object) -> bool:
        """Return whether it is known that the user may not use a value."""
        names = self.usable.names(name)
        return names is not None and str(value) not in names


def find_errors(
    options: Mapping[str, Option], applying: Iterable[str], fields: Mapping[str, Any], mine: Mine
) -> dict[str, str]:
    """Return what is wrong with a choice, by option: what is not the user's, or not together.

    Parameters
    ----------
    options
        The options of the profile.
    applying
        The names of those that apply.
    fields
        The fields of a job that the choice sets.
    """
    chosen = {name: str(fields[name]) for name in FIELDS if fields.get(name)}
    given = {**mine.configured, **chosen}
    own = [name for name in applying if options[name].mine]
    decided = {name: given.get(name, "") for name in FIELDS if name not in own}
    wrong: dict[str, str] = {}
    for name in own:
        value = given.get(name, "")
        if name in chosen and mine.lacks(name, value):
            wrong[name] = of_field(name, _not_yours(value, mine.usable.names(name) or []))
        elif not mine.usable.fits({**decided, name: value}):
            wrong[name] = of_field(name, _not_together(name, value, decided, mine.usable))
        else:
            decided[name] = value
    return wrong


def mine_to_dict(options: Mapping[str, Option], mine: Mine | None) -> dict[str, Any]:
    """Return what the user may use with a profile as data for JSON: times in seconds.

    ``fields`` has what may be chosen; a field that is not there is not known. ``rules`` says what
    goes together: see :class:`unispawner.schedulers.usable.Usable`. ``configured`` is what a job
    gets for which nothing is chosen.
    """
    if mine is None:
        return {"fields": {}, "rules": [], "configured": {}}
    fields = {}
    for name, found in mine.usable.entries.items():
        option = options.get(name)
        offered = mine.entries(name, option.whole_pattern) if option and option.mine else None
        fields[name] = [vars(one) for one in (found if offered is None else offered)]
    rules = [
        [{name: sorted(names) for name, names in row.items()} for row in rule]
        for rule in mine.usable.rules
    ]
    return {"fields": fields, "rules": rules, "configured": dict(mine.configured)}


def _not_yours(value: str, names: list[str]) -> Text:
    shown = repr(value)
    if not names:
        return say("{value} is not possible: the scheduler offers you nothing here", value=shown)
    return say("{value} must be one that you may use: {names}", value=shown, names=_list(names))


def _not_together(name: str, value: str, decided: Mapping[str, str], usable: Usable) -> Text:
    """Return the message for a value that is the user's, but does not go with the others."""
    texts = {one: text or usable.default(one) for one, text in decided.items()}
    others = [
        one for one, text in texts.items() if text and not usable.fits({one: text, name: value})
    ]
    others = [one for one in others if decided[one]] or others
    named = [f"{one} {texts[one]!r}" for one in others]
    rest = _and(named) if named else say("the rest of the choice")
    what = repr(value) if value else say("the scheduler's default")
    possible = list(usable.choices(name, decided))
    if not possible:
        return say("{value} is not possible with {others}", value=what, others=rest)
    return say(
        "{value} is not possible with {others}; choose one of {names}",
        value=what,
        others=rest,
        names=_list(possible),
    )


def _and(names: list[str]) -> str:
    """Return names with "and" between them."""
    found: str = names[0]
    for name in names[1:]:
        found = say("{first} and {second}", first=found, second=name)
    return found


def _list(names: Iterable[str]) -> str:
    found = list(names)
    listed = join(", ", found[:_MOST_NAMED])
    more = len(found) - _MOST_NAMED
    return listed if more <= 0 else say("{names} and {number} more", names=listed, number=more)


__all__ = ["Mine", "find_errors", "mine_to_dict"]
