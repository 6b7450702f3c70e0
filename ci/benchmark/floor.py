"""The floor: the smallest spawner that runs servers as Slurm jobs, in a Hub that is root.

It only calls ``sbatch --uid``, ``scancel``, and one ``squeue`` a second for all its servers. It
keeps no promise of UniSpawner's: the token is in the job's environment, a port may be taken, a
query that fails raises an error. So it is what JupyterHub and Slurm themselves cost.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from typing import Any

from jupyterhub.spawner import Spawner
from traitlets import Unicode

_ports = itertools.count(20000)


async def call(*command: str, script: str = "", env: dict[str, str] | None = None) -> str:
    """Run a command and return what it prints."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=env)
    out, _ = await process.communicate(script.encode())
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with status {process.returncode}")
    return out.decode().strip()


class FloorSpawner(Spawner):
    """Submits, asks and cancels, and nothing else."""

    sbatch = Unicode("sbatch --mem=100M").tag(config=True)
    squeue = Unicode("squeue").tag(config=True)
    job_id = ""
    _jobs: dict[str, list[str]] = {}
    _asked = 0.0
    _turn: asyncio.Lock | None = None

    async def job(self, since: float) -> list[str]:
        """Return the job's state and host; [] if it has ended. The answer is newer than `since`."""
        cls = FloorSpawner
        cls._turn = cls._turn or asyncio.Lock()
        async with cls._turn:
            if cls._asked < since:
                await asyncio.sleep(cls._asked + 1 - time.monotonic())
                cls._asked = time.monotonic()
                lines = await call(*self.squeue.split(), "-h", "-t", "R,PD", "-o", "%i %t %B")
                cls._jobs = {words[0]: words[1:] for words in map(str.split, lines.splitlines())}
        return cls._jobs.get(self.job_id, [])

    async def start(self) -> tuple[str, int]:
        self.port = next(_ports)
        options = [f"--uid={self.user.name}", "--parsable", "--chdir=/tmp", "--output=/dev/null"]
        script = "#!/bin/bash -l\nexec " + " ".join(self.cmd) + "\n"
        env = {**os.environ, **self.get_env()}
        self.job_id = await call(*self.sbatch.split(), *options, script=script, env=env)
        while (job := await self.job(time.monotonic()))[:1] != ["R"]:
            if not job:
                raise RuntimeError("the job has ended")
        return job[1], self.port

    async def poll(self) -> int | None:
        return None if self.job_id and await self.job(time.monotonic() - 30) else 0

    async def stop(self, now: bool = False) -> None:
        await call("scancel", self.job_id)
        while await self.job(time.monotonic()):
            pass

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "job_id": self.job_id}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.job_id = state.get("job_id", "")
