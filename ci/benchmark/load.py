"""Starts and stops servers for many users at once, and takes the time of each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.hub import RunningHub, until
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse

from .candidates import MEMORY_MB, PARTITION

PATIENCE = 240.0
"""How long (seconds) a start or a stop may take."""
FIRST_PORT = 15000
"""The port of the first user's server without a Hub."""


class BenchError(Exception):
    """A server could not be started or stopped."""


async def run(*command: str) -> str:
    """Run a command and return what it prints; raise BenchError if it fails."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    out, error = await process.communicate()
    if process.returncode:
        raise BenchError(f"{' '.join(command)}: {error.decode().strip()}")
    return out.decode().strip()


class Web:
    """HTTP requests: to a Hub's API with a token, and to servers."""

    def __init__(self) -> None:
        self._http = AsyncHTTPClient(force_instance=True, max_clients=1000)

    def close(self) -> None:
        self._http.close()

    async def request(self, method: str, url: str, token: str = "", **more: Any) -> HTTPResponse:
        """Send a request and return the answer, whatever its status is; 599 means there is none."""
        headers = {"Authorization": f"token {token}"} if token else {}
        more = {"request_timeout": 60, "allow_nonstandard_methods": True, **more}
        request = HTTPRequest(url, method, headers=headers, **more)
        try:
            return await self._http.fetch(request, raise_error=False)
        except OSError:
            return HTTPResponse(request, 599)

    async def wait_answer(self, url: str) -> None:
        """Return when a server answers with status 200."""
        deadline = time.monotonic() + PATIENCE
        while (await self.request("GET", url)).code != 200:
            if time.monotonic() > deadline:
                raise BenchError(f"{url} does not answer")
            await asyncio.sleep(0.05)


# -- a Hub's servers -------------------------------------------------------------------------------


@dataclass(frozen=True)
class HubLoad:
    """The users of one Hub."""

    hub: RunningHub
    web: Web

    def _url(self, user: str) -> str:
        return f"{self.hub.url}hub/api/users/{user}/server"

    async def add(self, users: Collection[str]) -> None:
        """Make the Hub know its users before their first start."""
        await self.hub.api("POST", "users", {"usernames": list(users)})

    async def request(self, user: str) -> bool:
        """Request a server; return True if it was ready before the Hub answered "pending"."""
        response = await self.web.request("POST", self._url(user), self.hub.api_token, body="{}")
        if response.code not in (201, 202):
            raise BenchError(f"start of {user}: {response.code} {response.body!r:.300}")
        return bool(response.code == 201)

    async def start(self, user: str) -> tuple[float, float]:
        """Start a server as a user does who looks at the pending page.

        Return the seconds until the API has said "ready", and until the server also answered.
        """
        began = time.monotonic()
        if not await self.request(user):
            await self._follow(user)
        said = time.monotonic() - began
        await self.web.wait_answer(f"{self.hub.url}user/{user}/")
        return said, time.monotonic() - began

    async def _follow(self, user: str) -> None:
        """Read the progress of a start up to its end, as the pending page does."""
        last: dict[str, Any] = {}
        rest = b""

        def take(chunk: bytes) -> None:
            nonlocal last, rest
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.startswith(b"data:"):
                    last = json.loads(line[5:])

        more: dict[str, Any] = {"streaming_callback": take, "request_timeout": PATIENCE}
        url = f"{self._url(user)}/progress"
        response = await self.web.request("GET", url, self.hub.api_token, **more)
        if not last.get("ready"):
            raise BenchError(f"start of {user}: {response.code} {last}")

    async def stop(self, user: str) -> None:
        """Stop a server, and return when the Hub has forgotten it."""
        more = {"request_timeout": PATIENCE}  # the Hub is set to answer when the stop is done
        url, token = self._url(user), self.hub.api_token
        response = await self.web.request("DELETE", url, token, **more)
        if response.code != 204:
            raise BenchError(f"stop of {user}: {response.code} {response.body!r:.300}")

    async def start_all(self, users: Iterable[str]) -> list[tuple[float, float]]:
        """Start servers at once; return the times of each."""
        return await asyncio.gather(*(self.start(user) for user in users))

    async def stop_all(self, users: Collection[str]) -> list[float]:
        """Stop servers at once; return when (seconds) each had ended in the Hub and in Slurm."""
        before = await users_with_jobs()
        began = time.monotonic()
        ended = asyncio.create_task(when_ended(users, before, began))

        async def one(user: str) -> float:
            await self.stop(user)
            return time.monotonic() - began

        forgotten = await asyncio.gather(*(one(user) for user in users))
        in_slurm = await ended
        return [max(pair) for pair in zip(forgotten, in_slurm, strict=True)]


