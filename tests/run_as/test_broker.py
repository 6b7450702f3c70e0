"""The way through the broker: its command, its line for sudoers, its replies and refusals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fake_broker import FakeBroker

from unispawner.errors import AgentError, InvalidJobError, SchedulerUnavailable
from unispawner.job import JobSpec
from unispawner.run_as.accounts import Account, find_account
from unispawner.run_as.broker import Broker, BrokerCommand, explain_start
from unispawner.run_as.client import AgentClient
from unispawner.schedulers import get_scheduler
from unispawner.submit_host.brokered import BrokeredHost
from unispawner.submit_host.connection import Connection
from unispawner.submit_host.host import SubmitHost

MARK = "0123456789abcdef"
ENTRIES = {
    "ada": {"name": "ada", "uid": 4000, "home": "/home/ada", "uid_name": ""},
    "ADA": {"name": "ada", "uid": 4000, "home": "/home/ada", "uid_name": "lovelace"},
    "root": {"name": "root", "uid": 0, "home": "/root", "uid_name": ""},
}


@pytest.fixture
def broker(tmp_path: Path) -> FakeBroker:
    """A fake broker whose host has some accounts."""
    found = FakeBroker(tmp_path)
    found.set(accounts=ENTRIES)
    return found


@pytest.fixture
def host(broker: FakeBroker) -> Iterator[BrokeredHost]:
    """The host of the fake broker."""
    found = BrokeredHost(Connection(broker.command, broker.environment), "login1")
    yield found
    found.connection.close()


@pytest.fixture
def client(host: BrokeredHost, ada: Account) -> AgentClient:
    """A client of an account that this host need not have."""
    return AgentClient(ada, get_scheduler("slurm"), Broker("/opt/py/bin/python"), host, seconds=20)


async def test_a_request_and_its_reply(client: AgentClient, broker: FakeBroker) -> None:
    """A request of the agent's crosses the connection as it is."""
    assert str(int(MARK[:8], 16)) == await client.submit(JobSpec(mark=MARK), "/bin/sh")
    assert [MARK] == broker.jobs
    assert ["submit ada answer"] == broker.lines("requests")


async def test_an_agent_that_ends_without_a_reply(client: AgentClient, broker: FakeBroker) -> None:
    """The error of an agent that was killed says how it ended; its job may exist."""
    broker.set(actions={"submit": ["crash"]})
    with pytest.raises(AgentError, match="ended with signal 9") as caught:
        await client.submit(JobSpec(mark=MARK), "/bin/sh")
    assert "Killed" == caught.value.output
    assert not caught.value.unsent


async def test_a_reply_that_is_too_large(client: AgentClient, broker: FakeBroker) -> None:
    """A reply longer than the limit of all ways is no valid one; the job may exist."""
    broker.set(actions={"submit": ["babble"]})
    with pytest.raises(AgentError, match="without a valid reply") as caught:
        await client.submit(JobSpec(mark=MARK), "/bin/sh")
    assert not caught.value.unsent
    assert caught.value.open_until > 0


async def test_a_lost_connection(client: AgentClient, broker: FakeBroker) -> None:
    """If the broker dies with the request, the job may exist until the request's time is over."""
    broker.set(actions={"submit": ["die"]})
    with pytest.raises(SchedulerUnavailable, match="not known") as caught:
        await client.submit(JobSpec(mark=MARK), "/bin/sh")
    assert not caught.value.unsent
    assert caught.value.open_until > 0


async def test_accounts_of_the_far_side(host: BrokeredHost) -> None:
    """An account is looked up where the broker is; this host need not have it."""
    found = await find_account("ada", 1000, same_name=True, host=host)
    assert Account("ada", 4000, "/home/ada") == found
    assert "lovelace" == (await find_account("ADA", 1000, host=host)).uid_name
    with pytest.raises(AgentError, match="There is no account 'bob' on login1"):
        await find_account("bob", 1000, host=host)
    with pytest.raises(AgentError, match="uid 0"):
        await find_account("root", 1000, host=host)
    for odd in ("", "x" * 10_000):
        with pytest.raises(AgentError, match="There is no account"):
            await find_account(odd, 1000, host=host)


