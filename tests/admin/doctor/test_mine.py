"""The check what an account may use, where options have the choices "mine"."""

from __future__ import annotations

from typing import Any

import pytest

from unispawner import UniSpawner
from unispawner.admin.doctor import mine
from unispawner.errors import AgentError
from unispawner.profiles.reading import read_profiles
from unispawner.run_as.accounts import Account
from unispawner.schedulers.usable import Entry, Usable, make_usable


async def check(monkeypatch: pytest.MonkeyPatch, answer: Usable, *fields: str) -> str:
    class Client:
        async def usable(self) -> Usable:
            return answer

    async def found(name: str, *_: Any, **__: Any) -> Account:
        return Account(name, 1234, f"/home/{name}")

    spawner = UniSpawner(scheduler="slurm", run_as="sudo")
    monkeypatch.setattr(mine, "find_account", found)
    monkeypatch.setattr(spawner, "agent_client", lambda _: Client())
    return await mine.check_mine(spawner, "ada", fields)


def test_the_fields_that_are_offered() -> None:
    """Only the options of profiles that offer what is the user's are asked about, each once."""
    options = {"qos": {"choices": "mine"}, "account": {"choices": ["a"]}, "memory": {}}
    profiles = read_profiles([{"display_name": name, "options": options} for name in ("A", "B")])
    assert ["qos"] == mine.find_fields(profiles)
    assert [] == mine.find_fields([])


async def test_what_the_account_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check shows the names; a long list is shortened, and an empty one is named."""
    many = [Entry(f"a{number}") for number in range(12)]
    answer = make_usable({"account": many, "reservation_id": []})
    text = await check(monkeypatch, answer, "account", "reservation_id")
    assert text.startswith("Slurm lets ada use Account: a0, a1, ")
    assert text.endswith("a9 and 2 more; Reservation: none")


async def test_what_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field about which the scheduler says nothing is an error that says what to do."""
    with pytest.raises(AgentError, match=r"use Queue: q\. It says nothing about qos for ada"):
        await check(monkeypatch, make_usable({"queue_name": [Entry("q")]}), "queue_name", "qos")
    with pytest.raises(AgentError, match=r"^Slurm says nothing\. It says nothing about account"):
        await check(monkeypatch, Usable(), "account")
