"""Which way of becoming a user a Hub has: decided once, by the configuration and by sudo."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fake_broker import FakeBroker
from traitlets.config import Config

from unispawner.errors import AgentError, InvalidJobError, SchedulerUnavailable
from unispawner.run_as import base, decision
from unispawner.run_as.broker import BrokerCommand
from unispawner.run_as.decision import Way, decide, decide_now
from unispawner.servers.spawner import UniSpawner
from unispawner.servers.state import ServerState
from unispawner.submit_host import brokered
from unispawner.submit_host.brokered import BrokeredHost
from unispawner.submit_host.connection import Connection

COMMAND = BrokerCommand("/opt/hub/bin/python3", "lab", 1000, "/opt/slurm/bin", {"A": "b c"})


class SudoOfAHub:
    """A sudo that permits a command or not, and starts a fake broker.

    Attributes
    ----------
    asked
        The file with the arguments of each ``sudo -l``.
    """

    def __init__(self, folder: Path) -> None:
        self.broker = FakeBroker(folder / "broker")
        self.asked = folder / "asked"
        self._script = folder / "bin" / "sudo"
        self._script.parent.mkdir()
        environment = {"PATH": f"{self._script.parent}:/usr/bin:/bin", "LANG": "C.UTF-8"}
        self.host = BrokeredHost(Connection(COMMAND.with_sudo, environment))
        self.allow()

    def allow(self, *, listed: bool = True, runs: bool = True, path: str = "") -> None:
        """Set whether ``sudo -l`` lists the command, and whether it runs without a password.

        With ``path`` both hold only for a command of the broker with this path.
        """
        refusal = "echo 'sudo: a password is required' >&2; exit 1"
        self._script.write_text(
            "#!/bin/sh\n"
            f'case "$*" in *{path}*) ;; *) {refusal} ;; esac\n'
            f'if [ "$2" = -l ]; then echo "$*" >>{self.asked}\n'
            f"{'exit 0' if listed else refusal}\n"
            "fi\n"
            f"{f'exec {shlex.join(self.broker.command)}' if runs else refusal}\n"
        )
        self._script.chmod(0o755)


@pytest.fixture
def sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SudoOfAHub]:
    """The sudo of a Hub that is not root and has decided nothing yet."""
    found = SudoOfAHub(tmp_path)
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    monkeypatch.setitem(base.ENVIRONMENT, "PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(decision, "_decided", {})
    yield found
    found.host.connection.close()


async def test_a_hub_of_root(sudo: SudoOfAHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Hub that is root uses the broker, and asks no sudo."""
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert Way("broker", "the Hub runs as root") == await decide("auto", "", COMMAND, sudo.host)
    assert not sudo.asked.exists()


async def test_sudo_permits_the_broker(sudo: SudoOfAHub, caplog: pytest.LogCaptureFixture) -> None:
    """If sudo permits the very command of the broker, it is used; that is decided and logged
    once."""
    caplog.set_level(logging.INFO)
    for _ in range(3):
        assert "broker" == (await decide("auto", "", COMMAND, sudo.host)).name
    expected = (
        "-n -l -- /opt/hub/bin/unispawner-broker --group lab --min-uid 1000 "
        "--path /opt/slurm/bin --environment A=b c"
    )
    assert [expected] == sudo.asked.read_text().splitlines()
    found = [record for record in caplog.records if "acts as its users through" in record.msg]
    assert 1 == len(found)
    assert decide_now("auto", "", COMMAND) == await decide("auto", "", COMMAND, sudo.host)


async def test_sudo_does_not_permit_the_broker(sudo: SudoOfAHub) -> None:
    """If sudo does not permit the broker, sudo is used, as it was before there was a broker."""
    sudo.allow(listed=False)
    way = await decide("auto", "", COMMAND, sudo.host)
    assert "sudo" == way.name
    assert way.reason.endswith(" ".join(COMMAND.script_words))  # for who mistyped the line
    assert [] == sudo.broker.lines("starts")


async def test_sudo_wants_a_password_for_the_broker(sudo: SudoOfAHub) -> None:
    """A command that sudo lists, but runs only with a password, is not permitted."""
    sudo.allow(runs=False)
    assert "sudo" == (await decide("auto", "", COMMAND, sudo.host)).name


