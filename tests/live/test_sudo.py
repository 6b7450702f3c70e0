"""How the real sudo and visudo treat the line that administrators are given."""

from __future__ import annotations

import grp
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.accounts import ordinary_accounts
from support.clusters import Slurm
from support.hub import HUB_ACCOUNT, USER_GROUP, running_hub
from support.sudo_sandbox import can_have_a_sandbox, run_with_sudoers

from unispawner.run_as.accounts import Account
from unispawner.run_as.broker import BrokerCommand
from unispawner.run_as.sudo import Sudo


def sudoers_line(python: str, hub: str = "hub", group: str = "hubusers") -> str:
    return Sudo(python).sudoers_line(hub, group)


@pytest.mark.skipif(not shutil.which("visudo", path="/usr/sbin:/usr/bin"), reason="needs visudo")
@pytest.mark.parametrize(
    "python",
    [
        "/opt/py/bin/python3",
        "/opt/my py/bin/python",
        "/opt/a,b/python",
        "/opt/a:b/python",
        "/opt/a=b/python",
        "/opt/a#b/python",
        "/opt/a+b~c/python",
        *(f"/opt/a{sign}b/python" for sign in "@%()"),
    ],
)
def test_visudo_accepts_our_line(tmp_path: Path, python: str) -> None:
    """visudo accepts the line also when the path has characters with a meaning in sudoers."""
    visudo = shutil.which("visudo", path="/usr/sbin:/usr/bin")
    assert visudo
    path = tmp_path / "sudoers"
    path.write_text(sudoers_line(python) + "\n")
    path.chmod(0o440)
    done = subprocess.run([visudo, "-cf", str(path)], capture_output=True, text=True)
    assert 0 == done.returncode, done.stdout + done.stderr


@pytest.mark.skipif(not shutil.which("visudo", path="/usr/sbin:/usr/bin"), reason="needs visudo")
def test_visudo_accepts_the_brokers_line(tmp_path: Path) -> None:
    """visudo accepts the broker's line also where its arguments have characters with a meaning in
    sudoers."""
    visudo = shutil.which("visudo", path="/usr/sbin:/usr/bin")
    assert visudo
    environment = {"A": "b c", "D": "e,f:g=h#i"}
    command = BrokerCommand("/opt/my py/bin/python3", "a lab", 1000, "/a b:/c", environment)
    path = tmp_path / "sudoers"
    path.write_text(command.sudoers_line("hub") + "\n")
    path.chmod(0o440)
    done = subprocess.run([visudo, "-cf", str(path)], capture_output=True, text=True)
    assert 0 == done.returncode, done.stdout + done.stderr


@pytest.mark.slurm
@pytest.mark.parametrize("name", ["sudo", "auto"])
async def test_a_hub_that_uses_sudo(slurm: Slurm, name: str) -> None:
    """A Hub uses sudo if run_as names it, or if sudo does not permit its broker; servers start and
    stop in this way, too."""
    line = Sudo(sys.executable).sudoers_line(HUB_ACCOUNT, USER_GROUP)
    config = f"c.UniSpawner.run_as = {name!r}\n"
    async with running_hub(slurm, config=config, sudoers=line) as hub:
        assert "the Hub acts as its users through sudo" in hub.log()
        alice = await hub.client("alice")
        await alice.start()
        await alice.wait_ready(timeout=60)
        assert "42" == await alice.run_cell("6*7")
        await alice.stop()
        assert set() == slurm.active(name=hub.job_name)


@pytest.mark.threat(
    who="Hub account",
    tries="With run_as = sudo it runs something else, or as somebody outside the group.",
    stopped_by="The line permits its one command, and only as members of one group.",
)
@pytest.mark.skipif(not can_have_a_sandbox(), reason="needs root, sudo and a mount namespace")
def test_a_real_sudo_takes_the_line_and_nothing_more(tmp_path: Path) -> None:
    """With only our line a Hub can run the agent as a member of the group, and nothing else. The
    Hub is another ordinary account without groups, and the line is in a mount namespace."""
    hub, user = ordinary_accounts(2)
    group = grp.getgrgid(user.pw_gid).gr_name
    run_as = Sudo(sys.executable)
    allowed = run_as.command(Account(user.pw_name, user.pw_uid, user.pw_dir))
    as_user = allowed[: allowed.index("--") + 1]
    request = {
        "version": 1,
        "action": "no_such",
        "account": user.pw_name,
        "uid": user.pw_uid,
        "min_uid": 1000,
        "scheduler_path": [],
        "scheduler_environment": {},
        "timeout": 30,
    }
    commands = [
        allowed,
        [*as_user, sys.executable, "-c", "pass"],
        [*as_user, *run_as.agent, "extra"],
        [*as_user, "/bin/sh"],
        [word if word != user.pw_name else "root" for word in allowed],
        [word if word != user.pw_name else "#0" for word in allowed],
        ["sudo", "-E", *allowed[1:]],
    ]
    line = sudoers_line(sys.executable, hub.pw_name, group)
    outcomes = run_with_sudoers(line, hub, commands, json.dumps(request))
    (status, stdout, stderr), *others = outcomes
    assert 0 == status, stderr
    assert "unknown action 'no_such'" in json.loads(stdout)["error"]["message"]
    for command, (status, stdout, _) in zip(commands[1:], others, strict=True):
        assert (1, "") == (status, stdout), command
