"""Finds what others than root could change of the code that the broker runs as root.

A file is safe if it belongs to root, if only root can write it, and if the same holds for each
directory and each link on the way to it. A directory in which everybody may create files, such as
``/tmp``, is safe if it has the sticky bit: nobody can rename or remove an entry of root's there.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_MOST_LINKS = 40
_LOADED_LATER = ("unispawner", "psij", "drmaa")
"""Packages of which children load modules when they are users already."""


def find_unsafe(paths: Iterable[str] | None = None) -> list[str]:
    """Return a sentence about each file or directory that others than root could change.

    Parameters
    ----------
    paths
        What is checked; by default the interpreter and all code that it has loaded or may load.
    """
    checked = _Checked()
    for path in dict.fromkeys(_all_paths() if paths is None else paths):
        checked.check(path)
    return [
        f"{path} {why}, so that others could change what runs as root. Install Python and "
        "unispawner where only root can write."
        for path, why in checked.unsafe.items()
    ]


class _Checked:
    """The paths that have been looked at; directories are shared by many files."""

    def __init__(self) -> None:
        self.unsafe: dict[str, str] = {}
        self._known: set[str] = set()

    def check(self, path: str) -> None:
        """Check a path, and all directories and links on the way to it."""
        place, names, links = "/", list(reversed(Path(os.path.abspath(path)).parts[1:])), 0
        self._look(place)
        while names:
            name = names.pop()
            if name == "..":
                place = os.path.dirname(place)
                continue
            entry = os.path.join(place, name)
            try:
                status = os.lstat(entry)
            except FileNotFoundError:
                return  # the directory above is safe: only root can create it
            except OSError as error:
                self.unsafe[entry] = f"can't be checked ({error.strerror})"
                return
            self._judge(entry, status)
            if not stat.S_ISLNK(status.st_mode):
                place = entry
                continue
            links += 1
            if links > _MOST_LINKS:
                self.unsafe[path] = "has too many links on its way"
                return
            target = Path(os.readlink(entry))
            names += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            place = "/" if target.is_absolute() else place

    def _look(self, path: str) -> None:
        if path not in self._known:
            self._judge(path, os.lstat(path))

    def _judge(self, path: str, status: os.stat_result) -> None:
        if path in self._known:
            return
        self._known.add(path)
        if status.st_uid != 0:
            self.unsafe[path] = f"belongs to uid {status.st_uid}"
        elif stat.S_ISLNK(status.st_mode):
            return
        elif status.st_mode & 0o022 and not (
            stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        ):
            self.unsafe[path] = f"has the mode {stat.S_IMODE(status.st_mode):04o}"


def _all_paths() -> Iterator[str]:
    """Yield the interpreter, its settings, and all code that is loaded or may be loaded."""
    yield from filter(None, (sys.executable, getattr(sys, "_base_executable", "")))
    for prefix in {sys.prefix, sys.exec_prefix, sys.base_prefix}:
        yield os.path.join(prefix, "pyvenv.cfg")
    yield os.path.join(os.path.dirname(sys.executable), "pyvenv.cfg")
    for entry in filter(None, sys.path):
        yield entry
        yield from _files_of(entry, (".pth",), deep=False)
    for module in list(sys.modules.values()):
        yield from _files_of_module(module)


def _files_of_module(module: object) -> Iterator[str]:
    for name in ("__file__", "__cached__"):
        if isinstance(path := getattr(module, name, None), str):
            yield path
    if getattr(module, "__name__", "") in _LOADED_LATER:
        for folder in getattr(module, "__path__", ()):
            yield from _files_of(folder, (".py", ".pyc", ".so"), deep=True)


def _files_of(folder: str, endings: tuple[str, ...], *, deep: bool) -> Iterator[str]:
    """Yield the files in a folder, and the folders themselves, below which a file could be made."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return  # there is no such folder, or it is an archive
    for entry in entries:
        if entry.name.endswith(endings):
            yield entry.path
        elif deep and entry.is_dir(follow_symlinks=False):
            yield entry.path
            yield from _files_of(entry.path, endings, deep=deep)
