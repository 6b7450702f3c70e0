"""An option of a profile: what a user may set, and within which bounds. Pure, without I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    PrivateAttr,
    field_validator,
    model_validator,
)
from pydantic import Field as ModelField

from ..errors import InvalidJobError
from ..job import PER_CORE
from ..schedulers.inventory import Inventory
from ..schedulers.usable import FIELDS as USABLE
from ..slow_patterns import LONGEST
from ..texts import Text, of_field, say
from .applications import APPLICATION, check_environment, read_application
from .by_option import ByOption
from .fields import (
    FIELDS,
    MEASURED,
    MENU,
    NAME_PATTERN,
    Field,
    Value,
    format_value,
    read,
    shorten,
)
from .from_inventory import INVENTORY, PATTERNS, find_choices
from .own_value import OwnValue, check_pattern

QUEUE = "queue"
"""The bound that stands for the limit of the job's queue, as far as that is known."""
DICTIONARIES = ("resources", "custom_attributes", "environment")
_OVERRIDABLE = {*FIELDS, *DICTIONARIES, "prologue", "epilogue", *APPLICATION}
_TYPED = Field("text", "")
"""What a user types for a choice."""
_FORBIDDEN = {"executable", "arguments", "directory", "stdout_path", "name", "mark", "profile"}
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
MINE = "mine"
"""The value of ``choices`` that stands for what the scheduler lets the user use: see mine.py."""
MINE_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.@+#-]{0,63}"
"""The names that are allowed for such an option without a pattern: reservations of LSF have a #."""
STRICT = ConfigDict(extra="forbid", frozen=True)


