"""How many requests the Hub sends to a broker at a time, and whose."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from unispawner.command import Finished
from unispawner.errors import SchedulerUnavailable
from unispawner.schedulers import get_scheduler
from unispawner.submit_host.brokered import OTHERS_AT_ONCE, BrokeredHost
from unispawner.submit_host.connection import Connection
from unispawner.submit_host.host import GROUP_AT_ONCE


class OpenRequests:
    """A connection that answers a request only when the test lets it."""

    def __init__(self) -> None:
        self.open: list[dict[str, Any]] = []
        self.answered = asyncio.Event()

    async def request(self, header: dict[str, Any], body: bytes, seconds: float) -> Finished:
        self.open.append(header)
        await self.answered.wait()
        return Finished(0, b'{"version": 1, "result": null}', b"")


async def send(*requests: Any) -> list[Any]:
    """Start requests, and return their tasks when no more of them goes on by itself."""
    tasks = [asyncio.ensure_future(one) for one in requests]
    for _ in range(20):
        await asyncio.sleep(0)
    return tasks


async def test_look_ups_are_bounded_and_fair() -> None:
    """A user whose many starts look an account up takes a few turns only; the look-ups of all have
    a limit, and all of them are answered in the end."""
    connection = OpenRequests()
    host = BrokeredHost(cast(Connection, connection), "login1")
    tasks = await send(*(host.find_entry("eve") for _ in range(500)), host.find_entry("alice"))
    assert ["eve"] * GROUP_AT_ONCE + ["alice"] == [one["account"] for one in connection.open]
    tasks += await send(*(host.find_entry(f"user{number}") for number in range(500)))
    assert OTHERS_AT_ONCE == len(connection.open)
    connection.answered.set()
    assert [None] * 1001 == await asyncio.gather(*tasks)


async def test_questions_are_bounded() -> None:
    """Questions have a limit, too; they do not wait for look-ups of accounts."""
    connection = OpenRequests()
    host = BrokeredHost(cast(Connection, connection), "login1")
    tasks = await send(*(host.find_entry(f"user{number}") for number in range(100)))
    slurm = get_scheduler("slurm")
    asked = [host.ask(slurm, "survey", environment={}) for _ in range(100)]
    tasks += await send(*asked)
    kinds = [one["kind"] for one in connection.open]
    assert [OTHERS_AT_ONCE] * 2 == [kinds.count("account"), kinds.count("question")]
    connection.answered.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(None), SchedulerUnavailable} == set(map(type, found))
    assert 200 == len(connection.open)


@pytest.mark.parametrize(("problem", "expected"), [("", []), ("It ended.", ["hurry"])])
async def test_a_user_who_waits(problem: str, expected: list[str]) -> None:
    """A start or a stop has the connection tried again soon, if it is broken."""
    calls: list[str] = []

    class Broken:
        problem = ""

        def hurry(self) -> None:
            calls.append("hurry")

    broken = Broken()
    broken.problem = problem
    BrokeredHost(cast(Connection, broken), "login1").hurry()
    assert expected == calls
