"""A server on the Hub's own host, with real sockets of this account."""

from __future__ import annotations

import ipaddress
import os
import time
from types import SimpleNamespace
from typing import Any

import pytest
from support.listening import MARK, listening

from unispawner.errors import AgentError, InvalidJobError
from unispawner.servers import own_place
from unispawner.servers.own_place import OwnPlace
from unispawner.web.hosts import own_addresses
from unispawner.web.own_host import Address
from unispawner.web.reports import Report

DEAD = ("127.0.0.1", 1)


class Job:
    """What an OwnPlace needs of a job of this account."""

    def __init__(self) -> None:
        self.name = "alice"
        self.state = SimpleNamespace(host="", port=0, mark=MARK)
        self.routes: list[tuple[str, int]] = []
        self.notes: list[str] = []
        self.error: Exception | None = None
        log = SimpleNamespace(warning=lambda *_: None, info=lambda *_: None)
        self.spawner = SimpleNamespace(
            account_name=None, log=log, user=SimpleNamespace(settings={}), submits_here=True
        )

    async def client(self) -> Any:
        if self.error:
            raise self.error
        return SimpleNamespace(account=SimpleNamespace(name="alice", uid=os.getuid()))

    def commit(self) -> None:
        pass

    async def move_route(self, host: str, port: int) -> None:
        self.routes.append((host, port))

    async def reported(self, port: int, mark: str = MARK) -> OwnPlace:
        """Return the place of a server that has reported."""
        self.state.mark = mark
        place = OwnPlace(self, self.notes.append)  # type: ignore[arg-type] # all that it needs
        names: set[Address] = {ipaddress.IPv4Address("127.0.0.1")}
        host = await place.find(Report(port, "127.0.0.1", from_here=True), names, own_addresses())
        self.state.host, self.state.port = host, port
        return place


async def test_a_server_that_leaves_and_comes_back() -> None:
    """The route leads nowhere while nobody listens, with a word for the user, and back to the
    server when it listens again. While the account can't be looked up, nothing changes."""
    job = Job()
    with listening("127.0.0.1") as port:
        place = await job.reported(port)
        await place.look_again()
        assert [] == job.routes
    job.error = AgentError("the directory is down")
    await place.look_again()
    assert [] == job.routes
    job.error = None
    for _ in range(2):
        await place.look_again()
        assert ([DEAD], ("", 0)) == (job.routes, (job.state.host, job.state.port))
    assert "no longer listens" in job.notes[-1]
    with listening("127.0.0.1", port):
        await place.look_again()
    assert [DEAD, ("127.0.0.1", port)] == job.routes
    assert ("127.0.0.1", port, "") == (job.state.host, job.state.port, job.notes[-1])


async def test_people_who_share_the_hubs_account() -> None:
    """Under the Hub's own account a port counts only if the job's mark is in the environment of the
    process. So a port that was left is not taken for the server's when another person's server of
    the same account takes it, and comes back with the job's own."""
    job = Job()
    refused = pytest.raises(InvalidJobError, match="can't see that the process")
    with listening("127.0.0.1", mark="f" * 16) as port, refused:
        await job.reported(port)
    with listening("127.0.0.1", port):
        place = await job.reported(port)
    with listening("127.0.0.1", port, mark="f" * 16):
        for _ in range(2):
            await place.look_again()
            assert [DEAD] == job.routes
    with listening("127.0.0.1", port):
        await place.look_again()
    assert [DEAD, ("127.0.0.1", port)] == job.routes


async def test_a_restarted_hub_looks_again() -> None:
    """A Hub that was restarted knows only the saved address, and looks whether it still holds."""
    job = Job()
    with listening("127.0.0.1") as port:
        await job.reported(port)
        restarted = OwnPlace(job, job.notes.append)  # type: ignore[arg-type] # all that it needs
        await restarted.look_again()
        assert [] == job.routes
    await restarted.look_again()
    assert [DEAD] == job.routes


async def test_a_server_on_another_host() -> None:
    """Nothing is done about a server on another host."""
    job = Job()
    place = OwnPlace(job, job.notes.append)  # type: ignore[arg-type] # all that it needs
    job.state.host, job.state.port = "192.0.2.10", 4000
    await place.look_again()
    assert [] == job.routes


async def test_the_servers_of_a_node_ask_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a node is the Hub's own host is looked up once for all of its servers, and again
    after a while, as the Hub's host may get an address."""
    asked: list[str] = []

    def is_own(address: str) -> bool:
        asked.append(address)
        return False

    monkeypatch.setattr(own_place, "is_own_address", is_own)
    settings: dict[str, Any] = {}
    for number in range(20):
        job = Job()
        job.spawner.user.settings = settings
        job.state.host, job.state.port = f"192.0.2.{number % 2}", 3000
        place = OwnPlace(job, job.notes.append)  # type: ignore[arg-type] # all that it needs
        await place.look_again()
        await place.look_again()
        assert [] == job.routes
    assert ["192.0.2.0", "192.0.2.1"] == asked
    with monkeypatch.context() as later:
        later.setattr(time, "monotonic", lambda: float("inf"))
        await place.look_again()
    assert "192.0.2.1" == asked[2]


async def test_jobs_that_another_host_submits() -> None:
    """With ``submit_host``, no socket of the Hub's own host says anything about a server."""
    job = Job()
    job.spawner.submits_here = False
    job.state.host, job.state.port = str(next(iter(own_addresses()))), 4000

    await OwnPlace(job, job.notes.append).look_again()  # type: ignore[arg-type] # as above

    assert ([], 4000) == (job.routes, job.state.port)