def check_override(override: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that a choice sets, if a user may set them all.

    Raises
    ------
    ValueError
        For the first field that can't be set, or not to this value.
    """
    result = dict(override)
    for key, value in override.items():
        if key not in _OVERRIDABLE:
            raise ValueError(
                f"{key!r} can't be overridden; fields that can: {', '.join(sorted(_OVERRIDABLE))}"
            )
        if key in DICTIONARIES and not isinstance(value, Mapping):
            raise ValueError(f"{key}: {shorten(value)} must be a dictionary")
        if key == "environment":
            check_environment(value)
        if key in APPLICATION:
            result[key] = read_application(key, value)
        if key in FIELDS:
            try:
                read(FIELDS[key].kind, value, key, whole=key != PER_CORE)
            except InvalidJobError as error:
                raise ValueError(str(error)) from None
    return result


Override = Annotated[dict[str, Any], AfterValidator(check_override)]
"""The fields of a job that a choice, or an option that is on, sets."""


class Choice(BaseModel):
    """One entry of a menu: the texts that are shown, and the fields that it sets.

    With a ``value`` the user types a text, which stands in the override as ``{value}``.
    """

    model_config = STRICT

    display_name: str
    description: str = ""
    override: Override = {}
    value: OwnValue | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Choice:
        if self.value is not None:
            self.value.check_override(self.override)
        return self


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
        ``"queue"``; ``min`` and ``max`` may depend on another option: see :mod:`.by_option`.
    default
        The value if the user chooses none. Without a default the job's field stays as it is
        configured.
    choices
        The values that can be chosen: a list, or a mapping from each value to the text that is
        shown for it, or to a :class:`Choice`; or ``"inventory"`` for what the cluster has, or
        ``"mine"`` for what the scheduler lets the user use.
    choices_from
        ``"inventory"`` or ``"mine"`` if that is written as the choices, which are then empty.
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
    value
        What a user may type, which stands in the override as ``{value}``.
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
    choices_from: Literal["", "inventory", "mine"] = ModelField(default="", exclude=True)
    locked: bool = False
    pattern: str = ""
    when: dict[str, list[Any]] = {}
    override: Override = {}
    value: OwnValue | None = None

    _bounds: dict[str, Value] = PrivateAttr(default_factory=dict)
    _by: dict[str, ByOption] = PrivateAttr(default_factory=dict)
    _required: bool = PrivateAttr(default=False)

    @property
    def required(self) -> bool:
        """Whether a user must fill it in where it applies: the text of a choice."""
        return self._required

    @property
    def mine(self) -> bool:
        """Whether the choices are what the scheduler lets the user use."""
        return self.choices_from == MINE

    @property
    def field(self) -> Field:
        """The field of the job that it is named after, or else a text, a menu or a flag."""
        if self.value is not None:
            return _TYPED
        if self.name in FIELDS:
            return FIELDS[self.name]
        return MENU if self.choices else Field("flag", "")

    @property
    def label(self) -> str:
        """The name that a user reads."""
        return self.display_name or self.field.label or self.name

    def bound(self, which: str, limit: Value | None = None) -> Value | None:
        """Return ``min``, ``max`` or ``step``; for ``"queue"`` the limit that is given here.

        If a bound depends on another option, this is the most generous.
        """
        return limit if getattr(self, which) == QUEUE else self._bounds.get(which)

    @property
    def bounds_by_option(self) -> list[ByOption]:
        """The bounds that depend on another option."""
        return list(self._by.values())

    def with_bounds(self, **changes: Any) -> Option:
        """Return the option with another ``min``, ``max`` or ``default``.

        A default beyond the bounds becomes the bound.

        Raises
        ------
        InvalidJobError
            If these can't be right.
        """
        result = self.model_copy(update=changes)
        result._bounds, result._by = {}, {}
        result._check_bounds()
        if result.choices and result.field.kind in MEASURED:
            left = {key: one for key, one in result.choices.items() if result._is_within(key)}
            if not left:
                raise InvalidJobError(f"{self.name}: no choice is within {shorten(changes)}")
            result = result.model_copy(update={"choices": left})
            default = None if result.default is None else result.read(result.default)
            if default is not None and default not in [result.read(key) for key in left]:
                result = result.model_copy(update={"default": list(left)[-1]})
        elif result.default is not None and result.field.kind in MEASURED:
            given: Any = result.read(result.default)
            low: Any = result.bound("min")
            high: Any = result.bound("max")
            bounded = given if high is None else min(given, high)
            bounded = bounded if low is None else max(bounded, low)
            if bounded != given:
                result = result.model_copy(update={"default": result.format(bounded)})
        try:
            result._check_values()
        except InvalidJobError as error:
            raise InvalidJobError(f"{self.name}: {error.message}") from None
        return result

    @model_validator(mode="before")
    @classmethod
    def _note_source(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("choices") in (INVENTORY, MINE):
            return {**data, "choices": {}, "choices_from": data["choices"]}
        return data

    @field_validator("choices", mode="before")
    @classmethod
    def _label_choices(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return {str(one): {"display_name": str(one)} for one in value}
        if not isinstance(value, Mapping):
            raise ValueError(
                f'must be a list, a dictionary, "{INVENTORY}" or "{MINE}", not {shorten(value)}'
            )
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
            self._check_values()
        except InvalidJobError as error:
            raise ValueError(str(error)) from None
        return self

    def _check_values(self) -> None:
        for key in self.choices:
            self._check_own("choices", self._check_key, key)
        if self.default is not None:
            self._check_own("default", self.check, self.default)
        elif self.locked:
            raise InvalidJobError("locked: a locked option needs a default")

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
        if self.choices_from:
            names = USABLE if self.mine else tuple(PATTERNS)
            if self.name not in names:
                raise InvalidJobError(
                    f'choices: only {", ".join(names)} can have the choices "{self.choices_from}"'
                )
            if self.mine and self.locked:
                raise InvalidJobError('locked: an option with the choices "mine" can\'t be locked')
        if self.choices and self.override:
            raise InvalidJobError("override: the option has choices; put the override there")
        if self.pattern and (self.field.kind != "name" or self.choices):
            raise InvalidJobError("pattern: only text without choices can have a pattern")
        if self.pattern:
            try:
                check_pattern(self.pattern)
            except ValueError as error:
                raise InvalidJobError(str(error)) from None
        if self.value is not None:
            self._check_value(self.value)
        for key, choice in self.choices.items():
            if choice.value is not None and str(self.default) == key:
                raise InvalidJobError(
                    f"default: {key!r} needs a text of the user's, so that it can't be the default"
                )

    def _check_value(self, value: OwnValue) -> None:
        if self.name in FIELDS or self.choices or self.pattern:
            raise InvalidJobError(
                "value: an option with a value has an override, and neither choices nor a pattern "
                "nor the name of a field"
            )
        try:
            value.check_override(self.override)
        except ValueError as error:
            raise InvalidJobError(str(error)) from None

    def _check_bounds(self) -> None:
        for which in ("min", "max", "step"):
            value = getattr(self, which)
            if value is None:
                continue
            if self.field.kind not in MEASURED:
                raise InvalidJobError(f"{which}: only numbers, memory and times have bounds")
            if isinstance(value, Mapping):
                by = ByOption.read(which, self.field.kind, value)
                self._by[which], self._bounds[which] = by, by.widest
            elif value != QUEUE:
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
            long = shorten(f"{given[:20]}…")
            problem = say(
                "{value} must have at most {number} characters", value=long, number=LONGEST
            )
            raise self._wrong(problem)
        if self.value is not None:
            if wrong := self.value.find_error(str(given)):
                raise self._wrong(say("{value} {must}", value=self._shown(given), must=wrong))
        elif self.choices:
            if given not in [self.read(key) for key in self.choices]:
                raise self._wrong(self._not_one_of(given, self.choices))
        elif self.field.kind == "name" and not self.matches(str(given)):
            raise self._wrong(self._not_a_name(given))
        self._check_range(given, limit)
        if self.locked and given != self.read(self.default):
            default = self.format(self.read(self.default))
            problem = say(
                "{value} is not possible: the option is locked to {default}",
                value=self._shown(given),
                default=default,
            )
            raise self._wrong(problem)
        return given

    @property
    def whole_pattern(self) -> str:
        """The regular expression that the whole text of a name must match."""
        if self.pattern or not self.choices_from:
            return self.pattern or NAME_PATTERN
        return MINE_PATTERN if self.mine else PATTERNS[self.name]

    def matches(self, text: str) -> bool:
        """Return whether a text is allowed as the name that this option sets."""
        return re.fullmatch(self.whole_pattern, text, re.ASCII) is not None

    def _not_a_name(self, value: Value) -> Text:
        shown = self._shown(value)
        if self.pattern:
            return say("{value} must match {pattern}", value=shown, pattern=self.pattern)
        if self.choices_from == INVENTORY:
            return say("{value} must be one name of the cluster's", value=shown)
        return say(
            "{value} must be up to 64 letters, digits and _.@+-, and begin with a letter or a "
            "digit",
            value=shown,
        )

    def _not_one_of(self, value: Value, names: Iterable[str]) -> Text:
        return say(
            "{value} must be one of {names}", value=self._shown(value), names=", ".join(names)
        )

    def find_choices(self, inventory: Inventory | None, queue: str) -> dict[str, str]:
        """Return what the cluster has of this option, each with its text; empty if unknown."""
        if self.choices_from != INVENTORY:
            return {}
        found = find_choices(self.name, inventory, queue)
        return {value: text for value, text in found.items() if self.matches(value)}

    def check_there(self, value: Value, inventory: Inventory, queue: str) -> None:
        """Check that the cluster has a value.

        Raises
        ------
        InvalidJobError
            If it has others only; the message names them.
        """
        there = self.find_choices(inventory, queue)
        if there and value not in there:
            raise self._wrong(self._not_one_of(value, there))

    def _is_within(self, key: str) -> bool:
        try:
            self._check_key(key)
        except InvalidJobError:
            return False
        return True

    def _check_key(self, key: str) -> None:
        self._check_range(self.read(key), None)

    def _check_range(self, given: Any, limit: Value | None) -> None:
        if self.field.kind not in MEASURED:
            return
        low: Any = self.bound("min")
        high: Any = self.bound("max", limit)
        step: Any = self.bound("step")
        if self.field.kind == "count" and given < self.field.lowest:
            raise self._wrong(self._too_low(given, self.field.lowest))
        if low is not None and given < low:
            raise self._wrong(self._too_low(given, low))
        if high is not None and given > high:
            raise self._wrong(self._too_high(given, high))
        zero = given - given  # a number, or a length of time
        if step is not None and (given - (zero if low is None else low)) % step != zero:
            raise self._wrong(self._between_steps(given, step, low))

    def _too_low(self, value: Value, bound: Value) -> Text:
        shown = self._shown(value)
        return say("{value} must be at least {bound}", value=shown, bound=self.format(bound))

    def _too_high(self, value: Value, bound: Value) -> Text:
        words = {"value": self._shown(value), "bound": self.format(bound)}
        if self.max == QUEUE:
            return say("{value} must be at most {bound}, the queue's limit", **words)
        return say("{value} must be at most {bound}", **words)

    def _between_steps(self, value: Value, step: Value, low: Value | None) -> Text:
        words = {"value": self._shown(value), "step": self.format(step)}
        if low is None:
            return say("{value} must be in steps of {step}", **words)
        return say("{value} must be in steps of {step} from {min}", min=self.format(low), **words)

    def format(self, value: Value) -> int | bool | str:
        """Return a value as people write it: see :func:`.fields.format_value`."""
        return format_value(self.field.kind, value)

    def describe(self, value: Value) -> str:
        """Return a value for people: a choice's display name, ``yes`` or ``no``, or the value."""
        if choice := self.choice(value):
            return choice.display_name
        if isinstance(value, bool):
            return say("yes") if value else say("no")
        return str(self.format(value))

    def extreme_values(self) -> list[int | bool | str]:
        """Return the lowest and the highest value, or every choice; nothing if it is locked."""
        if self.locked:
            return []
        if self.value is not None:
            return [self.value.example]
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
        if self.value is not None:
            return self.value.fill(self.override, str(value))
        result = {self.name: self.format(value)} if self.name in FIELDS else {}
        if self.choices:
            chosen = self.choice(value)
            # With a value it is the text's option that has the override.
            override = chosen.override if chosen and chosen.value is None else {}
            return {**result, **override}
        return {**result, **(self.override if value is True else {})}

    def _shown(self, value: Value) -> str:
        return shorten(self.format(value))

    def _wrong(self, problem: Text) -> InvalidJobError:
        return InvalidJobError(of_field(self.name, problem))


def add_texts(options: Mapping[str, Option]) -> dict[str, Option]:
    """Return options with one more for each text that a choice of theirs needs.

    It stands behind its menu, is named after the menu and the choice, and applies only with that
    choice.

    Raises
    ------
    ValueError
        If another option has that name.
    """
    result: dict[str, Option] = {}
    for name, option in options.items():
        result[name] = option
        for key, choice in option.choices.items():
            if choice.value is None or option.locked:
                continue
            text = _text_of(option, key, choice, choice.value)
            if text.name in options or text.name in result:
                raise ValueError(
                    f"{name}: the text of the choice {key!r} would be the option {text.name!r}, "
                    "and there is another one of that name; rename it"
                )
            result[text.name] = text
    return result


def _text_of(option: Option, key: str, choice: Choice, value: OwnValue) -> Option:
    text = Option(
        name=f"{option.name}_{re.sub('[^A-Za-z0-9_]', '_', key)}",
        display_name=value.display_name or choice.display_name,
        description=value.description,
        when={option.name: [key]},
        override=choice.override,
        value=value,
    )
    text._required = True
    return text
