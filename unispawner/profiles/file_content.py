"""Opens a file of profiles and reads what it defines. What can hang is called in a thread only."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from typing import Any

from .file_places import FileError, Place, Places
from .python_file import read_python
from .yaml_file import read_yaml

MOST_BYTES = 1_000_000
_YAML, _PYTHON = (".yaml", ".yml"), (".py",)
Signature = tuple[int, ...]


@dataclass(frozen=True)
class Content:
    """What a file holds, and what the file system says of it.

    Attributes
    ----------
    signature
        Differs if the file was replaced or written, unless that happened within one tick of the
        clock of its file system and left its size.
    data
        Its bytes; None if the signature was known, so that nothing was read.
    """

    signature: Signature
    data: bytes | None

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.data or b"").hexdigest()[:16]


@dataclass
class Definition:
    """What a file defines.

    Attributes
    ----------
    profiles
        A list of profiles as their administrator has written them, or a function.
    places
        Where they are written.
    version
        Differs for each content of the file.
    """

    profiles: Any
    places: Places = field(default_factory=Places)
    version: str = ""


def open_and_read(path: str, known: Signature | None = None) -> Content:
    """Return the content of a file; without its bytes if its signature is known.

    It is opened first, because an NFS client asks its server anew only then.

    Raises
    ------
    FileError
        If it can't be read, or if others may change it.
    """
    try:
        with open(path, "rb", opener=_open) as file:
            found = os.fstat(file.fileno())
            check_access(path, found)
            signature = (
                *(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns),
            )
            data = None if signature == known else file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise FileError(
            f"the file can't be read ({why}); let the account of the Hub read it, or name another "
            "file in c.ProfilesSpawner.profiles_file"
        ) from None
    if data is not None and len(data) > MOST_BYTES:
        raise FileError(f"the file has more than {MOST_BYTES} bytes")
    return Content(signature, data)


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # or a named pipe would wait for its writer


def check_access(path: str, found: os.stat_result) -> None:
    """Check that nobody but administrators can change a file that the Hub runs or obeys.

    Raises
    ------
    FileError
        If it is not a plain file, or if everybody may change it or its folder. A file in Python is
        code that the Hub runs: only its owner may change it and its folder, who is root or the
        account of the Hub. In a folder such as /tmp, that also holds for a file in YAML.
    """
    if not stat.S_ISREG(found.st_mode):
        raise FileError("this is not a plain file; name one in c.ProfilesSpawner.profiles_file")
    runs = path.endswith(_PYTHON)
    others, who = (0o022, "others than its owner") if runs else (0o002, "everybody")
    bits = "go-w" if runs else "o-w"
    if found.st_mode & others:
        raise FileError(
            f"{who} may change the file (mode {stat.S_IMODE(found.st_mode):04o}): "
            f"`chmod {bits} {path}`"
        )
    if runs:
        _check_owner(found, path)
    for folder in sorted({os.path.dirname(path), os.path.dirname(os.path.realpath(path))}):
        of_folder = os.stat(folder)
        if of_folder.st_mode & others and not of_folder.st_mode & stat.S_ISVTX:
            raise FileError(
                f"{who} may put another file in its place (mode "
                f"{stat.S_IMODE(of_folder.st_mode):04o} of {folder}): `chmod {bits} {folder}`"
            )
        if runs:
            _check_owner(of_folder, folder)
        if of_folder.st_mode & others:  # such as /tmp, where anybody may be the first to make it
            _check_owner(found, path)
            _check_owner(os.lstat(path), path)


def _check_owner(found: os.stat_result, path: str) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise FileError(
            f"the Hub would obey this file, and {path} belongs to uid {found.st_uid}, who is "
            f"neither root nor the account of this process: `chown root {path}`"
        )


def parse(path: str, content: Content) -> Definition:
    """Return what a content defines. A file in Python is run.

    Raises
    ------
    FileError
        If it defines no profiles.
    """
    data = content.data or b""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileError("this is not text in UTF-8", Place(line)) from None
    if path.endswith(_YAML):
        profiles, places = read_yaml(text)
    elif path.endswith(_PYTHON):
        profiles, places = read_python(text, path)
    else:
        raise FileError("its name must end in .yaml, .yml or .py")
    if isinstance(profiles, list) and not profiles:
        raise FileError("there are no profiles; add one", places.whole)
    return Definition(profiles, places, content.digest)
