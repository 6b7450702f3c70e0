"""Reads profiles that are written in Python: runs the file, and finds the line of each part."""

from __future__ import annotations

import ast
import traceback
from collections.abc import Mapping
from typing import Any

from .file_places import FileError, Part, Place, Places

NAME = "profiles"
"""The variable that the file must set."""


def read_python(text: str, path: str) -> tuple[Any, Places]:
    """Run a file as the administrator's own code; return its profiles, and where each part stands.

    The profiles are a list, or a function as in ``c.ProfilesSpawner.profiles``. The places of parts
    are known as far as the file writes them down as lists and dictionaries.

    Raises
    ------
    FileError
        If it is not Python, if it fails, or if it sets no ``profiles``.
    """
    try:
        tree = ast.parse(text, path)
        code = compile(tree, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        place = Place(error.lineno or 0, error.offset or 0)
        raise FileError(f"this is not Python: {error.msg}", place) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise FileError(f"this is not Python: {error}") from None
    namespace: dict[str, Any] = {"__name__": "unispawner_profiles_file", "__file__": path}
    try:
        exec(code, namespace)  # noqa: S102 (the administrator's own file: its mode was checked)
    except (Exception, SystemExit) as error:
        problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise FileError(f"this code failed: {problem}", _failed_at(error, path)) from None
    if NAME not in namespace:
        raise FileError(f"it sets no variable {NAME!r}; write {NAME} = [...]")
    places = _Finder(tree).find()
    found = namespace[NAME]
    if isinstance(found, list | tuple):
        return list(found), places
    if callable(found):
        return found, places
    raise FileError(f"{NAME}: this must be a list, or a function that returns one", places.whole)


def _failed_at(error: BaseException, path: str) -> Place:
    """Return the last line of the file itself that was run."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [one.lineno or 0 for one in frames if one.filename == path]
    return Place(lines[-1]) if lines else Place()


class _Finder:
    """Finds where the parts of the profiles are written down."""

    def __init__(self, tree: ast.Module) -> None:
        self._values: dict[str, ast.expr] = {}
        self._begins: dict[str, Place] = {}
        self._places = Places()
        for one in tree.body:
            for name in _names_set(one):
                self._begins[name] = _place(one)
                if isinstance(value := getattr(one, "value", None), ast.expr):
                    self._values[name] = value

    def find(self) -> Places:
        self._places.whole = self._begins.get(NAME, Place())
        if NAME in self._values:
            self._walk(self._values[NAME], (), frozenset((NAME,)))
        return self._places

    def _walk(self, node: ast.expr, way: Part, seen: frozenset[str]) -> None:
        if isinstance(node, ast.Name):
            if node.id in self._values and node.id not in seen:
                self._walk(self._values[node.id], way, seen | {node.id})
            return
        for name, (key, value) in _parts(node).items():
            longer: Part = (*way, name)
            self._places.of_parts[longer] = _place(key or self._resolve(value))
            self._walk(value, longer, seen)

    def _resolve(self, node: ast.expr) -> ast.expr:
        """Return what a name stands for: an item of a list is where its own text is."""
        return self._values.get(node.id, node) if isinstance(node, ast.Name) else node


def _names_set(node: ast.stmt) -> list[str]:
    """Return the names that a statement at the top of a file sets."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return [one.id for one in targets if isinstance(one, ast.Name)]


def _parts(node: ast.expr) -> Mapping[str | int, tuple[ast.AST | None, ast.expr]]:
    """Return the key's node and the value's of each part of a list, a tuple or a dictionary."""
    if isinstance(node, ast.Tuple) and _is_profile(node):
        names = ("display_name", "slug", "spawner", "config")
        return {name: (one, one) for name, one in zip(names, node.elts, strict=True)}
    if isinstance(node, ast.List | ast.Tuple):
        return {number: (None, one) for number, one in enumerate(node.elts)}
    if isinstance(node, ast.Dict):
        return {
            str(key.value): (key, value)
            for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant)
        }
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return {one.arg: (one, one.value) for one in node.keywords if one.arg}
    return {}


def _is_profile(node: ast.Tuple) -> bool:
    """Return whether a tuple is wrapspawner's form of a profile: name, key, class, settings."""
    return len(node.elts) == 4 and isinstance(node.elts[3], ast.Dict)


def _place(node: Any) -> Place:
    return Place(node.lineno, node.col_offset + 1)
