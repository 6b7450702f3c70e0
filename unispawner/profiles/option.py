"""An option of a profile: what a user may set, and within which bounds. Pure, without I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    PrivateAttr,
    field_validator,
    model_validator,
)

from ..errors import InvalidJobError
from ..job import PER_CORE
from ..slow_patterns import LONGEST, find_slow_text
from .fields import (
    FIELDS,
    MEASURED,
    MENU,
    NAME_PATTERN,
    NAME_RULE,
    Field,
    Value,
    format_value,
    read,
    shorten,
)

QUEUE = "queue"
"""The bound that stands for the limit of the job's queue, as far as that is known."""
DICTIONARIES = ("resources", "custom_attributes", "environment")
_OVERRIDABLE = {*FIELDS, *DICTIONARIES, "prologue", "epilogue"}
_FORBIDDEN = {"executable", "arguments", "directory", "stdout_path", "name", "mark", "profile"}
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
STRICT = ConfigDict(extra="forbid", frozen=True)


def check_override(override: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that a choice sets, if a user may set them all.

    Raises
    ------
    ValueError
        For the first field that can't be set, or not to this value.
    """
    for key, value in override.items():
        if key not in _OVERRIDABLE:
            raise ValueError(
                f"{key!r} can't be overridden; fields that can: {', '.join(sorted(_OVERRIDABLE))}"
            )
        if key in DICTIONARIES and not isinstance(value, Mapping):
            raise ValueError(f"{key}: {shorten(value)} must be a dictionary")
        if key in FIELDS:
            try:
                read(FIELDS[key].kind, value, key, whole=key != PER_CORE)
            except InvalidJobError as error:
                raise ValueError(str(error)) from None
    return dict(override)


Override = Annotated[dict[str, Any], AfterValidator(check_override)]
"""The fields of a job that a choice, or an option that is on, sets."""


class Choice(BaseModel):
    """One entry of a menu: the texts that are shown, and the fields that it sets."""

    model_config = STRICT

    display_name: str
    description: str = ""
    override: Override = {}


class Option(BaseModel):
    """What a user can set: a field of the job, or a menu whose choices override fields.

    Attributes
    ----------
    name
        The option's key in its profile: a name in ``FIELDS``, or the administrator's own.
    display_name, description
        The texts that a user reads.
    min, max, step
        Bounds of a count, of memory (``"4G"``) or of a time (``"08:00:00"``). ``max`` may be
        ``"queue"``.
    default
        The value if the user chooses none. Without a default the job's field stays as it is
        configured.
    choices
        The values that can be chosen: a list, or a mapping from each value to the text that is
        shown for it, or to a :class:`Choice`.
    locked
        Whether the default is shown and can't be changed.
    pattern
        A regular expression that the whole text must match.
    when
        ``{"other option": value or [values]}``: the option applies only if the other one has such
        a value.
    override
        The fields that it sets when it is on, for an option without choices that is not named
        after a field.
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
    override: Override = {}

    _bounds: dict[str, Value] = PrivateAttr(default_factory=dict)

    @property
    def field(self) -> Field:
        """The field of the job that it is named after, or else a menu or a flag."""
        if self.name in FIELDS:
            return FIELDS[self.name]
        return MENU if self.choices else Field("flag", "")

    @property
    def label(self) -> str:
        """The name that a user reads."""
        return self.display_name or self.field.label or self.name

    def bound(self, which: str, limit: Value | None = None) -> Value | None:
        """Return ``min``, ``max`` or ``step``; for ``"queue"`` the limit that is given here."""
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

    @model_validator(mode="after")
    def _consistent(self) -> Option:
        try:
            self._check_what_it_sets()
            self._check_bounds()
            for key in self.choices:
                self._check_own("choices", self._check_key, key)
            if self.default is not None:
                self._check_own("default", self.check, self.default)
            elif self.locked:
                raise InvalidJobError("locked: a locked option needs a default")
        except InvalidJobError as error:
            raise ValueError(str(error)) from None
        return self

    def _check_own(self, what: str, check: Callable[..., object], *values: object) -> None:
        """Check a value of the administrator's, and name the key that holds it in the error."""
        try:
            check(*values)
        except InvalidJobError as error:
            words = error.message.removeprefix(f"{self.name}: ")
            raise InvalidJobError(f"{what}: {words}") from None

    def _check_what_it_sets(self) -> None:
        if self.name in _FORBIDDEN or not _KEY.fullmatch(self.name):
            raise InvalidJobError(f"{self.name!r} can't be the name of an option")
        overrides = [self.override, *(one.override for one in self.choices.values())]
        if self.name in FIELDS and self.override:
            raise InvalidJobError(
                f"override: the option sets {self.name} itself; its choices can have an override"
            )
        if self.name not in FIELDS and not any(overrides):
            raise InvalidJobError(
                "the option needs an override, or choices with one: its name is not a job's field "
                f"({', '.join(sorted(FIELDS))})"
            )
        if self.choices and self.override:
            raise InvalidJobError("override: the option has choices; put the override there")
        if self.pattern and (self.field.kind != "name" or self.choices):
            raise InvalidJobError("pattern: only text without choices can have a pattern")
        if self.pattern:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise InvalidJobError(f"pattern: {self.pattern!r}: {error}") from None
            if text := find_slow_text(self.pattern):
                raise InvalidJobError(
                    f"pattern: {self.pattern!r} takes very long for a text like {text!r}, and the "
                    "Hub would wait. Write it so that each part of a text can be matched in one "
                    "way only: [a-z]+ instead of ([a-z]+)+"
                )

    def _check_bounds(self) -> None:
        for which in ("min", "max", "step"):
            value = getattr(self, which)
            if value is None:
                continue
            if self.field.kind not in MEASURED:
                raise InvalidJobError(f"{which}: only numbers, memory and times have bounds")
            if value != QUEUE:
                self._bounds[which] = read(self.field.kind, value, which)
            elif which != "max" or self.name not in FIELDS:
                raise InvalidJobError(f'{which}: only max can be "queue"')
            elif self.name == PER_CORE:
                raise InvalidJobError(
                    'max: a queue has no limit of memory per core; write one, as "8G"'
                )
        low, high, step = (self._bounds.get(which) for which in ("min", "max", "step"))
        if low is not None and high is not None and low > high:  # type: ignore[operator] # of a kind
            raise InvalidJobError(f"min: {shorten(self.min)} is more than max, {shorten(self.max)}")
        if isinstance(step, int) and step < 1:
            raise InvalidJobError(f"step: {step} must be at least 1")

    # -- a value -------------------------------------------------------------------------------

    def read(self, value: object) -> Value:
        """Return a value of this option's kind.

        Raises
        ------
        InvalidJobError
            Naming the option and the text, if it is not a value of this kind.
        """
        whole = bool(self.choices) and self.name != PER_CORE
        return read(self.field.kind, value, self.name, whole=whole)

    def check(self, value: object, limit: Value | None = None) -> Value:
        """Return a value if it is offered.

        Parameters
        ----------
        value
            The value as it was sent.
        limit
            The queue's limit, which counts if ``max`` is ``"queue"``; None if it is not known.

        Raises
        ------
        InvalidJobError
            Naming the option, the value and the rule that it breaks.
        """
        given = self.read(value)
        if isinstance(given, str) and len(given) > LONGEST:
            raise self._wrong(f"{given[:20]}…", f"must have at most {LONGEST} characters")
        if self.choices:
            if given not in [self.read(key) for key in self.choices]:
                raise self._wrong(given, f"must be one of {', '.join(self.choices)}")
        elif self.field.kind == "name" and not re.fullmatch(
            self.pattern or NAME_PATTERN, str(given), re.ASCII
        ):
            rule = f"match {self.pattern}" if self.pattern else f"be {NAME_RULE}"
            raise self._wrong(given, f"must {rule}")
        self._check_range(given, limit)
        if self.locked and given != self.read(self.default):
            default = self.format(self.read(self.default))
            raise self._wrong(given, f"is not possible: the option is locked to {default}")
        return given

    def _check_key(self, key: str) -> None:
        self._check_range(self.read(key), None)

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
        zero = given - given  # a number, or a length of time
        if step is not None and (given - (zero if low is None else low)) % step != zero:
            begin = "" if low is None else f" from {self.format(low)}"
            raise self._wrong(given, f"must be in steps of {self.format(step)}{begin}")

    def format(self, value: Value) -> int | bool | str:
        """Return a value as people write it: see :func:`.fields.format_value`."""
        return format_value(self.field.kind, value)

    def describe(self, value: Value) -> str:
        """Return a value for people: a choice's display name, ``yes`` or ``no``, or the value."""
        if choice := self.choice(value):
            return choice.display_name
        if isinstance(value, bool):
            return "yes" if value else "no"
        return str(self.format(value))

    def extreme_values(self) -> list[int | bool | str]:
        """Return the lowest and the highest value, or every choice; nothing if it is locked."""
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
        """Return the choice of a value; None if there is none."""
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
