"""A legacy server on the Hub's own host, with real sockets of this account."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import Any

import pytest
from support.listening import listening

from unispawner.errors import InvalidJobError
from unispawner.legacy.own_place import BatchPlace

NODE = "192.0.2.10"


def fake_job(uid: int | None = None, **settings: Any) -> Any:
    """Return what a BatchPlace needs of a job of this account, or of another one."""
    forgotten: list[bool] = []
    account = SimpleNamespace(name="alice", uid=os.getuid() if uid is None else uid)

    async def client() -> Any:
        return SimpleNamespace(account=account)

    return SimpleNamespace(
        spawner=SimpleNamespace(
            http_timeout=0.3, startup_poll_interval=0.05, user=SimpleNamespace(settings=settings)
        ),
        client=client,
        state=SimpleNamespace(port=0),
        server=None,
        forgotten=forgotten,
        forget_address=lambda: forgotten.append(True),
    )


async def test_a_server_of_another_host() -> None:
    """An address of another host is taken as it is."""
    assert NODE == await BatchPlace(fake_job()).find(NODE, 4000)


async def test_the_jobs_account_must_listen() -> None:
    """On the Hub's own host the job's account must listen on the port."""
    with listening("127.0.0.1") as port:
        assert "127.0.0.1" == await BatchPlace(fake_job()).find("127.0.0.1", port)
        with pytest.raises(InvalidJobError, match="alice does not listen"):
            await BatchPlace(fake_job(uid=54321)).find("127.0.0.1", port)
        hub = SimpleNamespace(port=port, bind_url="")
        with pytest.raises(InvalidJobError, match="port of the Hub"):
            await BatchPlace(fake_job(hub=hub)).find("127.0.0.1", port)


async def test_a_port_that_is_posted_before_the_server_listens() -> None:
    """batchspawner-singleuser posts its port first: the server has http_timeout to listen."""
    with listening("127.0.0.1") as port:
        pass
    job = fake_job()
    with pytest.raises(InvalidJobError, match="nothing listens"):
        await BatchPlace(job).find("127.0.0.1", port)
    job.spawner.http_timeout = 30
    found = asyncio.ensure_future(BatchPlace(job).find("127.0.0.1", port))
    await asyncio.sleep(0.2)
    with listening("127.0.0.1", port):
        assert "127.0.0.1" == await found


async def test_a_port_that_its_server_has_left() -> None:
    """The address is forgotten if the server no longer listens there, also after a restart of the
    Hub; nothing is done about a server on another host, or one that has no address yet."""
    with listening("127.0.0.1") as port:
        job = fake_job()
        place, restarted = BatchPlace(job), BatchPlace(job)
        await place.find("127.0.0.1", port)
        job.state.port, job.server = port, SimpleNamespace(ip="127.0.0.1", port=port)
        await place.look_again()
        await restarted.look_again()
        assert [] == job.forgotten
    for one in (place, restarted):
        await one.look_again()
    assert [True, True] == job.forgotten
    for ip, number in ((NODE, port), ("node1", port), ("127.0.0.1", 1)):
        job.server = SimpleNamespace(ip=ip, port=number)
        await restarted.look_again()
    assert [True, True] == job.forgotten
