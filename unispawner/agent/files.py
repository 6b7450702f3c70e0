"""The user's files: ``<state_dir>/jobs/<mark>/`` while a job exists, and ``<state_dir>/logs/``.

Directories have mode 0700 and files 0600. They belong to the user and are never opened through a
symbolic link. Whoever can rename a directory above them could replace it, and the job would run the
contents. So every directory above must belong to root or the user, and others must not be able to
change it.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import AgentError
from ..job import is_mark

LOGS_KEPT = 20
TAIL_BYTES = 16 * 1024


@dataclass(frozen=True)
class StateDir:
    """A user's state directory; its ``path`` is absolute."""

    path: Path

    @classmethod
    def open(cls, text: str) -> StateDir:
        """Return the state directory; it and its folders are created if they don't exist.

        Raises
        ------
        AgentError
            If it can't be created, is a symbolic link, or does not belong to the user.
        """
        path = Path(text).expanduser()
        if not path.is_absolute():
            raise AgentError(f"state_dir: {text!r} must be an absolute path or begin with ~")
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for directory in Path(os.path.realpath(path.parent), path.name).parents:
                _check_above(directory)
            for directory in (path, path / "jobs", path / "logs"):
                _own_directory(directory)
        except OSError as error:
            raise AgentError(
                f"The user's files can't be kept in {error.filename or path}: {error.strerror}. "
                "Check whether the disk is full and whether the user may write there "
                "(c.UniSpawner.state_dir)."
            ) from None
        return cls(path)

    def job(self, mark: str) -> Path:
        """Return the directory of a job, which need not exist."""
        if not is_mark(mark):
            raise AgentError(f"mark: {mark!r} is not the mark of a job.")
        return self.path / "jobs" / mark

    def log(self, mark: str) -> Path:
        """Return the path of a job's log, which need not exist."""
        return self.path / "logs" / f"{mark}.log"

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
        logs = sorted((self.path / "logs").glob("*.log"), key=_modified)
        for log in logs[:-LOGS_KEPT]:
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


def _check_above(directory: Path) -> None:
    """Refuse a directory in which others could rename the user's directory."""
    status = directory.stat()
    mode, sticky = status.st_mode, status.st_mode & stat.S_ISVTX and status.st_uid == 0
    others = mode & stat.S_IWOTH or (mode & stat.S_IWGRP and not _own_group(status.st_gid))
    if status.st_uid not in (0, os.getuid()) or (others and not sticky):
        raise AgentError(
            f"state_dir: {directory} can be changed by others than root and the user, so that no "
            "private files can be kept below it. Set c.UniSpawner.state_dir to another place, or "
            f"give {directory} to the user, with mode 0755 or less."
        )


def _own_group(gid: int) -> bool:
    """Return whether a group has the user's name: most systems create one for each user."""
    try:
        return gid == 0 or grp.getgrgid(gid).gr_name == pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return False


def _own_directory(path: Path) -> None:
    path.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.getuid():
            raise AgentError(
                f"state_dir: {path} belongs to uid {status.st_uid}, not to uid {os.getuid()}. "
                "Remove it, or set c.UniSpawner.state_dir to another place."
            )
        if stat.S_IMODE(status.st_mode) != 0o700:
            os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)
