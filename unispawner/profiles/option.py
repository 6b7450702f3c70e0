"""An option of a profile: what a user may set, within which bounds. Pure, without I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, PrivateAttr, field_validator, model_validator

from ..errors import InvalidJobError
from .fields import FIELDS, MEASURED, MENU, NAME_PATTERN, Field, Value, format_value, read, shorten

QUEUE = "queue"
"""As a bound: the limit of the job's queue, as far as that is known."""
DICTIONARIES = ("resources", "custom_attributes", "environment")
_OVERRIDABLE = {*FIELDS, *DICTIONARIES, "prologue", "epilogue"}
_FORBIDDEN = {"executable", "arguments", "directory", "stdout_path", "name", "mark", "profile"}
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
STRICT = ConfigDict(extra="forbid", frozen=True)


def check_override(override: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields that a choice sets, if they are no others than a user may cause to be set."""
    for key, value in override.items():
        if key not in _OVERRIDABLE:
            raise ValueError(
                f"{key!r} can't be overridden; there are {', '.join(sorted(_OVERRIDABLE))}"
            )
        if key in DICTIONARIES and not isinstance(value, Mapping):
            raise ValueError(f"{key}: {shorten(value)} must be a dictionary")
        if key in FIELDS:
            try:
                read(FIELDS[key].kind, value, key)
            except InvalidJobError as error:
                raise ValueError(str(error)) from None
    return dict(override)


class Choice(BaseModel):
    """One entry of a menu: what is shown, and the fields it sets."""

    model_config = STRICT

    display_name: str
    description: str = ""
    override: dict[str, Any] = {}

    @field_validator("override")
    @classmethod
    def _known_fields(cls, value: dict[str, Any]) -> dict[str, Any]:
        return check_override(value)


class Option(BaseModel):
    """Something a user can set: a field of the job, or a menu whose choices override fields.

    Attributes
    ----------
    name
        The option's key in its profile: a name in ``FIELDS``, or the administrator's own.
    min, max, step
        Bounds of a count, of memory (``"4G"``) or of a time (``"08:00:00"``). ``max`` may be
        ``"queue"``.
    default
        What the form begins with, and what holds if nothing is said. Without one the job's field
        stays as it is configured.
    choices
        What can be chosen: a list of values, or a mapping to what is shown, or to a
        :class:`Choice`.
    locked
        The default is shown and can't be changed.
    pattern
        Of text: a regular expression for the whole of it.
    when
        ``{"other option": value or [values]}``: only there if the other has that value.
    override
        Of an option that is no field and has no choices: the fields that it sets when it is on.
    """

    model_config = STRICT

    name: str
    display_name: str = ""
    description: str = ""
    min: Any = None
    max: Any = None
    step: Any = None
    default: Any = None
    choices: dict[str, Choice] = {}
    locked: bool = False
    pattern: str = ""
    when: dict[str, list[Any]] = {}
    override: dict[str, Any] = {}

    _bounds: dict[str, Value] = PrivateAttr(default_factory=dict)

    @property
    def field(self) -> Field:
        """What is known of it."""
        if self.name in FIELDS:
            return FIELDS[self.name]
        return MENU if self.choices else Field("flag", "")

    @property
    def label(self) -> str:
        """What a user reads."""
        return self.display_name or self.field.label or self.name

    def bound(self, which: str, limit: Value | None = None) -> Value | None:
        """Return ``min``, ``max`` or ``step``; of a queue's limit, that which is given."""
        return limit if getattr(self, which) == QUEUE else self._bounds.get(which)

    @field_validator("choices", mode="before")
    @classmethod
    def _label_choices(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return {str(one): {"display_name": str(one)} for one in value}
        if not isinstance(value, Mapping):
            raise ValueError(f"must be a list or a dictionary, not {shorten(value)}")
        return {
            str(key): {"display_name": one} if isinstance(one, str) else one
            for key, one in value.items()
        }

    @field_validator("when", mode="before")
    @classmethod
    def _list_values(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {key: one if isinstance(one, list) else [one] for key, one in value.items()}

    @field_validator("override")
    @classmethod
    def _known_fields(cls, value: dict[str, Any]) -> dict[str, Any]:
        return check_override(value)

    @model_validator(mode="after")
    def _consistent(self) -> Option:
        try:
            self._check_what_it_sets()
            self._check_bounds()
            for key in self.choices:
                self._check_own("choices", self._check_range, self.read(key), None)
            if self.default is not None:
                self._check_own("default", self.check, self.default)
            elif self.locked:
                raise InvalidJobError("locked: there is no default")
        except InvalidJobError as error:
            raise ValueError(str(error)) from None
        return self

    def _check_own(self, what: str, check: Callable[..., object], *values: object) -> None:
        """Check a value that the administrator gives, and say where it stands."""
        try:
            check(*values)
        except InvalidJobError as error:
            words = error.message.removeprefix(f"{self.name}: ")
            raise InvalidJobError(f"{what}: {words}") from None

    def _check_what_it_sets(self) -> None:
        if self.name in _FORBIDDEN or not _KEY.fullmatch(self.name):
            raise InvalidJobError(f"{self.name!r} can't be an option's name")
        overrides = [self.override, *(one.override for one in self.choices.values())]
        if self.name in FIELDS and self.override:
            raise InvalidJobError("override: the option is a field already; its choices may")
        if self.name not in FIELDS and not any(overrides):
            raise InvalidJobError(
                f"is no field of a job (there are {', '.join(sorted(FIELDS))}), so it must have an "
                "override, or choices that do"
            )
        if self.choices and self.override:
            raise InvalidJobError("override: belongs to the choices")
        if self.pattern and (self.field.kind != "name" or self.choices):
            raise InvalidJobError("pattern: is for text, and not for choices")
        if self.pattern:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise InvalidJobError(f"pattern: {self.pattern!r}: {error}") from None

    def _check_bounds(self) -> None:
        for which in ("min", "max", "step"):
            value = getattr(self, which)
            if value is None:
                continue
            if self.field.kind not in MEASURED:
                raise InvalidJobError(f"{which}: is for numbers, memory and times")
            if value != QUEUE:
                self._bounds[which] = read(self.field.kind, value, which)
            elif which != "max" or self.name not in FIELDS:
                raise InvalidJobError(f"{which}: only a max can be the queue's")
        low, high, step = (self._bounds.get(which) for which in ("min", "max", "step"))
        if low is not None and high is not None and low > high:  # type: ignore[operator]
            raise InvalidJobError(f"min: {shorten(self.min)} is more than max, {shorten(self.max)}")
        if isinstance(step, int) and step < 1:
            raise InvalidJobError(f"step: {step} makes no steps")

    # -- a value -------------------------------------------------------------------------------

    def read(self, value: object) -> Value:
        """Return a value of this option's kind."""
        return read(self.field.kind, value, self.name)

    def check(self, value: object, limit: Value | None = None) -> Value:
        """Return a value if it is among those that are offered.

        Parameters
        ----------
        value
            As it came.
        limit
            The queue's, if it is known and ``max`` is ``"queue"``.

        Raises
        ------
        InvalidJobError
            Naming the option, the value, and what would be right.
        """
        given = self.read(value)
        if self.choices:
            if given not in [self.read(key) for key in self.choices]:
                raise self._wrong(given, f"must be one of {', '.join(self.choices)}")
        elif self.field.kind == "name" and not re.fullmatch(
            self.pattern or NAME_PATTERN, str(given), re.ASCII
        ):
            raise self._wrong(given, f"must be like {self.pattern or NAME_PATTERN}")
        self._check_range(given, limit)
        if self.locked and given != self.read(self.default):
            raise self._wrong(
                given, f"can't be changed from {self.format(self.read(self.default))}"
            )
        return given

    def _check_range(self, given: Any, limit: Value | None) -> None:
        if self.field.kind not in MEASURED:
            return
        low: Any = self.bound("min")
        high: Any = self.bound("max", limit)
        step: Any = self.bound("step")
        if self.field.kind == "count" and given < self.field.lowest:
            raise self._wrong(given, f"must be at least {self.field.lowest}")
        if low is not None and given < low:
            raise self._wrong(given, f"must be at least {self.format(low)}")
        if high is not None and given > high:
            whose = ", the queue's limit" if self.max == QUEUE else ""
            raise self._wrong(given, f"must be at most {self.format(high)}{whose}")
        zero = given - given  # of its kind
        if step is not None and (given - (zero if low is None else low)) % step != zero:
            begin = "" if low is None else f" from {self.format(low)}"
            raise self._wrong(given, f"must be in steps of {self.format(step)}{begin}")

    def format(self, value: Value) -> int | bool | str:
        """Return a value as forms, REST bodies and the database have it."""
        return format_value(self.field.kind, value)

    def describe(self, value: Value) -> str:
        """Return a value as people read it: of a choice what is shown for it, ``yes`` or ``no``."""
        if choice := self.choice(value):
            return choice.display_name
        if isinstance(value, bool):
            return "yes" if value else "no"
        return str(self.format(value))

    def extreme_values(self) -> list[int | bool | str]:
        """Return the lowest and the highest value, or every choice."""
        if self.locked:
            return []
        if self.choices:
            return list(self.choices)
        if self.field.kind == "flag":
            return [True, False]
        low: Any = self.bound("min")
        high: Any = self.bound("max")
        step: Any = self.bound("step")
        if high is not None and step is not None:
            begin = high - high if low is None else low
            high = begin + (high - begin) // step * step
        return [self.format(one) for one in (low, high) if one is not None]

    def choice(self, value: Value) -> Choice | None:
        """Return the entry of a menu that a value is."""
        return next((one for key, one in self.choices.items() if self.read(key) == value), None)

    def fields(self, value: Value) -> dict[str, Any]:
        """Return the fields of a job that a value sets."""
        result = {self.name: self.format(value)} if self.name in FIELDS else {}
        if self.choices:
            chosen = self.choice(value)
            return {**result, **(chosen.override if chosen else {})}
        return {**result, **(self.override if value is True else {})}

    def _wrong(self, value: Value, must: str) -> InvalidJobError:
        words = shorten(self.format(value))
        return InvalidJobError(f"{self.name}: {words} {must}")
