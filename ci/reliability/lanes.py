"""Lanes, in which rows are tried: copies of this machine, each with a scheduler of its own.

What a fault breaks is broken in its lane only, and when a lane ends, nothing of it is left: no
account, job, mount, process or file. See ci/lane.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from support import CHECKOUT

from .figures import Row
from .plan import Task

MADE = 60
"""How long (seconds) a lane may take until it is there."""
READY = 240
"""How long (seconds) its scheduler may take until it is up."""


class LaneError(Exception):
    """A lane could not be made, or it has ended or hangs."""


class Lane:
    """A lane with one scheduler, and in it a process that tries one row after the other."""

    def __init__(self, scheduler: str) -> None:
        self._scheduler = scheduler
        self._folder = Path(tempfile.mkdtemp(prefix="unispawner-faults-", dir="/var/tmp"))
        self._keeper: subprocess.Popen[bytes] | None = None
        self._worker: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Make the lane, and bring its scheduler up.

        Raises
        ------
        LaneError
            If this machine can't have lanes, or the scheduler does not come up.
        """
        self._keeper = self._make_lane()
        pid = await self._first_process()
        enter = ("nsenter", "--target", pid, "--mount", "--pid", "--net", "--uts", "--ipc")
        work = (sys.executable, str(CHECKOUT / "ci/faults"), "--worker", self._scheduler)
        self._worker = await asyncio.create_subprocess_exec(
            *enter,
            *("--", "sh", "-c", 'cd "$0" && exec "$@"', str(CHECKOUT), *work),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        await self._answer(READY)

    def _make_lane(self) -> subprocess.Popen[bytes]:
        """Start the first process of the lane. All end with this process, even if it is killed."""
        top = self._folder / "lane"
        top.mkdir()
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork"]
        command += ["--kill-child", "--net", "--uts", "--ipc", "--propagation", "private"]
        command += [str(CHECKOUT / "ci/lane"), str(top), str(CHECKOUT), str(self._folder)]
        with open(self._folder / "log", "wb") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    async def _first_process(self) -> str:
        """Return the id of the lane's first process, as soon as the lane is complete."""
        assert self._keeper is not None
        for _ in range(MADE * 10):
            if text := _read(self._folder / "lane.pid"):
                return text
            if self._keeper.poll() is not None:
                break
            await asyncio.sleep(0.1)
        raise LaneError(f"this machine can't have lanes: {_read(self._folder / 'log')}")

    async def try_task(self, task: Task) -> Row:
        """Return the row that a task gives.

        Raises
        ------
        LaneError
            If it takes too long, or the process in the lane has ended.
        """
        assert self._worker is not None
        assert self._worker.stdin is not None
        with contextlib.suppress(OSError):  # it has ended: see the missing answer
            self._worker.stdin.write(json.dumps(asdict(task)).encode() + b"\n")
            await self._worker.stdin.drain()
        return Row(**await self._answer(task.limit))

    async def _answer(self, seconds: float) -> dict[str, object]:
        assert self._worker is not None
        assert self._worker.stdout is not None
        try:
            line = await asyncio.wait_for(self._worker.stdout.readline(), seconds)
        except (asyncio.TimeoutError, TimeoutError):
            raise LaneError(f"no answer within {seconds:.0f} s") from None
        if not line:
            raise LaneError("the process in the lane has ended: see above")
        return dict(json.loads(line))

    async def close(self) -> None:
        """End the lane with all that is in it."""
        if self._keeper is not None:
            self._keeper.kill()
            await asyncio.to_thread(self._keeper.wait)
        if self._worker is not None:
            with contextlib.suppress(ProcessLookupError):
                self._worker.kill()
            await self._worker.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _read(path: Path) -> str:
    """Return a file's text; empty if it is not there."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
