"""Looks at a path that the user has typed, as the user.

A job will run what is there. So the thing and all folders and links on the way must belong to the
user, to root or to somebody whom the administrator trusts, and nobody else may be able to change
them. Nothing is opened: a named pipe or a device can't stop this process. A file system that does
not answer can, so a process of its own looks.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import select
import signal
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NoReturn

from ..errors import AgentError

PATIENCE = 8.0
"""How long (seconds) a file system may take to answer."""
_MOST_LINKS = 40
_LONGEST = 16 * 1024
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


@dataclass
class Trusted:
    """Who may own what a user's job runs, and who may be able to change it.

    Attributes
    ----------
    uids
        The user, root and the accounts that the administrator names.
    gids
        The group with the user's own name, root's, and the groups that the administrator names.
    groups
        The groups that the administrator names: their members may own things, too.
    """

    uids: set[int]
    gids: set[int]
    groups: set[int]

    @classmethod
    def read(cls, account: pwd.struct_passwd, request: Mapping[str, Any]) -> Trusted:
        """Return whom the user and the administrator trust. Names that do not exist count for
        nobody."""
        groups = filter(None, (_group(str(name)) for name in request["groups"]))
        named = {group.gr_gid for group in groups}
        own = _group(account.pw_name)
        gids = {0, *named, *([own.gr_gid] if own else [])}
        owners = filter(None, (_account(str(name)) for name in request["owners"]))
        return cls({0, account.pw_uid, *(owner.pw_uid for owner in owners)}, gids, named)

    def may_own(self, uid: int) -> bool:
        """Return whether somebody may own what a job runs."""
        if uid in self.uids:
            return True
        if not self.groups:
            return False
        try:
            owner = pwd.getpwuid(uid)
        except KeyError:
            return False
        names = {name for gid in self.groups for name in grp.getgrgid(gid).gr_mem}
        return owner.pw_gid in self.groups or owner.pw_name in names

    def may_be_changed(self, status: os.stat_result, *, above: bool) -> bool:
        """Return whether only trusted accounts can change a thing.

        In a folder ``above`` that has the sticky bit, such as /tmp, nobody can replace what is
        somebody else's.
        """
        if above and status.st_mode & stat.S_ISVTX and status.st_uid == 0:
            return True
        if status.st_mode & stat.S_IWOTH:
            return False
        return not status.st_mode & stat.S_IWGRP or status.st_gid in self.gids


class _Problem(Exception):
    """What is wrong with a path: the word for it, where, and what is there or who."""

    def __init__(self, problem: str, where: PurePosixPath | str, what: str = "") -> None:
        super().__init__(problem)
        self.data = {"problem": problem, "where": str(where), "what": what}


def check_path(request: Mapping[str, Any], account: pwd.struct_passwd) -> dict[str, str]:
    """Look at ``path``, which must be a ``kind``: "directory" or "file".

    ``owners`` and ``groups`` are names that the administrator trusts. Return the ``problem``: empty
    if there is none; ``missing``, ``kind``, ``owner``, ``writable``, ``denied``, ``links``,
    ``error`` or ``hangs``. ``where`` is the path that has it, and ``what`` is there, or who.
    """
    path, kind = str(request["path"]), str(request["kind"])
    if not path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise AgentError(f"path: {path!r:.300} must be an absolute path without '..'.")
    trusted = Trusted.read(account, request)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _look_and_end(path, kind, trusted, writer)
    os.close(writer)
    with os.fdopen(reader, "rb", buffering=0) as answer:
        if not select.select([answer], [], [], PATIENCE)[0]:
            os.kill(child, signal.SIGKILL)  # it may end much later, and nobody waits for it
            return {"problem": "hangs", "where": path, "what": ""}
        found = answer.read(_LONGEST)
    os.waitpid(child, 0)
    if not found:
        raise AgentError(f"The process that looked at {path!r:.300} ended without an answer.")
    return dict(json.loads(found))


def _look_and_end(path: str, kind: str, trusted: Trusted, writer: int) -> NoReturn:
    """Write the answer, and end this process.

    It keeps no other descriptor: a process that hangs must not hold the reply of the agent open.
    """
    try:
        os.dup2(writer, 0)
        for name in os.listdir("/proc/self/fd"):
            if name != "0":
                with contextlib.suppress(OSError):  # the descriptor of the listing itself
                    os.close(int(name))
        os.write(0, json.dumps(find_problem(path, kind, trusted)).encode())
    finally:
        os._exit(0)


def find_problem(path: str, kind: str, trusted: Trusted) -> dict[str, str]:
    """Return what is wrong with a path: see :func:`check_path`."""
    try:
        _walk(path, kind, trusted)
    except _Problem as problem:
        return problem.data
    except PermissionError as error:
        return _Problem("denied", error.filename or path).data
    except OSError as error:
        return _Problem("error", error.filename or path, error.strerror or "").data
    return {"problem": "", "where": "", "what": ""}


def _walk(path: str, kind: str, trusted: Trusted) -> None:
    """Check each folder and each link on the way, and the thing at its end."""
    place, links = PurePosixPath("/"), 0
    names = _parts(path)
    _check(place, os.lstat(place), "directory", trusted, above=bool(names))
    while names:
        name = names.pop()
        if name == "..":  # of a link
            place = place.parent
            continue
        here = place / name
        try:
            status = os.lstat(here)
        except (FileNotFoundError, NotADirectoryError):
            raise _Problem("missing", here) from None
        if not stat.S_ISLNK(status.st_mode):
            _check(here, status, "directory" if names else kind, trusted, above=bool(names))
            place = here
            continue
        links += 1
        if links > _MOST_LINKS:
            raise _Problem("links", path)
        if not trusted.may_own(status.st_uid):
            raise _Problem("owner", here, _name_of(status.st_uid))
        target = os.readlink(here)
        names += _parts(target)
        place = PurePosixPath("/") if target.startswith("/") else place
    _check_access(place, kind)


def _parts(path: str) -> list[str]:
    """Return the names in a path, the first one last."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _check(
    place: PurePosixPath, status: os.stat_result, kind: str, trusted: Trusted, *, above: bool
) -> None:
    found = _KINDS.get(stat.S_IFMT(status.st_mode), "device")
    if found != kind:
        raise _Problem("kind", place, found)
    if not trusted.may_own(status.st_uid):
        raise _Problem("owner", place, _name_of(status.st_uid))
    if not trusted.may_be_changed(status, above=above):
        who = "" if status.st_mode & stat.S_IWOTH else _group_name(status.st_gid)
        raise _Problem("writable", place, who)


def _check_access(place: PurePosixPath, kind: str) -> None:
    """Check that the user may read the thing.

    A link whose target ends in ".." leads to a folder that was checked on the way.
    """
    needed = os.R_OK | os.X_OK if kind == "directory" else os.R_OK
    status = os.stat(place)
    if _KINDS.get(stat.S_IFMT(status.st_mode)) != kind:
        raise _Problem("kind", place, "directory")
    if not os.access(place, needed):
        raise _Problem("denied", place)


def _account(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _group(name: str) -> grp.struct_group | None:
    try:
        return grp.getgrnam(name)
    except KeyError:
        return None


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"gid {gid}"
