"""The old file's text: what has a successor becomes a comment, all else stays as it was written."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .old import MODULES, NAMES

MARK = "#old# "
"""Begins a line of the old file that has a successor."""

_CHANGING = {"append", "extend", "insert", "prepend", "add", "update", "setdefault"}
_DOTTED = re.compile(rf"(?:{'|'.join(map(re.escape, sorted(MODULES, reverse=True)))})\.(\w+)")
_PACKAGES = ("batchspawner", "wrapspawner")


class Source:
    """A configuration's text, to be changed in places."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = ast.parse(text)
        self._owner = {
            node: statement for statement in self.tree.body for node in ast.walk(statement)
        }
        self._config = {"c"} | {
            target.id
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Assign) and ast.unparse(node.value) == "get_config()"
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        self._old: set[ast.stmt] = set()
        self._edits: list[tuple[int, int, str]] = []
        lines = text.encode().split(b"\n")
        self._starts = [0]
        for line in lines:
            self._starts.append(self._starts[-1] + len(line) + 1)

    # -- settings ------------------------------------------------------------------------------

    def names(self, section: str, name: str) -> bool:
        """Return whether the file names a setting: it may be set in another way."""
        return any(True for _ in self._occurrences(section, name))

    def obstacle(self, section: str, name: str) -> str:
        """Return where a setting is not simply written down; empty if it is."""
        setting = f"c.{section}.{name}"
        found = list(self._occurrences(section, name))
        if not found:
            return f"{setting} is set elsewhere than in a line of the old file"
        for node in found:
            statement = self._owner[node]
            if not self._is_plain(statement, node):
                return f"Line {node.lineno} of the old file does more than set {setting}"
            value = statement.value if isinstance(statement, ast.Assign) else None
            try:
                ast.literal_eval(value) if value is not None else None
            except (ValueError, TypeError):
                return f"Line {node.lineno} of the old file computes {setting}"
        return ""

    def retire(self, section: str, name: str) -> None:
        """Make the lines that set something comments, if that is all that they do."""
        found = list(self._occurrences(section, name))
        if all(self._is_plain(self._owner[node], node) for node in found):
            self._old.update(self._owner[node] for node in found)

    def move(self, section: str, name: str, new_section: str) -> None:
        """Have a setting set for another class, wherever it is."""
        for node in self._occurrences(section, name):
            assert isinstance(node.value, ast.Attribute)
            end = self._offset(node.value.end_lineno, node.value.end_col_offset)
            self._edits.append((end - len(section.encode()), end, new_section))

    def _occurrences(self, section: str, name: str) -> Iterator[ast.Attribute]:
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
        """Return whether a statement does nothing but set this, and has its lines for itself."""
        target: ast.expr | None = None
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
        elif isinstance(statement, ast.AugAssign):
            target = statement.target
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            function = statement.value.func
            if isinstance(function, ast.Attribute) and function.attr in _CHANGING:
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

    # -- words ---------------------------------------------------------------------------------

    def change_words(self) -> list[tuple[int, str]]:
        """Write unispawner for batchspawner and wrapspawner; return the lines, and what is there.

        What unispawner has not got, stays.
        """
        changed: list[tuple[int, str]] = []
        for node in ast.walk(self.tree):
            new = self._changed(node)
            if new is None or self._owner[node] in self._old:
                continue
            assert isinstance(node, ast.expr | ast.stmt)
            start = self._offset(node.lineno, node.col_offset)
            self._edits.append((start, self._offset(node.end_lineno, node.end_col_offset), new))
            changed.append((node.lineno, new))
        return sorted(changed)

    def _changed(self, node: ast.AST) -> str | None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            match = _DOTTED.fullmatch(node.value)
            return f'"unispawner.{match[1]}"' if match and match[1] in NAMES else None
        if isinstance(node, ast.ImportFrom) and node.module in MODULES and not node.level:
            names = [alias.name for alias in node.names]
            if names != ["*"] and not {*names} <= {*NAMES}:
                return None
            home = "unispawner.legacy" if names == ["*"] else "unispawner"
            return f"from {home} import {', '.join(map(ast.unparse, node.names))}"
        if isinstance(node, ast.Import) and {alias.name for alias in node.names} & {*MODULES}:
            words = [
                ast.unparse(alias) if alias.name not in MODULES else _imported(alias)
                for alias in node.names
            ]
            return f"import {', '.join(dict.fromkeys(words))}"
        if isinstance(node, ast.Name) and node.id in _PACKAGES and not self._inner(node):
            return "unispawner"
        if isinstance(node, ast.Attribute) and ast.unparse(node) in MODULES:
            return "unispawner"
        return None

    def _inner(self, node: ast.Name) -> bool:
        """Return whether a name is the beginning of ``batchspawner.batchspawner``."""
        statement = self._owner[node]
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
        """Return the text as changed."""
        raw = self.text.encode()
        edits = list(self._edits)
        for statement in self._old:
            for line in range(statement.lineno, (statement.end_lineno or 0) + 1):
                edits.append((self._offset(line, 0), self._offset(line, 0), MARK))
        for start, end, new in sorted(edits, reverse=True):
            raw = raw[:start] + new.encode() + raw[end:]
        return raw.decode()


def _imported(alias: ast.alias) -> str:
    return f"unispawner as {alias.asname}" if alias.asname else "unispawner"
