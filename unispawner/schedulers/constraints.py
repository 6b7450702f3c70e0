"""Reads a constraint: the features that a job's nodes must have, as in ``avx512&(ib|opa)``.

The language is a part of Slurm's (sbatch(1), --constraint), so that one profile is right for
several schedulers: ``&`` or ``,`` means and, ``|`` means or, ``!`` means not; parentheses and
square brackets group. A feature is a name, or a name with a value: ``cpu=rome``.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from ..errors import InvalidJobError

_TOKEN = re.compile(r"[\w.+@/:-]+(?:=[\w.+@/:-]+)?|[&|,!()\[\]]", re.ASCII)
_CLOSES = {"(": ")", "[": "]"}
_DEEPEST = 10


@dataclass(frozen=True)
class Feature:
    """A feature that a node has or lacks; without a value it is a mere name."""

    name: str
    value: str = ""

    @property
    def text(self) -> str:
        """The feature as it is written in a constraint."""
        return f"{self.name}={self.value}" if self.value else self.name


@dataclass(frozen=True)
class Not:
    """What a node must not have."""

    part: Expression


@dataclass(frozen=True)
class All:
    """Parts that a node must have together."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class AnyOf:
    """Parts of which a node must have at least one."""

    parts: tuple[Expression, ...]


Expression = Feature | Not | All | AnyOf


def parse(text: str) -> Expression:
    """Return what a constraint means.

    Raises
    ------
    InvalidJobError
        If it can't be read, as with Slurm's counts (``rack1*2``); or if ``&`` and ``|`` stand side
        by side without parentheses, where schedulers differ in what they mean.
    """
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != text or not tokens:
        raise _wrong(text, "write names of features with & | ! and (), as in avx512&(ib|opa)")
    return _Reader(text, tokens).read_group("", 0)


class _Reader:
    def __init__(self, text: str, tokens: list[str]) -> None:
        self._text = text
        self._rest = tokens[::-1]

    def read_group(self, end: str, depth: int) -> Expression:
        """Read up to a closing bracket, or to the end of the text."""
        if depth > _DEEPEST:
            raise _wrong(self._text, f"it has more than {_DEEPEST} brackets in each other")
        parts = [self._read_part(depth)]
        operators = set()
        while self._rest and self._rest[-1] in "&,|":
            operators.add("|" if self._rest.pop() == "|" else "&")
            parts.append(self._read_part(depth))
        if (self._rest.pop() if self._rest else "") != end:
            raise _wrong(self._text, "a bracket or an operator is missing")
        if len(operators) > 1:
            raise _wrong(self._text, "it has both & and |; add parentheses, as in avx512&(ib|opa)")
        if len(parts) == 1:
            return parts[0]
        return AnyOf(tuple(parts)) if operators == {"|"} else All(tuple(parts))

    def _read_part(self, depth: int) -> Expression:
        word = self._rest.pop() if self._rest else ""
        if word == "!":
            if depth > _DEEPEST:
                raise _wrong(self._text, f"it has more than {_DEEPEST} ! in a row")
            return Not(self._read_part(depth + 1))
        if word in _CLOSES:
            return self.read_group(_CLOSES[word], depth + 1)
        if not word or word in "&|,)]":
            raise _wrong(self._text, "a feature is missing")
        name, _, value = word.partition("=")
        return Feature(name, value)


def has(expression: Expression, features: Collection[str]) -> bool:
    """Return whether a node with these features meets a constraint."""
    if isinstance(expression, Feature):
        return expression.text in features
    if isinstance(expression, Not):
        return not has(expression.part, features)
    each = (has(part, features) for part in expression.parts)
    return all(each) if isinstance(expression, All) else any(each)


def features_of(expression: Expression) -> set[str]:
    """Return the features that a constraint names."""
    if isinstance(expression, Feature):
        return {expression.text}
    parts = (expression.part,) if isinstance(expression, Not) else expression.parts
    return {feature for part in parts for feature in features_of(part)}


def read_plain_list(text: str, title: str, instead: str) -> list[Feature]:
    """Return the features of a constraint that asks for all of them.

    Parameters
    ----------
    title, instead
        The scheduler that knows nothing else, and what to set instead.

    Raises
    ------
    InvalidJobError
        If the constraint is more than a list.
    """
    expression = parse(text)
    parts = expression.parts if isinstance(expression, All) else (expression,)
    features = [part for part in parts if isinstance(part, Feature)]
    if len(features) != len(parts):
        raise InvalidJobError(
            f"constraint: {text!r}: {title} can only ask for features that a node must all have "
            f"(with & between them); {instead}"
        )
    return features


def _wrong(text: str, reason: str) -> InvalidJobError:
    return InvalidJobError(f"constraint: {text!r} can't be read: {reason}")
