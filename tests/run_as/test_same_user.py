"""The way without a user boundary: only the Hub's own account, with a real agent."""

import os
import sys
from pathlib import Path

import pytest
from support.agent import as_same_user

from unispawner.errors import AgentError
from unispawner.run_as.accounts import Account


@pytest.mark.parametrize("shared", [False, True])
async def test_another_account_is_refused(account: Account, tmp_path: Path, shared: bool) -> None:
    """Another account is refused; the error names both ways out and what a shared account costs."""
    other = Account("eve", account.uid + 1, "/home/eve")
    with pytest.raises(AgentError, match="'sudo'") as caught:
        await as_same_user(other, tmp_path, shared=shared).check()
    assert "c.UniSpawner.allow_shared_account = True" in caught.value.message
    assert "no protection from each other" in caught.value.message


async def test_the_command_is_the_agents(account: Account, tmp_path: Path) -> None:
    """The agent's command is run as it is, without sudo."""
    command = as_same_user(account, tmp_path).run_as.command(account)
    assert [sys.executable, "-I", "-m", "unispawner.agent"] == command


@pytest.mark.skipif(os.getuid() == 0, reason="the agent refuses root")
async def test_the_hubs_own_account_is_served(account: Account, tmp_path: Path) -> None:
    """A real agent serves a request of the Hub's own account."""
    assert account.name == (await as_same_user(account, tmp_path / "state").check())["account"]