async def test_no_sudo_at_all(sudo: SudoOfAHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a sudo the way is still sudo's, whose error says that there is none."""
    monkeypatch.setitem(base.ENVIRONMENT, "PATH", "/none")
    monkeypatch.setenv("PATH", "/none")
    assert "sudo" == (await decide("auto", "", COMMAND, sudo.host)).name


async def test_a_broker_that_is_named(sudo: SudoOfAHub) -> None:
    """A site that names the broker gets it, or an error with what to do."""
    sudo.allow(listed=False)
    with pytest.raises(InvalidJobError, match="doctor --sudoers"):
        await decide("broker", "", COMMAND, sudo.host)
    sudo.allow()
    assert "broker" == (await decide("broker", "", COMMAND, sudo.host)).name


@pytest.mark.parametrize("name", ["sudo", "same_user"])
async def test_another_way_that_is_named(sudo: SudoOfAHub, name: str) -> None:
    """A site that names another way gets it without a question, also where it is root."""
    assert name == (await decide(name, "", COMMAND, sudo.host)).name
    assert not sudo.asked.exists()


async def test_a_broker_that_dies_is_not_replaced(sudo: SudoOfAHub) -> None:
    """What was decided stays, also when sudo no longer permits the broker."""
    assert "broker" == (await decide("auto", "", COMMAND, sudo.host)).name
    sudo.allow(listed=False, runs=False)
    assert "broker" == (await decide("auto", "", COMMAND, sudo.host)).name


async def test_each_command_is_decided_by_itself(sudo: SudoOfAHub) -> None:
    """Profiles with other commands may have other ways."""
    assert "broker" == (await decide("auto", "", COMMAND, sudo.host)).name
    sudo.allow(listed=False)
    other = BrokerCommand("/opt/hub/bin/python3", "other")
    assert "sudo" == (await decide("auto", "", other, sudo.host)).name


def saved_server(folder: Path, path: str, **environment: str) -> UniSpawner:
    """Return the spawner of a server that was started with another path than today's."""
    config = Config()
    config.UniSpawner.scheduler = "slurm"
    config.UniSpawner.agent_python = "/opt/hub/bin/python3"
    config.UniSpawner.scheduler_path = path
    before = UniSpawner(config=config)
    before.server_job.state = ServerState(
        mark="0" * 16, scheduler="slurm", scheduler_path=path, scheduler_environment=environment
    )
    state = before.get_state()
    config.UniSpawner.scheduler_path = "/opt/today/bin"
    now = UniSpawner(config=config)
    now.load_state(state)
    return now


@pytest.fixture
def brokers(sudo: SudoOfAHub, monkeypatch: pytest.MonkeyPatch) -> Iterator[SudoOfAHub]:
    """The sudo of a Hub whose spawners have brokers of their own, which end with the test."""
    monkeypatch.setattr(decision, "_refusals", {})
    monkeypatch.setattr(decision, "_replaced", [])
    hosts: dict[tuple[str, ...], BrokeredHost] = {}
    monkeypatch.setattr(brokered, "_hosts", hosts)
    yield sudo
    for host in hosts.values():
        host.connection.close()


def path_of(spawner: UniSpawner) -> str:
    host = spawner.get_host()
    assert isinstance(host, BrokeredHost)
    command = host.connection.command
    return command[command.index("--path") + 1]


async def test_a_saved_server_keeps_its_broker(brokers: SudoOfAHub, tmp_path: Path) -> None:
    """A server is reached through the broker with its own settings as long as sudo permits it: a
    profile may have chosen them."""
    found = saved_server(tmp_path, "/opt/old/bin")
    assert "broker" == (await found.find_way()).name
    assert ("/opt/old/bin", "/opt/old/bin") == (path_of(found), found.scheduler_path)


async def test_a_saved_server_whose_broker_is_not_permitted_any_more(
    brokers: SudoOfAHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If sudo permits only the broker with today's scheduler_path, servers of another path are
    reached through that one, and never through sudo itself. The log says so once."""
    brokers.allow(path="/opt/today/bin")
    for found in [saved_server(tmp_path, "/opt/old/bin") for _ in range(3)]:
        assert "broker" == (await found.find_way()).name
        assert "/opt/today/bin" == path_of(found)
        assert "broker" == found.get_run_as().name
    assert 1 == caplog.text.count("servers were started with '/opt/old/bin'")
    asked = brokers.asked.read_text() if brokers.asked.exists() else ""
    assert 1 == asked.count("/opt/today/bin")


async def test_a_saved_server_with_another_environment(brokers: SudoOfAHub, tmp_path: Path) -> None:
    """Other variables may mean another cluster, which knows nothing of the job. So today's broker
    is not asked about it, and the error has the command that sudo should permit."""
    brokers.allow(path="/opt/today/bin")
    found = saved_server(tmp_path, "/opt/old/bin", SLURM_CONF="/etc/beta.conf")
    with pytest.raises(SchedulerUnavailable, match="--environment SLURM_CONF=/etc/beta.conf"):
        await found.find_way()


async def test_a_saved_server_where_no_broker_is_permitted(
    brokers: SudoOfAHub, tmp_path: Path
) -> None:
    """A Hub that sudo permits no broker reaches saved servers as it starts new ones."""
    brokers.allow(listed=False, runs=False)
    assert "sudo" == (await saved_server(tmp_path, "/opt/old/bin").find_way()).name


async def test_a_group_that_does_not_exist(brokers: SudoOfAHub) -> None:
    """The Hub's start reports that the broker's group is missing, because the broker would refuse
    everybody. The Hub goes on: the group can be made, or its directory come back, meanwhile."""
    config = Config()
    config.UniSpawner.scheduler = "slurm"
    config.UniSpawner.agent_python = "/opt/hub/bin/python3"
    config.UniSpawner.broker_group = "no-such"
    with pytest.raises(AgentError, match="broker_group: this host has no group 'no-such'"):
        await UniSpawner.check_config(config)


async def test_another_host(sudo: SudoOfAHub) -> None:
    """With submit_host only the broker is possible."""
    assert "broker" == (await decide("auto", "login1", COMMAND, sudo.host)).name
