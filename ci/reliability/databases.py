"""What can be wrong with the Hub's database, which is SQLite's here."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
from pathlib import Path


class LockDatabase:
    """Holds a lock that excludes everybody else, until it is closed."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, timeout=20, isolation_level=None)
        self._database.execute("BEGIN EXCLUSIVE")

    def close(self) -> None:
        self._database.execute("ROLLBACK")
        self._database.close()


def forbid_writing(folder: Path) -> None:
    """Let the Hub's account write no journal, without which SQLite changes nothing."""
    folder.chmod(0o555)


def permit_writing(folder: Path) -> None:
    folder.chmod(0o755)


DISK = "/tmp"
"""Where the Hub's database, log and configuration are; in a lane it is a file system of its own."""


def fill_disk() -> None:
    """Make the file system of the Hub's files as small as what is in it."""
    done = os.statvfs(DISK)
    used = (done.f_blocks - done.f_bfree) * done.f_frsize // 1024
    _set_size(f"{used + 4}k")
    with contextlib.suppress(OSError), open(f"{DISK}/full", "wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)


def free_disk() -> None:
    os.unlink(f"{DISK}/full")
    _set_size("50%")


def _set_size(size: str) -> None:
    command = ("mount", "-o", f"remount,size={size}", DISK)
    subprocess.run(command, check=True, capture_output=True)


def damage_row(path: Path, user: str, state: str) -> None:
    """Write another text in place of the saved state of a user's servers."""
    with contextlib.closing(sqlite3.connect(path, timeout=20)) as database, database:
        database.execute(
            "UPDATE spawners SET state = ? WHERE user_id = (SELECT id FROM users WHERE name = ?)",
            (state, user),
        )
