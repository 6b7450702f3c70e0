"""UniSpawner in the Hub of ci/scale: on the fake scheduler, with jobs that run already."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from scale_hub import mark, place, user_name
from tornado.httpclient import AsyncHTTPClient
from traitlets import Enum

from unispawner.job import JobInfo, JobState
from unispawner.run_as import RunAs
from unispawner.servers.spawner import UniSpawner
from unispawner.submit_host.host import HOST, SubmitHost
from unispawner.testing import FakeScheduler, FakeUserSide

_tasks: set[asyncio.Task[None]] = set()


def running_jobs(count: int) -> tuple[dict[str, JobInfo], dict[str, str]]:
    """Return the jobs of so many running servers, and their marks."""
    began = round(time.time()) - 3600.0
    jobs = {
        str(number + 1): JobInfo(
            user_name(number),
            JobState.RUNNING,
            exec_host=place(number)[0],
            start_time=began,
            estimated_end=began + 8 * 3600,
            native_state="RUNNING",
        )
        for number in range(count)
    }
    return jobs, {mark(number): str(number + 1) for number in range(count)}


class _UserSide(FakeUserSide):
    """The fake agent; each job runs at once, and its launcher reports as a real one does."""

    def _submit(self, owner: str, request: Any) -> dict[str, str]:
        reply = super()._submit(owner, request)
        host, port = place(int(owner[1:]))
        now = time.time()
        self.scheduler.change(
            reply["job_id"],
            JobState.RUNNING,
            exec_host=host,
            start_time=now,
            estimated_end=now + 60,
        )
        environment = request["spec"]["environment"]
        task = asyncio.get_running_loop().create_task(self._report(environment, host, port))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
        return reply

    async def _report(self, environment: dict[str, str], host: str, port: int) -> None:
        url = f"{environment['JUPYTERHUB_API_URL']}/unispawner/report"
        headers = {"Authorization": f"token {environment['JUPYTERHUB_API_TOKEN']}"}
        body = json.dumps({"host": host, "port": port})
        for _ in range(60):
            reply = await AsyncHTTPClient().fetch(
                url, method="POST", headers=headers, body=body, raise_error=False
            )
            if reply.code != 503:
                return
            await asyncio.sleep(1)


class ScaleSpawner(UniSpawner):
    """UniSpawner on the fake scheduler and its fake agent; nothing else of it is replaced."""

    scheduler = Enum(("fake",), "fake").tag(config=True)
    fake: FakeScheduler
    side: _UserSide

    def get_scheduler(self) -> FakeScheduler:
        return self.fake

    def take_options(self, options: Any) -> None:
        """Take nothing: the fake scheduler has no settings."""

    async def find_way(self) -> None:  # type: ignore[override] # there is no way to find
        """Do nothing: the fake agent needs no right to become users."""

    def get_host(self) -> SubmitHost:
        return HOST

    def get_run_as(self) -> RunAs:
        return self.side


def prepare(c: Any, count: int, folder: str) -> None:
    """Configure a Hub with so many servers that run already."""
    files = Path(folder, "fake")
    files.mkdir(exist_ok=True)
    ScaleSpawner.fake = FakeScheduler(files, [place(0)[0]])
    ScaleSpawner.fake.load(*running_jobs(count))
    ScaleSpawner.side = _UserSide(ScaleSpawner.fake)
    c.JupyterHub.spawner_class = ScaleSpawner
