"""The check whether Slurm says when an account's job would start."""

from __future__ import annotations

from typing import Any

import pytest

from unispawner import UniSpawner
from unispawner.admin.doctor import start_time
from unispawner.errors import AgentError
from unispawner.run_as.accounts import Account
from unispawner.schedulers.estimate import Outlook, StartEstimate


class Client:
    """An agent with one answer."""

    def __init__(self, answer: StartEstimate) -> None:
        self.answer = answer

    async def estimate(self, *_: Any) -> StartEstimate:
        return self.answer


@pytest.fixture
def spawner(monkeypatch: pytest.MonkeyPatch) -> UniSpawner:
    async def found(name: str, *_: Any, **__: Any) -> Account:
        return Account(name, 1234, f"/home/{name}")

    monkeypatch.setattr(start_time, "find_account", found)
    return UniSpawner(scheduler="slurm", run_as="sudo")


async def check(spawner: UniSpawner, monkeypatch: pytest.MonkeyPatch, answer: StartEstimate) -> str:
    monkeypatch.setattr(spawner, "agent_client", lambda _: Client(answer))
    return await start_time.check_start_time(spawner, "ada")


async def test_the_answer(spawner: UniSpawner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check shows when the job would start, or why it can't start now."""
    text = await check(spawner, monkeypatch, StartEstimate(Outlook.NOW, 4_000_000_000.0))
    assert text.startswith("Slurm says that a job of ada would start at ")
    refused = StartEstimate(Outlook.REFUSED, reason="Invalid account")
    text = await check(spawner, monkeypatch, refused)
    assert "Slurm answers that it can't start a job of ada now: Invalid account" == text


async def test_no_answer(spawner: UniSpawner, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that can't be read is an error that says what to look at."""
    with pytest.raises(AgentError, match="check whether it passes --test-only on"):
        await check(spawner, monkeypatch, StartEstimate())


def test_who_is_asked() -> None:
    """Only Slurm is asked, and not where the administrator has turned it off."""
    expected = {"slurm": True, "pbs": False, "auto": False}
    assert expected == {
        name: start_time.can_be_asked(UniSpawner(scheduler=name)) for name in expected
    }
    assert not start_time.can_be_asked(UniSpawner(scheduler="slurm", estimate_start=False))