@pytest.mark.parametrize("uid", [float("inf"), float("nan"), "x", None, [1]])
async def test_an_account_that_makes_no_sense(
    host: BrokeredHost, broker: FakeBroker, uid: object
) -> None:
    """An entry without a usable uid is an error of the far side's."""
    broker.set(accounts={"ada": {**ENTRIES["ada"], "uid": uid}})
    with pytest.raises(SchedulerUnavailable, match="no valid account for 'ada'"):
        await find_account("ada", 1000, host=host)


async def test_no_command_of_the_hubs(host: BrokeredHost, broker: FakeBroker) -> None:
    """The broker's host runs no command that the Hub names."""
    with pytest.raises(AgentError, match="runs no commands of the Hub's"):
        await host.run(["id"], environment={}, timeout=1, output_limit=1)
    assert [] == broker.lines("starts")


async def test_a_host_without_a_broker(ada: Account) -> None:
    """The broker's way does nothing on a host that has none."""
    client = AgentClient(ada, get_scheduler("slurm"), Broker("/x"), SubmitHost())
    with pytest.raises(AgentError, match="has no broker"):
        await client.check()


@pytest.mark.threat(
    who="user",
    tries="They log in under the name of the Hub's own account, to read the Hub's secrets.",
    stopped_by="The Hub's own account is refused.",
)
async def test_the_hubs_own_account_is_refused(account: Account) -> None:
    """The Hub's own account is refused, but the far side's account of the same uid is not."""
    with pytest.raises(AgentError, match="the Hub's own account"):
        Broker("/x").command(account)
    assert Broker("/x", remote=True).command(account)


def test_the_commands() -> None:
    """Root runs the module; sudo runs the script beside the Python, with the same arguments."""
    command = BrokerCommand("/opt/py/bin/python3", "lab", 500, "/a:/b", {"B": "2", "A": "1"})
    rest = ["--group", "lab", "--min-uid", "500", "--path", "/a:/b"]
    rest += ["--environment", "A=1", "--environment", "B=2"]
    assert ["/opt/py/bin/python3", "-I", "-m", "unispawner.broker", *rest] == command.words
    script = ["sudo", "-n", "--", "/opt/py/bin/unispawner-broker", *rest]
    assert script == command.with_sudo


def test_the_sudoers_line() -> None:
    """One line lets the Hub start the broker as root, with exactly these arguments."""
    command = BrokerCommand("/opt/py/bin/python3", "my lab", environment={"A": "b,c"})
    expected = (
        "hub ALL=(root) NOPASSWD: /opt/py/bin/unispawner-broker "
        r"--group my\ lab --min-uid 1000 --environment A\=b\,c"
    )
    assert expected == command.sudoers_line("hub")


@pytest.mark.parametrize(
    ("command", "setting"),
    [
        (BrokerCommand("/opt/*/python"), "agent_python"),
        (BrokerCommand("/x/python", "a*"), "broker_group"),
        (BrokerCommand("/x/python", path="/a?"), "scheduler_path"),
        (BrokerCommand("/x/python", environment={"A": "!"}), "scheduler_environment"),
    ],
)
def test_what_sudoers_can_not_name(command: BrokerCommand, setting: str) -> None:
    """A character that sudoers can't take literally is refused; the error names the setting."""
    with pytest.raises(InvalidJobError, match=f"^{setting}: "):
        command.sudoers_line("hub")


@pytest.mark.parametrize(
    ("printed", "advice"),
    [
        ("sudo: a password is required", "doctor --sudoers"),
        ("Sorry, user hub is not allowed to execute '/x' as root on vm.", "doctor --sudoers"),
        ("/x/python: No module named unispawner.broker", "agent_python"),
        ("/x is writable by its group, so that others could change what runs as root.", "run_as"),
        ("something else", ""),
    ],
)
def test_what_to_do_about_a_broker_that_does_not_start(printed: str, advice: str) -> None:
    """What a broker has printed leads to what the administrator can do."""
    found = explain_start(1, printed, b"")
    assert advice in found
    assert bool(advice) == bool(found)
