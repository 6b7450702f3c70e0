"""Modules and files of a site's own that its configuration loads, and that name batchspawner."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import re
import sys
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, ModuleType, TracebackType

from ..config_file import OLD_PACKAGES
from .old_file import OldFile

_MENTION = re.compile(rf"\b({'|'.join(OLD_PACKAGES)})\b")
_OURS = ("unispawner", *OLD_PACKAGES)


@contextmanager
def forget_modules() -> Iterator[dict[str, str]]:
    """Forget the modules that are imported meanwhile and name batchspawner or wrapspawner.

    Gives a dictionary that has their names and files at the end. Afterwards each is imported anew;
    other modules stay, because some can be imported only once in a process.
    """
    before, search_path = set(sys.modules), list(sys.path)
    found: dict[str, str] = {}
    try:
        yield found
    finally:
        sys.path[:] = search_path
        new = {name for name in set(sys.modules) - before if name.partition(".")[0] not in _OURS}
        for name in sorted(new):
            file = getattr(sys.modules[name], "__file__", None) or ""
            if file.endswith(".py") and _MENTION.search(read_text(Path(file))):
                found[name] = file
        packages = {name.partition(".")[0] for name in found}
        for name in new:
            if name.partition(".")[0] in packages:
                del sys.modules[name]


def read_text(path: Path) -> str:
    """Return a file's text; empty if it can't be read."""
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (OSError, SyntaxError, UnicodeDecodeError):
        return ""


def find_changes(path: Path) -> list[tuple[int, str]]:
    """Return the lines of a file that name batchspawner or wrapspawner, and their new texts."""
    try:
        return OldFile(read_text(path)).replace_names()
    except (SyntaxError, ValueError):
        return []


def change_names(text: str) -> str:
    """Return the text of a Python file with unispawner in place of batchspawner."""
    file = OldFile(text)
    file.replace_names()
    return file.result()


class ChangedModules(importlib.abc.MetaPathFinder):
    """While it is entered, imports of the given modules get them with their words changed."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = files

    def __enter__(self) -> None:
        sys.meta_path.insert(0, self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        sys.meta_path.remove(self)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return what loads one of the modules; None for every other module."""
        file = self.files.get(name)
        if file is None:
            return None
        folders = [str(Path(file).parent)] if Path(file).name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            name, file, loader=_ChangedModule(name, file), submodule_search_locations=folders
        )


class _ChangedModule(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        """Return the code of the changed text, and leave the cache of compiled files alone."""
        code: CodeType = compile(change_names(read_text(Path(self.path))), self.path, "exec")
        return code
