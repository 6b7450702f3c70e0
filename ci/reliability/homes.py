"""What can be wrong with a user's home: only that of the user of a cell is touched."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import subprocess
from pathlib import Path

from .cell import Cell
from .hanging import HangingMount


def _home(cell: Cell) -> Path:
    return Path(pwd.getpwnam(cell.user).pw_dir)


def _away(cell: Cell) -> Path:
    home = _home(cell)
    return home.with_name(f"{home.name}.away")


async def take_away(cell: Cell) -> None:
    """Rename the home, as if its file system were not mounted."""
    await _move(_home(cell), _away(cell))


async def give_back(cell: Cell) -> None:
    """Give the home its name again; what was made in its place meanwhile is kept beside it."""
    home = _home(cell)
    if home.exists():
        await _move(home, home.with_name(f"{home.name}.meanwhile-{os.getpid()}"))
    await _move(_away(cell), home)


async def _move(source: Path, target: Path) -> None:
    """Rename a folder; in a lane, one of the machine itself has to be copied."""
    await _run("mv", "-T", str(source), str(target))


async def mount_read_only(cell: Cell) -> None:
    """Mount the home on itself, read-only."""
    home = str(_home(cell))
    await _run("mount", "--bind", home, home)
    await _run("mount", "-o", "remount,bind,ro", home)


async def mount_full(cell: Cell) -> None:
    """Mount a file system without any room over the folder of our files in the home."""
    home = _home(cell)
    folder = home / ".unispawner"
    user = pwd.getpwnam(cell.user)
    if not folder.exists():
        folder.mkdir(0o700)
        os.chown(folder, user.pw_uid, user.pw_gid)
    options = f"size=64k,mode=700,uid={user.pw_uid},gid={user.pw_gid}"
    await _run("mount", "-t", "tmpfs", "-o", options, "none", str(folder))
    await asyncio.to_thread(_fill, folder)


def _fill(folder: Path) -> None:
    with contextlib.suppress(OSError), open(folder / "full", "wb") as file:
        while True:
            file.write(b"\0" * 4096)
            file.flush()


async def hang(cell: Cell) -> None:
    """Let everything in the home wait, and see how long another user's start takes meanwhile."""
    cell.hanging = await asyncio.to_thread(HangingMount, str(_home(cell)))
    cell.meanwhile = asyncio.ensure_future(cell.start_of_other_user())


async def answer_again(cell: Cell) -> None:
    """Let the home answer again, once the other user has a server and has stopped it."""
    assert cell.hanging is not None
    assert cell.meanwhile is not None
    try:
        seconds = await cell.meanwhile
        cell.note = f"meanwhile another user's start took {seconds:.0f} s"
    finally:
        cell.meanwhile = None
        await asyncio.to_thread(cell.hanging.close)
        cell.hanging = None


async def unmount(cell: Cell) -> None:
    """Take off what was mounted; what still uses it keeps it until it ends."""
    home = str(_home(cell))
    for path in (f"{home}/.unispawner", home):
        if path in _mounted():
            await _run("umount", "--lazy", path)


def _mounted() -> list[str]:
    """Return where something is mounted."""
    with open("/proc/self/mountinfo") as lines:
        return [line.split()[4] for line in lines]


async def _run(*command: str) -> None:
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
