"""One Hub with one spawner class on one scheduler, in which one user works and faults strike."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from support.clusters import Cluster
from support.elsewhere import HubElsewhere, LoginNode
from support.guarantee import Job, Server
from support.hub import RunningHub, until
from support.watch import Watch

from unispawner.admin.hub_client import HubClient, HubClientError

from . import candidates
from .commands import Commands
from .databases import LockDatabase
from .hanging import HangingMount

OTHER_USER = "bob"
"""Who works in the same Hub, and on the same cluster; ci/*/up makes the account."""
T = 90.0
"""The seconds within which all has to be in order: see docs/reliability.md."""
T_OVER_SSH = 120.0
"""The same for a Hub that reaches its cluster by ssh."""
READY = 90.0
"""How long (seconds) a start without a fault may take on a loaded machine."""


class Cell:
    """A Hub for faults. `async with` it.

    Attributes
    ----------
    hub, cluster, commands
        What faults break.
    login
        The login node to which a Hub elsewhere has a connection; None for other Hubs.
    user
        The user's account.
    spawner
        One of `candidates.SPAWNERS`.
    watch
        What is seen in this trial; a new one for each.
    broken, rules, neighbour, preempting
        What a fault holds until it is cleared: a lock, rules of the network, another Hub, the id
        of a job that pre-empts ours.
    hanging, meanwhile
        The same: a home that hangs, and what another user does meanwhile.
    note
        What a fault has measured in this trial, for the table.
    """

    def __init__(self, spawner: str, cluster: Cluster, user: str) -> None:
        self.spawner, self.cluster, self.user = spawner, cluster, user
        self.commands = Commands(cluster)
        self.login: LoginNode | None = None
        self.hub = self.make_hub()
        self.watch: Watch
        self.broken: LockDatabase | None = None
        self.rules: list[list[str]] = []
        self.neighbour: RunningHub | None = None
        self.preempting = ""
        self.hanging: HangingMount | None = None
        self.meanwhile: asyncio.Task[float] | None = None
        self.note = ""
        self._client: HubClient | None = None
        self._at_end: list[Callable[[], object]] = []

    def make_hub(self) -> RunningHub:
        """Return a Hub of this class on this scheduler, with the wrapped commands."""
        hub: RunningHub
        if self.spawner == "ssh":
            self.login = LoginNode(self.cluster)
            self.login.__enter__()
            hub = HubElsewhere(self.cluster, self.login)
        else:
            hub = RunningHub(
                self.cluster,
                path=str(self.commands.folder),
                sudoers=candidates.sudoers(self.spawner),
            )
        hub.configure(candidates.config(self.spawner, self.cluster, self.commands, hub.job_name))
        return hub

    async def __aenter__(self) -> Cell:
        await self.start_hub()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def start_hub(self) -> None:
        await self.hub.start()

    async def close(self) -> None:
        """Stop the Hub in any state, and end its jobs."""
        try:
            await self.hub.close()
        finally:
            self.cluster.cancel_named(self.hub.job_name)
            self.commands.close()
            if self.login is not None:
                self.login.__exit__()

    @property
    def server(self) -> Server:
        return Server(self.user)

    async def client(self) -> HubClient:
        """Return the user's browser, logged in."""
        if self._client is None:
            self._client = await self.hub.client(self.user)
        return self._client

    # -- what the user does ---------------------------------------------------------------------

    async def start(self) -> int:
        """Ask for the server; return the answer's status."""
        return await self.watch.start(
            await self.client(), **candidates.OPTIONS.get(self.spawner, {})
        )

    async def stop(self) -> int:
        """Ask for the server's end; return the answer's status."""
        return await self.watch.stop(await self.client())

    async def start_and_wait(self) -> None:
        """Start the server and wait until it can be used."""
        status = await self.start()
        assert status < 400, f"the start without a fault failed: {self.watch.history.told[-1:]}"
        await (await self.client()).wait_ready(timeout=READY)

    async def start_of_other_user(self) -> float:
        """Start and stop another user's server; return how long (seconds) the start took."""
        client = await self.hub.client(OTHER_USER)
        began = time.monotonic()
        options = candidates.OPTIONS.get(self.spawner, {})
        status = await self.watch.start(client, **options)
        assert status < 400, f"another user's start failed: {self.watch.history.told[-1:]}"
        await client.wait_ready(timeout=READY)
        seconds = time.monotonic() - began
        await self.watch.stop(client)
        return seconds

    async def jobs(self) -> list[Job]:
        """Return the jobs of the cell's user, as root sees them."""
        found = await asyncio.to_thread(self.cluster.jobs, self.hub.job_name)
        return [job for job in found if job.owner == self.user]

    async def job(self) -> Job:
        """Return the only job, as soon as there is one."""
        jobs: list[Job] = await until(self.jobs, "a job", T)
        return jobs[0]

    async def state(self) -> dict[str, Any]:
        """Return what the Hub has saved of the server, without a wrapper around it."""
        state = await self.hub.state(self.user)
        return dict(state.get("child_state") or state)

    def at_end(self, action: Callable[[], object]) -> None:
        """Remember what has to be removed at the end of this trial; it may be gone by then."""
        self._at_end.append(action)

    async def clean(self) -> None:
        """End what is left of a trial, so that the next one begins with nothing."""
        self.note = ""
        self.commands.reset()
        while self._at_end:
            with contextlib.suppress(AssertionError):
                await asyncio.to_thread(self._at_end.pop())
        with contextlib.suppress(HubClientError, OSError):
            await self.hub.api("DELETE", f"users/{self.user}/server")

        async def is_gone() -> bool:
            self.cluster.cancel_named(self.hub.job_name)
            server = await self.hub.server(self.user)
            return not (server.get("ready") or server.get("pending") or await self.jobs())

        await until(is_gone, "nothing is left of the trial", 2 * T, pause=1)
