"""Turns values into plain JSON data, and checks the data when it turns them back.

The values are dataclasses of text, numbers, lengths of time, enumerations, tuples, sets and
mappings. The data comes from a process that is trusted, maybe on another host and of another
release. Its types and sizes are checked all the same, so that nothing of a wrong kind goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import timedelta
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

TEXT_LIMIT = 4000
"""How many characters of one text are kept."""
NUMBER_LIMIT = 2**63
_MANY = 50
"""From so many values of a dataclass on, each field is a list."""
_COLUMNS = "columns"
_SEPARATOR = "\x1f"
"""Stands between the names of a set, which are one text: JSON with more values is read more slowly,
and each of 50,000 nodes has a set of queues and a set of features."""
Reader = Callable[[Any], Any]
"""Returns the value in plain data, or raises ValueError."""


def encode(value: Any) -> Any:
    """Return JSON-serialisable data; fields of a dataclass that have their default are left out."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value[:TEXT_LIMIT]
    if isinstance(value, timedelta):
        return value.total_seconds()
    if is_dataclass(value):
        pairs = ((one, getattr(value, one.name)) for one in fields(value) if one.init)
        return {one.name: encode(item) for one, item in pairs if not _is_default(one, item)}
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, frozenset) and value and not any(_SEPARATOR in one for one in value):
        return _SEPARATOR.join(sorted(one[:TEXT_LIMIT] for one in value))
    items = list(value)
    if len(items) >= _MANY and all(is_dataclass(item) for item in items):
        return _encode_columns([encode(item) for item in items])
    return [encode(item) for item in items]


def _encode_columns(rows: list[dict[str, Any]]) -> Any:
    """Return many rows as one list for each field, in which null stands for the default.

    JSON is read with Python's lock held, and a list is read in a third of the time of dictionaries.
    """
    if any(value is None for row in rows for value in row.values()):
        return rows  # null would become the default
    names = dict.fromkeys(name for row in rows for name in row)
    return {_COLUMNS: {name: [row.get(name) for row in rows] for name in names}}


def decode(kind: Any, data: Any) -> Any:
    """Return the value of a type in data of :func:`encode`; unknown keys are ignored.

    Raises
    ------
    ValueError
        If the data is not what :func:`encode` makes of such a value.
    """
    return _reader(kind)(data)


@cache
def _reader(kind: Any) -> Reader:
    """Return the function that reads values of a type; it is made once for each type."""
    if kind in _READERS:
        return _READERS[kind]
    if is_dataclass(kind):
        return _fields_reader(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        inner = _reader(next(one for one in arguments if one is not type(None)))
        return lambda data: None if data is None else inner(data)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return _items_reader([_reader(one) for one in arguments])
    if origin is tuple:
        inner = _reader(arguments[0])
        return lambda data: tuple(map(inner, _rows(data)))
    if kind == frozenset[str]:
        return _read_names
    if origin is dict:
        inner = _reader(arguments[1])
        return lambda data: {
            _read_text(key): inner(item) for key, item in _expect(dict, data).items()
        }
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    raise TypeError(f"values of {kind!r} can't be read")


def _fields_reader(kind: Any) -> Reader:
    hints = get_type_hints(kind)
    readers = {one.name: _reader(hints[one.name]) for one in fields(kind) if one.init}

    def read(data: Any) -> Any:
        given = _expect(dict, data).items()
        try:
            return kind(**{name: readers[name](value) for name, value in given if name in readers})
        except TypeError as error:  # a field is missing
            raise ValueError(str(error)) from None

    return read


def _rows(data: Any) -> Iterable[Any]:
    """Return the items of a list, which may come as one list for each of their fields."""
    if type(data) is not dict or data.keys() != {_COLUMNS}:
        items: list[Any] = _expect(list, data)
        return items
    columns = _expect(dict, data[_COLUMNS])
    if len({len(_expect(list, column)) for column in columns.values()}) != 1:
        raise ValueError(f"the lists of the fields {', '.join(columns)} have not the same length")
    return (
        {name: value for name, value in zip(columns, row, strict=True) if value is not None}
        for row in zip(*columns.values(), strict=True)
    )


def _items_reader(readers: list[Reader]) -> Reader:
    """Return the reader of a tuple with one value of each kind."""

    def read(data: Any) -> Any:
        items = _expect(list, data)
        if len(items) != len(readers):
            raise ValueError(f"{str(data)[:100]!r} must have {len(readers)} items")
        return tuple(reader(item) for reader, item in zip(readers, items, strict=True))

    return read


def _is_default(one: Field[Any], value: Any) -> bool:
    if one.default_factory is not MISSING:
        return bool(value == one.default_factory())
    return one.default is not MISSING and bool(value == one.default)


def _expect(kind: type, data: Any) -> Any:
    if type(data) is not kind:
        raise ValueError(f"{str(data)[:100]!r} is not of type {kind.__name__}")
    return data


def _read_text(data: Any) -> str:
    # JSON can hold one half of a surrogate pair, which neither a page nor a log can show.
    text: str = _expect(str, data)
    return text[:TEXT_LIMIT].encode("utf-8", "replace").decode()


def _read_names(data: Any) -> frozenset[str]:
    names = data.split(_SEPARATOR) if type(data) is str else _expect(list, data)
    return frozenset(map(_read_text, names))


def _read_whole(data: Any) -> int:
    number: int = _expect(int, data)
    if not abs(number) < NUMBER_LIMIT:
        raise ValueError("a number is too large")
    return number


def _read_number(data: Any) -> float:
    number = float(_read_whole(data) if type(data) is int else _expect(float, data))
    if not math.isfinite(number):
        raise ValueError("a number is not finite")
    return number


def _read_length(data: Any) -> timedelta:
    try:
        return timedelta(seconds=_read_number(data))
    except OverflowError:
        raise ValueError("a length of time is too large") from None


_READERS: Mapping[Any, Reader] = {
    str: _read_text,
    bool: lambda data: _expect(bool, data),
    int: _read_whole,
    float: _read_number,
    timedelta: _read_length,
}
