"""The check what an account may use, where options have the choices "mine"."""

from __future__ import annotations

from typing import Any

import pytest

from unispawner import UniSpawner
from unispawner.admin.doctor import checks, mine
from unispawner.profiles.reading import read_profiles
from unispawner.run_as.accounts import Account
from unispawner.schedulers.usable import Entry, Usable, make_usable


async def check(monkeypatch: pytest.MonkeyPatch, answer: Usable, *fields: str) -> tuple[str, str]:
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
    text, doubt = await check(monkeypatch, answer, "account", "reservation_id")
    assert "" == doubt
    assert text.startswith("Slurm lets ada use Account: a0, a1, ")
    assert text.endswith("a9 and 2 more; Reservation: none")


async def test_what_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field about which the scheduler says nothing is something to look at, and no mistake: the
    form then has a text field."""
    answer = make_usable({"queue_name": [Entry("q")]})
    text, doubt = await check(monkeypatch, answer, "queue_name", "qos")
    assert "Slurm lets ada use Queue: q" == text
    assert doubt.startswith("It says nothing about qos for ada")
    text, doubt = await check(monkeypatch, Usable(), "account")
    assert "Slurm says nothing" == text
    assert doubt.startswith("It says nothing about account for ada")


async def test_doctor_says_that_it_is_to_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the scheduler does not know the accounts, doctor has a doubt, and reports no error."""

    async def answer(*_: Any) -> tuple[str, str]:
        return "Slurm says nothing", "It says nothing about account for ada"

    async def ready(_: Any) -> None:
        return None

    monkeypatch.setattr(mine, "check_mine", answer)
    monkeypatch.setattr(checks, "_need_way", ready)
    with pytest.raises(checks.Doubt, match=r"^Slurm says nothing\. It says nothing about account"):
        await checks._mine(UniSpawner(), "ada", ["account"])
