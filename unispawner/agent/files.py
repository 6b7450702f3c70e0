"""The user's files: ``<state_dir>/jobs/<mark>/`` while a job exists, and ``<state_dir>/logs/``.

Directories have mode 0700 and files 0600. They belong to the user and are never opened through a
symbolic link. Whoever can rename a directory above them could replace it, and the job would run the
contents. So every directory above, and every link on the way, must belong to root or the user, and
others must not be able to change it. The administrator can allow single ones all the same.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import shutil
import stat
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import AgentError
from ..job import is_mark

LOGS_KEPT = 20
_MOST_LINKS = 40
"""How many links may be on the way to a path; the kernel allows no more either."""
TAIL_BYTES = 16 * 1024
ENVIRONMENT_LIMIT = 8 * 1024**2
"""How many bytes an environment file may have: as many as a request of the Hub's."""


@dataclass(frozen=True)
class StateDir:
    """A user's state directory; its ``path`` is absolute, and so is ``logs``, the logs' folder."""

    path: Path
    logs: Path
    logs_kept: int = LOGS_KEPT

    @classmethod
    def open(
        cls,
        text: str,
        *,
        log_dir: str = "",
        logs_kept: int = LOGS_KEPT,
        trusted_parents: Collection[str] = (),
    ) -> StateDir:
        """Return the state directory; it and its folders are created if they don't exist.

        Parameters
        ----------
        log_dir
            The folder for logs; empty means the folder "logs" in the state directory.
        logs_kept
            How many logs are kept.
        trusted_parents
            Directories above that others may change.

        Raises
        ------
        AgentError
            If it can't be created, is a symbolic link, or does not belong to the user.
        """
        path = _make_directory("state_dir", text, trusted_parents)
        _make_or_check(path / "jobs", "state_dir")
        if log_dir:
            logs = _make_directory("log_dir", log_dir, trusted_parents)
        else:
            logs = path / "logs"
            _make_or_check(logs, "state_dir")
        return cls(path, logs, logs_kept)

    def job(self, mark: str) -> Path:
        """Return the directory of a job, which need not exist."""
        if not is_mark(mark):
            raise AgentError(f"mark: {mark!r} is not the mark of a job.")
        return self.path / "jobs" / mark

    def log(self, mark: str) -> Path:
        """Return the path of a job's log, which need not exist."""
        return self.logs / f"{mark}.log"

    def create_job(self, mark: str, environment: str) -> Path:
        """Create a job's directory with the environment file, and an empty log; return its path."""
        directory = self.job(mark)
        directory.mkdir(mode=0o700)
        write_private(directory / "environment", environment)
        write_private(self.log(mark), "")
        self._prune_logs()
        return directory

    def remove_job(self, mark: str) -> None:
        """Remove a job's directory with its secrets, if it exists."""
        shutil.rmtree(self.job(mark), ignore_errors=True)

    def old_jobs(self, seconds: float) -> Iterator[Path]:
        """Yield the job directories that are older than that."""
        for directory in (self.path / "jobs").iterdir():
            if is_mark(directory.name) and time.time() - _modified(directory) > seconds:
                yield directory

    def tail(self, mark: str, lines: int) -> tuple[str, int]:
        """Return the last lines of a job's log, and its size in bytes; ("", 0) without a log."""
        file = _open_regular(self.log(mark))
        if file is None:
            return "", 0
        with file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - TAIL_BYTES))
            text = file.read(TAIL_BYTES).decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:]), size

    def _prune_logs(self) -> None:
        """Remove all logs but the newest, and the logs of jobs that still have a directory."""
        ours = (log for log in self.logs.glob("*.log") if is_mark(log.stem))
        for log in sorted(ours, key=_modified)[: -self.logs_kept]:
            if not (self.path / "jobs" / log.stem).exists():
                log.unlink(missing_ok=True)


def _modified(path: Path) -> float:
    """Return when a file was last written; infinity if another agent has just removed it."""
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return float("inf")


def write_private(path: Path, text: str) -> None:
    """Create a file of mode 0600; an existing file, or a symbolic link, is an error."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def write_script(directory: Path, text: str) -> Path:
    """Create the program ``script`` of mode 0700 in a job's directory, and return its path."""
    path = directory / "script"
    write_private(path, text)
    path.chmod(0o700)
    return path


def read_private(path: Path) -> str:
    """Return a small file's text; empty if it can't be read or is not a regular file."""
    file = _open_regular(path)
    if file is None:
        return ""
    with file:
        return file.read(4096).decode("utf-8", "replace")


