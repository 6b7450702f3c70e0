"""Reads profiles that are written in YAML, with the line of each part. Pure.

Text, numbers, true, false, lists and dictionaries are read, by PyYAML's safe loader. Some
of its habits would surprise whoever writes profiles. So ``24:00:00`` is text here, and not a number
of seconds; dates, ``yes``, ``no``, ``on`` and ``off`` are text, as in YAML 1.2; and a key is always
text. A key that is there twice is an error, where PyYAML would drop the first.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from .file_places import FileError, Part, Place, Places

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_VALUES = {f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null")}
_MOST_PARTS = 100_000
"""How many parts a file may have. Aliases of aliases would make any number of them."""
_TOO_DEEP = "the parts are nested too deeply"


class _Loader(yaml.SafeLoader):  # type: ignore[misc] # it ships no types
    """PyYAML's safe loader with the plain values of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


for _name, _pattern, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", "[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?[0-9]+\.[0-9]*([eE][-+][0-9]+)?", "-+0123456789"),
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", "<<", "<"),
):
    _Loader.add_implicit_resolver(f"{_TAG}{_name}", re.compile(f"(?:{_pattern})$"), list(_first))


def read_yaml(text: str) -> tuple[list[Any], Places]:
    """Return the profiles in a text, and where each part stands.

    The text is a list of profiles, or a dictionary with such a list as ``profiles``. Other keys of
    that dictionary begin with ``x-`` and hold what the profiles refer to with YAML's aliases.

    Raises
    ------
    FileError
        If it is not YAML, or holds no such list.
    """
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise FileError("there is nothing in it; add a list of profiles", Place(1))
        builder = _Builder(loader)
        return builder.build_list(_find_list(node)), builder.places
    except yaml.MarkedYAMLError as error:
        context = error.context
        if context and error.context_mark:
            context += f" that begins in line {error.context_mark.line + 1}"
        words = ", ".join(filter(None, (context, error.problem)))
        raise FileError(f"this is not YAML: {words}", _place(error.problem_mark)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise FileError(f"this is not YAML: {error.reason}", Place(line)) from None
    except RecursionError:
        raise FileError(_TOO_DEEP) from None
    finally:
        if loader is not None:
            loader.dispose()


def _find_list(node: Any) -> Any:
    """Return the node of the list of profiles."""
    if isinstance(node, yaml.SequenceNode):
        return node
    if not isinstance(node, yaml.MappingNode):
        raise FileError("this must be a list of profiles", _place(node.start_mark))
    found = None
    for key, value in node.value:
        name = _key(key)
        if name == "profiles":
            if found is not None:
                raise FileError("the key 'profiles' is there twice", _place(key.start_mark))
            found = value
        elif not name.startswith("x-"):
            raise FileError(
                f"unknown key {name!r}; known keys: profiles, and x-… for what aliases refer to",
                _place(key.start_mark),
            )
    if found is None:
        raise FileError("the key 'profiles' is missing; add it with a list", Place(1))
    if not isinstance(found, yaml.SequenceNode):
        raise FileError("profiles: this must be a list", _place(found.start_mark))
    return found


class _Builder:
    """Makes data of YAML's nodes, and notes where each part stands."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._inside: set[int] = set()
        self._keys = 0  # those of dictionaries that are merged count each time
        self.places = Places()

    def build_list(self, node: Any) -> list[Any]:
        self.places.whole = _place(node.start_mark)
        result: list[Any] = self._build(node, ())
        return result

    def _build(self, node: Any, way: Part) -> Any:
        if isinstance(node, yaml.ScalarNode):
            if node.tag not in _VALUES:
                raise _not_allowed(node)
            try:
                return self._loader.construct_object(node)
            except (ValueError, KeyError):  # of "!!int x", or of a number with thousands of digits
                problem = f"this is not of the kind {_short(node.tag)}"
                raise FileError(problem, _place(node.start_mark)) from None
        if node.tag not in (f"{_TAG}map", f"{_TAG}seq"):
            raise _not_allowed(node)
        if id(node) in self._inside:
            raise FileError("this refers to what it is in", _place(node.start_mark))
        if len(self.places.of_parts) > _MOST_PARTS:
            raise FileError(f"there are more than {_MOST_PARTS} parts", _place(node.start_mark))
        self._inside.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                if len(way) == 1:
                    self._note_tuple(node, way)
                return [
                    self._part(one, one.start_mark, (*way, number))
                    for number, one in enumerate(node.value)
                ]
            return {
                name: self._part(value, mark, (*way, name))
                for name, (mark, value) in self._items(node).items()
            }
        finally:
            self._inside.remove(id(node))

    def _note_tuple(self, node: Any, way: Part) -> None:
        """Note where the parts of wrapspawner's form of a profile stand."""
        for name, one in zip(("display_name", "slug", "spawner"), node.value, strict=False):
            part: Part = (*way, name)
            self.places.of_parts[part] = _place(one.start_mark)
        if len(node.value) == 4 and isinstance(node.value[3], yaml.MappingNode):
            self._part(node.value[3], node.value[3].start_mark, (*way, "config"))

    def _part(self, node: Any, mark: Any, way: Part) -> Any:
        self.places.of_parts[way] = _place(mark)
        return self._build(node, way)

    def _items(self, node: Any) -> dict[str, tuple[Any, Any]]:
        """Return where each key of a dictionary stands, and its value; with what ``<<`` adds."""
        merged: dict[str, tuple[Any, Any]] = {}
        own: dict[str, tuple[Any, Any]] = {}
        for key, value in node.value:
            self._keys += 1
            if self._keys > _MOST_PARTS:
                raise FileError(f"there are more than {_MOST_PARTS} parts", _place(key.start_mark))
            if key.tag == _MERGE:
                merged = {**self._merged(value), **merged}
                continue
            name = _key(key)
            if name in own:
                raise FileError(
                    f"the key {name!r} is there twice; it is also in line {own[name][0].line + 1}",
                    _place(key.start_mark),
                )
            own[name] = (key.start_mark, value)
        return {**merged, **own}

    def _merged(self, node: Any) -> dict[str, tuple[Any, Any]]:
        if id(node) in self._inside:
            raise FileError("this refers to what it is in", _place(node.start_mark))
        self._inside.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._items(node)
            if not isinstance(node, yaml.SequenceNode):
                raise FileError("<<: this must refer to a dictionary", _place(node.start_mark))
            result: dict[str, tuple[Any, Any]] = {}
            for one in node.value:
                self._keys += 1  # an empty dictionary takes its time as well
                result = {**self._merged(one), **result}  # as in YAML, the first one counts
            return result
        finally:
            self._inside.remove(id(node))


def _key(node: Any) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise FileError("a key must be text", _place(node.start_mark))
    return str(node.value)


def _not_allowed(node: Any) -> FileError:
    return FileError(f"the tag {_short(node.tag)} is not allowed", _place(node.start_mark))


def _short(tag: str) -> str:
    return tag.replace(_TAG, "!!")


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1) if mark is not None else Place()
