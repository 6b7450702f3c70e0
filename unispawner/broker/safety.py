"""Finds what others than root could change of the code that the broker runs as root.

It also finds what users can't read: the broker's children load modules when they are users.

A file is safe if it belongs to root, if only root can write it, and if the same holds for each
directory and each link on the way to it. A directory in which everybody may create files, such as
``/tmp``, is safe on the way if it has the sticky bit: nobody can rename or remove an entry of
root's there. It is not safe as a folder of modules, nor is a path in it that does not exist.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

_MOST_LINKS = 40
_PACKAGES = (
    *("unispawner", "psij", "drmaa"),
    *("packaging", "psutil", "pystache", "typeguard", "typing_extensions"),
)
"""Packages that are checked as a whole, before anything of them but unispawner is loaded: ours, and
those that we need with what they need. Children load modules of them when they are users."""


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


def find_unreadable(paths: Iterable[str] | None = None) -> list[str]:
    """Return a sentence about each file or folder that keeps other accounts from the code.

    Parameters
    ----------
    paths
        What is checked; by default the interpreter and all code that it has loaded or may load.
    """
    found: dict[str, str] = {}
    for path in dict.fromkeys(_all_paths() if paths is None else paths):
        if path.endswith(".pyc"):  # without it, Python reads the module's source
            continue
        real = Path(os.path.realpath(path))
        for place in (*reversed(real.parents), real):
            try:
                status = os.stat(place)
            except OSError:
                break  # it does not exist, so nobody reads it
            if keeps_out(status) and not _has_acl(place):
                found[str(place)] = f"has the mode {stat.S_IMODE(status.st_mode):04o}"
                break
    return [
        f"{path} {why}, so that users can't read what the broker's children need as users. "
        "Install Python and unispawner where everybody can read, such as in /opt."
        for path, why in found.items()
    ]


def keeps_out(status: os.stat_result) -> bool:
    """Return whether a file or folder is closed to accounts that are not root.

    A group other than root's may be that of all users.
    """
    needed = 0o011 if stat.S_ISDIR(status.st_mode) else 0o044
    allowed = status.st_mode & needed
    return not allowed & 0o007 and (status.st_gid == 0 or not allowed & 0o070)


def _has_acl(path: Path) -> bool:
    try:
        return bool(os.getxattr(path, "system.posix_acl_access"))
    except OSError:  # most files have none, and some file systems can't have any
        return False


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
                if _others_may_add_to(place):
                    self.unsafe[entry] = "does not exist, and everybody could make it"
                return  # otherwise only root can make it, if the directory above is safe
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
        if _others_may_add_to(place):
            self.unsafe.setdefault(place, "is a folder to which others can add modules")

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


def _others_may_add_to(path: str) -> bool:
    """Return whether others than root may create files in a directory, with or without its bit."""
    mode = os.stat(path).st_mode
    return stat.S_ISDIR(mode) and bool(mode & 0o022)


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
        for name in ("__file__", "__cached__"):
            if isinstance(path := getattr(module, name, None), str):
                yield path
    for package in _PACKAGES:
        yield from _files_of_package(package)


def _files_of_package(name: str) -> Iterator[str]:
    """Yield the files and folders of a package, which need not be installed; none is loaded."""
    spec = find_spec(name)
    if spec is None:
        return
    yield from filter(None, (spec.origin, spec.cached))
    for folder in spec.submodule_search_locations or ():
        yield folder
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
