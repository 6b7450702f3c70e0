"""Meters: processor time and new processes of a tree, questions to the scheduler, the Hub's API."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import struct
import sys
import threading
import time
from pathlib import Path

from .figures import is_listing

# -- processor time --------------------------------------------------------------------------------


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the third on; None if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def descendants(*roots: int) -> list[int]:
    """Return these processes and all that descend from them."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal() and (fields := _stat(int(name))):
            children.setdefault(int(fields[1]), []).append(int(name))
    found = list(roots)
    for pid in found:  # it grows meanwhile
        found += children.get(pid, [])
    return found


def cpu_seconds(*roots: int) -> float:
    """Return the user and system time of processes, of their descendants, and of those that ended.

    The kernel adds a process's time, with that of its own children, to its parent's when the
    parent takes note of its end. sudo does that for what it runs, and the Hub for sudo. So nothing
    is missing but children that nobody has waited for.
    """
    ticks = 0
    for pid in descendants(*roots):
        if fields := _stat(pid):
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


# -- new processes ---------------------------------------------------------------------------------

_CONNECTOR, _PROCESSES, _LISTEN = 11, 1, 1
_FORK, _EXIT = 1, 0x80000000
_HEADERS = 16 + 20


class ForkCounter:
    """Counts the processes that trees of processes start: the kernel reports each one to root.

    It uses the kernel's process connector (CONFIG_PROC_EVENTS, outside of containers).
    """

    def __init__(self) -> None:
        self._roots: dict[int, str] = {}
        self._counts: dict[str, int] = {}
        self._lost = False
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _CONNECTOR)
        self._socket.setsockopt(socket.SOL_SOCKET, 33, 16 * 1024**2)  # SO_RCVBUFFORCE
        self._socket.bind((0, _PROCESSES))
        self._socket.settimeout(0.5)
        self._closed = False
        message = struct.pack("=IIIIHHI", _PROCESSES, 1, 0, 0, 4, 0, _LISTEN)
        self._socket.send(struct.pack("=IHHII", 16 + len(message), 3, 0, 0, 0) + message)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def watch(self, name: str, *roots: int) -> None:
        """Count what these processes and their descendants start from now on, under a name."""
        self._counts.setdefault(name, 0)
        for pid in descendants(*roots):
            self._roots[pid] = name

    def count(self, name: str) -> int | None:
        """Return how many processes were started; None if the kernel has lost some reports."""
        return None if self._lost else self._counts.get(name)

    def close(self) -> None:
        self._closed = True
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        while not self._closed:
            try:
                message = self._socket.recv(4096)
            except TimeoutError:
                continue
            except OSError:  # ENOBUFS: reports came faster than they were read
                self._lost = True
                continue
            self._take(message)

    def _take(self, message: bytes) -> None:
        what, _, _, *ids = struct.unpack_from("=IIQIIII", message.ljust(68, b"\0"), _HEADERS)
        if what == _FORK:
            _, parent, child, group = ids
            name = self._roots.get(parent)
            if name and child == group:  # a thread has its process's id as its group
                self._roots[child] = name
                self._counts[name] += 1
        elif what == _EXIT and ids[0] == ids[1]:
            self._roots.pop(ids[0], None)


def make_fork_counter() -> ForkCounter | None:
    """Return a counter; None where the kernel reports no processes, as in most containers."""
    try:
        return ForkCounter()
    except OSError:
        return None


# -- questions to the scheduler --------------------------------------------------------------------

QUESTIONS = ("squeue", "sacct", "scontrol", "sinfo")


class QuestionLog:
    """A folder with programs of the names of Slurm's commands that note each call, and then run it.

    Attributes
    ----------
    folder
        It must come first in the search path of the commands.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._log = folder / "log"
        self._log.touch()
        self._log.chmod(0o666)  # questions are asked by several accounts
        for name in QUESTIONS:
            if program := shutil.which(name):
                wrapper = folder / name
                text = f'#!/bin/sh\necho "{name} $*" >>{self._log}\nexec {program} "$@"\n'
                wrapper.write_text(text)
                wrapper.chmod(0o755)

    def count(self) -> tuple[int, int]:
        """Return how many questions there were about all jobs, and how many others."""
        kinds = [is_listing(line.split()) for line in self._log.read_text().splitlines() if line]
        return kinds.count(True), kinds.count(False)


# -- the Hub's API ---------------------------------------------------------------------------------


class ApiProbe:
    """Asks the Hub's API in a process of its own: ``async with ApiProbe(url) as probe: …``.

    Attributes
    ----------
    answers
        How long (seconds) each answer took; filled at the end.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.answers: list[float] = []
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> ApiProbe:
        pipe = asyncio.subprocess.PIPE
        program = Path(__file__).with_name("probe.py")
        command = [sys.executable, "-I", str(program), self._url]
        self._process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process
        out, _ = await self._process.communicate(b"")  # which closes its standard input
        self.answers = [float(line) for line in out.split()]


async def wait_until(deadline: float) -> None:
    """Return at a moment of time.monotonic."""
    await asyncio.sleep(max(0.0, deadline - time.monotonic()))