async def users_with_jobs(*states: str) -> list[str]:
    """Return the users of all jobs of the bench in these states, once for each job."""
    chosen = ["-t", ",".join(states or ("R", "PD"))]
    return (await run("squeue", "-h", "-p", PARTITION, *chosen, "-o", "%u")).split()


async def when_ended(users: Collection[str], before: Sequence[str], began: float) -> list[float]:
    """Return when (seconds after `began`) each user's job had left the list of those that run.

    Parameters
    ----------
    before
        The users of all jobs before the stop; a user may have jobs of other Hubs, too.
    """
    ended: dict[str, float] = {}
    while len(ended) < len(users):
        now = await users_with_jobs()
        moment = time.monotonic() - began
        for user in users:
            if user not in ended and now.count(user) < before.count(user):
                ended[user] = moment
        if moment > PATIENCE:
            raise BenchError(f"still in Slurm: {set(users) - set(ended)}")
        await asyncio.sleep(0.1)
    return [ended[user] for user in users]


async def wait_no_jobs() -> None:
    """Return when no job of the bench is left, not even one that Slurm is taking down."""

    async def none() -> bool:
        return not await users_with_jobs("R", "PD", "CG", "CF")

    await until(none, "no job is left", PATIENCE, pause=0.3)


# -- without a Hub ---------------------------------------------------------------------------------


class Bare:
    """Submits the same server without a Hub, as each user at a command line."""

    def __init__(self, server: Path, web: Web) -> None:
        self._script = server.with_name("job.sh")
        self._script.write_text(f'#!/bin/bash -l\nexec python3 -I {server} "$1"\n')
        self._web = web

    async def start_all(self, users: Iterable[str]) -> list[tuple[float, float]]:
        """Submit a job for each user at once; return when (seconds) each ran, and answered."""
        began = time.monotonic()
        ports = {user: FIRST_PORT + number for number, user in enumerate(users)}
        await asyncio.gather(*(self._submit(user, port) for user, port in ports.items()))
        waiting: dict[str, asyncio.Task[tuple[float, float]]] = {}
        while len(waiting) < len(ports):
            out = await run("squeue", "-h", "-p", PARTITION, "-t", "R", "-o", "%u %B")
            for user, host in map(str.split, out.splitlines()):
                if user in ports and user not in waiting:
                    url = f"http://{host}:{ports[user]}/"
                    waiting[user] = asyncio.create_task(self._wait(url, began))
            await asyncio.sleep(0.1)
        return list(await asyncio.gather(*waiting.values()))

    async def _submit(self, user: str, port: int) -> None:
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        command = ["sbatch", "--parsable", f"--mem={MEMORY_MB}", f"--partition={PARTITION}"]
        command += ["--chdir=/tmp", "--output=/dev/null"]
        await run(*become, *command, str(self._script), str(port))

    async def _wait(self, url: str, began: float) -> tuple[float, float]:
        runs = time.monotonic() - began
        await self._web.wait_answer(url)
        return runs, time.monotonic() - began

    async def stop_all(self, users: Collection[str]) -> list[float]:
        """Cancel the users' jobs at once; return when (seconds) each had ended."""
        before = await users_with_jobs()
        began = time.monotonic()
        ended = asyncio.create_task(when_ended(users, before, began))
        await asyncio.gather(*(run("scancel", "-p", PARTITION, "-u", user) for user in users))
        return await ended
