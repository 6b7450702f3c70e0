"""Names that only the submit host can resolve: what is asked there, how often, and for whom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fake_broker import FakeBroker, until

from unispawner.errors import InvalidJobError, SchedulerUnavailable
from unispawner.submit_host import names as module
from unispawner.submit_host.brokered import BrokeredHost
from unispawner.submit_host.connection import Connection
from unispawner.submit_host.names import Remembered

NODE, OTHER = "192.0.2.10", "2001:db8::10"


@pytest.fixture
def broker(tmp_path: Path) -> FakeBroker:
    """A fake broker that knows a few names."""
    found = FakeBroker(tmp_path)
    found.set(names={"c3.example": [NODE, OTHER], "dead": "hang", "old": "refuse"})
    return found


@pytest.fixture
def host(broker: FakeBroker) -> Iterator[BrokeredHost]:
    """The submit host of the broker."""
    found = BrokeredHost(Connection(broker.command, broker.environment), "login1")
    yield found
    found.connection.close()


def asked(broker: FakeBroker) -> list[str]:
    return [line.removeprefix("name ") for line in broker.lines("requests")]


async def test_a_name_is_asked_for_once(
    broker: FakeBroker, host: BrokeredHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer is remembered for a while, also that there is none, whoever asks."""
    for asker in ("alice", "bob", "alice"):
        assert (NODE, OTHER) == await host.resolve("c3.example", asker)
        assert () == await host.resolve("unknown", asker)
    assert ["c3.example", "unknown"] == asked(broker)
    monkeypatch.setattr(module, "REMEMBERED", 0.0)
    await host.resolve("c4", "alice")
    await host.resolve("c4", "alice")
    assert ["c4", "c4"] == asked(broker)[2:]


async def test_what_is_no_name_is_not_sent(broker: FakeBroker, host: BrokeredHost) -> None:
    """A text that can't be the name of a host never crosses the connection."""
    for name in ("", "-x", "a b", "a\nb", "::1", "a" * 254, "ünï", "a/b", "$(id)"):
        with pytest.raises(InvalidJobError, match="is not the name of a host"):
            await host.resolve(name, "alice")
    assert [] == broker.lines("starts")


async def test_a_user_with_many_names(broker: FakeBroker, host: BrokeredHost) -> None:
    """While a user's name has no answer yet, no other name of this user is sent, and other users'
    names are."""
    hung = asyncio.ensure_future(host.resolve("dead", "eve"))
    await until(lambda: asked(broker))
    for number in range(50):
        with pytest.raises(SchedulerUnavailable, match="another name"):
            await host.resolve(f"dead{number}", "eve")
    assert (NODE, OTHER) == await host.resolve("c3.example", "alice")
    assert ["dead", "c3.example"] == asked(broker)
    hung.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hung
    assert () == await host.resolve("unknown", "eve")


async def test_an_older_unispawner_over_there(
    broker: FakeBroker, host: BrokeredHost, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that does not know the request refuses it. The error says what to do, and the log
    has it once."""
    for _ in range(3):
        with pytest.raises(SchedulerUnavailable, match="Install the same version for both"):
            await host.resolve("old", "alice")
    assert 1 == caplog.text.count("login1 resolves no names of nodes")


@pytest.mark.parametrize("answer", [None, "10.0.0.1", {}, ["node1"], [None], [["10.0.0.1"]]])
async def test_an_answer_that_is_none(
    broker: FakeBroker, host: BrokeredHost, answer: object
) -> None:
    """An answer with something else than addresses is an error that names the submit host."""
    broker.set(names={"c3": answer})
    with pytest.raises(SchedulerUnavailable, match="no valid addresses of 'c3'"):
        await host.resolve("c3", "alice")


async def test_the_hubs_own_host_is_not_asked_again(broker: FakeBroker) -> None:
    """The broker of the Hub's own host knows no more names than the Hub."""
    here = BrokeredHost(Connection(broker.command, broker.environment))
    assert () == await here.resolve("c3.example", "alice")
    assert [] == broker.lines("starts")


def test_few_answers_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest answer is forgotten when there are too many, and each after its time."""
    now = 100.0
    monkeypatch.setattr(module, "MOST_REMEMBERED", 2)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    known: Remembered[str] = Remembered()
    for name in ("a", "b", "a", "c"):
        known.put(name, name)
    assert [None, "a", "c"] == [known.get(name) for name in ("b", "a", "c")]
    now += module.REMEMBERED
    assert [None, None] == [known.get("a"), known.get("c")]
