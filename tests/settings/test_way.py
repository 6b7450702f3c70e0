"""Where and how the Hub acts as its users: what ``submit_host`` changes in the other settings."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import pytest
from traitlets.config import Config

from unispawner.errors import InvalidJobError
from unispawner.schedulers import gridengine_host
from unispawner.servers.spawner import UniSpawner
from unispawner.submit_host.host import HOST


def spawner(**settings: Any) -> UniSpawner:
    """Return a spawner on a cluster that another host submits to."""
    config = Config()
    config.UniSpawner.submit_host = "hubsvc@login1"
    config.UniSpawner.scheduler = "slurm"
    config.UniSpawner.update(settings)
    return UniSpawner(config=config)


def test_commands_of_another_host() -> None:
    """ssh starts the broker there, through sudo, with what its group and its questions need."""
    found = spawner(
        ssh_options=["-p", "2222"],
        broker_group="staff",
        scheduler_path="/opt/slurm/bin",
        agent_python="/sw/uni/bin/python3",
    )

    command = found.brokered_host().connection.command

    assert "ssh" == command[0]
    assert ("--", "hubsvc@login1") == tuple(command[-3:-1])
    assert "Port=2222" in command
    assert (
        "sudo -n -- /sw/uni/bin/unispawner-broker --group staff --min-uid 1000 --path "
        "/opt/slurm/bin" == command[-1]
    )


def test_the_hubs_own_host_says_nothing_about_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The Hub's Python is no default there, and Grid Engine's root is not looked for here."""
    monkeypatch.setattr(gridengine_host, "find_root", lambda cell: f"/here/{cell}")
    monkeypatch.setattr(gridengine_host, "_roots", {})
    far, near = spawner(scheduler="gridengine"), spawner(scheduler="gridengine", submit_host="")

    assert "/opt/unispawner/bin/python3" == far.agent_python
    assert sys.executable == near.agent_python
    assert "" == far.get_scheduler().options["sge_root"]
    assert "/here/default" == near.get_scheduler().options["sge_root"]
    assert (False, True) == (far.get_host().here, near.search_host().here)
    assert HOST is near.search_host()


def test_a_hub_of_root_names_its_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an account a Hub that runs as root would log in as root. It is refused when the Hub
    starts, and another Hub logs in under its own name."""
    config = spawner(submit_host="login1").config
    monkeypatch.setattr(os, "getuid", lambda: 0)
    with pytest.raises(InvalidJobError, match='names no account.*"hubsvc@login1"'):
        asyncio.run(UniSpawner.check_config(config))
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    command = spawner(submit_host="login1").brokered_host().connection.command
    assert "login1" == command[command.index("--") + 1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"run_as": "sudo"}, "run_as: 'sudo' is not possible with submit_host"),
        ({"run_as": "same_user"}, "run_as: 'same_user' is not possible with submit_host"),
        ({"scheduler": "local"}, "scheduler: 'local' is not possible with submit_host"),
        ({"agent_python": "python3"}, "agent_python: 'python3' must be an absolute path"),
        ({"submit_host": "-oProxyCommand=id"}, "submit_host: '-oProxyCommand=id'"),
        ({"submit_host": "root@login1"}, "submit_host: 'root@login1': the Hub must not log in as"),
        ({"ssh_options": ["-o", "StrictHostKeyChecking=no"]}, "ssh_options: StrictHostKeyChecking"),
    ],
)
def test_settings_that_another_host_can_not_have(settings: dict[str, Any], words: str) -> None:
    """What is only possible on the Hub's own host, or dangerous, is refused when the Hub starts."""
    config = spawner(**settings).config

    with pytest.raises(InvalidJobError) as caught:
        asyncio.run(UniSpawner.check_config(config))

    assert words in str(caught.value)
