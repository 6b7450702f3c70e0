"""What can be wrong with the Hub's database, which is SQLite's here."""

from __future__ import annotations

import contextlib
import sqlite3
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


def damage_row(path: Path, user: str) -> None:
    """Empty the saved state of a user's servers.

    With a state that is not JSON, JupyterHub itself does not start.
    """
    with contextlib.closing(sqlite3.connect(path, timeout=20)) as database, database:
        database.execute(
            "UPDATE spawners SET state = '{}' "
            "WHERE user_id = (SELECT id FROM users WHERE name = ?)",
            (user,),
        )