def read_environment(path: Path) -> str:
    """Return the text of a job's environment file.

    Raises
    ------
    OSError
        If it can't be read, is not a regular file, or is longer than any that was made.
    """
    file = _open_regular(path)
    if file is None:
        raise OSError(errno.ENOENT, "there is no such file, or it is not a regular one", str(path))
    with file:
        content = file.read(ENVIRONMENT_LIMIT + 1)
    if len(content) > ENVIRONMENT_LIMIT:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content.decode("utf-8")


def _open_regular(path: Path) -> BinaryIO | None:
    """Open a regular file; never follow a link, and never wait for the other end of a pipe."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    return None


def _make_directory(setting: str, text: str, trusted: Collection[str]) -> Path:
    """Return the user's directory, which is created, with those above it, if it does not exist."""
    path = Path(text).expanduser()
    if not path.is_absolute():
        raise AgentError(f"{setting}: {text!r} must be an absolute path or begin with ~")
    try:
        _check_way(path.parent, setting, trusted)  # before something is made behind a link
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_way(path.parent, setting, trusted)
    except OSError as error:
        raise _no_place(path, error, setting) from None
    _make_or_check(path, setting)
    return path


def _make_or_check(path: Path, setting: str) -> None:
    """Make a private directory, or check that an existing one is the user's.

    Raises
    ------
    AgentError
        If it can't be made, or is somebody else's; the message names the setting.
    """
    try:
        _make_or_check_directory(path, setting)
    except OSError as error:
        raise _no_place(path, error, setting) from None


def _no_place(path: Path, error: OSError, setting: str) -> AgentError:
    return AgentError(
        f"The user's files can't be kept in {error.filename or path}: {error.strerror}. "
        "Check whether the disk is full and whether the user may write there "
        f"(c.UniSpawner.{setting})."
    )


def _check_way(path: Path, setting: str, trusted: Collection[str]) -> None:
    """Check every directory and every link on the way to a path, as far as it exists.

    A path is used as it is written. So it is not enough to check the directories of its real path:
    whoever owns a link on the way can let it point elsewhere afterwards.
    """
    place, names, links = Path("/"), list(reversed(path.parts[1:])), 0
    _check_above(place, setting, trusted)
    while names:
        name = names.pop()
        if name == "..":
            place = place.parent
            continue
        try:
            status = (place / name).lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISLNK(status.st_mode):
            place = place / name
            _check_above(place, setting, trusted)
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        if status.st_uid not in (0, os.getuid()) and str(place / name) not in trusted:
            raise AgentError(
                f"{setting}: {place / name} is a link that belongs to uid {status.st_uid}, who can "
                "let it point elsewhere, so that no private files can be kept behind it. Set "
                f"c.UniSpawner.{setting} to another place. If that account is trusted, "
                "c.UniSpawner.trusted_parents can allow the link."
            )
        target = Path(os.readlink(place / name))
        names += reversed(target.parts[1:] if target.is_absolute() else target.parts)
        place = Path("/") if target.is_absolute() else place


def _check_above(directory: Path, setting: str, trusted: Collection[str]) -> None:
    """Refuse a directory in which others could rename the user's directory."""
    if str(directory) in trusted:
        return
    status = directory.stat()
    mode, sticky = status.st_mode, status.st_mode & stat.S_ISVTX and status.st_uid == 0
    others = mode & stat.S_IWOTH or (mode & stat.S_IWGRP and not _own_group(status.st_gid))
    if status.st_uid not in (0, os.getuid()) or (others and not sticky):
        raise AgentError(
            f"{setting}: {directory} can be changed by others than root and the user, so that no "
            f"private files can be kept below it. Set c.UniSpawner.{setting} to another place, or "
            f"give {directory} to the user, with mode 0755 or less. If all who can change it are "
            "trusted, c.UniSpawner.trusted_parents can allow it."
        )


def _own_group(gid: int) -> bool:
    """Return whether a group has the user's name: most systems create one for each user."""
    try:
        return gid == 0 or grp.getgrgid(gid).gr_name == pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return False


def _make_or_check_directory(path: Path, setting: str) -> None:
    path.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.getuid():
            raise AgentError(
                f"{setting}: {path} belongs to uid {status.st_uid}, not to uid {os.getuid()}. "
                f"Remove it, or set c.UniSpawner.{setting} to another place."
            )
        others = 0o022 if setting == "log_dir" else 0o077  # users may let others read their logs
        if status.st_mode & others or status.st_mode & 0o700 != 0o700:
            os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)
