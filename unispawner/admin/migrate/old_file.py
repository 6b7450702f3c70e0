"""The old file's text, and the changes that are made in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..config_file import OLD_PACKAGES
from .names import API_HANDLER, MODULES, NAMES, WRAPSPAWNER_NAMES

MARK = "#old# "
"""Begins a line of the old file that a line at the end of the new file replaces."""

_CHANGING_METHODS = {"append", "extend", "insert", "prepend", "add", "update", "setdefault"}
_DOTTED = re.compile(rf"(?:{'|'.join(map(re.escape, sorted(MODULES, reverse=True)))})\.(\w+)")


class OldFile:
    """The text of a configuration; changes are collected, and :meth:`result` makes them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = ast.parse(text)
        self._statement = {
            node: statement for statement in self.tree.body for node in ast.walk(statement)
        }
        self._config = {"c"} | {
            target.id
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Assign) and ast.unparse(node.value) == "get_config()"
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        self._f_strings = {
            part: node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.JoinedStr)
            for part in node.values
            if isinstance(part, ast.Constant)
        }
        """The texts between the braces of f-strings, each with its f-string."""
        self._imported = {
            node.args[0]
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Call)
            and node.args
            and ast.unparse(node.func).rpartition(".")[2] in ("import_module", "__import__")
        }
        """What stands in ``importlib.import_module("batchspawner")``."""
        self._commented: set[ast.stmt] = set()
        self._edits: list[tuple[int, int, str]] = []
        lines = text.encode().split(b"\n")
        self._starts = [0]
        for line in lines:
            self._starts.append(self._starts[-1] + len(line) + 1)

    # -- settings ------------------------------------------------------------------------------

    def mentions(self, section: str, name: str) -> bool:
        """Return whether the file mentions ``c.SECTION.NAME``; another file may set it."""
        return any(True for _ in self._find(section, name))

    def explain_origin(self, section: str, name: str) -> str:
        """Return a sentence on how a setting gets its value; empty if the value is written down."""
        setting = f"c.{section}.{name}"
        found = list(self._find(section, name))
        if not found:
            return f"No line of the old file sets {setting}"
        for node in found:
            statement = self._statement[node]
            if not self._is_plain(statement, node):
                return f"Line {node.lineno} of the old file does more than set {setting}"
            value = statement.value if isinstance(statement, ast.Assign) else None
            try:
                ast.literal_eval(value) if value is not None else None
            except (ValueError, TypeError):
                return f"Line {node.lineno} of the old file computes {setting}"
        return ""

    def comment_out(self, section: str, name: str) -> None:
        """Make the statements that set something comments, if they do nothing else."""
        found = list(self._find(section, name))
        if all(self._is_plain(self._statement[node], node) for node in found):
            self._commented.update(self._statement[node] for node in found)

    def change_section(self, section: str, name: str, new_section: str) -> None:
        """Set something for another class, wherever the file sets it."""
        for node in self._find(section, name):
            assert isinstance(node.value, ast.Attribute)
            end = self._offset(node.value.end_lineno, node.value.end_col_offset)
            self._edits.append((end - len(section.encode()), end, new_section))

    def _find(self, section: str, name: str) -> Iterator[ast.Attribute]:
        for node in ast.walk(self.tree):
            if (
                isinstance(node, ast.Attribute)
                and node.attr == name
                and isinstance(node.value, ast.Attribute)
                and node.value.attr == section
                and isinstance(node.value.value, ast.Name)
                and node.value.value.id in self._config
            ):
                yield node

    def _is_plain(self, statement: ast.stmt, setting: ast.Attribute) -> bool:
        """Return whether a statement only sets this, and shares its lines with no other."""
        target: ast.expr | None = None
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
        elif isinstance(statement, ast.AugAssign):
            target = statement.target
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            function = statement.value.func
            if isinstance(function, ast.Attribute) and function.attr in _CHANGING_METHODS:
                target = function.value
        if isinstance(target, ast.Subscript):
            target = target.value
        neighbours = [
            other
            for other in self.tree.body
            if other is not statement
            and other.lineno <= (statement.end_lineno or 0)
            and (other.end_lineno or 0) >= statement.lineno
        ]
        return target is setting and not neighbours

    # -- names ---------------------------------------------------------------------------------

    def replace_names(self) -> list[tuple[int, str]]:
        """Write unispawner for batchspawner and wrapspawner; return line numbers and new texts.

        A name that unispawner does not have stays as it is.
        """
        changed: list[tuple[int, str]] = []
        for node in ast.walk(self.tree):
            new = self._replacement(node)
            if new is None or self._statement[node] in self._commented:
                continue
            assert isinstance(node, ast.expr | ast.stmt)
            start = self._offset(node.lineno, node.col_offset)
            end = self._offset(node.end_lineno, node.end_col_offset)
            # Before Python 3.12 the place of a name within an f-string may be wrong.
            text = self.text.encode()[start:end].decode(errors="replace")
            if isinstance(node, ast.Name | ast.Attribute) and text != ast.unparse(node):
                continue
            self._edits.append((start, end, new))
            changed.append((node.lineno, new))
        return sorted(changed)

    def _replacement(self, node: ast.AST) -> str | None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value in MODULES and node in self._imported:
                return f'"{_new_module(node.value)}"'
            match = _DOTTED.fullmatch(node.value)
            if match is None or match[1] not in (*NAMES, API_HANDLER):
                return None
            new = "unispawner.api" if match[1] == API_HANDLER else "unispawner"
            return self._quote(node, f"{new}.{match[1]}")
        if isinstance(node, ast.ImportFrom) and node.module in MODULES and not node.level:
            return _replace_import_from(node)
        if isinstance(node, ast.Import) and {alias.name for alias in node.names} & {*MODULES}:
            names = [
                ast.unparse(alias) if alias.name not in MODULES else _replace_alias(alias)
                for alias in node.names
            ]
            return f"import {', '.join(dict.fromkeys(names))}"
        if isinstance(node, ast.Name) and node.id in OLD_PACKAGES and not self._begins_module(node):
            return "unispawner"
        if isinstance(node, ast.Attribute) and ast.unparse(node) in MODULES:
            return _new_module(ast.unparse(node))
        return None

    def _quote(self, node: ast.Constant, new: str) -> str | None:
        """Return the text that takes a text's place; None if that place is not known."""
        outer = self._f_strings.get(node)
        if outer is None:
            return f'"{new}"'
        if node.col_offset != outer.col_offset:  # since Python 3.12 without the quotes
            return new
        return f'"{new}"' if len(outer.values) == 1 else None

    def _begins_module(self, node: ast.Name) -> bool:
        """Return whether a name is the beginning of ``batchspawner.batchspawner``."""
        statement = self._statement[node]
        return any(
            isinstance(other, ast.Attribute)
            and other.value is node
            and ast.unparse(other) in MODULES
            for other in ast.walk(statement)
        )

    # -- the result ----------------------------------------------------------------------------

    def _offset(self, line: int | None, column: int | None) -> int:
        return self._starts[(line or 1) - 1] + (column or 0)

    def result(self) -> str:
        """Return the text with all changes."""
        raw = self.text.encode()
        edits = list(self._edits)
        for statement in self._commented:
            for line in range(statement.lineno, (statement.end_lineno or 0) + 1):
                edits.append((self._offset(line, 0), self._offset(line, 0), MARK))
        for start, end, new in sorted(edits, reverse=True):
            raw = raw[:start] + new.encode() + raw[end:]
        return raw.decode()


def _new_module(name: str) -> str:
    """Return the module of unispawner's that has what one of the old modules has."""
    return "unispawner.api" if name == "batchspawner.api" else "unispawner"


def _replace_alias(alias: ast.alias) -> str:
    new = _new_module(alias.name)
    return f"{new} as {alias.asname}" if alias.asname else new


def _replace_import_from(node: ast.ImportFrom) -> str | None:
    names = [alias.name for alias in node.names]
    if names == ["*"]:
        if str(node.module).startswith("wrapspawner"):
            return f"from unispawner import {', '.join(WRAPSPAWNER_NAMES)}"
        return "from unispawner.legacy import *"
    if names == [API_HANDLER]:
        return f"from unispawner.api import {ast.unparse(node.names[0])}"
    if {*names} <= {*NAMES}:
        return f"from unispawner import {', '.join(map(ast.unparse, node.names))}"
    return None
