"""The way of batchspawner: exec_prefix before the agent's command, for the legacy classes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from unispawner.errors import AgentError
from unispawner.run_as.accounts import Account
from unispawner.run_as.client import AgentClient
from unispawner.run_as.exec_prefix import ExecPrefix
from unispawner.schedulers import get_scheduler
from unispawner.submit_host.host import SubmitHost


def client(account: Account, prefix: str) -> AgentClient:
    return AgentClient(
        account=account,
        scheduler=get_scheduler("local"),
        run_as=ExecPrefix(prefix, "/opt/my py/bin/python"),
        host=SubmitHost(),
    )


def test_the_command(ada: Account) -> None:
    """A shell runs the prefix and then the agent's command, quoted where that is needed."""
    command = client(ada, "sudo -E -u ada").run_as.command(ada)
    agent = "'/opt/my py/bin/python' -I -m unispawner.agent"
    assert ["/bin/sh", "-c", f"sudo -E -u ada {agent}"] == command


async def test_a_prefix_that_fails(ada: Account, tmp_path: Path) -> None:
    """The error names the command that has to work and holds what the prefix printed."""
    prefix = f"cat >{tmp_path}/request; echo no such host >&2; exit 255;"
    with pytest.raises(AgentError, match="^exec_prefix does not let the Hub write ada's") as caught:
        await client(ada, prefix).cleanup("0123456789abcdef")
    assert f"`{prefix} '/opt/my py/bin/python' -I -m unispawner.agent`" in caught.value.message
    assert (255, "no such host") == (caught.value.exit_status, caught.value.output)


@pytest.mark.parametrize(
    ("prefix", "submit_command", "expected"),
    [
        ("", "sudo -E -u ada sbatch --parsable", "sudo -E -u ada AGENT"),
        ("ssh login1", "sudo -u ada sbatch", "ssh login1 sudo -u ada AGENT"),
        ("ssh login1", "sbatch", "ssh login1 AGENT"),
        ("sudo -u ada", "sudo -u bob sbatch", "sudo -u ada AGENT"),
        ("become ada", "sbatch", "become ada AGENT"),
    ],
)
def test_the_sudo_of_the_submit_command(
    ada: Account, prefix: str, submit_command: str, expected: str
) -> None:
    """If exec_prefix does not become the user, the agent runs as the submit command does."""
    run_as = ExecPrefix(prefix, "/opt/bin/python", submit_command)
    agent = "/opt/bin/python -I -m unispawner.agent"
    assert expected.replace("AGENT", agent) == run_as.command(ada)[2]


def test_nothing_becomes_the_user(ada: Account) -> None:
    """The agent never runs under the Hub's account without notice: the error names agent_prefix.
    Only a server of the Hub's own account can be without any prefix."""
    other = replace(ada, uid=os.getuid() + 1)
    with pytest.raises(AgentError, match=r"^agent_prefix: .*'/site/submit ada'.*Set agent_prefix"):
        ExecPrefix(" ", "/opt/bin/python", "/site/submit ada").command(other)
    own = ExecPrefix("", "/opt/bin/python", "sbatch").command(replace(ada, uid=os.getuid()))
    assert "/opt/bin/python -I -m unispawner.agent" == own[2]


def test_a_submit_command_of_root(ada: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where root submits the job with the user's uid, root itself makes the agent the user's."""
    run_as = ExecPrefix("", "/opt/bin/python", "sbatch --parsable --uid=ada")
    other = replace(ada, uid=os.getuid() + 1)
    with monkeypatch.context() as as_root:
        as_root.setattr(os, "getuid", lambda: 0)
        line = run_as.command(other)[2]
    assert "runuser -u ada -- /opt/bin/python -I -m unispawner.agent" == line


@pytest.mark.threat(
    who="user",
    tries="They log in under the name of the Hub's own account, to read the Hub's secrets.",
    stopped_by="The Hub's own account is refused.",
)
def test_the_hubs_own_account(ada: Account) -> None:
    """Where commands become users, the Hub's own account is refused; where they run as the Hub, it
    is the only account that can have servers."""
    own = replace(ada, uid=os.getuid())
    with pytest.raises(AgentError, match="^ada is the Hub's own account"):
        ExecPrefix("sudo -E -u ada", "/opt/bin/python").check_own_account(own)
    with pytest.raises(AgentError, match="^ada is the Hub's own account"):
        ExecPrefix("", "/opt/bin/python", "sudo -u ada sbatch").check_own_account(own)
    ExecPrefix("", "/opt/bin/python", "sbatch").check_own_account(own)
    ExecPrefix("sudo -u ada", "/x").check_own_account(replace(ada, uid=os.getuid() + 1))
