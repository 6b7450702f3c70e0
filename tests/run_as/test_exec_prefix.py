"""The way of batchspawner: exec_prefix before the agent's command, for the legacy classes."""

from __future__ import annotations

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
