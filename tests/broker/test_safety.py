"""What ``unispawner-broker --check`` says of files that users can't read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from unispawner.broker import safety


@pytest.mark.parametrize(
    ("kind", "mode", "gid", "closed"),
    [
        (stat.S_IFDIR, 0o700, 0, True),
        (stat.S_IFDIR, 0o750, 0, True),
        (stat.S_IFDIR, 0o750, 1000, False),
        (stat.S_IFDIR, 0o700, 1000, True),
        (stat.S_IFDIR, 0o711, 0, False),
        (stat.S_IFDIR, 0o755, 0, False),
        (stat.S_IFREG, 0o600, 0, True),
        (stat.S_IFREG, 0o644, 0, False),
        (stat.S_IFREG, 0o711, 0, True),
    ],
)
def test_what_users_can_use(kind: int, mode: int, gid: int, closed: bool) -> None:
    """A folder must let others pass, and a file must let them read. A group other than root's may
    be that of all users."""
    status = os.stat_result((kind | mode, 1, 1, 1, 0, gid, 1, 0, 0, 0))
    assert closed == safety.keeps_out(status)


def test_a_python_in_a_closed_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that keeps users out is named once, whatever is below it, and what to do."""
    home = tmp_path / "root"
    (home / "lib").mkdir(parents=True)
    files = [home / "lib" / name for name in ("a.py", "b.py")]
    for file in files:
        file.touch()
    monkeypatch.setattr(safety, "keeps_out", lambda status: status.st_ino == home.stat().st_ino)
    (found,) = safety.find_unreadable([*map(str, files), str(tmp_path / "nothing")])
    assert found.startswith(f"{home} has the mode ")
    assert "Install Python and unispawner where everybody can read" in found
